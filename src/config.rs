//! The configuration of the program: file, then environment, then flags.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

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
    /// The cluster of an origin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster: Option<tributary_origin::ClusterConfig>,
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

impl Config {
    /// Finds pushes and pulls of an application whose other side is the application itself, at a
    /// listener of this configuration.
    fn check_relays(
        &self,
        name: &str,
        application: &Application,
        at: &At,
        mistakes: &mut Mistakes,
    ) {
        let pushes = application.push.iter().map(|push| &push.url).enumerate();
        let pushes = pushes.map(|(index, url)| ("push", index, url));
        let pulls = application.pull.iter().map(|pull| &pull.url).enumerate();
        let pulls = pulls.map(|(index, url)| ("pull", index, url));
        for (kind, index, url) in pushes.chain(pulls) {
            let group = url.group();
            let is_same = group.is_some_and(|group| group.application() == name);
            if is_same && self.listens_at(url.server()) {
                let at = at.key(kind).key(index).key("url");
                let remedy = "name another server, or another application";
                mistakes.add(
                    at,
                    "the application would send its streams to itself",
                    remedy,
                );
            }
        }
    }

    /// Whether a listener of this configuration is reached at this host and port. An origin has the
    /// listeners of its own file alone.
    fn listens_at(&self, (host, port): (&str, u16)) -> bool {
        let ip = match host {
            "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
            host => host.parse().ok(),
        };
        let listen = self.edge.listen.iter().map(|listen| listen.address);
        let mut own = self.edge.rtmp.into_iter().chain(listen);
        own.any(|own| {
            let is_here =
                |ip: IpAddr| own.ip() == ip || (own.ip().is_unspecified() && ip.is_loopback());
            own.port() == port && ip.is_some_and(is_here)
        })
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
        if let Some(cluster) = &self.cluster {
            let at = at.key("cluster");
            cluster.check(&at, mistakes);
        }
        for (name, application) in &self.applications {
            let at = at.key("applications").key(name);
            application.check(&at, mistakes);
            self.check_relays(name, application, &at, mistakes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_that_would_send_its_streams_to_itself_is_a_mistake() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("node.toml");
        let edge = "[edge]\nrtmp = \"0.0.0.0:1935\"\n\
            [[edge.listen]]\naddress = \"192.0.2.1:1936\"\n";
        for (edge, url, is_mistake) in [
            (edge, "rtmp://127.0.0.1/live/x{name}", true),
            (edge, "rtmp://localhost:1935/live", true),
            (edge, "rtmp://[::1]/live/room/", true),
            (edge, "rtmp://192.0.2.1:1936/live/", true),
            (edge, "rtmp://192.0.2.1:1937/live/", false),
            (edge, "rtmp://192.0.2.2/live/", false),
            (edge, "rtmp://localhost/other/", false),
            (edge, "rtmp://live.example/live/", false),
            // The edge of another machine has this port.
            ("", "rtmp://localhost/live/", false),
        ] {
            for relay in ["push", "pull"] {
                let stream = if relay == "pull" {
                    "stream = \"a\"\n"
                } else {
                    ""
                };
                let text =
                    format!("{edge}[[applications.live.{relay}]]\nurl = \"{url}\"\n{stream}");
                std::fs::write(&file, &text).unwrap();
                let read = Layers::new().file(&file).read::<Config>();
                let mistakes = read.err().map(|mistakes| mistakes.to_string());
                let key = format!("applications.live.{relay}.0.url: the application would");
                let named = mistakes.as_ref().is_some_and(|text| text.contains(&key));
                assert_eq!(named, is_mistake, "{text}: {mistakes:?}");
                assert_eq!(mistakes.is_some(), is_mistake, "{text}: {mistakes:?}");
            }
        }
    }
}
