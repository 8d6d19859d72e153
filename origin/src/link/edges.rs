//! The edges of an origin, their links, and the admission of their lanes.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::spawn_local};
use tributary_node::transport::{CloseCode, IDLE, LinkError};
use tributary_protocol::{
    GroupName,
    cluster::{Admission, Finished, LaneNumber, MoveError, OriginStanding},
    link::{CloseReason, Control, Hello, lane_frame::OpenLane},
};

use super::{
    drained::Drain,
    edge::Edge,
    known_edges::KnownEdges,
    lane::{Lane, LaneEdge, TakeBrought},
    lanes::Lanes,
    leaver::LeftGroup,
    peers::Peers,
    shared::Shared,
};
use crate::session::LaneKey;

/// Every edge process that has a link, or lanes that wait for its next link.
pub(super) struct Edges {
    pub(super) shared: Rc<Shared>,
    edges: RefCell<HashMap<EdgeKey, Rc<Edge>>>,
    /// The same lanes as the edges have.
    pub(super) lanes: Lanes,
    next_lane: Cell<u64>,
    /// Set while the groups move to other origins, and after that.
    pub(super) drain: RefCell<Option<Rc<Drain>>>,
    pub(super) peers: Peers,
    /// The file with the edges' names, in a cluster.
    pub(super) known_edges: Option<KnownEdges>,
    /// Groups that have stopped here, until their lanes end.
    pub(super) leaving: RefCell<HashMap<GroupName, LeftGroup>>,
    /// The way back to those who have asked for a move, by its number.
    pub(super) asked: RefCell<HashMap<u64, oneshot::Sender<MoveOutcome>>>,
    /// When the process last looked at its clock.
    awake: Cell<Instant>,
}

pub(super) type MoveOutcome = Result<Finished, MoveError>;

/// One start of one edge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EdgeKey {
    name: Arc<str>,
    epoch: u64,
}

/// The answer to a lane's opening.
pub(super) enum LaneAdmission {
    /// The lane, with the frames that its edge has received.
    Lane {
        lane: Rc<Lane>,
        received_by_edge: u64,
        /// Whether the edge restores it from its first frame on.
        is_restored: bool,
    },
    /// The origin has no such lane to resume.
    Unknown,
    /// The edge asks again after this time.
    Wait(Duration),
    /// The edge has too many lanes, or opens the lane for another group than before.
    Refused,
}

/// Lanes one edge may have open. Reason: each is a group's; a broken edge must not fill the origin.
const MAX_LANES: usize = 50_000;

/// Time between two looks at the clock after which the process must have been stopped.
const STOPPED: Duration = Duration::from_millis(1250);

/// How soon an edge asks again for a group that may live elsewhere.
const RETRY: Duration = Duration::from_millis(250);

impl Edges {
    pub(super) fn new(shared: Rc<Shared>) -> Rc<Self> {
        let cluster = shared.config.cluster.as_ref();
        Rc::new(Self {
            edges: RefCell::default(),
            lanes: Lanes::default(),
            next_lane: Cell::new(1),
            drain: RefCell::default(),
            peers: Peers::new(cluster.map_or(&[], |cluster| &cluster.origins)),
            known_edges: cluster.map(|cluster| KnownEdges::new(cluster.edges.clone())),
            leaving: RefCell::default(),
            asked: RefCell::default(),
            shared: Rc::clone(&shared),
            awake: Cell::new(Instant::now()),
        })
    }

    /// Whether no groups are taken: they move to other origins, or are about to stop.
    pub(super) fn takes_nothing(&self) -> bool {
        self.shared.ownership.get().standing() != OriginStanding::Serving
    }

    /// The edge processes that are known: their names and start epochs.
    pub(super) fn processes(&self) -> Vec<(Arc<str>, u64)> {
        let edges = self.edges.borrow();
        let processes = edges.keys().map(|key| (Arc::clone(&key.name), key.epoch));
        processes.collect()
    }

    pub(super) fn all(&self) -> Vec<Rc<Edge>> {
        self.edges.borrow().values().cloned().collect()
    }

    /// Queues a control frame to every edge with a link.
    pub(super) fn tell_all(&self, control: &Control) {
        for edge in self.edges.borrow().values() {
            edge.tell(control.clone());
        }
    }

