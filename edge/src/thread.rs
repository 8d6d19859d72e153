//! A thread that serves clients.

use std::{
    io,
    net::{SocketAddr, TcpStream as StdTcpStream},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
};

use tokio::{
    net::TcpStream,
    runtime::{self, Runtime},
    sync::mpsc,
    task::{JoinSet, LocalSet, spawn_local},
};
use tributary_node::queue;
use tributary_protocol::parcel::ParcelError;

use crate::{
    admission::Permit,
    client,
    door::{Door, Entered, Entrant, Refusal, Turns},
    moving::{MovedArrival, WorkerOrder},
    requests,
    spread::WorkerSlot,
    worker::{Setup, Worker},
};

/// A client on its way to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: StdTcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Permit,
    pub(crate) slot: WorkerSlot,
    pub(crate) door: Arc<Door>,
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

    /// Starts a worker. Its thread ends when the queue of arrivals has ended, its clients are gone
    /// and `beside` has ended.
    pub(crate) fn start(
        self,
        setup: Setup,
        arrivals: queue::Receiver<Arrival>,
        orders: mpsc::Receiver<WorkerOrder>,
        beside: Vec<Beside>,
    ) -> io::Result<JoinHandle<()>> {
        std::thread::Builder::new()
            .name(format!("edge-{}", self.index))
            .spawn(move || {
                LocalSet::new().block_on(&self.runtime, async move {
                    let beside: Vec<_> =
                        beside.into_iter().map(|work| spawn_local(work())).collect();
                    run(setup, arrivals, orders).await;
                    for work in beside {
                        report(work.await);
                    }
                });
            })
    }
}

async fn run(
    setup: Setup,
    mut arrivals: queue::Receiver<Arrival>,
    mut orders: mpsc::Receiver<WorkerOrder>,
) {
    let (departing, drain) = (setup.departing.clone(), setup.drain.clone());
    let mut in_force = setup.in_force.clone();
    let worker = Rc::new(Worker::new(setup));
    // The task of the hub ends with the thread.
    spawn_local(Rc::clone(&worker.hub).run());
    let turns = Rc::new(Turns::new());
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.next() => {
                let Some(arrival) = arrival else { break };
                let Some((socket, client)) = arrival.register() else { continue };
                match client.door.admits_at_once() {
                    true => clients.spawn_local(client.serve(&worker, socket)),
                    false => clients.spawn_local(client.let_in(&worker, socket, Rc::clone(&turns))),
                };
            }
            Some(order) = orders.recv() => obey(&worker, order, &mut clients),
            Some(ended) = clients.join_next() => report(ended),
            Ok(()) = in_force.changed() => {
                let settings = Arc::clone(&in_force.borrow_and_update());
                worker.put_in_force(settings);
            }
            departure = departing.begun(), if worker.departure().is_none() => {
                worker.depart(departure);
            }
            () = drain.signaled(), if !worker.is_draining() => worker.begin_drain(),
        }
    }
    worker.begin_drain();
    // Clients may stand still for another process: an order ends that.
    while !clients.is_empty() {
        tokio::select! {
            Some(order) = orders.recv() => obey(&worker, order, &mut clients),
            Some(ended) = clients.join_next() => report(ended),
        }
    }
}

/// Carries out an order of a replacement.
fn obey(worker: &Rc<Worker>, order: WorkerOrder, clients: &mut JoinSet<()>) {
    match order {
        WorkerOrder::Begin { stage, done } => {
            worker.begin(stage);
            let _ = done.try_send(());
        }
        WorkerOrder::Take { arrivals, done } => {
            let taken = arrivals.into_iter().map(|it| take(worker, it, clients));
            // There is room for every outcome.
            let _ = done.try_send(taken.collect());
        }
        WorkerOrder::Answer { session, answer } => worker.answer(session, answer),
        WorkerOrder::EndAnswers => worker.end_answers(),
    }
}

impl Arrival {
    /// Gives the socket to the runtime of this thread.
    fn register(self) -> Option<(TcpStream, Arrived)> {
        let peer = self.peer;
        let socket = TcpStream::from_std(self.socket);
        let socket = socket.inspect_err(|error| tracing::warn!(%peer, %error, "client not served"));
        let arrived = Arrived {
            peer,
            permit: self.permit,
            slot: self.slot,
            door: self.door,
        };
        Some((socket.ok()?, arrived))
    }
}

/// An arrival without its socket.
struct Arrived {
    peer: SocketAddr,
    permit: Permit,
    slot: WorkerSlot,
    door: Arc<Door>,
}

impl Arrived {
    /// Serves a client that speaks RTMP from the first byte on. Each idle client holds the future,
    /// which is why this is no `async fn`: that would hold its arguments too.
    fn serve(self, worker: &Rc<Worker>, socket: TcpStream) -> impl Future<Output = ()> + use<> {
        let entry = Entrant::direct(socket, self.peer.into(), &self.door);
        client::serve(Rc::clone(worker), entry, self.permit, self.slot)
    }

    /// Serves a client that comes through a door with something before RTMP.
    fn let_in(
        self,
        worker: &Rc<Worker>,
        socket: TcpStream,
        turns: Rc<Turns>,
    ) -> impl Future<Output = ()> + use<> {
        let Self {
            peer,
            mut permit,
            slot,
            door,
        } = self;
        let worker = Rc::clone(worker);
        // The box ends with the handshake.
        let entered = Box::pin(async move {
            let entry = door.enter(socket, peer, &mut permit, &turns).await?;
            Ok((entry, permit))
        });
        async move {
            match entered.await {
                Ok((Entered::Client(entry), permit)) => {
                    client::serve(worker, entry, permit, slot).await;
                }
                Ok((Entered::Visitor(visitor), permit)) => {
                    let visit = requests::serve(Rc::clone(&worker), visitor, permit, slot);
                    let (ended, sessions) = Box::pin(visit).await;
                    if let Err(refusal) = ended {
                        refuse(&worker, peer, &refusal);
                    }
                    follow_all(sessions).await;
                }
                Err(refusal) => refuse(&worker, peer, &refusal),
            }
        }
    }
}

/// Takes a client of another process.
fn take(
    worker: &Rc<Worker>,
    arrival: MovedArrival,
    clients: &mut JoinSet<()>,
) -> Result<(), ParcelError> {
    let MovedArrival {
        client,
        is_for_requests,
        permit,
        slot,
    } = arrival;
    if is_for_requests {
        let serve = requests::take(worker, client, permit, slot)?;
        clients.spawn_local(async move { follow_all(serve.await).await });
    } else {
        clients.spawn_local(client::take(worker, client, permit, slot)?);
    }
    Ok(())
}

/// Waits for the sessions that have begun on a connection.
async fn follow_all(mut sessions: JoinSet<()>) {
    while let Some(ended) = sessions.join_next().await {
        report(ended);
    }
}

fn refuse(worker: &Worker, peer: SocketAddr, refusal: &Refusal) {
    tracing::debug!(%peer, %refusal, "client not let in");
    match refusal {
        Refusal::NoPlace(refused) => worker.metrics.count_refused(*refused),
        _ => {
            if let Some(fault) = refusal.fault() {
                worker.metrics.count_fault(fault);
            }
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // A defect of ours. If the task was a client's, that client lost its connection.
        tracing::error!(%error, "a task failed");
    }
}
