//! The origin in the order it starts and stops.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use axum::Router;
use prometheus_client::registry::Registry;
use tributary_node::{
    config, drain,
    tls::Identity,
    token::{Token, TokenError},
};

use crate::{
    app::Applications,
    cluster::{ClusterConfig, ClusterHandle, ClusterKeyError},
    config::Config,
    deploy::{self, Deployer, Loader, api},
    group::{Groups, Settings},
    link::{self, ClusterLink, LinkConfig, LinkMetrics},
    metrics::Metrics,
    store::{StorageError, Store},
};

/// The parts that an origin starts with.
pub struct Start {
    pub config: Config,
    pub identity: Identity,
    /// A random number of this start.
    pub epoch: u64,
    /// The applications and their settings; `live` is always one of them.
    pub applications: BTreeMap<String, config::Application>,
    /// Applications of the program that embeds this origin. A folder takes precedence over one of
    /// the same name, and that over a built-in one.
    pub own: Applications,
    /// The reader of the folders in the applications directory.
    pub loader: Arc<dyn Loader>,
    /// The token of the admin API; `None`: the one of the data directory, made if there is none.
    pub token: Option<Token>,
    /// The origin's cluster; `None`: its clients do not outlive its process.
    pub cluster: Option<ClusterConfig>,
}

/// An origin at work.
#[derive(Debug)]
pub struct Running {
    link: link::RunningLink,
    /// Ends the watch over the applications directory when it is dropped.
    deployer: Deployer,
    own: Vec<String>,
    api: Router,
    store: Option<Store>,
}

impl Running {
    /// The address that edges dial.
    pub fn address(&self) -> SocketAddr {
        self.link.address
    }

    /// The admin API of its applications, for the admin server.
    pub fn api(&self) -> Router {
        self.api.clone()
    }

    /// The part that puts other settings in force.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            deployer: self.deployer.clone(),
            own: self.own.clone(),
        }
    }

    /// Waits until all threads have ended, after the drain.
    pub fn join(self) {
        self.link.join();
        if let Some(store) = self.store {
            store.close();
        }
    }
}

/// Puts other settings of applications in force while the origin runs.
#[derive(Clone, Debug)]
pub struct Reloader {
    deployer: Deployer,
    /// The applications of the program that embeds the origin.
    own: Vec<String>,
}

impl Reloader {
    /// Puts these settings of applications in force. Groups that run their application's newest
    /// version follow what they can: limits, tokens, times. The call may compile scripts, which
    /// blocks its thread.
    ///
    /// # Errors
    /// Every application that does not work with its settings; then nothing has changed.
    pub fn reload(
        &self,
        mut applications: BTreeMap<String, config::Application>,
    ) -> Result<(), config::Mistakes> {
        applications.entry(LIVE.to_owned()).or_default();
        self.deployer.configure(applications, &self.own)
    }
}

/// The built-in application that needs no configuration.
pub const LIVE: &str = "live";

