//! A lane at its edge: sessions take turns towards the origin, within their credit.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;

use super::{
    AudienceId, ClientClaims, CloseReason, FrameError, FromSession, ToSession,
    inbound::Inbound,
    lane_frame::{AudienceFrame, HandedOver, ToEdge, ToOrigin},
    outbox::{BATCH, Outbox},
    rate::Rate,
};
use crate::{SessionId, mutant::Mutant};

mod audiences;
mod departed;
mod event;
mod kept;
mod parcel;
mod restore;
mod session;

pub use audiences::MAX_AUDIENCES;
pub use event::{AudienceEvent, EdgeEvent};
pub use parcel::EdgeLaneLimits;
pub use restore::SalvagedSession;

use audiences::EdgeAudiences;
use departed::Departed;
use kept::Kept;
use session::EdgeSession;

/// The edge's end of one lane, over the connections that carry it in turn.
///
/// ```text
/// new ──► disconnected ──connected()──► connected ──disconnected()──► disconnected ...
///              │                            │
///              └────────── end() ───────────┘──► ended: transmit the rest, then finish
/// ```
#[derive(Debug)]
pub struct EdgeLane {
    sessions: HashMap<SessionId, EdgeSession>,
    /// Sessions with events to send and credit for them, in turn.
    turns: VecDeque<SessionId>,
    /// Sessions that have used up their rate, each with the time at which it may send again.
    throttled: Vec<(Instant, SessionId)>,
    rate: Rate,
    highest: Option<SessionId>,
    audiences: EdgeAudiences,
    outbox: Outbox,
    inbound: Inbound,
    events: VecDeque<EdgeEvent>,
    connected: bool,
    /// Whether sessions that open keep what restores them at another process of the origin.
    keeps: bool,
    departed: Departed,
    /// Set once the lane's group has stopped at the origin.
    handed_over: Option<Settled>,
}

/// Whether an origin has carried out exactly the messages that it has reported as handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Settled(bool);

impl EdgeLane {
    /// A lane without sessions; each session sends at most at this rate.
    pub fn new(rate: Rate) -> Self {
        Self {
            sessions: HashMap::new(),
            turns: VecDeque::new(),
            throttled: Vec::new(),
            rate,
            highest: None,
            audiences: EdgeAudiences::default(),
            outbox: Outbox::default(),
            inbound: Inbound::new(),
            events: VecDeque::new(),
            connected: false,
            keeps: false,
            departed: Departed::default(),
            handed_over: None,
        }
    }

    /// Queues an event of a session. The number of a session that opens has never been used in the
    /// lane. Statistics replace earlier ones that have not left. Events before a close leave as far
    /// as the session's credit and rate reach, unless the session broke a rule. A session whose
    /// opening has not left is removed without a frame.
    pub fn send(&mut self, session: SessionId, event: FromSession) {
        match &event {
            FromSession::Open(open) => {
                self.highest = self.highest.max(Some(session));
                let mut state = EdgeSession::new();
                state.kept = self.keeps.then(|| Box::new(Kept::new(open.clone())));
                self.sessions.insert(session, state);
            }
            FromSession::Close(reason) if !self.begin_close(session, *reason) => return,
            _ => {}
        }
        if let Some(state) = self.sessions.get_mut(&session) {
            state.push(event);
            self.take_place(session);
        }
    }

    /// Prepares a session's queue for its close; false if the origin does not know the session.
    fn begin_close(&mut self, session: SessionId, reason: CloseReason) -> bool {
        let Some(state) = self.sessions.get_mut(&session) else {
            return false;
        };
        if matches!(state.queue.front(), Some(FromSession::Open(_))) {
            self.sessions.remove(&session);
            return false;
        }
        state.closing = true;
        state.assembly = None;
        let waiting = self.throttled.iter().position(|(_, id)| *id == session);
        if let Some(place) = waiting {
            self.throttled.swap_remove(place);
            state.in_turns = false;
        }
        let orderly = matches!(reason, CloseReason::Client | CloseReason::Transport);
        if !orderly || waiting.is_some() || !state.can_send() {
            state.clear();
        }
        true
    }

    /// Ends the lane, which must be without sessions.
    pub fn end(&mut self) {
        self.outbox.append(|out| ToOrigin::End.encode(out));
    }

    /// A connection carries the lane from here on; the origin has received this many frames.
    pub fn connected(&mut self, received: u64) -> Result<(), FrameError> {
        self.connected = true;
        self.outbox.resume(received)?;
        self.departed.acknowledge(received);
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
            self.handle_frame(now, ToEdge::decode(&frame)?)?;
        }
        Ok(())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<EdgeEvent> {
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
        if self.handed_over.is_some() {
            // The rest goes to another process, or to another origin.
            return self.outbox.poll_unnumbered();
        }
        if !self.outbox.is_blocked() {
            self.take_turns(now);
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

    /// When [`Self::poll_transmit`] must be called at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.connected {
            return None;
        }
        let throttled = self.throttled.iter().map(|(until, _)| *until).min();
        self.inbound.ack_due().into_iter().chain(throttled).min()
    }

