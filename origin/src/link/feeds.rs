//! The feeds of one edge: live streams towards it, and the accepted publishes of its clients.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_local,
};
use tributary_node::{
    feed::{FeedSource, FeedWriter, Publications},
    link::{LastingFeed, keep_feed},
    transport::Link,
};
use tributary_protocol::{
    Message,
    link::{CloseReason, LiveId, Target, WriterId, features, feed::FeedOpen},
    ring::{Cursor, Ring, Start},
};

use super::metrics::LinkMetrics;
use crate::live::{LiveStream, Reading};

/// The feeds of one edge, over its links in turn.
pub(super) struct Feeds {
    link: watch::Sender<Option<Link>>,
    /// The features of the edge's newest link.
    features: Cell<u64>,
    outgoing: RefCell<HashMap<LiveId, Rc<FeedOut>>>,
    /// The epoch of the newest outgoing feed.
    epoch: Cell<u64>,
    publishes: RefCell<HashMap<PublishKey, Publish>>,
    metrics: LinkMetrics,
}

/// A publish of an edge: writers count for each live stream.
pub(super) type PublishKey = (LiveId, WriterId);

#[derive(Clone)]
pub(super) struct Publish {
    pub(super) live: Arc<LiveStream>,
    /// The epoch of its newest feed; older feeds are dropped.
    epoch: Rc<Cell<u64>>,
    /// Whether a faulty data message of it was logged.
    pub(super) is_faulty: Rc<Cell<bool>>,
    publisher: Rc<dyn FeedPublisher>,
}

/// The lane of an accepted publish. Its feed reports its end here.
pub(super) trait FeedPublisher {
    /// The feed has ended: events that wait for it are mailed to the group.
    fn feed_ended(self: Rc<Self>, key: PublishKey);

    /// The feed broke a limit: the session that publishes is closed at both ends.
    fn close_publisher(self: Rc<Self>, key: PublishKey, reason: CloseReason);
}

/// The feed of one live stream to the edge.
struct FeedOut {
    viewers: Cell<usize>,
    finished: Rc<Cell<bool>>,
    wake: Rc<Notify>,
}

/// A live stream as the source of a feed.
struct LiveSource {
    reading: Reading,
    finished: Rc<Cell<bool>>,
    wake: Rc<Notify>,
}

/// The feed of a live stream to the edge, over its links in turn.
struct LiveFeed {
    feeds: Rc<Feeds>,
    source: LiveSource,
}

/// The time before a feed that the edge refused is tried again.
const AGAIN: Duration = Duration::from_millis(100);

