//! One lane at the origin: between its group's actor and whatever link carries it.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, VecDeque},
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{sync::Notify, task::spawn_local};
use tributary_node::{
    queue,
    transport::{RecvStream, SendStream},
};
use tributary_protocol::{
    GroupName, LaneId, Message, MessageStreamId, SessionId,
    command::{Command, NetStreamCommand},
    link::{
        CloseReason, LiveId, OriginEvent, OriginLane, Tell, WriterId,
        feed::FeedMessage,
        frame::FrameReader,
        lane_frame::{LaneAnswer, OpenLane},
    },
};

use super::{
    driver::Driver,
    edges::{Edge, Publish},
    handle::{LaneCommand, LaneKey, LaneOut, Mail, SessionKey, ToSession},
    serve::Served,
};
use crate::{
    group::{GroupHandle, OpenRefused, refusal},
    live::LiveStream,
};

/// A lane of this origin.
pub(super) struct Lane {
    pub(super) key: LaneKey,
    pub(super) id: LaneId,
    pub(super) name: GroupName,
    pub(super) edge: Weak<Edge>,
    /// What the edges call the group's home, and this origin.
    home: String,
    known_as: String,
    /// The group, once there is a session for it; asked for again by each session while it is
    /// refused.
    group: RefCell<Option<GroupHandle>>,
    out: LaneOut,
    pub(super) state: RefCell<OriginLane>,
    /// What each message stream of a session plays.
    playing: RefCell<HashMap<(SessionId, MessageStreamId), Arc<LiveStream>>>,
    /// What each message stream of a session publishes.
    publishing: RefCell<HashMap<(SessionId, MessageStreamId), Publishing>>,
    /// Events of sessions that wait for the end of a feed, each wait with its number.
    held: RefCell<HashMap<SessionId, (u64, VecDeque<OriginEvent>)>>,
    holds: Cell<u64>,
    /// Counts the streams that carried the lane: an older one is over.
    turn: Cell<u64>,
    /// Since when no stream carries it.
    uncarried: Cell<Option<Instant>>,
    over: Cell<bool>,
    ended: Notify,
    wake: Notify,
}

/// An accepted publish whose feed has not ended.
struct Publishing {
    live: Arc<LiveStream>,
    writer: WriterId,
}

/// How long the end of a publish waits for the end of its feed: what was published before the
/// command belongs to the stream.
const FEED_END: Duration = Duration::from_secs(1);

/// Commands of a group that are followed before others get a turn.
const COMMANDS: usize = 256;

/// A lane without a group is forgotten when nothing has carried it for this long.
const FORGOTTEN: Duration = Duration::from_secs(1);

/// What one write hands to QUIC at most, in bytes.
const WRITE: usize = 32 * 1024;

