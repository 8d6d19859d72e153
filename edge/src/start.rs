//! Start and stop of an edge: links start first, clients after them.

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc};

use prometheus_client::registry::Registry;
use tributary_node::{
    admin::{self, Routes},
    config::Application,
    drain,
    tls::Identity,
};

use crate::{
    Config, Metrics,
    fanout::Streams,
    link::{
        LinkConfig, LinkMetrics, Links, OriginAddress, OriginAddressError, Readiness, Upstream,
    },
    run,
};

/// The configuration and identity with which an edge starts.
#[derive(Debug)]
pub struct Start {
    pub config: Config,
    /// The edge's certificate and key.
    pub identity: Identity,
    /// The epoch: a random number, drawn at each start.
    pub epoch: u64,
    /// The settings of the applications, as far as they concern edges.
    pub applications: BTreeMap<String, Application>,
}

/// An edge at work.
#[derive(Debug)]
pub struct Running {
    clients: run::RunningClients,
    readiness: Readiness,
    upstream: Upstream,
}

impl Running {
    /// The address for RTMP clients.
    pub fn rtmp(&self) -> SocketAddr {
        self.clients.rtmp()
    }

    /// A function that reports whether the edge could serve a client now, or why not.
    pub fn ready(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let readiness = self.readiness.clone();
        move || match readiness.is_ready() {
            true => Ok(()),
            false => Err("no origin can be reached".to_owned()),
        }
    }

    /// The routes of an edge for the admin server: the shared objects that its sessions use,
    /// without values. The links end only after these routes are dropped.
    pub fn routes(&self) -> Routes {
        let upstream = self.upstream.clone();
        admin::json("/debug/shared_objects", move || {
            let upstream = upstream.clone();
            async move { upstream.list_objects().await }
        })
    }

    /// Waits after the drain until every client and every link is gone.
    pub async fn finished(self) {
        drop(self.upstream);
        self.clients.finished().await;
    }
}

/// Starts an edge; call it within a runtime. The edge has threads of its own. It stops when the
/// drain begins: the listener closes, and clients get NetConnection.Connect.AppShutdown.
pub fn start(
    start: Start,
    registry: &mut Registry,
    drain: drain::Watch,
) -> Result<Running, StartError> {
    let Start {
        config,
        identity,
        epoch,
        applications,
    } = start;
    let origins = origins(&config)?;
    let link_metrics = LinkMetrics::default();
    link_metrics.register(registry);
    let metrics = Arc::new(Metrics::default());
    metrics.register(registry);
    let link_config = LinkConfig {
        identity,
        origins,
        zone: config.zone.clone(),
        capacity: config.max_connections as u64,
        rate: config.session_rate(),
    };
    let streams = Streams::new(config.max_lag.get());
    let (links, upstream) = Links::new(link_config, epoch, streams, link_metrics, drain.clone());
    let readiness = links.readiness();
    let clients = run::run(
        &config,
        &applications,
        upstream.clone(),
        Some(links),
        metrics,
        drain,
    )
    .map_err(|source| StartError::Listener {
        address: config.rtmp,
        source,
    })?;
    Ok(Running {
        clients,
        readiness,
        upstream,
    })
}

fn origins(config: &Config) -> Result<Vec<OriginAddress>, StartError> {
    if config.origins.is_empty() {
        return Err(StartError::NoOrigin);
    }
    let parse = |text: &String| {
        text.parse().map_err(|error| StartError::Origin {
            text: text.clone(),
            error,
        })
    };
    let origins: Vec<OriginAddress> = config.origins.iter().map(parse).collect::<Result<_, _>>()?;
    for (index, origin) in origins.iter().enumerate() {
        if origins[..index]
            .iter()
            .any(|other| other.known_as() == origin.known_as())
        {
            return Err(StartError::SameOrigin(origin.known_as().to_owned()));
        }
    }
    Ok(origins)
}

/// The reason for which an edge could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration names no origin.
    NoOrigin,
    /// Two origins have one name.
    SameOrigin(String),
    /// A text that names no origin.
    Origin {
        text: String,
        /// The fault of the text.
        error: OriginAddressError,
    },
    /// The edge could not bind the RTMP address.
    Listener {
        address: SocketAddr,
        source: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoOrigin => f.write_str("no origin to go to; name one with --origin HOST:PORT"),
            Self::SameOrigin(name) => write!(f, "the origin {name} is named twice; leave one out"),
            Self::Origin { text, error } => write!(
                f,
                "--origin {text}: {error}; write HOST:PORT or NAME@HOST:PORT"
            ),
            Self::Listener { address, source } => {
                write!(
                    f,
                    "cannot listen on {address}: {source}; choose another with --rtmp"
                )
            }
        }
    }
}

impl std::error::Error for StartError {}
