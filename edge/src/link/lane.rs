//! One lane: its state, its sessions' ends, and the task that carries it from link to link.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tributary_node::{
    queue::{self, PushError},
    transport::{Link, RecvStream, SendStream, StreamKind},
};
use tributary_protocol::{
    GroupName, LaneId, Message, SessionId,
    link::{
        AudienceId, CloseReason, EdgeLane, FromSession, Generation, Rate, ToSession,
        frame::{FrameReader, MAX_BODY},
        lane_frame::{LaneAnswer, OpenLane},
    },
};

use super::{
    audiences::Audiences,
    driver::Driver,
    handle::{FromOrigin, OpenRequest, Park},
};
use crate::objects::HubOut;

/// A lane of this edge.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) id: LaneId,
    pub(super) group: GroupName,
    /// The origin it goes to.
    pub(super) origin: usize,
    /// It asks whether the group lives there, for clients that name another origin.
    pub(super) only_if_living: bool,
    /// The origin has opened it.
    opened: Cell<bool>,
    pub(super) state: RefCell<EdgeLane>,
    pub(super) sessions: RefCell<HashMap<SessionId, Session>>,
    pub(super) audiences: RefCell<Audiences>,
    pub(super) phase: Cell<Phase>,
    /// Since when it has no sessions.
    pub(super) idle_since: Cell<Option<Instant>>,
    /// The state has something to send, or the lane ended.
    pub(super) wake: Notify,
}

/// Where a lane is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes sessions.
    Open,
    /// Has no sessions and has said so; the origin's acknowledgement is awaited.
    Closing,
    /// Over: its sessions were closed or moved.
    Dead,
}

/// A session's end at its lane.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) inbox: queue::Sender<FromOrigin>,
    pub(super) park: Arc<Park>,
    /// Until the connect is accepted: what it takes to open the session elsewhere.
    pub(super) journal: Option<Box<Journal>>,
    /// What its worker is handed of shared objects.
    pub(super) hub: Option<Arc<HubOut>>,
    pub(super) audiences: Vec<AudienceId>,
    /// The place in the hub that its inbox has been told of.
    pub(super) place: u64,
}

/// What a session has asked for before its connect was accepted.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) request: OpenRequest,
    pub(super) messages: Vec<(Message, Generation)>,
    /// The group does not live at its home: the origin that the client names may have it.
    pub(super) asked_home: bool,
}

/// How a lane's stream came to its end.
enum Outcome {
    /// The link is gone, or the stream; the lane may go on with another.
    Disconnected,
    /// The origin does not know the lane any more.
    Unknown,
    /// The origin takes no lane now.
    Refused,
    /// Ask again later.
    Wait(Duration),
    /// The lane was ended here and the origin has it all.
    Done,
}

/// How long the origin may take to answer a lane's opening.
const ANSWER: Duration = Duration::from_secs(5);

/// What one write hands to QUIC at most, in bytes.
const WRITE: usize = 32 * 1024;

impl Lane {
    pub(super) fn new(
        id: LaneId,
        group: GroupName,
        origin: usize,
        only_if_living: bool,
        rate: Rate,
    ) -> Rc<Self> {
        Rc::new(Self {
            id,
            group,
            origin,
            only_if_living,
            opened: Cell::new(false),
            state: RefCell::new(EdgeLane::new(rate)),
            sessions: RefCell::default(),
            audiences: RefCell::default(),
            phase: Cell::new(Phase::Open),
            idle_since: Cell::new(Some(Instant::now())),
            wake: Notify::new(),
        })
    }

    /// Queues an event of a session.
    pub(super) fn send(&self, session: SessionId, event: FromSession) {
        self.state.borrow_mut().send(session, event);
        self.wake.notify_one();
    }

    /// Tells a session something; one that does not keep up is closed.
    pub(super) fn tell(&self, session: SessionId, what: FromOrigin, weight: usize) {
        if self.tell_place(session).is_err() {
            return self.close_slow(session);
        }
        let Some(inbox) = self
            .sessions
            .borrow()
            .get(&session)
            .map(|state| state.inbox.clone())
        else {
            return;
        };
        if let Err(PushError::Full(_)) = inbox.push(what, weight + ITEM) {
            self.close_slow(session);
        }
    }

