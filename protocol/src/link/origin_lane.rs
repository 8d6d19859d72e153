//! A lane at its origin: assembles messages, grants credit, sends orders in sequence.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    AudienceId, CloseReason, FrameError, FromSession, ToSession,
    credit::{Account, Budget, MESSAGE_COST},
    inbound::{Assembled, Assembly, Inbound},
    lane_frame::{Fragment, ToEdge, ToOrigin},
    outbox::Outbox,
};
use crate::SessionId;

mod audiences;
mod event;
mod grants;
mod merging;
mod queue;

pub use audiences::AudienceCounts;
pub use event::OriginEvent;

use audiences::OriginAudiences;
use merging::Merging;
use queue::{Order, Queued, Turn};

/// The time for which a reservation for a long message may stand while no byte of it arrives.
pub const RESERVATION_IDLE: Duration = Duration::from_secs(10);

/// The most bytes that a lane keeps for its edge, sent or not. Reason: a group of a thousand
/// chatting clients stays below it through an outage of the default grace time. A session whose
/// frames no longer fit is closed with [`CloseReason::Retention`].
pub const RETENTION: usize = 16 * 1024 * 1024;

/// The origin's end of one lane, over the connections that carry it in turn.
#[derive(Debug)]
pub struct OriginLane {
    sessions: HashMap<SessionId, OriginSession>,
    highest: Option<SessionId>,
    /// Sessions with queued messages towards the edge, in turn, and the audiences' line.
    turns: VecDeque<Turn>,
    queued: usize,
    audiences: OriginAudiences,
    merging: Merging,
    /// Sessions whose message in assembly needs a reservation, in order of arrival.
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
struct OriginSession {
    account: Account,
    assembly: Option<Box<Assembly>>,
    last_arrival: Option<Instant>,
    /// Messages longer than a fragment and the messages behind them; others leave at once.
    queue: VecDeque<Queued>,
    /// Set by the origin's close and by an exceeded limit: fragments that still arrive are dropped.
    closing: bool,
    /// The audiences whose member the session is.
    audiences: Vec<AudienceId>,
    /// The session's items in the audiences' line.
    in_line: usize,
}

impl OriginLane {
    /// A lane without sessions. A message has at most `max_message` bytes, and long ones reserve
    /// memory from `budget`.
    pub fn new(max_message: u32, budget: Budget) -> Self {
        Self {
            sessions: HashMap::new(),
            highest: None,
            turns: VecDeque::new(),
            queued: 0,
            audiences: OriginAudiences::default(),
            merging: Merging::default(),
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
        // Credit is not numbered: the lane sends every grant again.
        for (&session, state) in &self.sessions {
            let offset = state.account.limit();
            self.outbox
                .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
        }
        self.ask_snapshots();
        Ok(())
    }

    /// The connection is lost.
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
        self.ask_snapshots();
        Ok(())
    }

    /// Queues an order to a session, after the orders before it. A session whose order exceeds
    /// [`RETENTION`] is closed.
    pub fn send(&mut self, session: SessionId, order: ToSession) {
        self.queue_order(session, Order::Session(order));
    }

