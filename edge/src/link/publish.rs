//! The rings between clients that publish and the link.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tributary_node::feed::FeedSource;
use tributary_protocol::{
    Message, media,
    ring::{Cursor, Ring, RingLimits, Start},
};

/// The client's end of an accepted publish, which takes its media. Its drop ends the feed once all
/// media is sent.
pub struct PublishFeed {
    shared: Arc<PublishState>,
}

/// The link's end of a [`PublishFeed`].
#[derive(Debug)]
pub(crate) struct PublishSource {
    shared: Arc<PublishState>,
    pub(super) cursor: Cursor,
}

struct PublishState {
    ring: Mutex<Ring<Message>>,
    changed: Notify,
    finished: AtomicBool,
}

/// The limits of a published stream's ring towards the link. Reason: a group of pictures outlasts a
/// short outage, so that the feed goes on from a key frame.
const LIMITS: RingLimits = RingLimits {
    bytes: 8 << 20,
    messages: 4096,
    span: Duration::from_secs(10),
};

impl PublishFeed {
    pub(crate) fn new() -> (Self, PublishSource) {
        let ring = Ring::new(LIMITS);
        let cursor = ring.join(Start::Live);
        let shared = Arc::new(PublishState {
            ring: Mutex::new(ring),
            changed: Notify::new(),
            finished: AtomicBool::new(false),
        });
        (
            Self {
                shared: Arc::clone(&shared),
            },
            PublishSource { shared, cursor },
        )
    }

    /// Appends a message. Never blocks: media that the link cannot take in time is shed, video
    /// first.
    pub fn push(&self, message: Message) {
        let class = media::classify(message.kind, &message.payload);
        self.shared.ring().push(class, message.timestamp, message);
        self.shared.changed.notify_waiters();
    }
}

impl Drop for PublishFeed {
    fn drop(&mut self) {
        self.shared.finished.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
    }
}

impl fmt::Debug for PublishFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl PublishState {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring<Message>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for PublishState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFeed").finish_non_exhaustive()
    }
}

impl FeedSource for PublishSource {
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R {
        read(&self.shared.ring())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        self.shared.changed.notified()
    }

    fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }
}