    /// Tells every session how the link stands. A session that hangs with too many of them unread
    /// goes on with what it has.
    pub(super) fn tell_all(&self, what: impl Fn() -> FromOrigin) {
        for session in self.sessions.borrow().values() {
            let _ = session.inbox.push_control(what());
        }
    }

    /// Tells every session that it is over.
    fn end_all(&self, what: impl Fn() -> FromOrigin) {
        for session in self.sessions.borrow_mut().drain() {
            let _ = session.1.inbox.push_final(what());
        }
    }

    /// Closes the lane, which has no sessions: the origin is told.
    pub(super) fn close(&self) {
        self.phase.set(Phase::Closing);
        self.state.borrow_mut().end();
        self.wake.notify_one();
    }

    /// Ends the lane and closes every session that is still in it.
    pub(super) fn end(&self, reason: CloseReason) {
        self.end_all(|| ToSession::Close(reason).into());
        self.phase.set(Phase::Dead);
        self.wake.notify_one();
    }

    /// The origin of a lane that closes is gone for good: there is nobody to tell.
    pub(super) fn give_up_closing(&self) {
        if self.phase.get() == Phase::Closing {
            self.phase.set(Phase::Dead);
            self.wake.notify_one();
        }
    }

    /// Carries the lane over its origin's links until it ends.
    pub(super) async fn run(self: Rc<Self>, driver: Rc<Driver>) {
        while self.goes_on() {
            let Some(link) = self.link(&driver).await else {
                break;
            };
            let outcome = self.on_link(&driver, &link).await;
            self.state.borrow_mut().disconnected();
            match outcome {
                Outcome::Disconnected if self.is_told() => break,
                Outcome::Disconnected if link.is_closed() => driver.link_closed(self.origin).await,
                Outcome::Disconnected => tokio::time::sleep(Duration::from_millis(50)).await,
                Outcome::Unknown => driver.lane_unknown(&self),
                Outcome::Refused => {
                    self.end_all(|| FromOrigin::NoOrigin);
                    self.phase.set(Phase::Dead);
                }
                Outcome::Wait(time) => {
                    tokio::time::sleep(time).await;
                    // By then the group's home may be back.
                    driver.place_again(&self);
                }
                Outcome::Done => break,
            }
        }
        driver.forget_lane(&self);
    }

    /// Whether the lane needs a link. One that closes has to tell its origin, if that knows of it.
    fn goes_on(&self) -> bool {
        match self.phase.get() {
            Phase::Open => true,
            Phase::Closing => self.opened.get(),
            Phase::Dead => false,
        }
    }

    /// Whether the lane closes and its origin has all it has to say.
    fn is_told(&self) -> bool {
        self.phase.get() == Phase::Closing && self.state.borrow().is_settled()
    }

    /// The link to the lane's origin, once there is one; `None` if the lane ends before.
    async fn link(&self, driver: &Driver) -> Option<Link> {
        let mut links = driver.links(self.origin);
        loop {
            if !self.goes_on() {
                return None;
            }
            if let Some(link) = links.borrow_and_update().clone() {
                return Some(link);
            }
            tokio::select! {
                changed = links.changed() => changed.ok()?,
                () = self.wake.notified() => {}
            }
        }
    }

