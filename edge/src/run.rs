//! Start and stop of the clients' side of an edge.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::SocketAddr,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{net::TcpListener, task};
use tributary_node::{config::Application, drain, queue};

use crate::{
    Config, Metrics,
    admission::{Admission, Limits},
    fanout::Settings,
    link::Upstream,
    listener::{Acceptor, BACKLOG},
    worker::{self, Setup},
};

/// Connections the kernel keeps until they are accepted; it has a limit of its own.
const LISTEN_BACKLOG: i32 = 4096;

/// An edge that serves clients.
#[derive(Debug)]
pub struct Running {
    rtmp: SocketAddr,
    admission: Arc<Admission>,
    acceptor: task::JoinHandle<()>,
    workers: Vec<JoinHandle<()>>,
}

/// Binds the listener and serves clients until `drain` begins. Call it within a runtime; the
/// workers have their own threads.
pub fn run(
    config: &Config,
    applications: &BTreeMap<String, Application>,
    upstream: Upstream,
    metrics: Arc<Metrics>,
    drain: drain::Watch,
) -> io::Result<Running> {
    let listener = bind(config.rtmp)?;
    let rtmp = listener.local_addr()?;
    let admission = Admission::new(Limits {
        connections: config.max_connections,
        half_open: config.max_half_open,
        half_open_per_address: config.max_half_open_per_address,
    });
    let setup = Setup {
        upstream,
        metrics: Arc::clone(&metrics),
        settings: Settings {
            max_lag: config.max_lag.get(),
            coalesce: config.coalesce.get(),
        },
        stall_times: stall_times(applications),
        drain: drain.clone(),
    };
    let mut senders = Vec::new();
    let mut workers = Vec::new();
    for index in 0..config.worker_count() {
        let (sender, arrivals) = queue::queue(BACKLOG);
        workers.push(worker::start(index, setup.clone(), arrivals)?);
        senders.push(sender);
    }
    let acceptor = Acceptor {
        listener,
        workers: senders,
        admission: Arc::clone(&admission),
        metrics,
    };
    let acceptor = tokio::spawn(close_after(acceptor, drain));
    Ok(Running {
        rtmp,
        admission,
        acceptor,
        workers,
    })
}

/// Applications whose publishers may be silent for another time than usual.
fn stall_times(applications: &BTreeMap<String, Application>) -> Arc<HashMap<String, Duration>> {
    let usual = Application::default().stall_time;
    let others = applications
        .iter()
        .filter(|(_, settings)| settings.stall_time != usual)
        .map(|(name, settings)| (name.clone(), settings.stall_time.get()));
    Arc::new(others.collect())
}

/// Accepts until the drain; then the workers' queues end, and the workers when their clients have.
async fn close_after(acceptor: Acceptor, drain: drain::Watch) {
    let workers = acceptor.workers.clone();
    acceptor.run(drain).await;
    for worker in workers {
        worker.close();
    }
}

impl Running {
    /// Where clients connect.
    pub fn rtmp(&self) -> SocketAddr {
        self.rtmp
    }

    /// Who is connected.
    pub fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Waits until every client is gone. That is at most a few seconds after the drain begins.
    pub async fn finished(self) {
        // Both only fail by a panic, which has been reported.
        let _ = self.acceptor.await;
        for worker in self.workers {
            let _ = task::spawn_blocking(move || worker.join()).await;
        }
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    TcpListener::from_std(socket.into())
}
