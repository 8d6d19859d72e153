//! One edge process, whether its link is up or lost.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use tributary_node::{
    queue::{self, PushError},
    rate::Rate,
    transport::{CloseCode, Link, LinkError},
};
use tributary_protocol::{
    LaneId,
    link::{Control, Hello},
};

use super::{
    feeds::Feeds,
    lane::Lane,
    metrics::{LinkMetrics, PlaceLabel},
};

/// One edge process: a name and a start epoch.
pub(super) struct Edge {
    /// From its certificate.
    pub(super) name: Arc<str>,
    pub(super) epoch: u64,
    /// The incarnation of its newest link.
    pub(super) incarnation: Cell<u64>,
    /// The edge's name for this origin.
    pub(super) known_as: RefCell<String>,
    pub(super) place: RefCell<PlaceLabel>,
    pub(super) feeds: Rc<Feeds>,
    control: RefCell<Option<queue::Sender<Control>>>,
    lanes: RefCell<HashMap<LaneId, Rc<Lane>>>,
    /// When a packet of its link last arrived, and the bytes received by then.
    heard: Cell<Instant>,
    heard_bytes: Cell<u64>,
    /// How often in a row a look at the link found no packet, or no link.
    silent_looks: Cell<u32>,
    /// The rate of the lanes it opens.
    new_lanes: RefCell<Rate>,
    /// When the last packet of its lost link arrived.
    lost: Cell<Option<Instant>>,
}

/// New lanes an edge may open in a second, and at once. Reason: each starts a group; an edge that
/// comes back with all its clients brings thousands.
const LANES_PER_SECOND: u32 = 5_000;
const LANES_AT_ONCE: u32 = 10_000;

/// Looks, 250 ms apart, without a packet, after which an edge may be lost. Reason: it sends one each
/// second, and a publisher that comes back by another edge is not to wait for the link's time-out.
const SILENT_LOOKS: u32 = 6;

impl Edge {
    pub(super) fn new(name: Arc<str>, epoch: u64, metrics: LinkMetrics) -> Rc<Self> {
        Rc::new(Self {
            name,
            epoch,
            incarnation: Cell::new(0),
            known_as: RefCell::default(),
            place: RefCell::default(),
            feeds: Feeds::new(metrics),
            control: RefCell::default(),
            lanes: RefCell::default(),
            heard: Cell::new(Instant::now()),
            heard_bytes: Cell::new(0),
            silent_looks: Cell::new(0),
            new_lanes: RefCell::new(Rate::new(LANES_PER_SECOND, LANES_AT_ONCE, Instant::now())),
            lost: Cell::new(None),
        })
    }

    pub(super) fn link(&self) -> Option<Link> {
        self.feeds.link()
    }

    /// Notes the hello of a newer link.
    pub(super) fn greeted(&self, hello: &Hello) {
        self.incarnation.set(hello.incarnation);
        *self.known_as.borrow_mut() = hello.known_as.clone();
        self.feeds.set_features(hello.features);
    }

    /// When the last packet of the edge's lost link arrived.
    pub(super) fn lost_at(&self) -> Option<Instant> {
        self.lost.get()
    }

    /// When the last packet arrived, as far as it was noticed.
    pub(super) fn heard_at(&self) -> Instant {
        self.heard.get()
    }

    /// Notes that a packet has arrived on the edge's newest link.
    pub(super) fn heard(&self, now: Instant) {
        self.heard.set(now);
        self.silent_looks.set(0);
    }

    /// Notes whether packets have arrived since the last call.
    pub(super) fn listen(&self, now: Instant) {
        let received = self.link().map(|link| link.bytes().1);
        match received {
            Some(received) if self.heard_bytes.replace(received) != received => self.heard(now),
            _ => self.silent_looks.set(self.silent_looks.get() + 1),
        }
    }

    /// Whether nothing has come for so long that the edge may be lost. A stop of this process does not count.
    pub(super) fn is_silent(&self) -> bool {
        self.silent_looks.get() >= SILENT_LOOKS
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
        self.feeds.set_link(Some(link));
    }

    /// Notes that the link is gone. Its peer may have closed it.
    pub(super) fn link_lost(&self, error: &LinkError, now: Instant) {
        *self.control.borrow_mut() = None;
        if matches!(error, LinkError::Closed(_) | LinkError::Reset) {
            self.heard(now);
        }
        self.lost.set(Some(self.heard.get()));
        self.feeds.set_link(None);
    }

    /// Queues a control frame. An edge that reads none is disconnected: the next link begins with
    /// all of the state.
    pub(super) fn tell(&self, control: Control) {
        let full = self
            .control
            .borrow()
            .as_ref()
            .is_some_and(|queue| matches!(queue.push(control, 1), Err(PushError::Full(_))));
        if let (true, Some(link)) = (full, self.link()) {
            tracing::warn!(edge = %self.name, "link closed: its control stream takes nothing");
            link.close(CloseCode::Shutdown);
        }
    }

    /// The lanes that are not over.
    pub(super) fn lanes(&self) -> Vec<Rc<Lane>> {
        let lanes = self.lanes.borrow();
        lanes
            .values()
            .filter(|lane| !lane.is_over())
            .cloned()
            .collect()
    }

    pub(super) fn lane(&self, id: LaneId) -> Option<Rc<Lane>> {
        let lane = self.lanes.borrow().get(&id).cloned();
        lane.filter(|lane| !lane.is_over())
    }

    pub(super) fn session_count(&self) -> usize {
        let lanes = self.lanes.borrow();
        lanes.values().map(|lane| lane.session_count()).sum()
    }

    /// Whether a lane keeps frames that the edge has not acknowledged.
    pub(super) fn is_busy(&self) -> bool {
        let lanes = self.lanes.borrow();
        lanes
            .values()
            .any(|lane| lane.state.borrow().retained() > 0)
    }

    pub(super) fn lane_count(&self) -> usize {
        self.lanes.borrow().len()
    }

    pub(super) fn add_lane(&self, lane: Rc<Lane>) {
        self.lanes.borrow_mut().insert(lane.id, lane);
    }

    /// Forgets the lanes that are over.
    pub(super) fn forget_ended(&self) {
        self.lanes.borrow_mut().retain(|_, lane| !lane.is_over());
    }

    /// Forgets a lane if it is over.
    pub(super) fn forget_if_ended(&self, lane: &Lane) {
        if lane.is_over() {
            self.lanes.borrow_mut().remove(&lane.id);
        }
    }
}
