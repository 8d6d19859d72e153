//! What an origin keeps of each edge process, whether its link is up or lost.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, watch},
    task::spawn_local,
};
use tributary_node::{
    feed::{FeedEnd, FeedSource, FeedWriter, Publications},
    queue::{self, PushError},
    transport::{CloseCode, Link, LinkError},
};
use tributary_protocol::{
    LaneId, Message,
    link::{Control, LiveId, WriterId, features},
    ring::{Ring, Start},
};

use super::{
    driver::Driver,
    lane::Lane,
    metrics::{Counted, PlaceLabel},
    rate::Rate,
};
use crate::live::LiveStream;

/// One edge process: a name and a start epoch.
pub(super) struct Edge {
    /// The name on its certificate.
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    /// Of its newest link.
    pub(super) incarnation: Cell<u64>,
    /// What it calls this origin.
    pub(super) known_as: RefCell<String>,
    /// Of its newest link.
    pub(super) features: Cell<u64>,
    /// Its name and zone.
    pub(super) place: RefCell<PlaceLabel>,
    link: watch::Sender<Option<Link>>,
    control: RefCell<Option<queue::Sender<Control>>>,
    pub(super) lanes: RefCell<HashMap<LaneId, Rc<Lane>>>,
    feeds: RefCell<HashMap<LiveId, Rc<FeedOut>>>,
    next_feed: Cell<u64>,
    /// Accepted publishes of its clients.
    pub(super) publishes: RefCell<HashMap<(LiveId, WriterId), Publish>>,
    /// When a packet of its link last arrived, and how many bytes had come by then.
    heard: Cell<Instant>,
    heard_bytes: Cell<u64>,
    /// Lanes it may open.
    new_lanes: RefCell<Rate>,
    /// When the last packet of its lost link arrived.
    lost: Cell<Option<Instant>>,
}

/// An accepted publish and the lane it came through.
#[derive(Clone)]
pub(super) struct Publish {
    pub(super) live: Arc<LiveStream>,
    pub(super) lane: Rc<Lane>,
    /// The epoch of its newest feed: an older one is passed over.
    pub(super) epoch: Rc<Cell<u64>>,
    /// A faulty data message of it was logged.
    pub(super) is_faulty: Rc<Cell<bool>>,
}

/// New lanes an edge may open in a second, and at once. Reason: each starts a group; an edge that
/// comes back with all its clients brings thousands.
const LANES_PER_SECOND: u32 = 5_000;
const LANES_AT_ONCE: u32 = 10_000;

/// The feed of one live stream to one edge.
struct FeedOut {
    viewers: Cell<usize>,
    finished: Rc<Cell<bool>>,
    wake: Rc<Notify>,
}

/// A live stream as the source of a feed.
struct LiveSource {
    live: Arc<LiveStream>,
    finished: Rc<Cell<bool>>,
    wake: Rc<Notify>,
}

impl FeedSource for LiveSource {
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R {
        read(&self.live.ring())
    }

