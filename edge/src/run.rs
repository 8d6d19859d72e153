//! Start and stop of the clients' side of an edge.

use std::{fmt, io, mem, net::SocketAddr, sync::Arc, thread::JoinHandle};

use tokio::{
    sync::{mpsc, watch},
    task,
};
use tributary_node::{drain, queue};

use crate::{
    Config, Metrics, Policies,
    admission::{Admission, Limits},
    config::Protocol,
    departure::{self, Departing},
    door::ListenError,
    fanout::Streams,
    in_force::InForce,
    link::{Links, Upstream},
    listener::{Acceptor, BACKLOG},
    listeners::{Listeners, NextListeners},
    moving::{LinksState, ON_THE_WAY, WorkerOrder, run_links},
    thread::{Beside, Thread},
    tls::Certificates,
    wire::Upkeep,
    worker::Setup,
};

/// The signals by which the clients' side of an edge ends.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// The departure, which may come before the drain.
    pub departing: Departing,
    pub drain: drain::Watch,
}

/// The clients' side of an edge at work.
#[derive(Debug)]
pub struct RunningClients {
    controls: Arc<Controls>,
    workers: Vec<JoinHandle<()>>,
}

/// The parts that take other settings while clients are served.
#[derive(Debug)]
pub(crate) struct Controls {
    listeners: Arc<Listeners>,
    in_force: watch::Sender<Arc<InForce>>,
    admission: Arc<Admission>,
    /// The live streams of the edge.
    streams: Arc<Streams>,
    /// The queues of orders to the workers.
    pub(crate) workers: Vec<mpsc::Sender<WorkerOrder>>,
}

/// The settings of another configuration for clients, which can be put in force.
#[derive(Debug)]
pub(crate) struct NextClients {
    listeners: NextListeners,
    in_force: Arc<InForce>,
    limits: Limits,
}

/// Opens the listeners and serves clients until `drain` begins. Each worker has a thread of its
/// own. The first worker's thread also accepts clients and runs the links, so that on a small
/// machine a client's message crosses no threads.
pub fn run(
    config: &Config,
    policies: Policies,
    certificates: &Certificates,
    upstream: Upstream,
    links: Option<Links>,
    metrics: Arc<Metrics>,
    leaving: Leaving,
) -> Result<RunningClients, RunError> {
    let listeners = Listeners::new(certificates.clone(), &Upkeep::DIRECT);
    let links = links.map(LinksToRun::at_once);
    run_behind(
        listeners, config, policies, upstream, links, metrics, leaving,
    )
}

/// The links of an edge, which begin at once, or with the state of another process.
#[derive(Debug)]
pub(crate) struct LinksToRun {
    pub(crate) links: Links,
    pub(crate) state: Option<(Upstream, LinksState)>,
}

impl LinksToRun {
    fn at_once(links: Links) -> Self {
        Self { links, state: None }
    }

    async fn run(self) {
        match self.state {
            Some((upstream, state)) => run_links(self.links, upstream, state).await,
            None => self.links.run().await,
        }
    }
}

/// As [`run`], with these listeners, which are not open yet.
pub(crate) fn run_behind(
    listeners: Listeners,
    config: &Config,
    policies: Policies,
    upstream: Upstream,
    links: Option<LinksToRun>,
    metrics: Arc<Metrics>,
    leaving: Leaving,
) -> Result<RunningClients, RunError> {
    let Leaving { departing, drain } = leaving;
    let next = listeners.open_next(config.listeners())?;
    if let Some(unused) = listeners.unused() {
        return Err(RunError::NoListener(unused));
    }
    listeners.put_in_force(next, &config.web_origins);
    let listeners = Arc::new(listeners);
    let threads: Vec<_> = (0..config.worker_count())
        .map(Thread::new)
        .collect::<Result<_, _>>()?;
    let admission = Admission::new(limits(config));
    let (in_force, settings) = watch::channel(InForce::new(config, policies));
    let streams = links.as_ref().map(|it| it.links.streams());
    let streams = streams.unwrap_or_else(|| Streams::new(config.max_lag.get()));
    let setup = Setup {
        upstream,
        streams: Arc::clone(&streams),
        tunnels: Arc::clone(listeners.tunnels()),
        holds: links.as_ref().is_some_and(|it| it.state.is_some()),
        metrics: Arc::clone(&metrics),
        in_force: settings,
        gate_memory: Arc::default(),
        departing: departing.clone(),
        drain: drain.clone(),
    };
    let (senders, arrivals): (Vec<_>, Vec<_>) =
        threads.iter().map(|_| queue::queue(BACKLOG)).unzip();
    let acceptor = Acceptor {
        listeners: Arc::clone(&listeners),
        workers: senders,
        admission: Arc::clone(&admission),
        metrics,
    };
    let mut beside: Vec<Beside> = vec![Box::new(|| {
        Box::pin(close_after(acceptor, departing, drain))
    })];
    if let Some(links) = links {
        beside.push(Box::new(|| Box::pin(links.run())));
    }
    let (orders, ordered): (Vec<_>, Vec<_>) =
        threads.iter().map(|_| mpsc::channel(ON_THE_WAY)).unzip();
    let workers = threads.into_iter().zip(arrivals).zip(ordered);
    let workers = workers
        .map(|((thread, arrivals), ordered)| {
            thread.start(setup.clone(), arrivals, ordered, mem::take(&mut beside))
        })
        .collect::<Result<_, _>>()?;
    let controls = Arc::new(Controls {
        listeners,
        in_force,
        admission,
        streams,
        workers: orders,
    });
    Ok(RunningClients { controls, workers })
}

