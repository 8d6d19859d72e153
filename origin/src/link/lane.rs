//! One lane at the origin: between its group's actor and the link that carries it at the moment.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::Notify, task::AbortHandle};
use tributary_node::queue;
use tributary_protocol::{
    GroupName, LaneId, MessageStreamId, SessionId,
    link::{
        CloseReason, FromSession, HandedOver, OriginLane, Target, features, lane_frame::OpenLane,
    },
};

use super::{feeds::Feeds, shared::Shared};
use crate::{
    group::{GroupHandle, OpenRefused},
    live::LiveStream,
    session::{LaneCommand, LaneKey, LaneOut, Mail},
};

mod carry;
mod events;
mod follow;
mod readers;
mod restore;

pub(super) use carry::Carrier;

/// A lane of this origin.
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) id: LaneId,
    pub(super) name: GroupName,
    shared: Rc<Shared>,
    feeds: Rc<Feeds>,
    /// The edges' names for the group's home, and for this origin.
    home: String,
    known_as: String,
    /// Called once the edge has restored the lane.
    brought: RefCell<Option<TakeBrought>>,
    /// The group, once there is a session for it. While the group is refused, each session asks for
    /// it again.
    group: RefCell<Option<GroupHandle>>,
    out: LaneOut,
    pub(super) state: RefCell<OriginLane>,
    /// The live stream that each message stream of a session plays.
    playing: RefCell<HashMap<StreamKey, Arc<LiveStream>>>,
    /// The accepted publishes whose feed has not ended.
    publishing: RefCell<HashMap<StreamKey, Accepted>>,
    /// Events of sessions that wait for the end of a feed, with the number of the wait.
    held: RefCell<HashMap<SessionId, (u64, VecDeque<FromSession>)>>,
    holds: Cell<u64>,
    /// Counts the streams that carried the lane: an older one is over.
    turn: Cell<u64>,
    /// Since when no stream carries it.
    uncarried: Cell<Option<Instant>>,
    /// Whether the last notice to the group was a lost link.
    told_lost: Cell<bool>,
    /// Whether the last notice to the group was a silent edge.
    told_silent: Cell<bool>,
    /// Whether it counts as a lane of a group that is here.
    is_resident: Cell<bool>,
    /// Whether its sessions go on at another origin: it is over once the edge has its end.
    has_moved: Cell<bool>,
    over: Cell<bool>,
    ended: Notify,
    wake: Notify,
}

/// The edge of a lane.
pub(super) struct LaneEdge {
    /// From its certificate.
    pub(super) name: Arc<str>,
    /// Its name for this origin.
    pub(super) known_as: String,
    /// Called once the edge has restored the lane, if it does.
    pub(super) brought: Option<TakeBrought>,
}

/// Takes a lane that its edge has restored.
pub(super) type TakeBrought = Box<dyn FnOnce(Rc<Lane>)>;

/// A publish that is accepted, until its feed or the publish ends.
struct Accepted {
    target: Target<Arc<LiveStream>>,
    /// The task that sends PublishRead; an edge without the feature gets none.
    reports: Option<AbortHandle>,
}

/// A message stream of a session.
type StreamKey = (SessionId, MessageStreamId);

/// A lane without a group is forgotten when nothing has carried it for this long.
const FORGOTTEN: Duration = Duration::from_secs(1);

impl Lane {
    /// A lane of an edge; the commands of its group go to [`Lane::obey`].
    pub(super) fn new(
        shared: Rc<Shared>,
        feeds: Rc<Feeds>,
        key: LaneKey,
        edge: LaneEdge,
        open: OpenLane,
    ) -> (Rc<Self>, queue::Receiver<LaneCommand>) {
        let (mut out, commands) = LaneOut::new(key, edge.name);
        if let Some(cluster) = &shared.config.cluster
            && feeds.supports(features::RESTORE)
        {
            out = out.remembering(cluster.key.clone(), open.group.clone());
        }
        let mut state = OriginLane::new(shared.config.max_message, shared.budget.clone());
        if open.restore {
            state = state.restoring();
        }
        let lane = Rc::new(Self {
            key,
            id: open.lane,
            name: open.group,
            shared,
            feeds,
            home: open.home,
            known_as: edge.known_as,
            brought: RefCell::new(edge.brought),
            group: RefCell::default(),
            out,
            state: RefCell::new(state),
            playing: RefCell::default(),
            publishing: RefCell::default(),
            held: RefCell::default(),
            holds: Cell::new(0),
            turn: Cell::new(0),
            uncarried: Cell::new(Some(Instant::now())),
            told_lost: Cell::new(false),
            told_silent: Cell::new(false),
            is_resident: Cell::new(false),
            has_moved: Cell::new(false),
            over: Cell::new(false),
            ended: Notify::new(),
            wake: Notify::new(),
        });
        (lane, commands)
    }

    /// Whether the lane has ended; its last frames may still leave.
    pub(super) fn is_over(&self) -> bool {
        self.over.get()
    }

    /// How long the lane's sessions outlive their link.
    pub(super) fn grace(&self) -> Duration {
        let group = self.group.borrow();
        let group = group.as_ref();
        group.map_or(Duration::ZERO, |group| group.application().grace_time.get())
    }

