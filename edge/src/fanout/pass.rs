//! The readers of one stream on one worker, and the loop that serves them.

use std::{
    cell::{Cell, RefCell},
    future::ready,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::yield_now,
    time::{Instant, sleep_until},
};
use tributary_node::{
    config::{Delivery, DeliveryPolicy},
    load::ThreadLoad,
};

use super::{
    LiveStream,
    batch::Batches,
    reader::{Reader, Sent},
    stream::Bell,
    window::Window,
};
use crate::metrics::Metrics;

/// A live stream on one worker.
pub(crate) struct LocalStream {
    live: Arc<LiveStream>,
    bell: Arc<Bell>,
    readers: RefCell<Slots>,
    batches: RefCell<Batches>,
    /// [`LiveStream::waits`] at the last pass.
    waits: Cell<u64>,
    window: Window,
    /// Whether the kernel may merge the writes to viewers.
    merges: Cell<bool>,
    /// Whether the last pass has left a reader behind: the next one begins without a wait.
    unfinished: Cell<bool>,
    settings: Settings,
    load: Rc<ThreadLoad>,
    metrics: Arc<Metrics>,
}

/// The settings of a live stream's fan-out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Lag beyond which a viewer jumps.
    pub(crate) max_lag: Duration,
    pub(crate) policy: DeliveryPolicy,
}

/// Readers in fixed slots, so that a pass can be interrupted.
#[derive(Default)]
struct Slots {
    readers: Vec<Option<Rc<Reader>>>,
    free: Vec<usize>,
}

/// The outcome of a pass, or of one reader's share of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pumped {
    /// Whether bytes were sent.
    pub(super) any: bool,
    /// Whether a reader has had its share, and there is more.
    pub(super) more: bool,
}

/// Batches for one reader in one pass. Reason: a viewer that joins at a long group of pictures must
/// not delay the others.
const MAX_BATCHES: usize = 4;

/// Readers served before other tasks of the worker get a turn.
const SLICE: usize = 128;

/// Readers of a `standard` stream from which on the kernel may merge the writes to each, and fewer
/// than which it may not. Reason: with few, there is nothing to save for the delay.
const MERGE: (usize, usize) = (64, 32);

impl LocalStream {
    pub(crate) fn new(
        live: Arc<LiveStream>,
        settings: Settings,
        load: &Rc<ThreadLoad>,
        metrics: Arc<Metrics>,
    ) -> Rc<Self> {
        let bell = Arc::default();
        live.add_bell(&bell);
        Rc::new(Self {
            waits: Cell::new(live.waits()),
            live,
            bell,
            readers: RefCell::default(),
            batches: RefCell::new(Batches::new()),
            window: Window::new(settings.policy),
            merges: Cell::new(false),
            unfinished: Cell::new(false),
            settings,
            load: Rc::clone(load),
            metrics,
        })
    }