    async fn on_link(&self, driver: &Rc<Driver>, link: &Link) -> Outcome {
        let Ok((mut send, mut recv)) = link.open_lane(StreamKind::Lane).await else {
            return Outcome::Disconnected;
        };
        let mut reader = FrameReader::new(MAX_BODY);
        let opening = self.open_stream(driver, &mut send, &mut recv, &mut reader);
        match tokio::time::timeout(ANSWER, opening).await {
            Ok(Some(LaneAnswer::Open { received })) => {
                self.opened.set(true);
                if let Err(error) = self.state.borrow_mut().connected(received) {
                    tracing::error!(group = %self.group, %error, "lane cannot be resumed");
                    return Outcome::Unknown;
                }
            }
            Ok(Some(LaneAnswer::Unknown)) => return Outcome::Unknown,
            Ok(Some(LaneAnswer::Wait { retry_ms })) => {
                return Outcome::Wait(Duration::from_millis(u64::from(retry_ms.min(1000))));
            }
            Ok(Some(_)) => return Outcome::Refused,
            Ok(None) | Err(_) => return Outcome::Disconnected,
        }
        tokio::select! {
            outcome = self.read(driver, link, &mut recv, reader) => outcome,
            outcome = self.write(driver, &mut send) => outcome,
        }
    }

    async fn open_stream(
        &self,
        driver: &Driver,
        send: &mut SendStream,
        recv: &mut RecvStream,
        reader: &mut FrameReader,
    ) -> Option<LaneAnswer> {
        let resume = {
            let state = self.state.borrow();
            state.has_history().then(|| state.received())
        };
        let home = driver.home(&self.group);
        let open = OpenLane {
            lane: self.id,
            group: self.group.clone(),
            home,
            resume,
            only_if_living: self.only_if_living,
        };
        let mut out = BytesMut::new();
        open.encode(&mut out);
        send.write(&mut [out.freeze()]).await.ok()?;
        let mut pieces = Vec::new();
        loop {
            match reader.poll_frame() {
                Ok(Some(frame)) => return LaneAnswer::decode(&frame).ok(),
                Ok(None) => {}
                Err(_) => return None,
            }
            if !recv.read(&mut pieces).await.ok()? {
                return None;
            }
            for piece in pieces.drain(..) {
                reader.push(&piece);
            }
        }
    }

    /// Takes in whatever comes, at once: what a session cannot hold is that session's trouble.
    async fn read(
        &self,
        driver: &Rc<Driver>,
        link: &Link,
        recv: &mut RecvStream,
        mut opening: FrameReader,
    ) -> Outcome {
        let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
        loop {
            {
                // A worker whose sessions hear several things wakes once.
                let _together = queue::gather();
                for piece in pieces.drain(..) {
                    let result = self.state.borrow_mut().handle_bytes(Instant::now(), &piece);
                    if let Err(error) = result {
                        driver.protocol_error(link, &error);
                        return Outcome::Disconnected;
                    }
                }
                self.settle(driver);
            }
            self.wake.notify_one();
            match recv.read(&mut pieces).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Outcome::Disconnected,
            }
        }
    }

    /// Hands on what the state has to tell.
    pub(super) fn settle(&self, driver: &Rc<Driver>) {
        loop {
            let event = self.state.borrow_mut().poll_event();
            let Some(event) = event else { break };
            driver.handle_event(self, event);
        }
    }

    async fn write(&self, driver: &Rc<Driver>, send: &mut SendStream) -> Outcome {
        let mut pieces: Vec<Bytes> = Vec::new();
        loop {
            let mut size = 0;
            while size < WRITE
                && let Some(bytes) = self.state.borrow_mut().poll_transmit(Instant::now())
            {
                size += bytes.len();
                pieces.push(bytes);
            }
            self.settle(driver);
            if !pieces.is_empty() {
                if send.write(&mut pieces).await.is_err() {
                    return Outcome::Disconnected;
                }
                pieces.clear();
                continue;
            }
            send.set_in_bulk(self.state.borrow().is_blocked());
            match self.phase.get() {
                Phase::Open => {}
                Phase::Closing if !self.state.borrow().is_settled() => {}
                Phase::Closing => {
                    send.finish();
                    return Outcome::Done;
                }
                Phase::Dead => {
                    send.reset();
                    return Outcome::Done;
                }
            }
            let due = self.state.borrow().poll_timeout();
            match due {
                None => self.wake.notified().await,
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
            }
        }
    }
}

/// What an item without a payload weighs in a session's inbox, in bytes.
pub(super) const ITEM: usize = 64;
