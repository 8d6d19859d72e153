//! A lane at its origin: messages put together, credit granted, answers in order.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    CloseReason, FeedPlace, Filter, FrameError, Generation, LiveId, OpenSession, WriterId,
    credit::{Account, Budget, LANE_BUDGET, MESSAGE_COST},
    inbound::{Assembled, Assembly, Inbound},
    lane_frame::{Fragment, Head, MAX_FRAGMENT, ToEdge, ToOrigin},
    outbox::{BATCH, Outbox},
};
use crate::{Message, MessageStreamId, SessionId};

/// What a lane tells its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OriginEvent {
    /// A client asks to connect.
    Open {
        /// Its number.
        session: SessionId,
        /// Who it is.
        open: OpenSession,
    },
    /// A message of a client. Tell [`OriginLane::consumed`] when it has been handled.
    Message {
        /// From whom.
        session: SessionId,
        /// The message stream's generation after it.
        generation: Generation,
        /// The message.
        message: Message,
    },
    /// A publishing client is silent, or no longer.
    Stalled {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// Whether it is silent.
        stalled: bool,
    },
    /// The session is over: the edge ended it, or a limit was exceeded.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// The edge ended the lane.
    Ended,
}

/// One thing an origin tells a session; the lane keeps their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tell {
    /// The connect is accepted.
    Accept,
    /// A message.
    Message {
        /// The message.
        message: Message,
        /// The place in the feed it follows.
        after: Option<FeedPlace>,
    },
    /// A message stream plays this.
    Attach {
        /// The message stream.
        stream: MessageStreamId,
        /// The live stream.
        live: LiveId,
    },
    /// A message stream plays nothing.
    Detach {
        /// The message stream.
        stream: MessageStreamId,
    },
    /// A publish is accepted.
    AcceptPublish {
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
        /// The live stream.
        live: LiveId,
        /// What the feed must carry.
        writer: WriterId,
    },
    /// A publish is refused or over.
    StopPublish {
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
    },
    /// What a viewer gets.
    Filter {
        /// The message stream.
        stream: MessageStreamId,
        /// What passes.
        filter: Filter,
    },
    /// The session is over.
    Close(CloseReason),
}

/// How long a reservation for a long message may stand without a byte of it arriving.
pub const RESERVATION_IDLE: Duration = Duration::from_secs(10);

/// What a lane keeps for its edge at most, in bytes, sent or not. Reason: through an outage of the
/// default grace time, a group of a thousand chatting clients stays below it. A session whose
/// frames no longer fit is closed with [`CloseReason::Retention`].
pub const RETENTION: usize = 16 * 1024 * 1024;

/// How soon a lane asks again when another lane holds the process's budget.
const BUDGET_RETRY: Duration = Duration::from_millis(50);

/// The origin's end of one lane, on whatever connections carry it in turn.
#[derive(Debug)]
pub struct OriginLane {
    sessions: HashMap<SessionId, Session>,
    highest: Option<SessionId>,
    /// Sessions with queued messages towards the edge, in turn.
    turns: VecDeque<SessionId>,
    queued: usize,
    /// Sessions whose message in assembly needs a reservation, first come first served.
    waiting: VecDeque<SessionId>,
    retry: Option<Instant>,
    /// Sessions with a reservation and a message in assembly.
    holders: Vec<SessionId>,
    reserved: u64,
    max_message: u32,
    budget: Budget,
    outbox: Outbox,
    inbound: Inbound,
    events: VecDeque<OriginEvent>,
    connected: bool,
}

#[derive(Debug)]
struct Session {
    account: Account,
    assembly: Option<Box<Assembly>>,
    heard: Option<Instant>,
    /// Messages longer than a fragment and whatever follows them; short ones leave at once.
    queue: VecDeque<Queued>,
    /// The origin closed it, or it broke a limit: what still comes is dropped.
    closing: bool,
}

#[derive(Debug)]
struct Queued {
    tell: Tell,
    sent: usize,
}

impl OriginLane {
    /// A lane without sessions whose messages have at most `max_message` bytes and are
    /// promised their memory from `budget`.
    pub fn new(max_message: u32, budget: Budget) -> Self {
        Self {
            sessions: HashMap::new(),
            highest: None,
            turns: VecDeque::new(),
            queued: 0,
            waiting: VecDeque::new(),
            retry: None,
            holders: Vec::new(),
            reserved: 0,
            max_message,
            budget,
            outbox: Outbox::default(),
            inbound: Inbound::new(),
            events: VecDeque::new(),
            connected: false,
        }
    }

