//! A lane at its origin: assembles messages, grants credit, sends orders in sequence.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    AudienceId, ClientClaims, CloseReason, FrameError, FromSession, ToAudience, ToSession,
    credit::{CreditBudget, MESSAGE_COST},
    inbound::{Assembled, Assembly, Inbound},
    lane_frame::{Fragment, RestoreFrame, ToEdge, ToOrigin},
};
use crate::SessionId;

mod audiences;
mod event;
mod hand_over;
mod lapse;
mod line;
mod order;
mod orders;
mod reservations;
mod restore;
mod sessions;

pub use audiences::AudienceCounts;
pub use event::OriginEvent;
pub use orders::RETENTION;

use hand_over::Leaving;
use order::Order;
use orders::Orders;
use restore::Restoring;
use sessions::LaneSessions;

/// The time for which a reservation for a long message may stand while no byte of it arrives.
pub const RESERVATION_IDLE: Duration = Duration::from_secs(10);

/// The origin's end of one lane, over the connections that carry it in turn.
#[derive(Debug)]
pub struct OriginLane {
    sessions: LaneSessions,
    orders: Orders,
    inbound: Inbound,
    /// The claims of the session that the next numbered frame opens.
    claims: Option<(SessionId, Arc<ClientClaims>)>,
    max_message: u32,
    connected: bool,
    /// While the edge restores the lane.
    restoring: Option<Box<Restoring>>,
    leaving: Option<Leaving>,
}

impl OriginLane {
    /// A lane without sessions. A message has at most `max_message` bytes, and long ones reserve
    /// memory from `budget`.
    pub fn new(max_message: u32, budget: CreditBudget) -> Self {
        Self {
            sessions: LaneSessions::new(budget),
            orders: Orders::default(),
            inbound: Inbound::new(),
            claims: None,
            max_message,
            connected: false,
            restoring: None,
            leaving: None,
        }
    }

    /// A lane that its edge restores: sessions of another process of this origin go on in it.
    pub fn restoring(mut self) -> Self {
        self.restoring = Some(Box::default());
        self
    }

    /// A connection carries the lane from here on; the edge has received this many frames.
    pub fn connected(&mut self, now: Instant, received: u64) -> Result<(), FrameError> {
        self.connected = true;
        self.excuse(now);
        self.orders.outbox.resume(received)?;
        self.sessions.repeat_grants(&mut self.orders.outbox);
        self.orders.ask_snapshots(&mut self.sessions);
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
        self.orders.ask_snapshots(&mut self.sessions);
        Ok(())
    }

    /// Restarts the idle time of reservations after a time in which nothing could arrive.
    pub fn excuse(&mut self, now: Instant) {
        self.sessions.excuse(now);
    }

    /// The group has handled a message with this many payload bytes.
    pub fn consumed(&mut self, now: Instant, session: SessionId, bytes: usize) {
        let cost = bytes as u64 + MESSAGE_COST;
        if self.sessions.consume(session, cost) {
            self.sessions.grant_free(session, &mut self.orders.outbox);
            self.grant_waiting(now);
        }
    }

