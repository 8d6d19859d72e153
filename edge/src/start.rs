//! Start and stop of an edge: links start first, clients after them.

use std::{collections::BTreeMap, fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use prometheus_client::registry::Registry;
use tokio::runtime::Handle;
use tributary_node::{
    admin::{self, Routes},
    config::{Application, Mistakes},
    link::{OriginAddress, OriginAddressError},
    tls::Identity,
};

use crate::{
    Config, Metrics, Policies,
    config::{CertificateFiles, Protocol},
    departure::{Departing, Departure},
    fanout::Streams,
    hooks::Hooks,
    link::{LinkConfig, LinkMetrics, Links, Readiness},
    listeners::{InheritedListener, Listeners},
    live::{LiveClients, SharedUpstream, Taking},
    moving::LinksState,
    reload::Reloader,
    run::{self, Leaving, LinksToRun},
    tls::{Certificates, CertificatesError},
    wire::Upkeep,
};

/// The interval between two looks whether clients are connected.
const LOOK: Duration = Duration::from_millis(50);

/// The configuration and identity with which an edge starts.
#[derive(Debug)]
pub struct Start {
    pub config: Config,
    /// The certificates for clients, by their names.
    pub tls: BTreeMap<String, CertificateFiles>,
    /// The edge's certificate and key for links.
    pub identity: Identity,
    /// The epoch: a random number, drawn at each start.
    pub epoch: u64,
    /// The settings of the applications, as far as they concern edges.
    pub applications: BTreeMap<String, Application>,
    /// Listening sockets that another process has opened, each for a listener of the configuration.
    pub inherited: Vec<InheritedListener>,
    /// Whether the edge takes the place of another process: clients wait in the queues of the sockets
    /// until [`ClientSockets::accept`], and links and sessions of that process come to
    /// [`Running::taking`].
    pub replaces: bool,
}

/// An edge at work.
#[derive(Debug)]
pub struct Running {
    clients: run::RunningClients,
    certificates: Certificates,
    readiness: Readiness,
    upstream: SharedUpstream,
    departing: Departing,
    hooks: Hooks,
    taking: Option<Taking>,
}

/// The done-hooks that an edge owes to services.
#[derive(Clone, Debug)]
pub struct OwedHooks(Hooks);

/// The listening sockets of an edge.
#[derive(Clone, Debug)]
pub struct ClientSockets(Arc<Listeners>);

impl ClientSockets {
    /// Descriptors of all sockets.
    pub fn share(&self) -> io::Result<Vec<InheritedListener>> {
        self.0.sockets()
    }

    /// Accepts clients from now on, if the edge has held them.
    pub fn accept(&self) {
        self.0.accept();
    }

    /// Accepts no more clients: another process does.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Running {
    /// The protocols that clients can speak, each with an address for it.
    pub fn listening(&self) -> Vec<(Protocol, SocketAddr)> {
        self.clients.listening()
    }

    /// The listening sockets, as another process takes them over.
    pub fn sockets(&self) -> ClientSockets {
        ClientSockets(Arc::clone(self.clients.controls().listeners()))
    }

    /// The live clients, as another process takes them over; call it within a runtime.
    pub fn live_clients(&self) -> LiveClients {
        LiveClients {
            controls: Arc::clone(self.clients.controls()),
            upstream: self.upstream.clone(),
            runtime: Handle::current(),
        }
    }

    /// The part that takes the clients of another process over, once, if the edge was started for that.
    pub fn taking(&mut self) -> Option<Taking> {
        self.taking.take()
    }

    /// The part that puts other configurations in force.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            clients: Arc::clone(self.clients.controls()),
            certificates: self.certificates.clone(),
        }
    }

    /// A function that reports whether the edge could serve a client now, or why not.
    pub fn ready(&self) -> impl Fn() -> Result<(), String> + Send + Sync + 'static {
        let (readiness, departing) = (self.readiness.clone(), self.departing.clone());
        move || {
            if departing.now().is_some() {
                return Err("the edge leaves".to_owned());
            }
            match readiness.is_ready() {
                true => Ok(()),
                false => Err("no origin can be reached".to_owned()),
            }
        }
    }

    /// Waits until the edge begins to leave.
    pub async fn departs(&self) -> Departure {
        self.departing.begun().await
    }

    /// Waits until no client is connected and no done-hook is owed.
    pub async fn empty(&self) {
        while self.clients.admission().connections() > 0 {
            tokio::time::sleep(LOOK).await;
        }
        self.hooks.owed().none().await;
    }

    /// The done-hooks that are owed, also after the edge has ended.
    pub fn owed_hooks(&self) -> OwedHooks {
        OwedHooks(self.hooks.clone())
    }

    /// The routes of an edge for the admin server: the shared objects that its sessions use,
    /// without values.
    pub fn routes(&self) -> Routes {
        let upstream = self.upstream.clone();
        admin::json("/debug/shared_objects", move || {
            let upstream = upstream.get();
            async move {
                match upstream {
                    Some(upstream) => upstream.list_objects().await,
                    None => Vec::new(),
                }
            }
        })
    }

    /// Waits after the drain until every client and every link is gone, and no done-hook is owed.
    pub async fn finished(self) {
        self.upstream.end();
        self.clients.finished().await;
        self.hooks.owed().none().await;
    }
}

