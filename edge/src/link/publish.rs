//! Feeds that leave: what clients of this edge publish.

use std::{
    fmt,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;
use tributary_node::feed::{FeedEnd, FeedSource, FeedWriter, Publications};
use tributary_protocol::{
    Message,
    link::Target,
    media,
    ring::{Cursor, Limits, Ring, Start},
};

use super::{driver::Driver, metrics::Counted};

/// Where the media of an accepted publish goes. Dropping it ends the feed once all is sent.
pub struct PublishFeed {
    shared: Arc<Shared>,
}

/// The link's end of a [`PublishFeed`].
#[derive(Debug)]
pub(crate) struct PublishSource {
    shared: Arc<Shared>,
    cursor: Cursor,
}

struct Shared {
    ring: Mutex<Ring<Message>>,
    changed: Notify,
    finished: AtomicBool,
}

/// What is kept of a published stream for the link: through a short outage a group of pictures
/// remains, so that the feed goes on from a key frame.
const LIMITS: Limits = Limits {
    bytes: 8 << 20,
    messages: 4096,
    span: Duration::from_secs(10),
};

impl PublishFeed {
    pub(crate) fn new() -> (Self, PublishSource) {
        let ring = Ring::new(LIMITS);
        let cursor = ring.join(Start::Live);
        let shared = Arc::new(Shared {
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

    /// Appends a message. Never blocks: what the link cannot take in time is shed, video first.
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

impl Shared {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring<Message>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
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

/// Carries a publish over its origin's links until it is finished or nobody wants it.
pub(super) async fn run(driver: Rc<Driver>, origin: usize, target: Target, source: PublishSource) {
    let process = driver.origins[origin].process();
    let mut feed = FeedWriter::new(target.live, target.writer, source.cursor, Publications::One);
    let mut links = driver.links(origin);
    let mut epoch = 0;
    let _counted = Counted::new(&driver.metrics.feeds_out);
    loop {
        let changed = source.changed();
        let link = links.borrow_and_update().clone();
        let Some(link) = link.filter(|link| !link.is_closed()) else {
            if source.is_finished() || driver.origins[origin].process() != process {
                break;
            }
            tokio::select! {
                _ = links.changed() => {}
                () = changed => {}
            }
            continue;
        };
        if driver.origins[origin].process() != process {
            break;
        }
        let next = || {
            epoch += 1;
            epoch
        };
        let end = feed.run(&link, &source, next).await;
        driver.metrics.feeds_reset.inc_by(feed.take_resets());
        match end {
            FeedEnd::Finished | FeedEnd::Refused => break,
            FeedEnd::Link(_) => {}
        }
    }
}