    /// Closes sessions that hold a reservation and send nothing; asks for budget again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connected {
            for session in self.sessions.idle(now) {
                self.close_session(session, CloseReason::Limit);
            }
        }
        if self.sessions.retry_at().is_some_and(|retry| retry <= now) {
            self.grant_waiting(now);
        }
    }

    /// Queues an order to a session, after the orders before it. A session whose order exceeds
    /// [`RETENTION`] is closed.
    pub fn send(&mut self, session: SessionId, order: ToSession) {
        if self.has_left() {
            return;
        }
        let order = Order::Session(order);
        self.orders.send(&mut self.sessions, session, order);
    }

    /// Sends an order to an audience. It keeps its order among the orders to the members.
    pub fn audience(&mut self, audience: AudienceId, order: ToAudience) {
        if self.has_left() {
            return;
        }
        self.orders
            .send_audience(&mut self.sessions, audience, order);
    }

    /// The counts since the last call.
    pub fn take_audience_counts(&mut self) -> AudienceCounts {
        std::mem::take(&mut self.orders.audiences.counts)
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<OriginEvent> {
        self.sessions.poll_event()
    }

    /// The next bytes for the lane's stream.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if !self.connected {
            return None;
        }
        if self.inbound.ack_due().is_some_and(|due| due <= now) {
            self.append_ack();
        }
        self.orders.take_turns(&mut self.sessions);
        self.leave_if_empty();
        if self.orders.outbox.has_unsent() {
            self.append_ack();
        }
        self.orders.outbox.poll_transmit()
    }

    /// Whether the window holds frames back: the lane is in bulk.
    pub fn is_blocked(&self) -> bool {
        self.orders.outbox.is_blocked()
    }

    /// The latest time for [`Self::handle_timeout`] and [`Self::poll_transmit`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ack = if self.connected {
            self.inbound.ack_due()
        } else {
            None
        };
        let idle = if self.connected {
            self.sessions.idle_at()
        } else {
            None
        };
        let times = [ack, idle, self.sessions.retry_at()];
        times.into_iter().flatten().min()
    }

    /// Closes a session, at both ends; the event [`FromSession::Close`] follows.
    pub fn close_session(&mut self, session: SessionId, reason: CloseReason) {
        if self.has_left() {
            return;
        }
        self.orders.close(&mut self.sessions, session, reason);
    }

    /// Closes every member of an audience, at both ends.
    pub fn close_members(&mut self, audience: AudienceId, reason: CloseReason) {
        for session in self.orders.audiences.members(audience) {
            self.close_session(session, reason);
        }
    }

    /// Closes every session, at both ends.
    pub fn close_all(&mut self, reason: CloseReason) {
        for session in self.sessions.ids() {
            self.close_session(session, reason);
        }
    }

    /// Ends the lane: every session is closed with `reason`.
    pub fn end(&mut self, reason: CloseReason) {
        for session in self.sessions.ids() {
            let state = self.orders.remove(&mut self.sessions, session);
            if state.is_some_and(|state| !state.closing) {
                self.sessions.report_closed(session, reason);
            }
        }
    }

    /// The numbered frames received, as the answer to the lane's opening states them.
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.count()
    }

    /// The bytes kept for the edge.
    pub fn retained(&self) -> usize {
        self.orders.retained()
    }

    fn append_ack(&mut self) {
        if let Some(received) = self.inbound.take_ack() {
            self.orders
                .outbox
                .append_unnumbered(|out| ToEdge::Ack(received).encode(out));
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: ToOrigin) -> Result<(), FrameError> {
        let claims = match &frame {
            // It has no number, and may come in between.
            ToOrigin::Ack(_) => None,
            _ => self.claims.take(),
        };
        if let Some((of, _)) = claims
            && !opens(&frame, of)
        {
            return Err(FrameError::Session(of.0));
        }
        match frame {
            ToOrigin::Ack(received) => self.orders.outbox.acknowledge(received),
            ToOrigin::Claims { session, claims } => {
                self.claims = Some((session, claims));
                Ok(())
            }
            ToOrigin::Session { session, mut event } => {
                if let FromSession::Open(open) = &mut event {
                    open.claims = claims.map(|(_, claims)| claims);
                }
                self.handle_session(session, event)
            }
            ToOrigin::Fragment { session, fragment } => {
                self.handle_fragment(now, session, &fragment)
            }
            ToOrigin::Restore(frame) => self.handle_restore(frame, claims),
            ToOrigin::End => {
                self.sessions.report(OriginEvent::Ended);
                Ok(())
            }
        }
    }

    fn handle_restore(
        &mut self,
        frame: RestoreFrame,
        claims: Option<(SessionId, Arc<ClientClaims>)>,
    ) -> Result<(), FrameError> {
        let claims = claims.map(|(_, claims)| claims);
        let restoring = self.restoring.as_mut().ok_or(FrameError::Value)?;
        if restoring.handle(frame, claims, &mut self.sessions)? {
            self.restoring = None;
        }
        Ok(())
    }

    fn handle_session(&mut self, session: SessionId, event: FromSession) -> Result<(), FrameError> {
        let is_open = match &event {
            FromSession::Open(_) => {
                self.sessions.begin(session)?;
                true
            }
            FromSession::Close(_) => {
                self.sessions.known(session)?;
                let state = self.orders.remove(&mut self.sessions, session);
                state.is_some_and(|state| !state.closing)
            }
            _ => {
                let state = self.sessions.known(session)?;
                state.is_some_and(|state| !state.closing)
            }
        };
        if is_open {
            self.sessions
                .report(OriginEvent::Session { session, event });
        }
        Ok(())
    }

    fn handle_fragment(
        &mut self,
        now: Instant,
        session: SessionId,
        fragment: &Fragment,
    ) -> Result<(), FrameError> {
        let state = self.sessions.known(session)?;
        let Some(state) = state.filter(|state| !state.closing) else {
            return Ok(());
        };
        let mut cost = fragment.data.len() as u64;
        if let Some(head) = &fragment.head {
            state.account.begin(u64::from(head.length));
            cost += MESSAGE_COST;
        }
        if !state.account.receive(cost) {
            return Err(FrameError::Credit(session.0));
        }
        let max = self.max_message;
        if fragment.head.is_some_and(|head| head.length > max) {
            self.close_session(session, CloseReason::Limit);
            return Ok(());
        }
        state.last_arrival = Some(now);
        let partial = state.assembly.take().map(|assembly| *assembly);
        match Assembly::add(partial, fragment)? {
            Assembled::Partial(assembly) => {
                state.assembly = Some(Box::new(assembly));
                if fragment.head.is_some() && state.account.lacking() > 0 {
                    self.sessions.grant_free(session, &mut self.orders.outbox);
                    self.sessions.wait(session);
                }
            }
            Assembled::Whole(head, message) => {
                state.last_arrival = None;
                self.sessions.end_assembly(session);
                let event = FromSession::Message {
                    generation: head.generation,
                    message,
                };
                self.sessions
                    .report(OriginEvent::Session { session, event });
            }
        }
        Ok(())
    }

    fn grant_waiting(&mut self, now: Instant) {
        self.sessions.grant_waiting(now, &mut self.orders.outbox);
    }
}

/// Whether a frame opens this session.
fn opens(frame: &ToOrigin, of: SessionId) -> bool {
    match frame {
        ToOrigin::Session { session, event } => {
            *session == of && matches!(event, FromSession::Open(_))
        }
        ToOrigin::Restore(RestoreFrame::Session { session, .. }) => *session == of,
        _ => false,
    }
}
