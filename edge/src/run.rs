//! Start and stop of the clients' side of an edge.

use std::{
    collections::{BTreeMap, HashMap},
    io, mem,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    thread::JoinHandle,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::task;
use tributary_node::{config::Application, drain, queue};

use crate::{
    Config, Metrics,
    admission::{Admission, Limits},
    link::{Links, Upstream},
    listener::{Acceptor, BACKLOG, Listener},
    thread::{Beside, Thread},
    wire::{Upkeep, prepare},
    worker::{Policy, Setup},
};

/// Connections that the kernel keeps until they are accepted; the kernel has a limit of its own.
const LISTEN_BACKLOG: i32 = 4096;

/// The clients' side of an edge at work.
#[derive(Debug)]
pub struct RunningClients {
    rtmp: SocketAddr,
    admission: Arc<Admission>,
    workers: Vec<JoinHandle<()>>,
}

/// Binds the listener and serves clients until `drain` begins. Each worker has a thread of its own.
/// The first worker's thread also accepts clients and runs the links, so that on a small machine a
/// client's message crosses no threads.
pub fn run(
    config: &Config,
    applications: &BTreeMap<String, Application>,
    upstream: Upstream,
    links: Option<Links>,
    metrics: Arc<Metrics>,
    drain: drain::Watch,
) -> io::Result<RunningClients> {
    let upkeep = &Upkeep::DIRECT;
    run_with(
        upkeep,
        config,
        applications,
        upstream,
        links,
        metrics,
        drain,
    )
}

/// As [`run`], with this upkeep of the listener's connections.
pub(crate) fn run_with(
    upkeep: &'static Upkeep,
    config: &Config,
    applications: &BTreeMap<String, Application>,
    upstream: Upstream,
    links: Option<Links>,
    metrics: Arc<Metrics>,
    drain: drain::Watch,
) -> io::Result<RunningClients> {
    let listener = bind(config.rtmp, upkeep)?;
    let rtmp = listener.local_addr()?;
    let threads: Vec<_> = (0..config.worker_count())
        .map(Thread::new)
        .collect::<Result<_, _>>()?;
    let listener = {
        let _of_the_first = threads.first().map(Thread::enter);
        Listener::new(listener)?
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
        policies: policies(applications),
        message_rate: config.session_messages_per_second,
        drain: drain.clone(),
    };
    let (senders, arrivals): (Vec<_>, Vec<_>) =
        threads.iter().map(|_| queue::queue(BACKLOG)).unzip();
    let acceptor = Acceptor {
        listener,
        workers: senders,
        admission: Arc::clone(&admission),
        metrics,
        upkeep,
    };
    let mut beside: Vec<Beside> = vec![Box::new(|| Box::pin(close_after(acceptor, drain)))];
    if let Some(links) = links {
        beside.push(Box::new(|| Box::pin(links.run())));
    }
    let workers = threads.into_iter().zip(arrivals);
    let workers = workers
        .map(|(thread, arrivals)| thread.start(setup.clone(), arrivals, mem::take(&mut beside)))
        .collect::<Result<_, _>>()?;
    Ok(RunningClients {
        rtmp,
        admission,
        workers,
    })
}

/// The settings of the applications that concern edges.
fn policies(applications: &BTreeMap<String, Application>) -> Arc<HashMap<String, Policy>> {
    let policy = |settings: &Application| Policy {
        stall_time: settings.stall_time.get(),
        deliveries: settings.deliveries(),
    };
    let named = applications.iter();
    Arc::new(
        named
            .map(|(name, settings)| (name.clone(), policy(settings)))
            .collect(),
    )
}

/// Accepts until the drain begins; then the workers' queues end, and the workers after their
/// clients.
async fn close_after(acceptor: Acceptor, drain: drain::Watch) {
    let workers = acceptor.workers.clone();
    acceptor.run(drain).await;
    for worker in workers {
        worker.close();
    }
}

impl RunningClients {
    /// The address for RTMP clients.
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
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

fn bind(address: SocketAddr, upkeep: &Upkeep) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    prepare(&socket, upkeep)?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}