impl Lane {
    pub(super) fn new(
        driver: &Rc<Driver>,
        edge: &Rc<Edge>,
        key: LaneKey,
        open: OpenLane,
    ) -> Rc<Self> {
        // The group's output is bounded by its sessions' credit and their requests' answers; what
        // the lane then keeps, by the lane's retention.
        let (commands, receiver) = queue::queue(usize::MAX);
        let lane = Rc::new(Self {
            key,
            id: open.lane,
            edge: Rc::downgrade(edge),
            name: open.group,
            home: open.home,
            known_as: edge.known_as.borrow().clone(),
            group: RefCell::default(),
            out: LaneOut::new(key, Arc::clone(&edge.name), commands),
            state: RefCell::new(OriginLane::new(
                driver.config.max_message,
                driver.budget.clone(),
            )),
            playing: RefCell::default(),
            publishing: RefCell::default(),
            held: RefCell::default(),
            holds: Cell::new(0),
            turn: Cell::new(0),
            uncarried: Cell::new(Some(Instant::now())),
            over: Cell::new(false),
            ended: Notify::new(),
            wake: Notify::new(),
        });
        spawn_local(Rc::clone(&lane).obey(Rc::clone(driver), receiver));
        lane
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

    /// The lane's group, which its application and its limits may refuse.
    fn join_group(&self, driver: &Driver) -> Result<GroupHandle, OpenRefused> {
        if let Some(group) = &*self.group.borrow() {
            return Ok(group.clone());
        }
        let group = driver.groups.open(&self.name, self.key)?;
        *self.group.borrow_mut() = Some(group.clone());
        driver.lives(&self.name, &self.home, &self.known_as);
        Ok(group)
    }

    /// Does what the group says, in its order.
    async fn obey(self: Rc<Self>, driver: Rc<Driver>, mut commands: queue::Receiver<LaneCommand>) {
        while !self.over.get() {
            let command = tokio::select! {
                command = commands.next() => command,
                () = self.ended.notified() => None,
            };
            let Some(command) = command else { break };
            self.handle_command(&driver, command);
            for _ in 1..COMMANDS {
                let Some(command) = commands.try_next() else {
                    break;
                };
                self.handle_command(&driver, command);
            }
            self.settle(&driver);
            self.out.set_unsent(self.state.borrow().unsent());
            self.wake.notify_one();
            // The queue is always ready while its group is faster than this.
            tokio::task::yield_now().await;
        }
    }

    fn handle_command(self: &Rc<Self>, driver: &Rc<Driver>, command: LaneCommand) {
        match command {
            LaneCommand::Session { session, what } => {
                let tell = self.follow(driver, session, what);
                self.state.borrow_mut().tell(session, tell);
            }
            LaneCommand::Audience { audience, what } => {
                self.state.borrow_mut().audience(audience, what);
            }
            LaneCommand::Consumed { session, bytes } => {
                self.state
                    .borrow_mut()
                    .consumed(Instant::now(), session, bytes);
            }
        }
    }

    /// Does what a command means for feeds; returns what the edge is told.
    fn follow(self: &Rc<Self>, driver: &Rc<Driver>, session: SessionId, what: ToSession) -> Tell {
        match what {
            ToSession::Accept => Tell::Accept,
            ToSession::Message { message, after } => Tell::Message { message, after },
            ToSession::Attach { stream, live } => {
                let id = live.id();
                if let Some(edge) = self.edge.upgrade() {
                    edge.attach(driver, &live);
                    let before = self.playing.borrow_mut().insert((session, stream), live);
                    if let Some(before) = before {
                        edge.detach(&before);
                    }
                }
                Tell::Attach { stream, live: id }
            }
            ToSession::Detach { stream, .. } => {
                self.detach(session, stream);
                Tell::Detach { stream }
            }
            ToSession::AcceptPublish {
                stream,
                generation,
                live,
                writer,
            } => {
                let id = live.id();
                if let Some(edge) = self.edge.upgrade() {
                    let publish = Publish {
                        live: Arc::clone(&live),
                        lane: Rc::clone(self),
                        epoch: Rc::default(),
                    };
                    edge.publishes.borrow_mut().insert((id, writer), publish);
                }
                let publishing = Publishing { live, writer };
                self.publishing
                    .borrow_mut()
                    .insert((session, stream), publishing);
                Tell::AcceptPublish {
                    stream,
                    generation,
                    live: id,
                    writer,
                }
            }
            ToSession::StopPublish { stream, generation } => {
                self.forget_publish(session, stream);
                Tell::StopPublish { stream, generation }
            }
            ToSession::Filter { stream, filter } => Tell::Filter { stream, filter },
            ToSession::Close { reason } => {
                self.session_over(session);
                Tell::Close(reason)
            }
        }
    }

    fn detach(&self, session: SessionId, stream: MessageStreamId) {
        let live = self.playing.borrow_mut().remove(&(session, stream));
        if let (Some(live), Some(edge)) = (live, self.edge.upgrade()) {
            edge.detach(&live);
        }
    }

    fn forget_publish(&self, session: SessionId, stream: MessageStreamId) {
        let publishing = self.publishing.borrow_mut().remove(&(session, stream));
        if let (Some(publishing), Some(edge)) = (publishing, self.edge.upgrade()) {
            let key = (publishing.live.id(), publishing.writer);
            edge.publishes.borrow_mut().remove(&key);
        }
    }

    /// Gives up what the session plays and publishes.
    fn session_over(&self, session: SessionId) {
        let of =
            |(owner, stream): &(SessionId, MessageStreamId)| (*owner == session).then_some(*stream);
        let playing: Vec<_> = self.playing.borrow().keys().filter_map(of).collect();
        for stream in playing {
            self.detach(session, stream);
        }
        let publishing: Vec<_> = self.publishing.borrow().keys().filter_map(of).collect();
        for stream in publishing {
            self.forget_publish(session, stream);
        }
        self.held.borrow_mut().remove(&session);
    }

    /// A publish's feed has ended: what waited for that goes on.
    pub(super) fn feed_ended(self: &Rc<Self>, driver: &Rc<Driver>, key: (LiveId, WriterId)) {
        if let Some((session, stream)) = self.publisher(key) {
            self.forget_publish(session, stream);
            self.release(driver, session);
        }
    }

    /// A publisher sends what no feed may carry: its session is closed at both ends.
    pub(super) fn close_publisher(
        self: &Rc<Self>,
        driver: &Rc<Driver>,
        key: (LiveId, WriterId),
        reason: CloseReason,
    ) {
        if let Some((session, _)) = self.publisher(key) {
            self.session_over(session);
            self.state.borrow_mut().close_session(session, reason);
            self.settle(driver);
            self.wake.notify_one();
        }
    }

    /// Writers count for each live stream: both make the publish.
    fn publisher(&self, key: (LiveId, WriterId)) -> Option<(SessionId, MessageStreamId)> {
        let publishing = self.publishing.borrow();
        let mut places = publishing.iter();
        places.find_map(|(&place, publishing)| {
            ((publishing.live.id(), publishing.writer) == key).then_some(place)
        })
    }

    fn release(self: &Rc<Self>, driver: &Rc<Driver>, session: SessionId) {
        let held = self.held.borrow_mut().remove(&session);
        for event in held.into_iter().flat_map(|(_, events)| events) {
            self.handle_event(driver, event);
        }
    }

    /// Hands on what the state has to tell.
    pub(super) fn settle(self: &Rc<Self>, driver: &Rc<Driver>) {
        loop {
            let event = self.state.borrow_mut().poll_event();
            let Some(event) = event else { break };
            self.handle_event(driver, event);
        }
    }

    fn handle_event(self: &Rc<Self>, driver: &Rc<Driver>, event: OriginEvent) {
        let Some(event) = self.hold(driver, event) else {
            return;
        };
        let key = |session| SessionKey {
            lane: self.key,
            session,
        };
        match event {
            OriginEvent::Open { session, open } => match self.join_group(driver) {
                Ok(group) => {
                    let lane = self.out.clone();
                    group.send(Mail::Open {
                        session: key(session),
                        lane,
                        open,
                    });
                }
                Err(refused) => {
                    let mut state = self.state.borrow_mut();
                    for message in refusal(&open, refused) {
                        state.tell(
                            session,
                            Tell::Message {
                                message,
                                after: None,
                            },
                        );
                    }
                    state.tell(session, Tell::Close(refused.reason()));
                    drop(state);
                    driver.note_refused(&self.name, &open, refused);
                    self.wake.notify_one();
                }
            },
            OriginEvent::Message {
                session,
                generation,
                message,
            } => {
                self.mail(Mail::Message {
                    session: key(session),
                    generation,
                    message,
                });
            }
            OriginEvent::Stalled {
                session,
                stream,
                stalled,
            } => {
                self.mail(Mail::Stalled {
                    session: key(session),
                    stream,
                    stalled,
                });
            }
            OriginEvent::Closed { session, reason } => {
                self.session_over(session);
                self.mail(Mail::Closed {
                    session: key(session),
                    reason,
                });
            }
            OriginEvent::SnapshotWanted { audience } => {
                self.mail(Mail::SnapshotWanted { audience });
            }
            OriginEvent::Ended => self.end(driver, CloseReason::Client),
            _ => {}
        }
    }

    /// Keeps back what ends a publish until its feed has ended, and whatever the session says
    /// after it; gives back what need not wait.
    fn hold(self: &Rc<Self>, driver: &Rc<Driver>, event: OriginEvent) -> Option<OriginEvent> {
        let session = match &event {
            OriginEvent::Message { session, .. }
            | OriginEvent::Closed { session, .. }
            | OriginEvent::Stalled { session, .. } => *session,
            OriginEvent::Open { .. } | OriginEvent::Ended => return Some(event),
            _ => return Some(event),
        };
        if let Some((_, held)) = self.held.borrow_mut().get_mut(&session) {
            held.push_back(event);
            return None;
        }
        let ends = match &event {
            OriginEvent::Closed { reason, .. } => {
                // A publisher that is lost has its feed's end on the way; a lost edge has not.
                *reason != CloseReason::OriginLost && self.publishes(session, None)
            }
            OriginEvent::Message { message, .. } => {
                ended_stream(message).is_some_and(|stream| self.publishes(session, Some(stream)))
            }
            _ => false,
        };
        if !ends {
            return Some(event);
        }
        let number = self.holds.get() + 1;
        self.holds.set(number);
        self.held
            .borrow_mut()
            .insert(session, (number, VecDeque::from([event])));
        let (lane, driver) = (Rc::clone(self), Rc::clone(driver));
        spawn_local(async move {
            tokio::time::sleep(FEED_END).await;
            lane.release_late(&driver, session, number);
        });
        None
    }

    /// The feed did not end in time.
    fn release_late(self: &Rc<Self>, driver: &Rc<Driver>, session: SessionId, number: u64) {
        let waits = self.held.borrow().get(&session).map(|(number, _)| *number);
        if waits != Some(number) {
            return;
        }
        let streams: Vec<_> = self.publishing.borrow().keys().copied().collect();
        for (owner, stream) in streams {
            if owner == session {
                self.forget_publish(owner, stream);
            }
        }
        self.release(driver, session);
    }

    fn publishes(&self, session: SessionId, stream: Option<MessageStreamId>) -> bool {
        let publishing = self.publishing.borrow();
        match stream {
            Some(stream) => publishing.contains_key(&(session, stream)),
            None => publishing.keys().any(|(owner, _)| *owner == session),
        }
    }

    /// A message came in a feed: data is the application's business too.
    pub(super) fn data(&self, live: &Arc<LiveStream>, feed: FeedMessage) {
        if feed.number.is_some() && feed.message.kind.is_data() {
            self.mail(Mail::Data {
                live: Arc::clone(live),
                message: feed.message,
            });
        }
    }

    fn mail(&self, mail: Mail) {
        if let Some(group) = &*self.group.borrow() {
            group.send(mail);
        }
    }

    /// The link that carried the lane is lost, or is back.
    pub(super) fn outage(&self, lost: bool) {
        self.mail(Mail::Outage {
            lane: self.key,
            lost,
        });
    }

    /// Closes every session at both ends.
    pub(super) fn close_sessions(self: &Rc<Self>, driver: &Rc<Driver>, reason: CloseReason) {
        self.state.borrow_mut().close_all(reason);
        self.settle(driver);
        self.wake.notify_one();
    }

    /// The lane is over: every session in it ends.
    pub(super) fn end(self: &Rc<Self>, driver: &Rc<Driver>, reason: CloseReason) {
        if self.over.replace(true) {
            return;
        }
        self.state.borrow_mut().end(reason);
        let held = std::mem::take(&mut *self.held.borrow_mut());
        self.publishing.borrow_mut().clear();
        for event in held.into_values().flat_map(|(_, events)| events) {
            self.handle_event(driver, event);
        }
        self.settle(driver);
        if let Some(edge) = self.edge.upgrade() {
            edge.lanes.borrow_mut().remove(&self.id);
            edge.publishes
                .borrow_mut()
                .retain(|_, publish| !Rc::ptr_eq(&publish.lane, self));
        }
        driver.metrics.lanes.dec();
        if self.group.borrow_mut().take().is_some() {
            driver.lives_less(&self.name);
        }
        self.ended.notify_one();
        self.wake.notify_one();
    }

    /// Carries the lane over one stream until that or the lane ends.
    pub(super) async fn carry(
        self: Rc<Self>,
        served: Served,
        received_by_edge: u64,
        (mut send, mut recv): (SendStream, RecvStream),
        reader: FrameReader,
    ) {
        // A stream that carried it before is over, even if that is not known here yet.
        self.disconnect(Instant::now());
        self.uncarried.set(None);
        let turn = self.turn.get();
        let mut answer = BytesMut::new();
        let received = self.state.borrow().received();
        LaneAnswer::Open { received }.encode(&mut answer);
        let connected = self
            .state
            .borrow_mut()
            .connected(Instant::now(), received_by_edge);
        if let Err(error) = connected {
            return served.driver.protocol_error(&served.link, &error);
        }
        if send.write(&mut [answer.freeze()]).await.is_ok() {
            tokio::select! {
                () = self.read(&served, turn, &mut recv, reader) => {}
                () = self.write(&served.driver, turn, &mut send) => {}
            }
        }
        if self.turn.get() == turn {
            self.disconnect(Instant::now());
        }
    }

    async fn read(
        self: &Rc<Self>,
        served: &Served,
        turn: u64,
        recv: &mut RecvStream,
        mut opening: FrameReader,
    ) {
        let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
        loop {
            for piece in pieces.drain(..) {
                let result = self.state.borrow_mut().handle_bytes(Instant::now(), &piece);
                if let Err(error) = result {
                    return served.driver.protocol_error(&served.link, &error);
                }
            }
            self.settle(&served.driver);
            self.wake.notify_one();
            let more = matches!(recv.read(&mut pieces).await, Ok(true));
            if self.over.get() {
                // The rest leaves in its own time.
                std::future::pending::<()>().await;
            }
            if !more || !served.is_current() || self.turn.get() != turn {
                return;
            }
        }
    }

    async fn write(self: &Rc<Self>, driver: &Rc<Driver>, turn: u64, send: &mut SendStream) {
        let mut pieces: Vec<Bytes> = Vec::new();
        while self.turn.get() == turn {
            let now = Instant::now();
            self.state.borrow_mut().handle_timeout(now);
            let mut size = 0;
            while size < WRITE
                && let Some(bytes) = self.state.borrow_mut().poll_transmit(now)
            {
                size += bytes.len();
                pieces.push(bytes);
            }
            self.settle(driver);
            self.out.set_unsent(self.state.borrow().unsent());
            if !pieces.is_empty() {
                if send.write(&mut pieces).await.is_err() {
                    return;
                }
                pieces.clear();
                continue;
            }
            send.set_in_bulk(self.state.borrow().is_blocked());
            if self.over.get() {
                send.finish();
                return;
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

/// The message stream whose publish this command ends, if it is such a command.
fn ended_stream(message: &Message) -> Option<MessageStreamId> {
    if !message.kind.is_command() {
        return None;
    }
    let (name, _) = Command::peek(message.kind, &message.payload)?;
    match name {
        "closeStream" | "publish" => Some(message.stream),
        "deleteStream" => {
            let command = Command::decode(message.kind, &message.payload).ok()?;
            match NetStreamCommand::parse(&command) {
                Ok(NetStreamCommand::DeleteStream(stream)) => Some(stream),
                _ => None,
            }
        }
        _ => None,
    }
}
