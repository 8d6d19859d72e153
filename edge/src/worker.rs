//! The state that the clients of one thread share.

use std::{
    cell::{Cell, Ref, RefCell, RefMut},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::spawn_local, time::sleep};
use tributary_gate::{HookAnswer, Memory};
use tributary_node::{config::DeliveryPolicy, drain, load::ThreadLoad};
use tributary_protocol::{SessionId, ring::Cursor};

use crate::{
    departure::{Departing, Departure},
    fanout::{LiveStream, LocalStream, PlaysOn, Settings, StreamKey, Streams, Viewer},
    hooks::{Answering, Hooks},
    in_force::{self, InForce},
    link::Upstream,
    metrics::Metrics,
    moving::Stage,
    objects::Hub,
    policies::Policy,
    tunnel::Tunnels,
    wire::{Wire, count_sent},
};

mod linked;

pub(crate) use linked::Linked;

/// The state that a worker's clients share.
pub(crate) struct Worker {
    pub(crate) upstream: Upstream,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) hub: Rc<Hub>,
    in_force: RefCell<Arc<InForce>>,
    gate_memory: Arc<Memory>,
    hooks: Hooks,
    load: Rc<ThreadLoad>,
    began: Instant,
    /// The buffer into which every client of the thread is read.
    scratch: RefCell<Box<[u8]>>,
    all_streams: Arc<Streams>,
    pub(crate) tunnels: Arc<Tunnels>,
    /// The live streams with viewers on this worker, by their address and delivery.
    streams: RefCell<HashMap<(usize, DeliveryPolicy), Rc<LocalStream>>>,
    departure: Cell<Option<Departure>>,
    draining: Cell<bool>,
    stage: RefCell<Stage>,
    /// Sessions with a lane.
    linked: Cell<usize>,
    /// Those that a freeze waits for.
    awaited: Cell<usize>,
    /// The ways of answers to sessions that have come from another process.
    answering: RefCell<HashMap<SessionId, Answering>>,
    /// Notifies the sessions of another stage, a departure and the drain.
    leaves: Notify,
}

/// The longest wait for the end of a request when the sessions go to another process. Reason: its body
/// is on its way.
pub(crate) const REQUEST: Duration = Duration::from_secs(1);

/// Bytes that one read takes at most.
const SCRATCH: usize = 64 * 1024;

/// The settings with which every worker starts.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) upstream: Upstream,
    /// The live streams of the edge.
    pub(crate) streams: Arc<Streams>,
    /// The sessions of RTMPT of the edge.
    pub(crate) tunnels: Arc<Tunnels>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) in_force: in_force::Receiver,
    /// The memory of the edge's gates.
    pub(crate) gate_memory: Arc<Memory>,
    pub(crate) departing: Departing,
    pub(crate) drain: drain::Watch,
    /// Whether sessions come from another process, and wait.
    pub(crate) holds: bool,
}

impl Setup {
    fn stage(&self) -> Stage {
        match self.holds {
            true => Stage::Holds,
            false => Stage::Serves,
        }
    }
}

impl Worker {
    pub(crate) fn new(setup: Setup) -> Self {
        let (hub, hub_out) = Hub::new(Arc::clone(&setup.metrics));
        count_sent(setup.metrics.wire_bytes_out.clone());
        Self {
            stage: RefCell::new(setup.stage()),
            upstream: setup.upstream.with_hub(hub_out),
            all_streams: setup.streams,
            tunnels: setup.tunnels,
            hub,
            metrics: setup.metrics,
            hooks: setup.in_force.borrow().policies.hooks().clone(),
            in_force: RefCell::new(Arc::clone(&setup.in_force.borrow())),
            gate_memory: setup.gate_memory,
            load: Rc::new(ThreadLoad::of_current_runtime()),
            began: Instant::now(),
            scratch: RefCell::new(vec![0; SCRATCH].into_boxed_slice()),
            streams: RefCell::default(),
            departure: Cell::new(None),
            draining: Cell::new(false),
            linked: Cell::new(0),
            awaited: Cell::new(0),
            answering: RefCell::default(),
            leaves: Notify::new(),
        }
    }

