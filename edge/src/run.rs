//! Start and stop of the clients' side of an edge.

use std::{fmt, io, mem, net::SocketAddr, sync::Arc, thread::JoinHandle};

use tokio::task;
use tributary_node::{drain, queue};

use crate::{
    Config, Metrics, Policies,
    admission::{Admission, Limits},
    config::Protocol,
    departure::{self, Departing},
    door::{self, Bound, ListenError},
    link::{Links, Upstream},
    listener::{Acceptor, BACKLOG, Listener},
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
    listening: Vec<(Protocol, SocketAddr)>,
    admission: Arc<Admission>,
    workers: Vec<JoinHandle<()>>,
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
    let listeners = config.listeners();
    let listeners = listeners.iter();
    let tunnels = Arc::default();
    let origins = &config.web_origins;
    let bound = listeners
        .map(|listen| door::bind(listen, origins, &tunnels, certificates, &Upkeep::DIRECT))
        .collect::<Result<_, _>>()?;
    let clients = run_behind(bound, config, policies, upstream, links, metrics, leaving)?;
    Ok(clients)
}

/// As [`run`], with listeners that are open.
pub(crate) fn run_behind(
    bound: Vec<Bound>,
    config: &Config,
    policies: Policies,
    upstream: Upstream,
    links: Option<Links>,
    metrics: Arc<Metrics>,
    leaving: Leaving,
) -> io::Result<RunningClients> {
    let Leaving { departing, drain } = leaving;
    let listening = bound.iter().flat_map(|bound| {
        let protocols = bound.protocols().iter();
        protocols.map(|protocol| (*protocol, bound.address))
    });
    let listening = listening.collect();
    let threads: Vec<_> = (0..config.worker_count())
        .map(Thread::new)
        .collect::<Result<_, _>>()?;
    let listeners = {
        let _of_the_first = threads.first().map(Thread::enter);
        let listeners = bound.into_iter();
        let listeners = listeners.map(|it| Ok((Listener::new(it.socket)?, it.door)));
        listeners.collect::<io::Result<_>>()?
    };
    let admission = Admission::new(Limits {
        connections: config.max_connections,
        half_open: config.max_half_open,
        half_open_per_address: config.max_half_open_per_address,
    });
    let setup = Setup {
        upstream,
        metrics: Arc::clone(&metrics),
        max_lag: config.max_lag.get(),
        policies: Arc::new(policies),
        message_rate: config.session_messages_per_second,
        departing: departing.clone(),
        drain: drain.clone(),
    };
    let (senders, arrivals): (Vec<_>, Vec<_>) =
        threads.iter().map(|_| queue::queue(BACKLOG)).unzip();
    let acceptor = Acceptor {
        listeners,
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
    let workers = threads.into_iter().zip(arrivals);
    let workers = workers
        .map(|(thread, arrivals)| thread.start(setup.clone(), arrivals, mem::take(&mut beside)))
        .collect::<Result<_, _>>()?;
    Ok(RunningClients {
        listening,
        admission,
        workers,
    })
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

impl RunningClients {
    /// The protocols that clients can speak, each with an address for it.
    pub fn listening(&self) -> &[(Protocol, SocketAddr)] {
        &self.listening
    }

    /// The admission of connections, which counts them.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
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
    /// A thread cannot be started.
    Thread(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(error) => error.fmt(f),
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
