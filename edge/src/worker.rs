//! The state that the clients of one thread share.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Notify, task::spawn_local};
use tributary_node::drain;

use crate::{
    fanout::{LiveStream, LocalStream, PlaysOn, Settings, Viewer},
    link::Upstream,
    metrics::Metrics,
    objects::Hub,
    wire::Wire,
};

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

impl Worker {
    pub(crate) fn new(setup: Setup) -> Self {
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

    /// How long a publisher of this application may be silent, if it has a time of its own.
    pub(crate) fn stall_time(&self, application: &str) -> Option<Duration> {
        self.stall_times.get(application).copied()
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

    /// The clients' sessions end.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
        self.drained.notify_waiters();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