    /// Whether no stream has carried the lane for its grace time: the edge has given it up.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let since = self.uncarried.get();
        since.is_some_and(|since| {
            now.saturating_duration_since(since) >= self.grace().max(FORGOTTEN)
        })
    }

    /// The stream that carries the lane is over, and nothing it still brings is applied.
    pub(super) fn disconnect(&self, since: Instant) {
        self.turn.set(self.turn.get() + 1);
        self.state.borrow_mut().disconnected();
        if self.uncarried.get().is_none() {
            self.uncarried.set(Some(since));
        }
        self.wake.notify_waiters();
    }

    /// Joins the lane's group, which its application or a limit may refuse.
    fn join_group(&self) -> Result<GroupHandle, OpenRefused> {
        if let Some(group) = &*self.group.borrow() {
            return Ok(group.clone());
        }
        let group = self.shared.groups.open(&self.name, self.key)?;
        *self.group.borrow_mut() = Some(group.clone());
        self.is_resident.set(true);
        let ownership = &self.shared.ownership;
        ownership.change(|it| it.lane_joined(&self.name, &self.home, &self.known_as));
        Ok(group)
    }

    fn mail(&self, mail: Mail) {
        if let Some(group) = &*self.group.borrow() {
            group.send(mail);
        }
    }

    /// Notifies the group that the link is lost, or is back.
    pub(super) fn outage(&self, lost: bool) {
        if self.told_lost.replace(lost) == lost {
            return;
        }
        self.mail(Mail::Outage {
            lane: self.key,
            lost,
        });
    }

    /// Notifies the group that the edge is silent, or is heard again.
    pub(super) fn silence(&self, silent: bool) {
        if self.told_silent.replace(silent) != silent {
            let lane = self.key;
            self.mail(Mail::Silence { lane, silent });
        }
    }

    /// Whether it has had a session that its group has.
    pub(super) fn has_group(&self) -> bool {
        self.group.borrow().is_some()
    }

    /// Whether a link of its edge carries it.
    pub(super) fn has_link(&self) -> bool {
        self.uncarried.get().is_none()
    }

    /// Whether nothing has come from the edge for a while.
    pub(super) fn is_silent(&self) -> bool {
        self.told_silent.get()
    }

    /// The edge's name.
    pub(super) fn edge(&self) -> &Arc<str> {
        self.out.edge()
    }

    /// Whether the edge can bring the lane's sessions to another process.
    pub(super) fn follows(&self) -> bool {
        self.out.remembers() && self.feeds.supports(features::MOVE)
    }

    /// Takes nothing in from here on. The group gets what was received.
    pub(super) fn stop_receiving(self: &Rc<Self>) {
        self.state.borrow_mut().stop_receiving();
        self.settle();
        self.release_all();
    }

    /// Ends the lane behind all that its group has sent; its sessions go on elsewhere.
    pub(super) fn hand_over(&self, handed_over: HandedOver) {
        self.out.hand_over(handed_over);
    }

    /// Its sessions go on at another origin, of which its edge gets to know by the end of the lane: at once, or
    /// with its next link.
    pub(super) fn moves(&self) {
        self.has_moved.set(true);
        self.leave_group();
    }

    /// Whether it is neither over nor moved.
    pub(super) fn is_here(&self) -> bool {
        !self.is_over() && !self.has_moved.get()
    }

    /// The sessions that are here.
    pub(super) fn session_count(&self) -> usize {
        match self.has_moved.get() {
            true => 0,
            false => self.state.borrow().session_count(),
        }
    }

    /// Ends a lane that has moved, once its edge knows.
    pub(super) fn end_if_moved(self: &Rc<Self>) {
        if self.has_moved.get() && self.state.borrow().is_handed_over() {
            self.end(CloseReason::Moved);
        }
    }

    /// It is no lane of a group here any more.
    fn leave_group(&self) {
        if self.is_resident.replace(false) {
            self.shared.ownership.change(|it| it.lane_left(&self.name));
        }
    }

    /// Whether its edge has begun to restore it and has not ended.
    pub(super) fn is_brought(&self) -> bool {
        self.brought.borrow().is_some()
    }

    /// Whether the edge has the end of the lane, or no link by which it could get it.
    pub(super) fn is_handed_over(&self) -> bool {
        self.is_over() || !self.has_link() || self.state.borrow().is_handed_over()
    }

    /// Closes every session at both ends.
    pub(super) fn close_sessions(self: &Rc<Self>, reason: CloseReason) {
        self.state.borrow_mut().close_all(reason);
        self.settle();
        self.wake.notify_one();
    }

    /// Ends the lane, and every session in it.
    pub(super) fn end(self: &Rc<Self>, reason: CloseReason) {
        if self.over.replace(true) {
            return;
        }
        self.state.borrow_mut().end(reason);
        let held = std::mem::take(&mut *self.held.borrow_mut());
        for (_, accepted) in self.publishing.borrow_mut().drain() {
            self.feeds.forget(&accepted.target);
        }
        for (session, (_, events)) in held {
            for event in events {
                self.handle_session(session, event);
            }
        }
        self.settle();
        self.shared.metrics.lanes.dec();
        self.leave_group();
        self.group.take();
        self.ended.notify_one();
        self.wake.notify_one();
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(reports) = &self.reports {
            reports.abort();
        }
    }
}