    /// The time at which the worker began.
    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    /// The read buffer. Give it back before any wait.
    pub(crate) fn scratch(&self) -> RefMut<'_, Box<[u8]>> {
        self.scratch.borrow_mut()
    }

    /// Begins to play a live stream on a message stream of a client with this encoding.
    pub(crate) fn attach(
        self: &Rc<Self>,
        wire: &Rc<Wire>,
        on: PlaysOn,
        live: Arc<LiveStream>,
        publication: u64,
        policy: DeliveryPolicy,
    ) -> Viewer {
        self.join(live, policy, |local| {
            Viewer::attach(wire, on, local, publication)
        })
    }

    /// Goes on to play a live stream for a client that comes from another process.
    pub(crate) fn resume(
        self: &Rc<Self>,
        wire: &Rc<Wire>,
        on: PlaysOn,
        live: StreamKey,
        cursor: Cursor,
        policy: DeliveryPolicy,
    ) -> Viewer {
        let live = self.all_streams.get_or_create(live.origin, live.live);
        self.join(live, policy, |local| {
            Viewer::resume(wire, on, local, cursor)
        })
    }

    /// Makes a viewer of a live stream on this worker.
    fn join(
        self: &Rc<Self>,
        live: Arc<LiveStream>,
        policy: DeliveryPolicy,
        view: impl FnOnce(&Rc<LocalStream>) -> Viewer,
    ) -> Viewer {
        let key = (Arc::as_ptr(&live) as usize, policy);
        let known = self.streams.borrow().get(&key).cloned();
        if let Some(local) = known.filter(|local| !local.is_empty()) {
            return view(&local);
        }
        let settings = Settings {
            max_lag: self.in_force.borrow().max_lag,
            policy,
        };
        let local = LocalStream::new(live, settings, &self.load, Arc::clone(&self.metrics));
        self.streams.borrow_mut().insert(key, Rc::clone(&local));
        let viewer = view(&local);
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

    /// The settings of an application, if it has any.
    pub(crate) fn policy(&self, application: &str) -> Option<Arc<Policy>> {
        self.in_force.borrow().policies.of(application).cloned()
    }

    /// The delivery of a live stream of this name in an application; an origin of an older version does
    /// not state the name.
    pub(crate) fn delivery(&self, application: &str, name: Option<&str>) -> DeliveryPolicy {
        let policy = self.policy(application);
        policy.map_or_else(DeliveryPolicy::default, |policy| {
            let deliveries = &policy.deliveries;
            name.map_or_else(|| deliveries.usual(), |name| deliveries.of(name))
        })
    }

    /// Puts settings in force.
    pub(crate) fn put_in_force(&self, settings: Arc<InForce>) {
        *self.in_force.borrow_mut() = settings;
    }

    /// The memory of the edge's gates.
    pub(crate) fn gate_memory(&self) -> &Memory {
        &self.gate_memory
    }

    /// The hooks of the edge.
    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// The messages per second that a client may send towards its origin.
    pub(crate) fn message_rate(&self) -> u32 {
        self.in_force.borrow().message_rate
    }

    /// Whether the drain has begun.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// The departure, once it has begun.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.departure.get()
    }

    /// Whether the stage is another than the usual one.
    pub(crate) fn is_moving(&self) -> bool {
        !matches!(*self.stage.borrow(), Stage::Serves)
    }

    /// The part of the worker in a replacement.
    pub(crate) fn stage(&self) -> Ref<'_, Stage> {
        self.stage.borrow()
    }

    /// Begins another stage.
    pub(crate) fn begin(&self, stage: Stage) {
        self.awaited.set(self.linked.get());
        *self.stage.borrow_mut() = stage;
        self.end_freeze_if_done();
        self.leaves.notify_waiters();
    }

    pub(crate) fn count_linked(&self) {
        self.linked.set(self.linked.get() + 1);
    }

    pub(crate) fn uncount_linked(&self) {
        self.linked.set(self.linked.get() - 1);
    }

    /// Notes that a freeze waits for one session less.
    pub(crate) fn note_reported(&self) {
        self.awaited.set(self.awaited.get().saturating_sub(1));
        self.end_freeze_if_done();
    }

    /// The queue of a freeze ends with its last session.
    fn end_freeze_if_done(&self) {
        if self.awaited.get() == 0
            && let Stage::Freezes(out) = &mut *self.stage.borrow_mut()
        {
            *out = None;
        }
    }

    /// Keeps the way of an answer to a session from another process.
    pub(crate) fn await_answer(&self, session: SessionId, answering: Answering) {
        self.answering.borrow_mut().insert(session, answering);
    }

    /// Passes an answer on to its session.
    pub(crate) fn answer(&self, session: SessionId, answer: HookAnswer) {
        if let Some(answering) = self.answering.borrow_mut().remove(&session) {
            answering.give(answer);
        }
    }

    /// No answer comes any more: the process that has asked is gone.
    pub(crate) fn end_answers(&self) {
        self.answering.borrow_mut().clear();
    }

    /// Waits until another stage, a departure or the drain begins.
    pub(crate) async fn leaves(&self) {
        self.leaves.notified().await;
    }

    /// Waits until the sessions have been on their way to another process for so long.
    pub(crate) async fn freezes_for(&self, time: Duration) {
        loop {
            while !matches!(*self.stage(), Stage::Freezes(_)) {
                self.leaves().await;
            }
            sleep(time).await;
            if matches!(*self.stage(), Stage::Freezes(_)) {
                return;
            }
        }
    }

    /// Waits for the drain.
    pub(crate) async fn drained(&self) {
        while !self.is_draining() {
            self.leaves().await;
        }
    }

    /// Begins a departure: each session plans its own moments.
    pub(crate) fn depart(&self, departure: Departure) {
        self.departure.set(Some(departure));
        self.leaves.notify_waiters();
    }

    /// Begins the drain: the clients' sessions end.
    pub(crate) fn begin_drain(&self) {
        self.draining.set(true);
        self.leaves.notify_waiters();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}
