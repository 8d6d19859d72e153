//! A live stream at the edge.

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
    ring::{Publication, Ring, RingLimits},
};

use super::forms::Forms;

/// One live stream of an origin: a ring of encoded messages. The link thread writes it; the workers
/// with viewers of the stream read it.
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

/// The limits of a live stream's ring.
///
/// The ring has to hold the newest group of pictures, which encoders keep to 10 s, and the lag of
/// viewers. 16 MiB are 12 s of 11 Mbit/s.
pub(super) const RING: RingLimits = RingLimits {
    bytes: 16 * 1024 * 1024,
    messages: 4096,
    span: Duration::from_secs(12),
};

impl LiveStream {
    /// A stream without messages.
    pub fn new(limits: RingLimits) -> Arc<Self> {
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

    /// Appends a message under its number in the stream. A repeated header has no number. A message
    /// that the ring has already is ignored.
    pub fn push(&self, number: Option<u64>, message: Message) {
        if message.payload.len() > MAX_MESSAGE_LENGTH as usize {
            // A sound origin does not send this, and no chunk stream can carry it.
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

    /// Begins a new epoch of the feed: audio goes on, video at its next key frame. Ends the waits
    /// for a place of the old epoch.
    pub fn restart(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.change(|ring| {
            ring.restart();
            true
        });
    }

    /// The messages that follow are of this publication, or of another writer of it.
    pub fn follow(&self, publication: Publication) {
        self.change(|ring| ring.follow(publication));
    }

    /// Ends the feed, and the waits for a place in it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.change(|_| true);
    }

    /// Exclusive access to the ring. Hold it for a batch of messages, never across a write.
    pub(super) fn with_ring<R>(&self, read: impl FnOnce(&Ring<Forms>) -> R) -> R {
        read(&self.lock().ring)
    }

    /// A number that changes when a cursor may get something new.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A number that changes when awaited places of the feed may never come.
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
        // The lock is free before the workers wake.
        drop(state);
        for bell in &*bells {
            bell.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is a defect of ours; the other viewers go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream").finish_non_exhaustive()
    }
}
