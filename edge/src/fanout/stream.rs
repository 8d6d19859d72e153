//! A live stream as the edge has it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tributary_protocol::{
    Message,
    chunk::MAX_MESSAGE_LENGTH,
    media,
    ring::{Limits, Publication, Ring},
};

use super::forms::Forms;

/// One live stream of an origin: a ring of messages that are encoded already, data messages with
/// values that only AMF3 has in both forms, written by the link
/// thread and read by the workers that have viewers of it.
pub struct LiveStream {
    state: Mutex<State>,
    /// Rises with every change of the ring.
    version: AtomicU64,
    /// Rises with every new epoch.
    epoch: AtomicU64,
    ended: AtomicBool,
}

struct State {
    ring: Ring<Forms>,
    bells: Arc<[Arc<Notify>]>,
}

/// What a live stream's ring keeps at the edge.
///
/// It has to hold the newest group of pictures, which encoders keep to 10 s, and what a viewer may
/// be behind by. 16 MiB are 12 s of 11 Mbit/s.
pub(super) const RING: Limits = Limits {
    bytes: 16 * 1024 * 1024,
    messages: 4096,
    span: Duration::from_secs(12),
};

impl LiveStream {
    /// A stream without messages.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                ring: Ring::new(limits),
                bells: Arc::from([]),
            }),
            version: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    /// Appends a message under its number in the stream; a header that is repeated has none. What
    /// is there already is ignored.
    pub fn push(&self, number: Option<u64>, message: Message) {
        if message.payload.len() > MAX_MESSAGE_LENGTH as usize {
            // No origin of ours sends it, and no chunk stream can carry it.
            return;
        }
        let class = media::classify(message.kind, &message.payload);
        let timestamp = message.timestamp;
        let encoded = Forms::encode(&message, class);
        self.change(|ring| match number {
            Some(seq) => ring.push_at(seq, class, timestamp, encoded),
            None => ring.push_header(class, timestamp, encoded),
        });
    }

    /// A new epoch of the feed begins: audio goes on, video at its next key frame, and nothing
    /// waits for a place of the old one any more.
    pub fn restart(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.change(|ring| {
            ring.restart();
            true
        });
    }

    /// What follows belongs to another publication, or comes from another writer of it.
    pub fn follow(&self, publication: Publication) {
        self.change(|ring| ring.follow(publication));
    }

    /// The feed is over: nothing waits for a place in it any more.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.change(|_| true);
    }

    /// Exclusive access to the ring. Hold it for a batch of messages, never across a write.
    pub(super) fn with_ring<R>(&self, read: impl FnOnce(&Ring<Forms>) -> R) -> R {
        read(&self.lock().ring)
    }

    /// A number that changes when a cursor may get something else than before.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A number that changes when the places of the feed that were waited for may never come.
    pub(crate) fn waits(&self) -> u64 {
        let ended = u64::from(self.ended.load(Ordering::Acquire));
        self.epoch.load(Ordering::Acquire) * 2 + ended
    }

    /// Rings this bell after every change from now on.
    pub(super) fn add_bell(&self, bell: &Arc<Notify>) {
        let mut state = self.lock();
        let bells = state.bells.iter().chain([bell]).cloned();
        state.bells = bells.collect();
    }

    pub(super) fn remove_bell(&self, bell: &Arc<Notify>) {
        let mut state = self.lock();
        let bells = state.bells.iter().filter(|other| !Arc::ptr_eq(other, bell));
        state.bells = bells.cloned().collect();
    }

    fn change(&self, change: impl FnOnce(&mut Ring<Forms>) -> bool) {
        let mut state = self.lock();
        if !change(&mut state.ring) {
            return;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        let bells = Arc::clone(&state.bells);
        // The workers that wake want the lock.
        drop(state);
        for bell in &*bells {
            bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic in the ring would be a defect of ours; the other viewers go on regardless.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream").finish_non_exhaustive()
    }
}