fn limits(config: &Config) -> Limits {
    Limits {
        connections: config.max_connections,
        half_open: config.max_half_open,
        half_open_per_address: config.max_half_open_per_address,
    }
}

/// Accepts while the edge does; when the drain begins the workers' queues end, and the workers after
/// their clients.
async fn close_after(acceptor: Acceptor, departing: Departing, drain: drain::Watch) {
    let workers = acceptor.workers.clone();
    acceptor.run(departing, drain.clone()).await;
    drain.signaled().await;
    for worker in workers {
        worker.close();
    }
}

impl From<drain::Watch> for Leaving {
    /// An edge that only drains.
    fn from(drain: drain::Watch) -> Self {
        let (_, departing) = departure::channel();
        Self { departing, drain }
    }
}

impl Controls {
    /// The policies in force.
    pub(crate) fn policies(&self) -> Arc<Policies> {
        Arc::clone(&self.in_force.borrow().policies)
    }

    /// Prepares other settings: opens their listeners. Nothing changes yet.
    pub(crate) fn prepare(
        &self,
        config: &Config,
        policies: Policies,
    ) -> Result<NextClients, ListenError> {
        Ok(NextClients {
            listeners: self.listeners.open_next(config.listeners())?,
            in_force: InForce::new(config, policies),
            limits: limits(config),
        })
    }

    /// The admission of connections.
    pub(crate) fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// The live streams.
    pub(crate) fn streams(&self) -> &Arc<Streams> {
        &self.streams
    }

    /// The listeners.
    pub(crate) fn listeners(&self) -> &Arc<Listeners> {
        &self.listeners
    }

    /// Puts settings in force.
    pub(crate) fn put_in_force(&self, next: NextClients) {
        self.admission.limit(next.limits);
        let origins = &next.in_force.web_origins;
        self.listeners.put_in_force(next.listeners, origins);
        self.in_force.send_replace(next.in_force);
    }
}

impl RunningClients {
    /// The protocols that clients can speak, each with an address for it.
    pub fn listening(&self) -> Vec<(Protocol, SocketAddr)> {
        self.controls.listeners.listening()
    }

    /// The admission of connections, which counts them.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.controls.admission
    }

    pub(crate) fn controls(&self) -> &Arc<Controls> {
        &self.controls
    }

    /// Waits until every client is gone: a few seconds at most after the drain begins.
    pub async fn finished(self) {
        for worker in self.workers {
            // A join fails only after a panic, which has been reported.
            let _ = task::spawn_blocking(move || worker.join()).await;
        }
    }
}

/// The reason for which no clients can be served.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A listener cannot be opened.
    Listen(ListenError),
    /// No listener of the configuration has the address of a socket that another process opened.
    NoListener(SocketAddr),
    /// A thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
            Self::NoListener(address) => write!(
                f,
                "the socket {address} was passed to this process, and no listener of the \
                 configuration has that address; add it to edge.rtmp or edge.listen, or take it out \
                 of the socket unit"
            ),
            Self::Thread(error) => write!(
                f,
                "cannot start the threads for clients: {error}; lower edge.workers, or raise the \
                 limits of this user"
            ),
        }
    }
}

impl std::error::Error for RunError {}

impl From<ListenError> for RunError {
    fn from(error: ListenError) -> Self {
        Self::Listen(error)
    }
}

impl From<io::Error> for RunError {
    fn from(error: io::Error) -> Self {
        Self::Thread(error)
    }
}