impl Feeds {
    pub(super) fn new(metrics: LinkMetrics) -> Rc<Self> {
        Rc::new(Self {
            link: watch::channel(None).0,
            features: Cell::default(),
            outgoing: RefCell::default(),
            epoch: Cell::new(0),
            publishes: RefCell::default(),
            metrics,
        })
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    /// The feeds go over this link from here on, or wait for the next.
    pub(super) fn set_link(&self, link: Option<Link>) {
        let _ = self.link.send_replace(link);
    }

    pub(super) fn set_features(&self, features: u64) {
        self.features.set(features);
    }

    /// The number of the first message of the publication that a viewer of `live` joins now, for an
    /// edge that supports publications.
    pub(super) fn publication(&self, live: &LiveStream) -> u64 {
        match self.publications() {
            Publications::ByFrame => live.ring().publication().first,
            Publications::ByEpoch | Publications::One => 0,
        }
    }

    /// The name of `live`, for an edge that reads names.
    pub(super) fn name(&self, live: &LiveStream) -> Option<Arc<str>> {
        let reads = self.supports(features::NAMED);
        reads.then(|| Arc::clone(live.name()))
    }

    fn publications(&self) -> Publications {
        if self.supports(features::PUBLICATION) {
            Publications::ByFrame
        } else {
            Publications::ByEpoch
        }
    }

    /// Whether the edge has this feature.
    pub(super) fn supports(&self, feature: u64) -> bool {
        self.features.get() & feature != 0
    }

    /// Counts a message stream of the edge that plays `live`. The first one begins the feed.
    pub(super) fn attach(self: &Rc<Self>, live: &Arc<LiveStream>) {
        if let Some(feed) = self.outgoing.borrow().get(&live.id()) {
            feed.viewers.set(feed.viewers.get() + 1);
            return;
        }
        let feed = Rc::new(FeedOut {
            viewers: Cell::new(1),
            finished: Rc::default(),
            wake: Rc::default(),
        });
        let source = LiveSource {
            reading: Reading::begin(Arc::clone(live)),
            finished: Rc::clone(&feed.finished),
            wake: Rc::clone(&feed.wake),
        };
        self.outgoing.borrow_mut().insert(live.id(), feed);
        spawn_local(Rc::clone(self).write(source));
    }

    /// Uncounts a message stream that no longer plays `live`. The last one ends the feed, once the
    /// rest of the ring has left.
    pub(super) fn detach(&self, live: &Arc<LiveStream>) {
        let mut outgoing = self.outgoing.borrow_mut();
        let Some(feed) = outgoing.get(&live.id()) else {
            return;
        };
        feed.viewers.set(feed.viewers.get().saturating_sub(1));
        if feed.viewers.get() == 0 {
            feed.finished.set(true);
            feed.wake.notify_one();
            outgoing.remove(&live.id());
        }
    }

    /// Adds a publish whose feed the edge may open; the target as the edge names it.
    pub(super) fn accept(
        &self,
        target: &Target<Arc<LiveStream>>,
        publisher: Rc<dyn FeedPublisher>,
    ) -> Target {
        let resolved = Target {
            live: target.live.id(),
            writer: target.writer,
        };
        let publish = Publish {
            live: Arc::clone(&target.live),
            epoch: Rc::default(),
            is_faulty: Rc::default(),
            publisher,
        };
        let key = (resolved.live, resolved.writer);
        self.publishes.borrow_mut().insert(key, publish);
        resolved
    }

    /// Forgets a publish: its feed is refused from here on.
    pub(super) fn forget(&self, target: &Target<Arc<LiveStream>>) {
        let key = (target.live.id(), target.writer);
        self.publishes.borrow_mut().remove(&key);
    }

    /// The publish that a feed of this epoch belongs to, if it is its newest feed.
    pub(super) fn open(&self, key: PublishKey, epoch: u64) -> Option<Publish> {
        let publishes = self.publishes.borrow();
        let publish = publishes.get(&key)?;
        if publish.epoch.get() >= epoch {
            return None;
        }
        publish.epoch.set(epoch);
        Some(publish.clone())
    }

    /// The number of accepted publishes, each of which has a feed.
    pub(super) fn publish_count(&self) -> usize {
        self.publishes.borrow().len()
    }

    /// Writes a live stream to the edge, over its links in turn.
    async fn write(self: Rc<Self>, source: LiveSource) {
        let links = self.link.subscribe();
        let metrics = self.metrics.clone();
        let feed = LiveFeed {
            feeds: self,
            source,
        };
        keep_feed(&feed, links, &metrics).await;
    }
}

impl LastingFeed for LiveFeed {
    type Source = LiveSource;

    fn source(&self) -> &LiveSource {
        &self.source
    }

    fn goes_on(&self, _is_linked: bool) -> bool {
        !self.source.finished.get()
    }

    fn begin(&self) -> FeedWriter {
        let (live, publications) = (self.source.live().id(), self.feeds.publications());
        FeedWriter::new(live, WriterId(0), self.source.cursor(), publications)
    }

    /// The edge drops messages that it has already.
    fn resume(&self, writer: &mut FeedWriter) {
        writer.go_on_at(self.source.cursor());
    }

    fn next_epoch(&self) -> u64 {
        let epoch = &self.feeds.epoch;
        epoch.set(epoch.get() + 1);
        epoch.get()
    }

    /// The edge has a newer feed in place of this one, or is broken.
    fn pause_after_refusal(&self) -> Option<Duration> {
        Some(AGAIN)
    }
}

impl LiveSource {
    fn live(&self) -> &LiveStream {
        self.reading.live()
    }

    fn cursor(&self) -> Cursor {
        self.with_ring(|ring| ring.join(Start::Gop))
    }
}

impl Publish {
    /// Whether this feed of the publish is its newest.
    pub(super) fn is_newest(&self, open: &FeedOpen) -> bool {
        self.epoch.get() == open.epoch
    }

    /// Reports the end of its newest feed.
    pub(super) fn ended(&self, writer: WriterId) {
        let key = (self.live.id(), writer);
        Rc::clone(&self.publisher).feed_ended(key);
    }

    /// Reports that its feed broke a limit.
    pub(super) fn close(&self, writer: WriterId, reason: CloseReason) {
        let key = (self.live.id(), writer);
        Rc::clone(&self.publisher).close_publisher(key, reason);
    }
}

impl FeedSource for LiveSource {
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R {
        read(&self.live().ring())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        let pushed = self.live().changed();
        let woken = self.wake.notified();
        async move {
            tokio::select! {
                () = pushed => {}
                () = woken => {}
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.finished.get()
    }
}
