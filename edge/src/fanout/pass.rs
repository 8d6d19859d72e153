//! The viewers of one stream on one worker, and the loop that serves them.

use std::{
    cell::{Cell, RefCell},
    future::ready,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::yield_now,
    time::{Instant, sleep_until},
};
use tributary_protocol::ring::Dropped;

use super::{LiveStream, Viewer, batch::Batches, viewer::Pumped};
use crate::metrics::Metrics;

/// A live stream on one worker.
pub(crate) struct LocalStream {
    live: Arc<LiveStream>,
    bell: Arc<Notify>,
    viewers: RefCell<Slots>,
    batches: RefCell<Batches>,
    /// The last seen [`LiveStream::waits`].
    waits: Cell<u64>,
    settings: Settings,
    metrics: Arc<Metrics>,
}

/// How viewers are served.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// A viewer that is further behind jumps.
    pub(crate) max_lag: Duration,
    /// How long a message waits for others before a pass.
    pub(crate) coalesce: Duration,
}

/// Viewers at fixed places, so that a pass can be interrupted.
#[derive(Default)]
struct Slots {
    viewers: Vec<Option<Rc<Viewer>>>,
    free: Vec<usize>,
}

/// Viewers served before other tasks of the worker get a turn.
const SLICE: usize = 128;

impl LocalStream {
    pub(crate) fn new(
        live: Arc<LiveStream>,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Rc<Self> {
        let bell = Arc::new(Notify::new());
        live.add_bell(&bell);
        Rc::new(Self {
            waits: Cell::new(live.waits()),
            live,
            bell,
            viewers: RefCell::default(),
            batches: RefCell::new(Batches::new()),
            settings,
            metrics,
        })
    }

    /// Serves the viewers until there are none. The first has to be there before it starts.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut began = Instant::now();
        while !self.is_empty() {
            let first = self.rung(began).await;
            // What comes meanwhile leaves in the same writes.
            sleep_until(first + self.settings.coalesce).await;
            began = Instant::now();
            self.pass().await;
        }
        self.live.remove_bell(&self.bell);
    }

    /// Waits for something to send. Since when it is there, at the earliest: what came during a
    /// pass has waited since that `began`.
    async fn rung(&self, began: Instant) -> Instant {
        let rung_before = tokio::select! {
            biased;
            () = self.bell.notified() => true,
            () = ready(()) => false,
        };
        if rung_before {
            return began;
        }
        self.bell.notified().await;
        Instant::now()
    }

    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    /// Whether nobody watches here.
    pub(crate) fn is_empty(&self) -> bool {
        let slots = self.viewers.borrow();
        slots.viewers.len() == slots.free.len()
    }

    /// Starts a pass.
    pub(super) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(super) fn max_lag(&self) -> Duration {
        self.settings.max_lag
    }

    pub(super) fn insert(&self, viewer: impl FnOnce(usize) -> Viewer) -> Rc<Viewer> {
        let mut slots = self.viewers.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.viewers.push(None);
            slots.viewers.len() - 1
        });
        let viewer = Rc::new(viewer(slot));
        slots.viewers[slot] = Some(Rc::clone(&viewer));
        self.metrics.viewers.inc();
        viewer
    }

    pub(super) fn remove(&self, slot: usize) {
        let mut slots = self.viewers.borrow_mut();
        let viewer = slots.viewers[slot].take();
        if viewer.is_some() {
            slots.free.push(slot);
            self.metrics.viewers.dec();
        }
        drop(slots);
        if self.is_empty() {
            // The loop ends.
            self.ring();
        }
    }

    pub(super) fn pump(&self, viewer: &Viewer) -> Pumped {
        let pumped = viewer.pump(&self.batches);
        self.batches.borrow_mut().clear();
        pumped
    }

    pub(super) fn count_dropped(&self, dropped: Dropped) {
        self.metrics.dropped.add(dropped);
    }

    async fn pass(&self) {
        let waits = self.live.waits();
        let released = self.waits.replace(waits) != waits;
        let mut more = false;
        let mut next = Some(0);
        while let Some(first) = next {
            if first > 0 {
                yield_now().await;
            }
            next = self.slice(first, released, &mut more);
        }
        self.batches.borrow_mut().clear();
        if more {
            self.ring();
        }
    }

    /// Serves the viewers from one place on, up to a slice of them. Where to go on.
    fn slice(&self, first: usize, released: bool, more: &mut bool) -> Option<usize> {
        let slots = self.viewers.borrow();
        let end = slots.viewers.len().min(first + SLICE);
        // A viewer that joins meanwhile is served when it does.
        for viewer in slots.viewers.get(first..end)?.iter().flatten() {
            *more |= viewer.pump(&self.batches) == Pumped::More;
            if released {
                viewer.wake_if_waiting();
            }
        }
        (end < slots.viewers.len()).then_some(end)
    }
}

impl std::fmt::Debug for LocalStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStream").finish_non_exhaustive()
    }
}
