//! A thread that serves clients.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashMap,
    io,
    net::{SocketAddr, TcpStream as StdTcpStream},
    pin::Pin,
    rc::Rc,
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    runtime::{self, EnterGuard, Runtime},
    sync::Notify,
    task::{LocalSet, spawn_local},
};
use tributary_node::{drain, queue};

use crate::{
    admission::Permit,
    client::{self, STALL},
    fanout::{LiveStream, LocalStream, PlaysOn, Settings, Viewer},
    link::Upstream,
    metrics::Metrics,
    objects::Hub,
    wire::Wire,
};

/// A client on its way to a worker.
#[derive(Debug)]
pub(crate) struct Arrival {
    pub(crate) socket: StdTcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: Permit,
}

/// What a worker's clients share.
pub(crate) struct Worker {
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hub: Rc<Hub>,
    settings: Settings,
    stall_times: Arc<HashMap<String, Duration>>,
    message_rate: u32,
    /// What every client of the thread reads into.
    scratch: RefCell<Box<[u8]>>,
    /// The live streams that are watched here, by their address.
    streams: RefCell<HashMap<usize, Rc<LocalStream>>>,
    draining: Cell<bool>,
    drained: Notify,
}

/// What one read takes in at most, in bytes.
const SCRATCH: usize = 64 * 1024;

/// What every worker is started with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) settings: Settings,
    /// Of the applications that have another than the usual one.
    pub(crate) stall_times: Arc<HashMap<String, Duration>>,
    /// What a client may send towards its origin in a second.
    pub(crate) message_rate: u32,
    pub(crate) drain: drain::Watch,
}

/// A thread with a runtime of its own, not started yet.
#[derive(Debug)]
pub(crate) struct Thread {
    index: usize,
    runtime: Runtime,
}

/// Something that runs on a worker's thread beside its clients.
pub(crate) type Beside = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Thread {
    pub(crate) fn new(index: usize) -> io::Result<Self> {
        let mut builder = runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        Ok(Self { index, runtime })
    }

    /// What is made while the guard is there belongs to the thread's runtime.
    pub(crate) fn enter(&self) -> EnterGuard<'_> {
        self.runtime.enter()
    }

    /// Starts a worker. Its thread ends when the arrivals do, its clients are gone and what runs
    /// beside them has ended.
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
    let mut drain = setup.drain.clone();
    let worker = Rc::new(Worker::new(setup));
    // It ends with the thread.
    spawn_local(Rc::clone(&worker.hub).run());
    let mut clients = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            arrival = arrivals.next() => {
                let Some(arrival) = arrival else { break };
                if let Some(client) = worker.receive(arrival) {
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

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // A defect of ours; of a client's task, it cost that client its connection.
        tracing::error!(%error, "a task failed");
    }
}

impl Worker {
    fn new(setup: Setup) -> Self {
        let (hub, hub_out) = Hub::new(Arc::clone(&setup.metrics));
        Self {
            upstream: setup.upstream.with_hub(hub_out),
            hub,
            metrics: setup.metrics,
            settings: setup.settings,
            stall_times: setup.stall_times,
            message_rate: setup.message_rate,
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            streams: RefCell::default(),
            draining: Cell::new(false),
            drained: Notify::new(),
        }
    }

    fn receive(self: &Rc<Self>, arrival: Arrival) -> Option<impl Future<Output = ()> + use<>> {
        let Arrival {
            socket,
            peer,
            permit,
        } = arrival;
        let socket = TcpStream::from_std(socket);
        let socket = socket.inspect_err(|error| tracing::warn!(%peer, %error, "client not served"));
        let worker = Rc::clone(self);
        socket
            .ok()
            .map(|socket| client::serve(worker, socket, peer, permit))
    }

    /// A buffer to read into; to be given back before anything is waited for.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// A message stream of a client with this encoding plays a live stream from now on.
    pub(crate) fn attach(
        self: &Rc<Self>,
        wire: &Rc<Wire>,
        on: PlaysOn,
        live: Arc<LiveStream>,
        publication: u64,
    ) -> Viewer {
        let key = Arc::as_ptr(&live) as usize;
        let known = self.streams.borrow().get(&key).cloned();
        if let Some(local) = known.filter(|local| !local.is_empty()) {
            return Viewer::attach(wire, on, &local, publication);
        }
        let local = LocalStream::new(live, self.settings, Arc::clone(&self.metrics));
        self.streams.borrow_mut().insert(key, Rc::clone(&local));
        let viewer = Viewer::attach(wire, on, &local, publication);
        let worker = Rc::clone(self);
        spawn_local(async move {
            Rc::clone(&local).run().await;
            let mut streams = worker.streams.borrow_mut();
            if streams
                .get(&key)
                .is_some_and(|known| Rc::ptr_eq(known, &local))
            {
                streams.remove(&key);
            }
        });
        viewer
    }

    /// How long a publisher of this application may be silent.
    pub(crate) fn stall_time(&self, application: &str) -> Duration {
        let set = self.stall_times.get(application);
        set.copied().unwrap_or(STALL)
    }

    /// How many messages a client may send towards its origin in a second.
    pub(crate) fn message_rate(&self) -> u32 {
        self.message_rate
    }

    /// Whether the process is being emptied.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Waits until the process is being emptied.
    pub(crate) async fn drained(&self) {
        self.drained.notified().await;
    }

    fn begin_drain(&self) {
        self.draining.set(true);
        self.drained.notify_waiters();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