    fn changed(&self) -> impl Future<Output = ()> {
        let pushed = self.live.changed();
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

impl Edge {
    pub(super) fn new(name: Arc<str>, epoch: u64) -> Rc<Self> {
        Rc::new(Self {
            name,
            epoch,
            incarnation: Cell::new(0),
            known_as: RefCell::default(),
            features: Cell::default(),
            place: RefCell::default(),
            link: watch::channel(None).0,
            control: RefCell::default(),
            lanes: RefCell::default(),
            feeds: RefCell::default(),
            next_feed: Cell::new(0),
            publishes: RefCell::default(),
            heard: Cell::new(Instant::now()),
            heard_bytes: Cell::new(0),
            new_lanes: RefCell::new(Rate::new(LANES_PER_SECOND, LANES_AT_ONCE, Instant::now())),
            lost: Cell::new(None),
        })
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    /// When the last packet of the edge's lost link arrived.
    pub(super) fn lost_at(&self) -> Option<Instant> {
        self.lost.get()
    }

    /// When the last packet arrived, as far as it was noticed.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard.get()
    }

    /// Something of the edge's newest link arrived.
    pub(super) fn heard(&self, now: Instant) {
        self.heard.set(now);
    }

    /// Looks whether packets arrived since this was last called.
    pub(super) fn listen(&self, now: Instant) {
        if let Some(link) = &*self.link.borrow() {
            let (_, received) = link.bytes();
            if self.heard_bytes.replace(received) != received {
                self.heard.set(now);
            }
        }
    }

    /// Whether the edge may open another lane now.
    pub(super) fn may_open_lane(&self, now: Instant) -> bool {
        self.new_lanes.borrow_mut().take(now)
    }

    /// A link of this edge carries its lanes from here on.
    pub(super) fn link_up(&self, link: Link, control: queue::Sender<Control>) {
        *self.control.borrow_mut() = Some(control);
        self.lost.set(None);
        self.heard(Instant::now());
        let _ = self.link.send_replace(Some(link));
    }

    /// The link is gone. Its peer may have said so.
    pub(super) fn link_lost(&self, error: &LinkError, now: Instant) {
        *self.control.borrow_mut() = None;
        if matches!(error, LinkError::Closed(_) | LinkError::Reset) {
            self.heard(now);
        }
        self.lost.set(Some(self.heard.get()));
        let _ = self.link.send_replace(None);
    }

    /// The first message of the publication that a viewer of `live` joins now, for an edge that
    /// knows of publications.
    pub(super) fn publication(&self, live: &LiveStream) -> u64 {
        match self.publications() {
            Publications::ByFrame => live.ring().publication().first,
            Publications::ByEpoch | Publications::One => 0,
        }
    }

    fn publications(&self) -> Publications {
        if self.features.get() & features::PUBLICATION == 0 {
            Publications::ByEpoch
        } else {
            Publications::ByFrame
        }
    }

    pub(super) fn tell(&self, control: Control) {
        let full = self
            .control
            .borrow()
            .as_ref()
            .is_some_and(|queue| matches!(queue.push(control, 1), Err(PushError::Full(_))));
        // What cannot be told now is told in whole on the next link.
        if let (true, Some(link)) = (full, self.link()) {
            tracing::warn!(edge = %self.name, "link closed: its control stream takes nothing");
            link.close(CloseCode::Shutdown);
        }
    }

    /// A message stream of this edge plays `live`.
    pub(super) fn attach(self: &Rc<Self>, driver: &Rc<Driver>, live: &Arc<LiveStream>) {
        if let Some(feed) = self.feeds.borrow().get(&live.id()) {
            feed.viewers.set(feed.viewers.get() + 1);
            return;
        }
        let feed = Rc::new(FeedOut {
            viewers: Cell::new(1),
            finished: Rc::default(),
            wake: Rc::default(),
        });
        let source = LiveSource {
            live: Arc::clone(live),
            finished: Rc::clone(&feed.finished),
            wake: Rc::clone(&feed.wake),
        };
        self.feeds.borrow_mut().insert(live.id(), feed);
        spawn_local(Rc::clone(self).feed(Rc::clone(driver), source));
    }

    /// A message stream of this edge no longer plays `live`. The last one ends the feed, once what
    /// is in the ring has left.
    pub(super) fn detach(&self, live: &Arc<LiveStream>) {
        let mut feeds = self.feeds.borrow_mut();
        let Some(feed) = feeds.get(&live.id()) else {
            return;
        };
        feed.viewers.set(feed.viewers.get().saturating_sub(1));
        if feed.viewers.get() == 0 {
            feed.finished.set(true);
            feed.wake.notify_one();
            feeds.remove(&live.id());
        }
    }

    /// Writes a live stream to this edge, over its links in turn.
    async fn feed(self: Rc<Self>, driver: Rc<Driver>, source: LiveSource) {
        let mut links = self.link.subscribe();
        let _counted = Counted::new(&driver.metrics.feeds_out);
        let mut writer: Option<FeedWriter> = None;
        while !source.finished.get() {
            let Some(link) = links
                .borrow_and_update()
                .clone()
                .filter(|link| !link.is_closed())
            else {
                tokio::select! {
                    changed = links.changed() => if changed.is_err() { break },
                    () = source.wake.notified() => {}
                }
                continue;
            };
            let cursor = source.with_ring(|ring| ring.join(Start::Gop));
            let writer = match &mut writer {
                // The edge passes over what it has.
                Some(writer) => {
                    writer.go_on_at(cursor);
                    writer
                }
                None => {
                    let (live, publications) = (source.live.id(), self.publications());
                    writer.insert(FeedWriter::new(live, WriterId(0), cursor, publications))
                }
            };
            let epoch = || {
                self.next_feed.set(self.next_feed.get() + 1);
                self.next_feed.get()
            };
            let end = writer.run(&link, &source, epoch).await;
            driver.metrics.feeds_reset.inc_by(writer.take_resets());
            match end {
                FeedEnd::Finished => break,
                // The edge gave up this feed for a newer one, or is broken; try once more soon.
                FeedEnd::Refused => tokio::time::sleep(Duration::from_millis(100)).await,
                FeedEnd::Link(_) => {}
            }
        }
    }
}