    /// A connection carries the lane from here on; the edge has received this many frames.
    pub fn connected(&mut self, now: Instant, received: u64) -> Result<(), FrameError> {
        self.connected = true;
        self.excuse(now);
        self.outbox.resume(received)?;
        // Credit is not numbered: what was granted is said again.
        for (&session, state) in &self.sessions {
            let offset = state.account.limit();
            self.outbox
                .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
        }
        Ok(())
    }

    /// Nothing could arrive until now: whoever holds memory for a message has had no time to send it.
    pub fn excuse(&mut self, now: Instant) {
        for holder in &self.holders {
            if let Some(state) = self.sessions.get_mut(holder) {
                state.heard = Some(now);
            }
        }
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.inbound.disconnected();
    }

    /// Takes in bytes of the lane's stream.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), FrameError> {
        self.inbound.push(bytes);
        while let Some(frame) = self.inbound.next(now)? {
            self.handle_frame(now, ToOrigin::decode(&frame)?)?;
        }
        self.grant_waiting(now);
        Ok(())
    }

    /// Tells a session something.
    pub fn tell(&mut self, session: SessionId, tell: Tell) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.closing {
            return;
        }
        let size = tell.size();
        if self.outbox.retained() + self.queued + size > RETENTION
            && !matches!(tell, Tell::Close(_))
        {
            self.fail(session, CloseReason::Retention);
            return;
        }
        if matches!(tell, Tell::Close(_)) {
            state.closing = true;
        }
        if state.queue.is_empty() && size <= MAX_FRAGMENT {
            self.encode_whole(session, tell);
            return;
        }
        self.queued += size;
        if state.queue.is_empty() {
            self.turns.push_back(session);
        }
        state.queue.push_back(Queued { tell, sent: 0 });
    }

    /// The group has handled a message with this many payload bytes.
    pub fn consumed(&mut self, now: Instant, session: SessionId, bytes: usize) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let freed = state.account.consume(bytes as u64 + MESSAGE_COST);
        self.reserved -= freed;
        self.budget.release(freed);
        self.grant_free(session);
        self.grant_waiting(now);
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<OriginEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// The next bytes for the lane's stream.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if !self.connected {
            return None;
        }
        if self.inbound.ack_due().is_some_and(|due| due <= now) {
            self.append_ack();
        }
        if !self.outbox.is_blocked() {
            self.take_turns();
        }
        if self.outbox.has_unsent() {
            self.append_ack();
        }
        self.outbox.poll_transmit()
    }

    /// Whether there is more to send than the window takes: the lane is in bulk.
    pub fn is_blocked(&self) -> bool {
        self.outbox.is_blocked()
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_transmit`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ack = if self.connected {
            self.inbound.ack_due()
        } else {
            None
        };
        let idle = self
            .holders
            .iter()
            .filter(|_| self.connected)
            .filter_map(|id| self.sessions.get(id)?.heard)
            .map(|heard| heard + RESERVATION_IDLE)
            .min();
        [ack, idle, self.retry].into_iter().flatten().min()
    }

    /// Closes sessions that hold memory for a message and send nothing; asks for budget again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connected {
            let sessions = &self.sessions;
            let idle = |id: &SessionId| {
                let heard = sessions.get(id).and_then(|session| session.heard);
                heard.is_some_and(|heard| heard + RESERVATION_IDLE <= now)
            };
            let late: Vec<_> = self.holders.iter().copied().filter(idle).collect();
            for session in late {
                self.fail(session, CloseReason::Limit);
            }
        }
        if self.retry.is_some_and(|retry| retry <= now) {
            self.grant_waiting(now);
        }
    }

    /// Closes a session, at both ends; the event [`OriginEvent::Closed`] follows.
    pub fn close_session(&mut self, session: SessionId, reason: CloseReason) {
        self.fail(session, reason);
    }

    /// Closes every session, at both ends.
    pub fn close_all(&mut self, reason: CloseReason) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for session in ids {
            self.fail(session, reason);
        }
    }

    /// The lane is over: every session of it is closed with `reason`.
    pub fn end(&mut self, reason: CloseReason) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for session in ids {
            if self.remove(session).is_some_and(|state| !state.closing) {
                self.events
                    .push_back(OriginEvent::Closed { session, reason });
            }
        }
    }

    /// Numbered frames received: what the answer to the lane's opening states.
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    /// How many sessions the lane has.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes kept for the edge.
    pub fn retained(&self) -> usize {
        self.outbox.retained() + self.queued
    }

    fn append_ack(&mut self) {
        if let Some(received) = self.inbound.take_ack() {
            self.outbox
                .append_unnumbered(|out| ToEdge::Ack(received).encode(out));
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: ToOrigin) -> Result<(), FrameError> {
        match frame {
            ToOrigin::Ack(received) => self.outbox.acknowledge(received),
            ToOrigin::Open { session, open } => self.handle_open(session, open),
            ToOrigin::Fragment { session, fragment } => {
                self.handle_fragment(now, session, &fragment)
            }
            ToOrigin::Close { session, reason } => {
                self.known(session)?;
                if self.remove(session).is_some_and(|state| !state.closing) {
                    self.events
                        .push_back(OriginEvent::Closed { session, reason });
                }
                Ok(())
            }
            ToOrigin::Stalled {
                session,
                stream,
                stalled,
            } => {
                if self.known(session)?.is_some_and(|state| !state.closing) {
                    self.events.push_back(OriginEvent::Stalled {
                        session,
                        stream,
                        stalled,
                    });
                }
                Ok(())
            }
            ToOrigin::End => {
                self.events.push_back(OriginEvent::Ended);
                Ok(())
            }
        }
    }

    fn handle_open(&mut self, session: SessionId, open: OpenSession) -> Result<(), FrameError> {
        // Not every number rises: threads of an edge give them out, and sessions change lanes.
        if self.sessions.contains_key(&session) {
            return Err(FrameError::Session(session.0));
        }
        self.highest = self.highest.max(Some(session));
        let state = Session {
            account: Account::new(),
            assembly: None,
            heard: None,
            queue: VecDeque::new(),
            closing: false,
        };
        self.sessions.insert(session, state);
        self.events.push_back(OriginEvent::Open { session, open });
        Ok(())
    }

    fn handle_fragment(
        &mut self,
        now: Instant,
        session: SessionId,
        fragment: &Fragment,
    ) -> Result<(), FrameError> {
        let max = self.max_message;
        let Some(state) = self.known(session)? else {
            return Ok(());
        };
        if state.closing {
            return Ok(());
        }
        let mut cost = fragment.data.len() as u64;
        if let Some(head) = &fragment.head {
            state.account.begin(u64::from(head.length));
            cost += MESSAGE_COST;
        }
        if !state.account.receive(cost) {
            return Err(FrameError::Credit(session.0));
        }
        if fragment.head.is_some_and(|head| head.length > max) {
            self.fail(session, CloseReason::Limit);
            return Ok(());
        }
        state.heard = Some(now);
        let partial = state.assembly.take().map(|assembly| *assembly);
        match Assembly::add(partial, fragment)? {
            Assembled::Partial(assembly) => {
                state.assembly = Some(Box::new(assembly));
                if fragment.head.is_some() && state.account.lacking() > 0 {
                    self.grant_free(session);
                    self.wait(session);
                }
            }
            Assembled::Whole(head, message) => {
                state.heard = None;
                self.holders.retain(|&holder| holder != session);
                self.events.push_back(OriginEvent::Message {
                    session,
                    generation: head.generation,
                    message,
                });
            }
        }
        Ok(())
    }

    fn wait(&mut self, session: SessionId) {
        if self
            .sessions
            .get(&session)
            .is_some_and(|state| state.account.lacking() > 0)
        {
            self.waiting.push_back(session);
        }
    }

    /// Grants what needs no reservation.
    fn grant_free(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if !state.closing
            && let Some(offset) = state.account.free_grant()
        {
            self.outbox
                .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
        }
    }

    /// Grants reservations in the order they were asked for, each whole or not at all.
    fn grant_waiting(&mut self, now: Instant) {
        self.retry = None;
        while let Some(&session) = self.waiting.front() {
            let Some(state) = self
                .sessions
                .get_mut(&session)
                .filter(|state| !state.closing)
            else {
                self.waiting.pop_front();
                continue;
            };
            let lacking = state.account.lacking();
            if lacking > 0 {
                let lane_has_room = self.reserved == 0 || self.reserved + lacking <= LANE_BUDGET;
                if !lane_has_room {
                    break;
                }
                if !self.budget.reserve(lacking) {
                    self.retry = Some(now + BUDGET_RETRY);
                    break;
                }
                self.reserved += lacking;
                let offset = state.account.reserve(lacking);
                // The ten seconds without a byte begin with the grant.
                state.heard = Some(now);
                self.holders.push(session);
                self.outbox
                    .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
            }
            self.waiting.pop_front();
        }
    }

    /// Closes a session from this side, for both ends. The edge drops what it has of a message
    /// under way when it reads the close.
    fn fail(&mut self, session: SessionId, reason: CloseReason) {
        if self.remove(session).is_some() {
            self.outbox
                .append(|out| ToEdge::Close { session, reason }.encode(out));
            self.events
                .push_back(OriginEvent::Closed { session, reason });
        }
    }

    /// Forgets a session and gives back what it held.
    fn remove(&mut self, session: SessionId) -> Option<Session> {
        let mut state = self.sessions.remove(&session)?;
        let reserved = state.account.take_reserved();
        self.reserved -= reserved;
        self.budget.release(reserved);
        self.queued -= state.queue.iter().map(Queued::left).sum::<usize>();
        self.holders.retain(|&holder| holder != session);
        self.waiting.retain(|&waiting| waiting != session);
        Some(state)
    }

    /// The session, if it is open here; an error if it never was.
    fn known(&mut self, session: SessionId) -> Result<Option<&mut Session>, FrameError> {
        if Some(session) > self.highest {
            return Err(FrameError::Session(session.0));
        }
        Ok(self.sessions.get_mut(&session))
    }

    fn encode_whole(&mut self, session: SessionId, tell: Tell) {
        let closes = matches!(tell, Tell::Close(_));
        self.outbox.append(|out| tell.frame(session).encode(out));
        if closes {
            self.remove(session);
        }
    }

    /// Encodes one fragment of each session in turn, until a batch is full.
    fn take_turns(&mut self) {
        let mut encoded = 0;
        while encoded < BATCH {
            let Some(id) = self.turns.pop_front() else {
                break;
            };
            let Some(state) = self.sessions.get_mut(&id) else {
                continue;
            };
            let Some(front) = state.queue.front_mut() else {
                continue;
            };
            let left = front.left();
            let frame = front.next_frame(id);
            let done = front.is_done();
            let after = if done { 0 } else { front.left() };
            if done {
                state.queue.pop_front();
            }
            let more = !state.queue.is_empty();
            self.queued -= left - after;
            encoded += (left - after).max(16);
            let closed = matches!(frame, ToEdge::Close { .. });
            self.outbox.append(|out| frame.encode(out));
            if more {
                self.turns.push_back(id);
            } else if closed {
                self.remove(id);
            }
        }
    }
}

impl Drop for OriginLane {
    fn drop(&mut self) {
        self.budget.release(self.reserved);
    }
}

impl Tell {
    /// What it counts against the retention bound.
    fn size(&self) -> usize {
        match self {
            Self::Message { message, .. } => message.payload.len(),
            _ => 0,
        }
    }

    fn frame(self, session: SessionId) -> ToEdge {
        match self {
            Self::Accept => ToEdge::Accept { session },
            Self::Message { message, after } => {
                let head = Some(Head {
                    after,
                    ..Head::of(&message)
                });
                ToEdge::Fragment {
                    session,
                    fragment: Fragment {
                        head,
                        data: message.payload,
                    },
                }
            }
            Self::Attach { stream, live } => ToEdge::Attach {
                session,
                stream,
                live,
            },
            Self::Detach { stream } => ToEdge::Detach { session, stream },
            Self::AcceptPublish {
                stream,
                generation,
                live,
                writer,
            } => ToEdge::AcceptPublish {
                session,
                stream,
                generation,
                live,
                writer,
            },
            Self::StopPublish { stream, generation } => ToEdge::StopPublish {
                session,
                stream,
                generation,
            },
            Self::Filter { stream, filter } => ToEdge::Filter {
                session,
                stream,
                filter,
            },
            Self::Close(reason) => ToEdge::Close { session, reason },
        }
    }
}

impl Queued {
    fn left(&self) -> usize {
        self.tell.size() - self.sent
    }

    fn next_frame(&mut self, session: SessionId) -> ToEdge {
        let Tell::Message { message, after } = &self.tell else {
            self.sent = 0;
            return self.tell.clone().frame(session);
        };
        let size = self.left().min(MAX_FRAGMENT);
        let head = (self.sent == 0).then(|| Head {
            after: *after,
            ..Head::of(message)
        });
        let data = message.payload.slice(self.sent..self.sent + size);
        self.sent += size;
        ToEdge::Fragment {
            session,
            fragment: Fragment { head, data },
        }
    }

    fn is_done(&self) -> bool {
        self.left() == 0
    }
}