    /// The next event.
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
            self.unmerge_all();
            self.take_turns();
        }
        if self.outbox.has_unsent() {
            self.append_ack();
        }
        self.outbox.poll_transmit()
    }

    /// Whether the window holds frames back: the lane is in bulk.
    pub fn is_blocked(&self) -> bool {
        self.outbox.is_blocked()
    }

    /// The latest time for [`Self::handle_timeout`] and [`Self::poll_transmit`].
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
            .filter_map(|id| self.sessions.get(id)?.last_arrival)
            .map(|last_arrival| last_arrival + RESERVATION_IDLE)
            .min();
        [ack, idle, self.retry].into_iter().flatten().min()
    }

    /// Closes a session, at both ends; the event [`FromSession::Close`] follows.
    pub fn close_session(&mut self, session: SessionId, reason: CloseReason) {
        self.fail(session, reason);
    }

    /// Closes every member of an audience, at both ends.
    pub fn close_members(&mut self, audience: AudienceId, reason: CloseReason) {
        for session in self.audiences.members(audience) {
            self.fail(session, reason);
        }
    }

    /// Closes every session, at both ends.
    pub fn close_all(&mut self, reason: CloseReason) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for session in ids {
            self.fail(session, reason);
        }
    }

    /// Ends the lane: every session is closed with `reason`.
    pub fn end(&mut self, reason: CloseReason) {
        let ids: Vec<_> = self.sessions.keys().copied().collect();
        for session in ids {
            if self.remove(session).is_some_and(|state| !state.closing) {
                self.report_closed(session, reason);
            }
        }
    }

    /// The numbered frames received, as the answer to the lane's opening states them.
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The bytes kept for the edge.
    pub fn retained(&self) -> usize {
        self.outbox.retained() + self.queued + self.merging.bytes()
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
            ToOrigin::Session { session, event } => self.handle_session(session, event),
            ToOrigin::Fragment { session, fragment } => {
                self.handle_fragment(now, session, &fragment)
            }
            ToOrigin::End => {
                self.events.push_back(OriginEvent::Ended);
                Ok(())
            }
        }
    }

    fn handle_session(&mut self, session: SessionId, event: FromSession) -> Result<(), FrameError> {
        let is_open = match &event {
            FromSession::Open(_) => {
                self.begin(session)?;
                true
            }
            FromSession::Close(_) => {
                self.known(session)?;
                self.remove(session).is_some_and(|state| !state.closing)
            }
            _ => self.known(session)?.is_some_and(|state| !state.closing),
        };
        if is_open {
            self.events
                .push_back(OriginEvent::Session { session, event });
        }
        Ok(())
    }

    fn begin(&mut self, session: SessionId) -> Result<(), FrameError> {
        // Numbers of openings need not rise: several threads of an edge assign them, and sessions
        // change lanes.
        if self.sessions.contains_key(&session) {
            return Err(FrameError::Session(session.0));
        }
        self.highest = self.highest.max(Some(session));
        let state = OriginSession {
            account: Account::new(),
            assembly: None,
            last_arrival: None,
            queue: VecDeque::new(),
            closing: false,
            audiences: Vec::new(),
            in_line: 0,
        };
        self.sessions.insert(session, state);
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
        state.last_arrival = Some(now);
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
                state.last_arrival = None;
                self.holders.retain(|&holder| holder != session);
                let event = FromSession::Message {
                    generation: head.generation,
                    message,
                };
                self.events
                    .push_back(OriginEvent::Session { session, event });
            }
        }
        Ok(())
    }

    /// Closes a session from this side, for both ends. The edge drops its part of a message under
    /// way when it reads the close.
    fn fail(&mut self, session: SessionId, reason: CloseReason) {
        if self.remove(session).is_some() {
            let order = ToSession::Close(reason);
            self.outbox
                .append(|out| ToEdge::Session { session, order }.encode(out));
            self.report_closed(session, reason);
        }
    }

    fn report_closed(&mut self, session: SessionId, reason: CloseReason) {
        let event = FromSession::Close(reason);
        self.events
            .push_back(OriginEvent::Session { session, event });
    }

    /// Removes a session and gives back its reservation.
    fn remove(&mut self, session: SessionId) -> Option<OriginSession> {
        let mut state = self.sessions.remove(&session)?;
        let reserved = state.account.take_reserved();
        self.reserved -= reserved;
        self.budget.release(reserved);
        self.queued -= state.queue.iter().map(Queued::left).sum::<usize>();
        self.holders.retain(|&holder| holder != session);
        self.waiting.retain(|&waiting| waiting != session);
        for audience in &state.audiences {
            self.audiences.forget_member(*audience, session);
        }
        Some(state)
    }

    /// The session, or none if it is over; an error if it was never opened.
    fn known(&mut self, session: SessionId) -> Result<Option<&mut OriginSession>, FrameError> {
        if Some(session) > self.highest {
            return Err(FrameError::Session(session.0));
        }
        Ok(self.sessions.get_mut(&session))
    }
}

impl Drop for OriginLane {
    fn drop(&mut self) {
        self.budget.release(self.reserved);
    }
}
