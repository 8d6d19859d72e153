//! One lane: its state, its sessions, and the links that carry it.

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tributary_protocol::{
    GroupName, LaneId, Message, SessionId,
    link::{CloseReason, EdgeLane, FromSession, Generation, Rate, ToSession, features},
};

use super::{
    handle::{FromOrigin, ObjectInfo},
    origin::Origin,
    session::Waiting,
    shared::Shared,
};
use crate::objects::HubOut;

mod audiences;
mod carry;
mod deliver;
mod parcel;
mod restore;
mod session;
mod sessions;

pub(super) use parcel::MovedLane;
use restore::PlayedStreams;
pub(super) use session::LaneSession;
use sessions::LaneSessions;

/// A lane of this edge.
pub(super) struct Lane {
    pub(super) opening: LaneOpening,
    pub(super) origin: Rc<Origin>,
    shared: Rc<Shared>,
    /// Whether the origin has opened the lane.
    opened: Cell<bool>,
    /// The live streams that sessions play, while the lane can be restored.
    played: RefCell<PlayedStreams>,
    state: RefCell<EdgeLane>,
    sessions: RefCell<LaneSessions>,
    phase: Cell<Phase>,
    /// The time since when it has no sessions.
    idle_since: Cell<Option<Instant>>,
    /// Set once the lane's group goes on at the origin of this name; an empty name is the next process of the
    /// same.
    handed_to: RefCell<Option<String>>,
    /// Whether a stream carries it, or is about to.
    is_carried: Cell<bool>,
    /// Notified when the state has frames to send, or the lane has ended.
    wake: Notify,
}

/// The opening of a lane, as its origin gets it.
#[derive(Debug)]
pub(super) struct LaneOpening {
    pub(super) id: LaneId,
    pub(super) group: GroupName,
    /// The name of the group's home.
    pub(super) home: String,
    /// The lane only asks whether the group lives there, for clients that name another origin.
    pub(super) only_if_living: bool,
    /// The lane brings sessions of the origin's process before to the present one.
    pub(super) restores: bool,
}

/// The phases of a lane's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// New sessions may join.
    Open,
    /// The lane has no sessions and has sent its close; the origin's acknowledgement is awaited.
    Closing,
    /// The lane is over: its sessions were closed or moved.
    Dead,
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} of {}", self.opening.id.0, self.opening.group)
    }
}

/// The end of a lane's task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaneEnd {
    /// The lane is over.
    Over,
    /// The origin does not know the lane any more.
    Unknown,
    /// The origin does not open the lane yet: its sessions are placed again.
    PlaceAgain,
    /// The lane's group goes on at the origin of this name, with the sessions that the lane has.
    HandedOver(String),
}

/// Time for which a lane without sessions is kept. Reason: the next session of its group needs no
/// new lane.
const LANE_IDLE: Duration = Duration::from_secs(10);

impl Lane {
    pub(super) fn new(
        shared: Rc<Shared>,
        origin: Rc<Origin>,
        opening: LaneOpening,
        rate: Rate,
    ) -> Rc<Self> {
        let sessions = LaneSessions::new(opening.id, opening.group.clone());
        // An origin that was never greeted takes what is brought to it, or its process does not.
        let keeps = opening.restores || origin.has(features::RESTORE);
        let state = match keeps {
            true => EdgeLane::new(rate).keeping(),
            false => EdgeLane::new(rate),
        };
        Rc::new(Self {
            opening,
            origin,
            shared,
            opened: Cell::new(false),
            played: RefCell::default(),
            state: RefCell::new(state),
            sessions: RefCell::new(sessions),
            phase: Cell::new(Phase::Open),
            idle_since: Cell::new(Some(Instant::now())),
            handed_to: RefCell::default(),
            is_carried: Cell::new(false),
            wake: Notify::new(),
        })
    }

    pub(super) fn id(&self) -> LaneId {
        self.opening.id
    }

    pub(super) fn group(&self) -> &GroupName {
        &self.opening.group
    }

    /// Whether a session of the lane was accepted.
    pub(super) fn has_accepted(&self) -> bool {
        self.state.borrow().has_accepted()
    }

    /// Whether the lane has exchanged any frame with its origin.
    pub(super) fn has_history(&self) -> bool {
        self.state.borrow().has_history()
    }

    /// Whether the origin has acknowledged everything.
    pub(super) fn is_settled(&self) -> bool {
        self.state.borrow().is_settled()
    }

    /// Looks at the time.
    pub(super) fn tick(&self, now: Instant) {
        self.sessions.borrow_mut().tick(now);
    }

    /// Sessions that open from here on can be restored, if the origin's process permits.
    pub(super) fn keep(&self) {
        if self.origin.has(features::RESTORE) {
            self.state.borrow_mut().keep();
        }
    }

    /// Whether the lane has had no sessions for [`LANE_IDLE`], or has none now and `at_once` is
    /// set.
    pub(super) fn is_idle(&self, now: Instant, at_once: bool) -> bool {
        let is_long = |since| now.duration_since(since) >= LANE_IDLE;
        let since = self.idle_since.get();
        since.is_some_and(|since| at_once || is_long(since))
    }

