//! The configuration of the program: file, then environment, then flags.

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};
use tributary_edge::config::CertificateFiles;
use tributary_node::{
    admin::{Guard, Unguarded},
    config::{Application, At, Check, Layers, Mistakes, address, read_address},
    log,
    token::Token,
};

use crate::node::Failure;

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
    /// The file with the token of the admin server, which only its owner may read. Unset: an origin
    /// with a data directory makes one there, others have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// Whether the metrics need the token on an address that other machines reach.
    pub(crate) metrics: MetricsAccess,
}

/// The right to read the metrics on an address that other machines reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MetricsAccess {
    /// Callers with the token.
    #[default]
    Token,
    /// Everybody.
    Open,
}

/// The flags of every node.
#[derive(Clone, clap::Args)]
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
    /// The token of the file, if there is one.
    pub(crate) fn token(&self) -> Result<Option<Token>, Failure> {
        Ok(self.token_file.as_deref().map(Token::load).transpose()?)
    }

    /// The guard of the server at this address.
    pub(crate) fn guard(
        &self,
        address: SocketAddr,
        token: Option<Token>,
    ) -> Result<Guard, Failure> {
        let opens_metrics = self.metrics == MetricsAccess::Open;
        Ok(Guard::new(address, token, opens_metrics)?)
    }

    /// An edge's, and `dev`'s, address by default.
    pub(crate) const EDGE: ([u8; 4], u16) = ([127, 0, 0, 1], 8080);
    /// An origin's address by default.
    pub(crate) const ORIGIN: ([u8; 4], u16) = ([127, 0, 0, 1], 8081);
}

impl Admin {
    fn check(&self, makes_token: bool, at: &At, mistakes: &mut Mistakes) {
        let public = self
            .address
            .filter(|address| !address.ip().to_canonical().is_loopback());
        if public.is_some() && self.token_file.is_none() && !makes_token {
            let what = "other machines can reach it, and no token guards it";
            mistakes.add(at.key("address"), what, Unguarded::REMEDY);
        }
    }
}

impl Check for Config {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.edge.check(&at.key("edge"), mistakes);
        self.edge
            .check_certificates(&at.key("edge"), &self.tls, mistakes);
        self.origin.check(&at.key("origin"), mistakes);
        self.admin
            .check(self.origin.data.is_some(), &at.key("admin"), mistakes);
        self.log.check(&at.key("log"), mistakes);
        for (name, application) in &self.applications {
            application.check(&at.key("applications").key(name), mistakes);
        }
    }
}
