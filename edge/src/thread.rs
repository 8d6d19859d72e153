//! A thread that serves clients.

use std::{
    io,
    net::{SocketAddr, TcpStream as StdTcpStream},
    pin::Pin,
    rc::Rc,
    thread::JoinHandle,
};

use tokio::{
    net::TcpStream,
    runtime::{self, EnterGuard, Runtime},
    task::{LocalSet, spawn_local},
};
use tributary_node::queue;

use crate::{
    admission::Permit,
    client,
    spread::WorkerSlot,
    wire::{Transport, Upkeep},
    worker::{Setup, Worker},
};

/// A client on its way to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: StdTcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Permit,
    pub(crate) slot: WorkerSlot,
    pub(crate) upkeep: &'static Upkeep,
}

/// A thread with a runtime of its own, not started yet.
#[derive(Debug)]
pub(crate) struct Thread {
    index: usize,
    runtime: Runtime,
}

/// A future that runs on a worker's thread beside its clients.
pub(crate) type Beside = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Thread {
    pub(crate) fn new(index: usize) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        Ok(Self { index, runtime })
    }

    /// Enters the runtime: sockets and tasks that are made under the guard belong to it.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Starts a worker. Its thread ends when the queue of arrivals has ended, its clients are gone
    /// and `beside` has ended.
    pub(crate) fn start(
        self,
        setup: Setup,
        arrivals: queue::Receiver<Arrival>,
        beside: Vec<Beside>,
    ) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name(format!("edge-{}", self.index))
            .spawn(move || {
                LocalSet::new().block_on(&self.runtime, async move {
                    let beside: Vec<_> =
                        beside.into_iter().map(|work| spawn_local(work())).collect();
                    run(setup, arrivals).await;
                    for work in beside {
                        report(work.await);
                    }
                });
            })
    }
}

async fn run(setup: Setup, mut arrivals: queue::Receiver<Arrival>) {
    let drain = setup.drain.clone();
    let worker = Rc::new(Worker::new(setup));
    // The task of the hub ends with the thread.
    spawn_local(Rc::clone(&worker.hub).run());
    let mut clients = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.next() => {
                let Some(arrival) = arrival else { break };
                if let Some(client) = receive(&worker, arrival) {
                    clients.spawn_local(client);
                }
            }
            Some(ended) = clients.join_next() => report(ended),
            () = drain.signaled(), if !worker.is_draining() => worker.begin_drain(),
        }
    }
    worker.begin_drain();
    while let Some(ended) = clients.join_next().await {
        report(ended);
    }
}

/// The task that serves a client.
fn receive(worker: &Rc<Worker>, arrival: Arrival) -> Option<impl Future<Output = ()> + use<>> {
    let Arrival {
        socket,
        peer,
        permit,
        slot,
        upkeep,
    } = arrival;
    let socket = TcpStream::from_std(socket);
    let socket = socket.inspect_err(|error| tracing::warn!(%peer, %error, "client not served"));
    let worker = Rc::clone(worker);
    let transport = Transport::plain(socket.ok()?);
    Some(client::serve(worker, transport, upkeep, peer, permit, slot))
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // A defect of ours. If the task was a client's, that client lost its connection.
        tracing::error!(%error, "a task failed");
    }
}