    /// Opens a session, with the messages that it has sent so far.
    pub(super) fn open(&self, waiting: Waiting) {
        let session = waiting.id;
        {
            let mut state = self.state.borrow_mut();
            let knows_claims = self.origin.has(features::CLAIMS);
            for mut event in waiting.journal.events() {
                if let FromSession::Open(open) = &mut event
                    && !knows_claims
                {
                    open.claims = None;
                }
                state.send(session, event);
            }
        }
        self.sessions.borrow_mut().insert(waiting);
        self.idle_since.set(None);
        self.wake.notify_one();
        self.shared.sessions.insert(session, self.id());
    }

    /// Queues an event of a session.
    pub(super) fn send(&self, session: SessionId, event: FromSession) {
        self.state.borrow_mut().send(session, event);
        self.wake.notify_one();
    }

    /// Queues a message of a session.
    pub(super) fn send_message(
        &self,
        session: SessionId,
        generation: Generation,
        message: Message,
    ) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.note(session, &message, generation);
        drop(sessions);
        let event = FromSession::Message {
            generation,
            message,
        };
        self.send(session, event);
    }

    /// Handles the end of a client's side of a session.
    pub(super) fn session_ended(&self, session: SessionId, reason: CloseReason) {
        self.sessions.borrow_mut().forget(session);
        self.send(session, FromSession::Close(reason));
        self.note_if_empty();
    }

    /// Queues an item about the link for every session.
    pub(super) fn push_all(&self, item: impl Fn() -> FromOrigin) {
        self.sessions.borrow().push_all(item);
    }

    /// Records that the group does not live at its home.
    pub(super) fn home_was_asked(&self) {
        self.sessions.borrow_mut().home_was_asked();
    }

    /// The worker of a session that has come from another process has this hub.
    pub(super) fn adopt(&self, session: SessionId, hub: Option<Arc<HubOut>>) {
        let adopted = self.sessions.borrow_mut().adopt(session, hub);
        if adopted.is_err() {
            self.close_slow(session);
        }
    }

    /// The name of the other origin at which the lane's group goes on.
    fn goes_on_at(&self) -> Option<String> {
        let handed_to = self.handed_to.borrow();
        handed_to.clone().filter(|name| !name.is_empty())
    }

    /// Whether a stream carries the lane, and may bring or take frames.
    pub(super) fn is_carried(&self) -> bool {
        self.is_carried.get()
    }

    /// Queues an item behind everything in the inbox of every session, also of a full one.
    pub(super) fn mark_all(&self, item: impl Fn() -> FromOrigin) {
        self.sessions.borrow().mark_all(item);
    }

    /// Removes a session without a word to the origin.
    pub(super) fn forget(&self, session: SessionId) {
        self.sessions.borrow_mut().forget(session);
    }

    /// Takes all sessions out of the lane, in the order in which they came.
    pub(super) fn take_sessions(&self) -> Vec<(SessionId, LaneSession)> {
        let taken = self.sessions.borrow_mut().take_all();
        for (session, _) in &taken {
            self.shared.sessions.remove(*session);
        }
        taken
    }

    /// Lists the shared objects that sessions use.
    pub(super) fn objects(&self, out: &mut Vec<ObjectInfo>) {
        self.sessions.borrow().objects(out);
    }

    /// The number of shared objects that sessions use.
    pub(super) fn audience_count(&self) -> usize {
        self.sessions.borrow().audience_count()
    }

    /// Whether it is neither over nor about to close.
    pub(super) fn is_open(&self) -> bool {
        self.phase.get() == Phase::Open
    }

    /// Closes the lane, which has no sessions, and sends its close to the origin. A lane that is
    /// over stays so.
    pub(super) fn close(&self) {
        if self.phase.get() == Phase::Open {
            self.phase.set(Phase::Closing);
            self.state.borrow_mut().end();
            self.wake.notify_one();
        }
    }

    /// Ends the lane and closes every session in it.
    pub(super) fn end(&self, reason: CloseReason) {
        self.end_all(|| ToSession::Close(reason).into());
        self.wake.notify_one();
    }

    /// Ends a closing lane whose origin is gone for good.
    pub(super) fn give_up_closing(&self) {
        if self.phase.get() == Phase::Closing {
            self.phase.set(Phase::Dead);
            self.wake.notify_one();
        }
    }

    /// The frames for an origin that has received this many, as the next link would carry them.
    #[cfg(test)]
    pub(super) fn frames(&self, received: u64, now: Instant) -> Vec<bytes::Bytes> {
        let mut state = self.state.borrow_mut();
        state.connected(received).unwrap();
        let frames = std::iter::from_fn(|| state.poll_transmit(now)).collect();
        state.disconnected();
        frames
    }

    fn end_all(&self, item: impl Fn() -> FromOrigin) {
        self.sessions.borrow_mut().end_all(item);
        self.phase.set(Phase::Dead);
    }

    fn note_if_empty(&self) {
        if self.sessions.borrow().is_empty() {
            self.idle_since.set(Some(Instant::now()));
        }
    }

    /// Closes a slow session at both ends.
    fn close_slow(&self, session: SessionId) {
        let reason = CloseReason::SlowReader;
        let forgotten = self.sessions.borrow_mut().forget(session);
        if let Some(state) = forgotten {
            state.session.close(reason);
            self.send(session, FromSession::Close(reason));
        }
    }
}