/// Starts an origin with its applications. It stops when the drain begins: clients get
/// NetConnection.Connect.AppShutdown, then the links close.
pub fn start(
    start: Start,
    registry: &mut Registry,
    drain: drain::Watch,
) -> Result<Running, StartError> {
    let mut applications = start.applications;
    applications.entry(LIVE.to_owned()).or_default();
    let config = start.config;
    // An application without a table has the default.
    let deployed = config.apps.is_some().then(config::Application::default);
    let grace = applications
        .values()
        .chain(&deployed)
        .map(|application| application.grace_time.get())
        .max();
    let known = start.own;
    let own = known.names();
    for (name, settings) in &applications {
        if !own.contains(name) {
            known.replace_with_builtin(name, settings.clone());
        }
    }
    let data = config.data.clone();
    let store = data.as_deref().map(open_store).transpose()?;
    let settings = Settings {
        workers: config.worker_count(),
        max_groups: config.max_groups,
        fms_version: config.fms_version.clone(),
        store: store.clone(),
        stack: start.loader.stack(),
        restores: start.cluster.is_some(),
    };
    let metrics = Metrics::register(registry);
    let groups = Groups::start(settings, known, metrics).map_err(StartError::Threads)?;
    for (name, settings) in &applications {
        groups.relays().configure(name, settings);
    }
    let relayed = applications.clone();
    let deploying = deploy::DeploySettings {
        apps: config.apps.clone(),
        data: data.clone(),
        applications,
    };
    let deployer = Deployer::start(deploying, groups.clone(), start.loader);
    let deployer = deployer.map_err(StartError::Deploy)?;
    groups.keep_for(&relayed);
    let (cluster, orders) = ClusterHandle::new();
    let cluster = start.cluster.is_some().then_some(cluster);
    let api = admin_api(&deployer, cluster, data.as_deref(), start.token, registry)?;
    let link_metrics = LinkMetrics::default();
    link_metrics.register(registry);
    let own_name = start.identity.peer().name.clone();
    let link = LinkConfig {
        address: config.link,
        identity: start.identity,
        epoch: start.epoch,
        grace: grace.unwrap_or_default(),
        max_message: u32::try_from(config.max_message.get()).unwrap_or(u32::MAX),
        message_budget: config.message_budget.get() as u64,
        cluster: match &start.cluster {
            Some(cluster) => Some(cluster_link(cluster, data.as_deref(), &own_name)?),
            None => None,
        },
    };
    let link = link::start(link, groups, link_metrics, orders, drain);
    let link = link.map_err(StartError::Link)?;
    Ok(Running {
        link,
        deployer,
        own,
        api,
        store,
    })
}

/// The part of a cluster that concerns the links.
fn cluster_link(
    cluster: &ClusterConfig,
    data: Option<&Path>,
    own_name: &str,
) -> Result<ClusterLink, StartError> {
    let data = data.ok_or(StartError::NoData)?;
    Ok(ClusterLink {
        name: cluster.name.clone(),
        key: cluster.record_key(data).map_err(StartError::ClusterKey)?,
        origins: cluster.others(own_name),
        states: data.join(STATES),
        edges: data.join(EDGES),
    })
}

/// The file in the data directory with the states that applications hand to the next process.
const STATES: &str = "handed-over";

/// The file in the data directory with the names of the edges.
const EDGES: &str = "edges";

/// Opens the store in the data folder, which it makes if it is missing.
fn open_store(data: &Path) -> Result<Store, StartError> {
    fs::create_dir_all(data).map_err(|source| StartError::Data {
        data: data.to_owned(),
        source,
    })?;
    Store::open(data).map_err(StartError::Store)
}

/// The admin interface; it is closed without a data folder, which would hold its token.
fn admin_api(
    deployer: &Deployer,
    cluster: Option<ClusterHandle>,
    data: Option<&Path>,
    token: Option<Token>,
    registry: &mut Registry,
) -> Result<Router, StartError> {
    let Some(data) = data else {
        return Ok(api::closed());
    };
    let token = match token {
        Some(token) => token,
        None => Token::of(data).map_err(StartError::Token)?,
    };
    Ok(api::routes(deployer.clone(), cluster, token, registry))
}

/// The origin could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The worker threads did not start.
    Threads(io::Error),
    /// The origin is in a cluster and has no data directory.
    NoData,
    /// The data directory cannot be made.
    Data { data: PathBuf, source: io::Error },
    /// The deployment of the applications could not begin.
    Deploy(deploy::DeployStartError),
    /// The token of the admin API cannot be read or made.
    Token(TokenError),
    /// The secret of the cluster cannot be read or made.
    ClusterKey(ClusterKeyError),
    /// The store in the data directory cannot be opened.
    Store(StorageError),
    /// The links could not be started.
    Link(link::LinkError),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Threads(error) => write!(f, "cannot start the worker threads: {error}"),
            Self::NoData => f.write_str(
                "an origin in a cluster keeps names and a key, and has no data directory: set one with \
                 --data",
            ),
            Self::Data { data, source } => write!(
                f,
                "cannot make {}: {source}; choose another with --data",
                data.display()
            ),
            Self::Deploy(error) => error.fmt(f),
            Self::Token(error) => error.fmt(f),
            Self::ClusterKey(error) => error.fmt(f),
            Self::Store(error) => write!(
                f,
                "cannot open the store: {error}; if another process uses this data directory, name \
                 another with --data"
            ),
            Self::Link(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}