    /// The numbered frames received, as the lane's opening states them.
    pub fn received(&self) -> u64 {
        self.inbound.received()
    }

    /// Whether a frame was ever encoded: from then on the lane can only be resumed.
    pub fn has_history(&self) -> bool {
        self.outbox.numbered() > 0
    }

    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.keys().copied()
    }

    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// The payload bytes of each message of a session that waits here, of the first one those that have
    /// not left.
    pub fn waiting_messages(&self, session: SessionId) -> impl Iterator<Item = usize> {
        let state = self.sessions.get(&session).into_iter();
        state.flat_map(EdgeSession::waiting_messages)
    }

    /// Whether an application has accepted any session of the lane.
    pub fn has_accepted(&self) -> bool {
        self.sessions.values().any(|session| session.accepted)
    }

    /// Whether the origin has acknowledged every frame and no session waits.
    pub fn is_settled(&self) -> bool {
        self.outbox.retained() == 0 && self.turns.is_empty() && self.throttled.is_empty()
    }

    /// Whether the lane's group has stopped at the origin.
    pub fn is_handed_over(&self) -> bool {
        self.handed_over.is_some()
    }

    /// Whether the origin has yet to be told what was received.
    pub fn owes_acknowledgement(&self) -> bool {
        self.inbound.ack_due().is_some() || self.outbox.has_unnumbered()
    }

    /// The bytes kept for a resume.
    pub fn retained(&self) -> usize {
        self.outbox.retained()
    }

    /// Puts a session at the end of the turns if it can send a frame.
    fn take_place(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if !state.in_turns && state.can_send() {
            state.in_turns = true;
            self.turns.push_back(session);
        }
    }

    fn append_ack(&mut self) {
        if let Some(received) = self.inbound.take_ack() {
            self.outbox
                .append_unnumbered(|out| ToOrigin::Ack(received).encode(out));
        }
    }

    /// Encodes one fragment of each session in turn, until a batch is full.
    fn take_turns(&mut self, now: Instant) {
        self.end_waits(now);
        let mut encoded = 0;
        while encoded < BATCH {
            let Some(id) = self.turns.pop_front() else {
                break;
            };
            let Some(state) = self.sessions.get_mut(&id) else {
                continue;
            };
            state.in_turns = false;
            if let Some(until) = state.shut_until(self.rate, now) {
                state.in_turns = true;
                self.throttled.push((until, id));
                self.events.push_back(EdgeEvent::Throttled { session: id });
                continue;
            }
            let Some(mut frame) = state.next_frame(id) else {
                continue;
            };
            let finished = !state.is_in_message();
            if let ToOrigin::Fragment { fragment, .. } = &frame {
                let bytes = fragment.data.len() as u64;
                state.bucket.spend(self.rate, now, bytes);
            }
            encoded += match &frame {
                ToOrigin::Fragment { fragment, .. } => fragment.data.len() + 32,
                ToOrigin::Session {
                    event: FromSession::Open(open),
                    ..
                } => open.connect.len() + 32,
                _ => 16,
            };
            if let Some(claims) = take_claims(&mut frame) {
                encoded += claims.size();
                let session = id;
                self.outbox
                    .append(|out| ToOrigin::Claims { session, claims }.encode(out));
            }
            self.outbox.append(|out| frame.encode(out));
            match frame {
                ToOrigin::Session {
                    event: FromSession::Close(reason),
                    ..
                } => {
                    if let Some(state) = self.sessions.remove(&id) {
                        self.departed.add(self.outbox.numbered(), id, reason, state);
                    }
                }
                ToOrigin::Fragment { fragment, .. } => {
                    self.events.push_back(EdgeEvent::Left {
                        session: id,
                        bytes: fragment.data.len(),
                        finished,
                    });
                }
                _ => {}
            }
            self.take_place(id);
            self.skip_to_close(id);
        }
        if self.turns.is_empty() {
            self.turns = VecDeque::new();
        }
    }

    /// Returns sessions whose wait for the rate is over to the turns.
    fn end_waits(&mut self, now: Instant) {
        if self.throttled.is_empty() {
            return;
        }
        let turns = &mut self.turns;
        self.throttled.retain(|&(until, session)| {
            let waits = until > now;
            if !waits {
                turns.push_back(session);
            }
            waits
        });
        if self.throttled.is_empty() {
            self.throttled = Vec::new();
        }
    }

    /// Drops the events before the close of a session that has run out of credit.
    fn skip_to_close(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.closing && !state.in_turns {
            state.skip_to_close();
            self.take_place(session);
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: ToEdge) -> Result<(), FrameError> {
        if self.handed_over.is_some() && !matches!(frame, ToEdge::Ack(_) | ToEdge::Credit { .. }) {
            return Err(FrameError::Value);
        }
        match frame {
            ToEdge::Ack(received) => {
                self.outbox.acknowledge(received)?;
                self.departed.acknowledge(received);
                Ok(())
            }
            ToEdge::Credit { session, offset } => {
                if let Some(state) = self.opened(session)? {
                    state.limit = state.limit.max(offset);
                    self.take_place(session);
                }
                Ok(())
            }
            ToEdge::Session { session, order } => self.handle_order(session, order),
            ToEdge::Fragment { session, fragment } => {
                if let Some(state) = self.opened(session)?
                    && !state.closing
                    && let Some(event) = state.assemble(session, &fragment)?
                {
                    self.events.push_back(event);
                }
                Ok(())
            }
            ToEdge::Audience { audience, frame } => self.handle_audience(audience, frame),
            ToEdge::HandedOver(HandedOver { settled, origin }) => {
                self.inbound.acknowledge_at_once(now);
                self.handed_over = Some(Settled(settled));
                self.events.push_back(EdgeEvent::HandedOver { origin });
                Ok(())
            }
        }
    }

    fn handle_order(&mut self, session: SessionId, order: ToSession) -> Result<(), FrameError> {
        self.was_opened(session)?;
        if let ToSession::Remember(_) | ToSession::Handled(_) = order {
            self.keep_order(session, order);
            return Ok(());
        }
        let Some(state) = self.sessions.get_mut(&session) else {
            return Ok(());
        };
        let closing = state.closing;
        match order {
            ToSession::Accept => state.accepted |= !closing,
            // The origin has dropped the rest of a message under way: the assembly goes with the
            // session.
            ToSession::Close(_) => {
                self.sessions.remove(&session);
            }
            _ => {}
        }
        if !closing {
            self.events.push_back(EdgeEvent::Session { session, order });
        }
        Ok(())
    }

    /// Notes what another process has to know of a session, also of one whose client has left.
    fn keep_order(&mut self, session: SessionId, order: ToSession) {
        let state = match self.sessions.get_mut(&session) {
            Some(state) => Some(state),
            None if Mutant::LateReportsDoNotCount.is_on() => None,
            None => self.departed.get_mut(session),
        };
        let Some(kept) = state.and_then(|state| state.kept.as_mut()) else {
            return;
        };
        match order {
            ToSession::Remember(record) => kept.remember(record),
            ToSession::Handled(messages) => kept.handled(messages),
            _ => {}
        }
    }

    fn handle_audience(
        &mut self,
        audience: AudienceId,
        frame: AudienceFrame,
    ) -> Result<(), FrameError> {
        let named = match &frame {
            AudienceFrame::Join { session, .. } | AudienceFrame::Leave { session } => {
                Some(*session)
            }
            AudienceFrame::Send(piece) => piece.head.and_then(|head| head.all_but),
            AudienceFrame::Begin { .. } | AudienceFrame::End => None,
        };
        named.map_or(Ok(()), |session| self.was_opened(session))?;
        let mut happened = Vec::new();
        self.audiences.handle(audience, frame, &mut happened)?;
        for event in happened {
            let named = match &event {
                AudienceEvent::Joined { session, .. } | AudienceEvent::Left { session } => {
                    Some(session)
                }
                _ => None,
            };
            let gone = |session| self.sessions.get(session).is_none_or(|it| it.closing);
            if !named.is_some_and(gone) {
                self.events
                    .push_back(EdgeEvent::Audience { audience, event });
            }
        }
        Ok(())
    }

    /// The session, or none if its close has crossed the frame; an error if it was never opened.
    fn opened(&mut self, session: SessionId) -> Result<Option<&mut EdgeSession>, FrameError> {
        self.was_opened(session)?;
        Ok(self.sessions.get_mut(&session))
    }

    /// Returns an error for a session that was never opened.
    fn was_opened(&self, session: SessionId) -> Result<(), FrameError> {
        let opened = Some(session) <= self.highest;
        opened.then_some(()).ok_or(FrameError::Session(session.0))
    }
}

/// The claims of an opening, which go before it.
fn take_claims(frame: &mut ToOrigin) -> Option<Arc<ClientClaims>> {
    match frame {
        ToOrigin::Session {
            event: FromSession::Open(open),
            ..
        } => open.claims.take(),
        _ => None,
    }
}

impl Default for EdgeLane {
    fn default() -> Self {
        Self::new(Rate::default())
    }
}