    /// Serves the readers until there are none. The first reader is added before the call.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut began = Instant::now();
        while !self.is_empty() {
            let first = self.rung(began).await;
            if !self.unfinished.take() {
                self.gather(first).await;
            }
            // The pass sends all that has come so far: it must not begin another.
            self.take_ring().await;
            began = Instant::now();
            self.pass().await;
        }
        self.live.remove_bell(&self.bell);
    }

    /// Waits for the bell. Returns the earliest time at which the message may have arrived:
    /// `began`, if it came during the last pass.
    async fn rung(&self, began: Instant) -> Instant {
        if self.take_ring().await {
            // Messages that come without a pause leave other tasks of the worker their turn.
            yield_now().await;
            return began;
        }
        self.bell.change.notified().await;
        Instant::now()
    }

    /// Whether the bell has rung since the last call. Does not wait.
    async fn take_ring(&self) -> bool {
        tokio::select! {
            biased;
            () = self.bell.change.notified() => true,
            () = ready(()) => false,
        }
    }

    /// Waits for messages that leave in the same writes as one that came at `first`.
    async fn gather(&self, first: Instant) {
        let width = self.window.width(self.load.share(first.into_std()));
        if width.is_zero() {
            return;
        }
        let due = first + width;
        if self.settings.policy.delivery != Delivery::Broadcast {
            return sleep_until(due).await;
        }
        loop {
            tokio::select! {
                () = self.bell.picture.notified() => {}
                () = sleep_until(due) => return,
            }
            let (now, interval) = (Instant::now(), self.live.picture_interval());
            if Window::ends_with_picture(now.into_std(), due.into_std(), interval) {
                return;
            }
        }
    }

    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    /// Whether the stream has no reader on this worker.
    pub(crate) fn is_empty(&self) -> bool {
        self.readers.borrow().count() == 0
    }

    /// Rings the bell, which starts a pass.
    pub(super) fn ring(&self) {
        self.bell.change.notify_one();
    }

    /// Adds a reader. Returns its slot.
    pub(super) fn insert(&self, reader: &Rc<Reader>) -> usize {
        let mut slots = self.readers.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.readers.push(None);
            slots.readers.len() - 1
        });
        slots.readers[slot] = Some(Rc::clone(reader));
        if self.settings.policy.delivery != Delivery::Standard {
            reader.refuse_merging();
        }
        self.metrics.viewers.inc();
        slot
    }

    pub(super) fn remove(&self, slot: usize) {
        let mut slots = self.readers.borrow_mut();
        if let Some(reader) = slots.readers[slot].take() {
            reader.let_merge(false);
            slots.free.push(slot);
            self.metrics.viewers.dec();
        }
        drop(slots);
        if self.is_empty() {
            // The loop of `run` ends.
            self.ring();
        }
    }

    /// Sends a reader its messages outside of a pass.
    pub(super) fn pump_alone(&self, reader: &Reader) -> Pumped {
        let mut batches = self.batches.borrow_mut();
        let pumped = self.pump(reader, &mut batches);
        batches.clear();
        pumped
    }

    /// Sends a reader its messages, up to its share of one pass.
    fn pump(&self, reader: &Reader, batches: &mut Batches) -> Pumped {
        let mut pumped = Pumped::default();
        for _ in 0..MAX_BATCHES {
            pumped.more = false;
            if reader.is_blocked() {
                break;
            }
            let sent = self.send_batch(reader, batches);
            pumped.any |= sent.any;
            pumped.more = sent.more;
            if !sent.more {
                break;
            }
        }
        reader.notify_if_passed();
        pumped
    }

    fn send_batch(&self, reader: &Reader, batches: &mut Batches) -> Sent {
        let (cursor, max_lag) = (reader.cursor(), self.settings.max_lag);
        let sent = reader.send(batches.of(&self.live, &cursor, reader.form(), max_lag));
        if sent.dropped.total() > 0 {
            self.metrics.dropped.add(sent.dropped);
        }
        sent
    }

    async fn pass(&self) {
        let waits = self.live.waits();
        let released = self.waits.replace(waits) != waits;
        self.decide_merging();
        let mut pumped = Pumped::default();
        let mut next = Some(0);
        let mut took = Duration::ZERO;
        while let Some(first) = next {
            if first > 0 {
                yield_now().await;
            }
            let began = Instant::now();
            next = self.slice(first, released, &mut pumped);
            took += began.elapsed();
        }
        if pumped.any {
            self.window.passed(took);
        }
        self.batches.borrow_mut().clear();
        if pumped.more {
            self.unfinished.set(true);
            self.ring();
        }
    }

    /// Decides whether the kernel may merge the writes to each reader, for `standard` streams.
    fn decide_merging(&self) {
        if self.settings.policy.delivery == Delivery::Standard {
            let least = if self.merges.get() { MERGE.1 } else { MERGE.0 };
            self.merges.set(self.readers.borrow().count() >= least);
        }
    }

    /// Serves one slice of the readers from a slot on. Returns the slot of the next slice.
    fn slice(&self, first: usize, released: bool, pumped: &mut Pumped) -> Option<usize> {
        let slots = self.readers.borrow();
        let mut batches = self.batches.borrow_mut();
        let end = slots.readers.len().min(first + SLICE);
        // A reader that joins during the pass is served when it joins.
        for reader in slots.readers.get(first..end)?.iter().flatten() {
            reader.let_merge(self.merges.get());
            let of_reader = self.pump(reader, &mut batches);
            pumped.any |= of_reader.any;
            pumped.more |= of_reader.more;
            if released {
                reader.notify_if_waiting();
            }
        }
        (end < slots.readers.len()).then_some(end)
    }
}

impl Slots {
    /// Readers in slots.
    fn count(&self) -> usize {
        self.readers.len() - self.free.len()
    }
}

impl std::fmt::Debug for LocalStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalStream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::stream::{RING, StreamKey},
        *,
    };

    #[tokio::test]
    async fn a_pass_that_sends_nothing_does_not_count_as_a_cheap_one() {
        let settings = Settings {
            max_lag: Duration::from_secs(4),
            policy: DeliveryPolicy::default(),
        };
        let load = Rc::new(ThreadLoad::of_current_runtime());
        let stream = LocalStream::new(
            LiveStream::new(StreamKey::default(), RING),
            settings,
            &load,
            Arc::default(),
        );
        for _ in 0..100 {
            stream.window.passed(Duration::from_millis(2));
        }
        let width = stream.window.width(0.0);
        assert!(!width.is_zero());
        for _ in 0..100 {
            stream.pass().await;
        }
        assert_eq!(stream.window.width(0.0), width);
    }
}