impl OwedHooks {
    /// Writes a line about the done-hooks that the end of the process loses, if there are some.
    pub fn note_lost(&self) {
        let lost = self.0.owed().number();
        if lost > 0 {
            tracing::warn!(
                lost,
                "done-hooks are lost: their services have not answered"
            );
        }
    }
}

/// Starts an edge; call it within a runtime. The edge has threads of its own. It stops when the
/// drain begins: the listener closes, and clients get NetConnection.Connect.AppShutdown.
pub fn start(
    start: Start,
    registry: &mut Registry,
    leaving: impl Into<Leaving>,
) -> Result<Running, StartError> {
    let leaving = leaving.into();
    let drain = leaving.drain.clone();
    let Start {
        config,
        tls,
        identity,
        epoch,
        applications,
        inherited,
        replaces,
    } = start;
    let origins = origins(&config)?;
    let policies = Policies::load(&applications)?;
    let name = identity.peer().name.clone();
    let certificates = Certificates::load(&tls, config.ticket_keys.clone())?;
    let link_metrics = LinkMetrics::default();
    link_metrics.register(registry);
    let metrics = Arc::new(Metrics::default());
    metrics.register(registry);
    let hooks = Hooks::new(metrics.hooks.clone(), &name, epoch);
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
    let (state, give_state) = replaces.then(LinksState::new).unzip();
    let state = state.map(|state| (upstream.clone(), state));
    let links = LinksToRun { links, state };
    let listeners =
        Listeners::new(certificates.clone(), &Upkeep::DIRECT).inheriting(inherited, replaces);
    let clients = run::run_behind(
        listeners,
        &config,
        policies.with_hooks(hooks.clone()),
        upstream.clone(),
        Some(links),
        Arc::clone(&metrics),
        leaving.clone(),
    )?;
    let shared_upstream = SharedUpstream::new(upstream);
    let taking = give_state.map(|links| {
        let controls = Arc::clone(clients.controls());
        Taking::new(controls, shared_upstream.clone(), links)
    });
    tokio::spawn(certificates.clone().watch(metrics, drain));
    Ok(Running {
        clients,
        certificates,
        readiness,
        upstream: shared_upstream,
        departing: leaving.departing,
        hooks,
        taking,
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
    /// The edge cannot use files that the settings of applications name.
    Applications(Mistakes),
    /// The edge cannot use its certificates for clients.
    Certificates(CertificatesError),
    /// The edge cannot serve clients.
    Clients(run::RunError),
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
            Self::Applications(mistakes) => mistakes.fmt(f),
            Self::Certificates(error) => error.fmt(f),
            Self::Clients(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

impl From<Mistakes> for StartError {
    fn from(mistakes: Mistakes) -> Self {
        Self::Applications(mistakes)
    }
}

impl From<CertificatesError> for StartError {
    fn from(error: CertificatesError) -> Self {
        Self::Certificates(error)
    }
}

impl From<run::RunError> for StartError {
    fn from(error: run::RunError) -> Self {
        Self::Clients(error)
    }
}