    /// Looks at the clock. After a stop of the process, lanes that the grace time no longer covers
    /// end here, so the call comes before received bytes are applied.
    pub(super) fn wake(self: &Rc<Self>) {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.awake.replace(now));
        if passed < STOPPED {
            return;
        }
        tracing::warn!(
            for_ms = passed.as_millis() as u64,
            "the process was stopped"
        );
        self.shared.ownership.change(|it| it.postpone(passed));
        for edge in self.all() {
            let silent = now.saturating_duration_since(edge.heard_at());
            if silent > IDLE {
                // The edge has given this link up; it sends its frames again on the next.
                self.fence(&edge);
                self.end_overdue(&edge);
            }
            for lane in edge.lanes() {
                lane.state.borrow_mut().excuse(now);
            }
        }
    }

    /// Ends the lanes that no stream has carried for their grace time, on links that are up.
    pub(super) fn sweep(self: &Rc<Self>) {
        self.wake();
        let now = Instant::now();
        self.decide(|it, now, here| it.tick(now, here));
        for edge in self.all() {
            edge.listen(now);
            let (is_silent, has_link) = (edge.is_silent(), edge.link().is_some());
            for lane in edge.lanes() {
                lane.silence(is_silent);
                if has_link && lane.is_overdue(now) {
                    lane.end(CloseReason::OriginLost);
                }
            }
            edge.forget_ended();
        }
    }

    /// The edge process of this hello, unless it has a newer link.
    pub(super) fn edge_of(&self, hello: &Hello) -> Option<Rc<Edge>> {
        let name: Arc<str> = hello.node.as_str().into();
        let key = EdgeKey {
            name: Arc::clone(&name),
            epoch: hello.epoch,
        };
        let mut edges = self.edges.borrow_mut();
        let edge = edges
            .entry(key)
            .or_insert_with(|| Edge::new(name, hello.epoch, self.shared.metrics.clone()));
        if hello.incarnation <= edge.incarnation.get() {
            return None;
        }
        edge.greeted(hello);
        Some(Rc::clone(edge))
    }

    /// Closes an older link of the process; its unsent bytes are lost.
    pub(super) fn fence(self: &Rc<Self>, edge: &Rc<Edge>) {
        if let Some(older) = edge.link() {
            older.close(CloseCode::Fenced);
            self.edge_lost(edge, &LinkError::Local);
        }
    }

    /// Ends the lanes that the grace time no longer covers, now that a link of the edge is back.
    /// The call comes before the first read from the link.
    pub(super) fn end_overdue(&self, edge: &Edge) {
        let Some(lost) = edge.lost_at() else { return };
        let now = Instant::now();
        for lane in edge.lanes() {
            if now.duration_since(lost) >= lane.grace() {
                lane.end(CloseReason::OriginLost);
            }
        }
        edge.forget_ended();
    }

    /// Handles the loss of an edge's link: its lanes wait for the next one, each for its grace
    /// time.
    pub(super) fn edge_lost(self: &Rc<Self>, edge: &Rc<Edge>, error: &LinkError) {
        edge.link_lost(error, Instant::now());
        let metrics = &self.shared.metrics;
        metrics.links.dec();
        metrics.capacity.remove(&edge.place.borrow());
        metrics.lost.inc();
        if error.is_orderly() {
            tracing::info!(edge = %edge.name, %error, "link ends");
        } else {
            tracing::warn!(edge = %edge.name, %error, "link lost");
        }
        let lost = edge.heard_at();
        let lanes = edge.lanes();
        let mut graces: Vec<Duration> = lanes.iter().map(|lane| lane.grace()).collect();
        for lane in &lanes {
            lane.disconnect(lost);
            lane.outage(true);
        }
        self.shared.progress.notify_waiters();
        graces.sort_unstable();
        graces.dedup();
        let (edges, edge) = (Rc::clone(self), Rc::clone(edge));
        spawn_local(async move {
            for grace in graces {
                tokio::time::sleep_until((lost + grace).into()).await;
                if edge.lost_at() != Some(lost) {
                    return;
                }
                edges.end_overdue(&edge);
            }
            edges.forget(&edge);
        });
    }

    /// Forgets an edge process that has no lanes and no link.
    pub(super) fn forget(&self, edge: &Rc<Edge>) {
        edge.forget_ended();
        if edge.link().is_none() && edge.lane_count() == 0 {
            let ownership = &self.shared.ownership;
            ownership.change(|it| it.edge_gone(&edge.name, edge.epoch));
            let key = EdgeKey {
                name: Arc::clone(&edge.name),
                epoch: edge.epoch,
            };
            self.edges.borrow_mut().remove(&key);
        }
    }

    /// Forgets every edge process that has no lanes and no link.
    pub(super) fn forget_unused(&self) {
        for edge in self.all() {
            self.forget(&edge);
        }
    }

    /// Waits until no edge with a link has frames left to acknowledge.
    pub(super) async fn acknowledged(&self) {
        loop {
            let progress = self.shared.progress.notified();
            let is_busy = |edge: &Rc<Edge>| edge.link().is_some() && edge.is_busy();
            if !self.all().iter().any(is_busy) {
                return;
            }
            progress.await;
        }
    }

    /// Decides on a lane's opening.
    pub(super) fn admit(self: &Rc<Self>, edge: &Rc<Edge>, open: OpenLane) -> LaneAdmission {
        let shared = &self.shared;
        if let Some(lane) = edge.lane(open.lane) {
            if lane.name != open.group {
                return LaneAdmission::Refused;
            }
            shared.metrics.resumed.inc();
            return LaneAdmission::Lane {
                lane,
                received_by_edge: open.resume.unwrap_or(0),
                is_restored: false,
            };
        }
        let begins = open.resume.is_none_or(|received| received == 0);
        if open.restore && (!begins || shared.config.cluster.is_none()) {
            return LaneAdmission::Unknown;
        }
        if open.resume.is_some() && !open.restore {
            return LaneAdmission::Unknown;
        }
        if edge.lane_count() >= MAX_LANES {
            return LaneAdmission::Refused;
        }
        match shared.ownership.get().admit(&open, Instant::now(), &**self) {
            Admission::Open if edge.may_open_lane(Instant::now()) => {}
            Admission::Open | Admission::Wait => return LaneAdmission::Wait(RETRY),
            Admission::Unknown => return LaneAdmission::Unknown,
        }
        LaneAdmission::Lane {
            is_restored: open.restore,
            lane: self.open_lane(edge, open),
            received_by_edge: 0,
        }
    }

    fn open_lane(self: &Rc<Self>, edge: &Rc<Edge>, open: OpenLane) -> Rc<Lane> {
        let key = LaneKey(self.next_lane.get());
        self.next_lane.set(key.0 + 1);
        let known_as = edge.known_as.borrow().clone();
        if open.restore {
            self.shared
                .ownership
                .change(|it| it.is_restored(&open.group));
        }
        let brought = open.restore.then(|| {
            let (edges, edge) = (Rc::downgrade(self), Arc::clone(&edge.name));
            let brought: TakeBrought = Box::new(move |lane| {
                if let Some(edges) = edges.upgrade() {
                    edges.decide(|it, now, here| {
                        let number = LaneNumber(lane.key.0);
                        it.has_brought(&edge, &lane.name, number, now, here);
                    });
                }
            });
            brought
        });
        let (lane, commands) = Lane::new(
            Rc::clone(&self.shared),
            Rc::clone(&edge.feeds),
            key,
            LaneEdge {
                name: Arc::clone(&edge.name),
                known_as,
                brought,
            },
            open,
        );
        edge.add_lane(Rc::clone(&lane));
        self.lanes.add(Rc::clone(&lane));
        self.shared.metrics.lanes.inc();
        let (edges, edge, run) = (Rc::clone(self), Rc::clone(edge), Rc::clone(&lane));
        spawn_local(async move {
            Rc::clone(&run).obey(commands).await;
            edges.lanes.forget(&run);
            edge.forget_if_ended(&run);
            edges.shared.progress.notify_waiters();
        });
        lane
    }

    /// Ends the copies of these groups that were started here while `home` was away: their sessions
    /// go home.
    pub(super) fn end_copies(self: &Rc<Self>, home: &str, groups: Vec<GroupName>) {
        let copies = self.decide(|it, now, here| it.are_at_home(home, groups, now, here));
        for group in copies {
            tracing::warn!(%group, home, "its home has it: the copy here is closed");
            for lane in self.lanes.of(&group) {
                lane.close_sessions(CloseReason::Moved);
            }
        }
    }

    /// The load of this origin.
    pub(super) fn heartbeat(&self) -> Control {
        let edges = self.edges.borrow();
        let sessions: usize = edges.values().map(|edge| edge.session_count()).sum();
        Control::Heartbeat {
            sessions: sessions as u64,
            groups: self.shared.ownership.get().group_count() as u64,
        }
    }
}
