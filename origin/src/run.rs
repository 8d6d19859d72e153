//! The origin in the order it starts and stops.

use std::{collections::BTreeMap, fmt, io, net::SocketAddr};

use prometheus_client::registry::Registry;
use tributary_node::{config, drain, tls::Identity};

use crate::{
    app::Applications,
    config::Config,
    group::{Groups, Settings},
    link::{self, LinkConfig, LinkMetrics},
    metrics::Metrics,
};

/// What an origin is started with.
#[derive(Debug)]
pub struct Start {
    /// Its settings.
    pub config: Config,
    /// Its certificate and key.
    pub identity: Identity,
    /// Drawn at random at each start.
    pub epoch: u64,
    /// The applications and their settings; `live` is there in any case.
    pub applications: BTreeMap<String, config::Application>,
}

/// An origin at work.
#[derive(Debug)]
pub struct Running {
    link: link::Running,
}

impl Running {
    /// Where edges dial.
    pub fn address(&self) -> SocketAddr {
        self.link.address
    }

    /// Waits until everything has ended, after the drain.
    pub fn join(self) {
        self.link.join();
    }
}

/// The built-in application that needs no configuration.
pub const LIVE: &str = "live";

/// Starts an origin with the built-in applications. It stops when the drain begins: clients get
/// NetConnection.Connect.AppShutdown, then the links close.
pub fn start(
    start: Start,
    registry: &mut Registry,
    drain: drain::Watch,
) -> Result<Running, StartError> {
    let mut applications = start.applications;
    applications.entry(LIVE.to_owned()).or_default();
    let grace = applications
        .values()
        .map(|application| application.grace_time.get())
        .max();
    let mut known = Applications::new();
    for (name, settings) in applications {
        known.add_builtin(name, settings);
    }
    let config = start.config;
    let settings = Settings {
        workers: config.worker_count(),
        max_groups: config.max_groups,
        fms_version: config.fms_version.clone(),
    };
    let metrics = Metrics::register(registry);
    let groups = Groups::start(settings, known, metrics).map_err(StartError::Threads)?;
    let link_metrics = LinkMetrics::default();
    link_metrics.register(registry);
    let link = LinkConfig {
        address: config.link,
        identity: start.identity,
        epoch: start.epoch,
        grace: grace.unwrap_or_default(),
        max_message: u32::try_from(config.max_message.get()).unwrap_or(u32::MAX),
        message_budget: config.message_budget.get() as u64,
    };
    let link = link::start(link, groups, link_metrics, drain).map_err(StartError::Link)?;
    Ok(Running { link })
}

/// The origin could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// Its worker threads.
    Threads(io::Error),
    /// Its links.
    Link(link::StartError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(error) => write!(f, "cannot start the worker threads: {error}"),
            Self::Link(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
