//! The configuration of the program: file, then environment, then flags.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tributary_edge::config::CertificateFiles;
use tributary_node::{
    config::{Application, At, Check, Layers, Mistakes, address, read_address},
    log,
};

/// All settings of the program.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) edge: tributary_edge::Config,
    pub(crate) origin: tributary_origin::Config,
    /// The certificates for clients, by their names.
    pub(crate) tls: BTreeMap<String, CertificateFiles>,
    pub(crate) admin: Admin,
    pub(crate) log: log::Config,
    pub(crate) applications: BTreeMap<String, Application>,
}

/// The table `[admin]`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// The address for health, readiness and metrics. Unset: 127.0.0.1:8080, and 127.0.0.1:8081 for
    /// an origin.
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "read_address"
    )]
    pub(crate) address: Option<SocketAddr>,
}

/// The flags of every node.
#[derive(clap::Args)]
#[group(skip)]
pub(crate) struct Flags {
    /// The address for health, readiness and metrics
    #[arg(long, value_name = "ADDR", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,
    /// A TOML file; environment variables (TRIBUTARY_...) and flags win over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) log: log::Flags,
}

impl Flags {
    /// File, environment and these flags.
    pub(crate) fn layers(&self) -> Layers {
        self.layers_over(Layers::new())
    }

    /// As [`Self::layers`], over these layers.
    pub(crate) fn layers_over(&self, mut layers: Layers) -> Layers {
        if let Some(file) = &self.config {
            layers = layers.file(file);
        }
        let layers = layers.environment(std::env::vars());
        self.log
            .layer(layers.flag("--admin", "admin.address", self.admin))
    }
}

impl Admin {
    /// An edge's, and `dev`'s, address by default.
    pub(crate) const EDGE: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
    /// An origin's address by default.
    pub(crate) const ORIGIN: ([u8; 4], u16) = ([127, 0, 0, 1], 8081);
}

impl Check for Config {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.edge.check(&at.key("edge"), mistakes);
        self.edge
            .check_certificates(&at.key("edge"), &self.tls, mistakes);
        self.origin.check(&at.key("origin"), mistakes);
        self.log.check(&at.key("log"), mistakes);
        for (name, application) in &self.applications {
            application.check(&at.key("applications").key(name), mistakes);
        }
    }
}
