//! The audiences of a lane at its origin: one frame for all members, in its order among the orders
//! to each of them.
//!
//! A member with a queue of its own (a long answer) *stands aside*: messages to all pass it by, and
//! it gets a copy of each in its queue, until the queue is empty. A message longer than a fragment
//! takes turns with the sessions. Until its last fragment has left, orders for its audience and for
//! members of that audience stand in a *line* behind it.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::{
    OriginEvent, OriginLane, RETENTION,
    queue::{Order, Turn},
};
use crate::{
    SessionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, CloseReason, MAX_AUDIENCES, Recipients, ToAudience,
        lane_frame::{AudienceFrame, AudienceHead, AudiencePiece, MAX_FRAGMENT, Member, ToEdge},
        outbox::BATCH,
    },
    shared_object::Flags,
};

mod lapse;
mod lapsing;

use lapse::Lapse;

/// The messages of a lane's audiences, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudienceCounts {
    /// Messages to all of an audience; each crosses the link once.
    pub messages: u64,
    /// Messages to one member: answers to it, and copies for members that stand aside.
    pub member_messages: u64,
    /// Messages to all that were merged into the one before, because the lane was behind.
    pub merged: u64,
    /// Lapses of audiences; each needed a snapshot.
    pub lapses: u64,
}

#[derive(Debug, Default)]
pub(super) struct OriginAudiences {
    known: HashMap<AudienceId, Audience>,
    /// A long message under way, and the orders that must not pass it, in order.
    line: VecDeque<Standing>,
    /// Whether the line has a place among the turns.
    has_turn: bool,
    /// The items of each audience in the line.
    in_line: HashMap<AudienceId, usize>,
    /// The orders in the line that change a member's standing.
    moves_in_line: usize,
    /// OriginAudiences that wait for a snapshot.
    lapsed: Vec<AudienceId>,
    counts: AudienceCounts,
}

#[derive(Debug, Default)]
struct Audience {
    members: HashMap<SessionId, Standpoint>,
    /// Members with a queue, and members that the edge has not taken back yet.
    busy: Vec<SessionId>,
    lapse: Lapse,
}

/// The way in which messages to all reach a member.
#[derive(Debug)]
struct Standpoint {
    flags: Flags,
    /// Whether messages to all pass it by at the edge.
    aside: bool,
    /// Whether the group has it stand aside and sends it the rest itself.
    held: bool,
    /// Whether a snapshot has passed it by meanwhile.
    missed: bool,
}

/// An item of the line.
#[derive(Debug)]
enum Standing {
    Audience(AudienceId, ToAudience),
    /// A message to all, of which `sent` bytes have been encoded.
    Long {
        audience: AudienceId,
        head: AudienceHead,
        body: Bytes,
        sent: usize,
    },
    Session(SessionId, Order),
    /// The member's queue is empty.
    Rejoin(AudienceId, SessionId),
}

impl OriginAudiences {
    /// Whether an order to a session must stand in the line: the session has `in_line` items there,
    /// or one of its audiences has.
    pub(super) fn hold_back(&self, audiences: &[AudienceId], in_line: usize) -> bool {
        let concerned = |audience| self.in_line.contains_key(audience);
        !self.line.is_empty() && (in_line > 0 || audiences.iter().any(concerned))
    }

    pub(super) fn stand_session(&mut self, session: SessionId, order: Order) {
        self.line.push_back(Standing::Session(session, order));
    }

    /// Notes that a session has a queue from now on.
    pub(super) fn is_busy(&mut self, audiences: &[AudienceId], session: SessionId) {
        for audience in audiences {
            if let Some(audience) = self.known.get_mut(audience) {
                audience.note_busy(session);
            }
        }
    }

    /// Removes a session that is over.
    pub(super) fn forget_member(&mut self, audience: AudienceId, session: SessionId) {
        if let Some(audience) = self.known.get_mut(&audience) {
            audience.forget(session);
        }
    }

    /// Whether an audience exists and has not lapsed.
    pub(super) fn is_whole(&self, audience: AudienceId) -> bool {
        let known = self.known.get(&audience);
        known.is_some_and(|known| known.lapse == Lapse::None)
    }

    /// Whether the line has no order that changes a member's standing.
    pub(super) fn is_settled(&self) -> bool {
        self.moves_in_line == 0
    }

    pub(super) fn members(&self, audience: AudienceId) -> Vec<SessionId> {
        let known = self.known.get(&audience);
        let members = known.into_iter().flat_map(|known| known.members.keys());
        members.copied().collect()
    }

    /// The members that receive a message to an audience.
    pub(super) fn recipients(&self, audience: AudienceId, to: Recipients) -> Vec<SessionId> {
        let receives = |session: SessionId| match to {
            Recipients::All => true,
            Recipients::AllBut(but) => session != but,
            Recipients::One(one) => session == one,
        };
        let known = self.known.get(&audience);
        let members = known.into_iter().flat_map(|known| &known.members);
        members
            .filter(|(session, member)| !member.held && receives(**session))
            .map(|(&session, _)| session)
            .collect()
    }

    pub(super) fn count_merged(&mut self) {
        self.counts.merged += 1;
    }

    fn stand(&mut self, audience: AudienceId, standing: Standing) {
        *self.in_line.entry(audience).or_default() += 1;
        self.line.push_back(standing);
    }

    fn left_line(&mut self, audience: AudienceId) {
        if let Some(count) = self.in_line.get_mut(&audience) {
            *count -= 1;
            if *count == 0 {
                self.in_line.remove(&audience);
            }
        }
    }
}

impl Audience {
    fn note_busy(&mut self, session: SessionId) {
        if self.members.contains_key(&session) && !self.busy.contains(&session) {
            self.busy.push(session);
        }
    }

    fn forget(&mut self, session: SessionId) {
        self.members.remove(&session);
        self.busy.retain(|&busy| busy != session);
    }
}

impl OriginLane {
    /// Sends an order to an audience. It keeps its order among the orders to the members.
    pub fn audience(&mut self, audience: AudienceId, order: ToAudience) {
        if !self.merge(audience, &order) {
            self.unmerge_before(audience, &order);
            self.order_audience(audience, order);
        }
    }

    pub(super) fn order_audience(&mut self, audience: AudienceId, order: ToAudience) {
        if let ToAudience::Send {
            to: Recipients::One(session),
            encoding,
            body,
        } = order
        {
            self.send_to_member(audience, session, encoding, body);
            return;
        }
        if !self.fits(audience, &order) {
            return self.lose(audience, &order);
        }
        if self.audiences.line.is_empty() {
            self.do_audience(audience, order);
            return;
        }
        self.queued += order.size();
        self.audiences.moves_in_line += usize::from(order.moves());
        if let Some(session) = order.mover()
            && let Some(state) = self.sessions.get_mut(&session)
        {
            state.in_line += 1;
        }
        self.audiences
            .stand(audience, Standing::Audience(audience, order));
    }

    /// The counts since the last call.
    pub fn take_audience_counts(&mut self) -> AudienceCounts {
        std::mem::take(&mut self.audiences.counts)
    }

    fn send_to_member(
        &mut self,
        audience: AudienceId,
        session: SessionId,
        encoding: Option<ObjectEncoding>,
        body: Bytes,
    ) {
        let known = self.audiences.known.get(&audience);
        let standpoint = known.and_then(|audience| audience.members.get(&session));
        let member = Member {
            audience,
            flags: standpoint
                .map(|standpoint| standpoint.flags)
                .unwrap_or_default(),
            encoding,
        };
        self.audiences.counts.member_messages += 1;
        self.queue_order(session, Order::Object { member, body });
    }

    fn do_audience(&mut self, audience: AudienceId, order: ToAudience) {
        let known = self.audiences.known.contains_key(&audience);
        match order {
            ToAudience::Begin { name, persistent } => {
                if !known && self.audiences.known.len() < MAX_AUDIENCES {
                    self.audiences.known.insert(audience, Audience::default());
                    self.frame(audience, AudienceFrame::Begin { name, persistent });
                }
            }
            _ if !known => {}
            ToAudience::Join { session, flags } => self.join(audience, session, flags),
            ToAudience::Stand { session, aside } => self.stand_aside(audience, session, aside),
            ToAudience::Leave { session } => self.leave(audience, session),
            ToAudience::Send { to, encoding, body } => self.send_all(audience, to, encoding, body),
            ToAudience::Snapshot { encoding, body } => {
                self.note_missed(audience);
                self.send_all(audience, Recipients::All, encoding, body);
            }
            ToAudience::End => self.end_audience(audience),
        }
    }

    fn frame(&mut self, audience: AudienceId, frame: AudienceFrame) {
        self.outbox
            .append(|out| ToEdge::Audience { audience, frame }.encode(out));
    }

    fn join(&mut self, audience: AudienceId, session: SessionId, flags: Flags) {
        let Some(state) = self.sessions.get_mut(&session).filter(|it| !it.closing) else {
            return;
        };
        let Some(known) = self.audiences.known.get_mut(&audience) else {
            return;
        };
        let busy = !state.queue.is_empty();
        let aside = busy || known.busy.contains(&session);
        let standpoint = Standpoint {
            flags,
            aside,
            held: false,
            missed: false,
        };
        known.members.insert(session, standpoint);
        if busy {
            known.note_busy(session);
        }
        if !state.audiences.contains(&audience) {
            state.audiences.push(audience);
        }
        let join = AudienceFrame::Join {
            session,
            flags,
            aside,
        };
        self.frame(audience, join);
    }

    /// Changes whether the group has a member stand aside.
    fn stand_aside(&mut self, id: AudienceId, session: SessionId, held: bool) {
        let Some(audience) = self.audiences.known.get_mut(&id) else {
            return;
        };
        let is_busy = audience.busy.contains(&session);
        let Some(standpoint) = audience.members.get_mut(&session) else {
            return;
        };
        standpoint.held = held;
        if !held && std::mem::take(&mut standpoint.missed) {
            // The dropped messages may be older than the time at which the member stood aside.
            self.events
                .push_back(OriginEvent::SnapshotWanted { audience: id });
        }
        // A member with a queue returns when the queue is empty.
        let aside = held || (is_busy && standpoint.aside);
        if std::mem::replace(&mut standpoint.aside, aside) != aside {
            let flags = standpoint.flags;
            let join = AudienceFrame::Join {
                session,
                flags,
                aside,
            };
            self.frame(id, join);
        }
    }

    fn leave(&mut self, audience: AudienceId, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        state.audiences.retain(|&of| of != audience);
        self.audiences.forget_member(audience, session);
        // Messages in its queue still reach it.
        self.frame(audience, AudienceFrame::Leave { session });
    }

    fn end_audience(&mut self, id: AudienceId) {
        let Some(audience) = self.audiences.known.remove(&id) else {
            return;
        };
        if self.audiences.known.is_empty() {
            self.audiences.known = HashMap::new();
        }
        self.audiences.lapsed.retain(|&lapsed| lapsed != id);
        for session in audience.members.into_keys() {
            if let Some(state) = self.sessions.get_mut(&session) {
                state.audiences.retain(|&of| of != id);
            }
        }
        self.frame(id, AudienceFrame::End);
    }

    fn send_all(
        &mut self,
        audience: AudienceId,
        to: Recipients,
        encoding: Option<ObjectEncoding>,
        body: Bytes,
    ) {
        let is_member = |session: &SessionId| {
            let known = self.audiences.known.get(&audience);
            known.is_some_and(|known| known.members.contains_key(session))
        };
        let all_but = match to {
            // The edge knows only members.
            Recipients::AllBut(session) => Some(session).filter(is_member),
            Recipients::All | Recipients::One(_) => None,
        };
        self.copy_for_busy(audience, all_but, encoding, &body);
        self.audiences.counts.messages += 1;
        let head = AudienceHead {
            all_but,
            encoding,
            // A message has at most 2^24 - 1 bytes on the RTMP wire.
            length: u32::try_from(body.len()).unwrap_or(u32::MAX),
        };
        if body.len() <= MAX_FRAGMENT {
            let piece = AudiencePiece {
                head: Some(head),
                data: body,
            };
            return self.frame(audience, AudienceFrame::Send(piece));
        }
        self.queued += body.len();
        let long = Standing::Long {
            audience,
            head,
            body,
            sent: 0,
        };
        self.audiences.line.push_front(long);
        *self.audiences.in_line.entry(audience).or_default() += 1;
        self.take_line_place();
    }

    fn take_line_place(&mut self) {
        if !self.audiences.line.is_empty() && !self.audiences.has_turn {
            self.audiences.has_turn = true;
            self.turns.push_back(Turn::Line);
        }
    }

    /// Copies a message for members with queues, which messages to all pass by at the edge.
    fn copy_for_busy(
        &mut self,
        id: AudienceId,
        all_but: Option<SessionId>,
        encoding: Option<ObjectEncoding>,
        body: &Bytes,
    ) {
        let Some(audience) = self.audiences.known.get_mut(&id) else {
            return;
        };
        if audience.busy.is_empty() {
            return;
        }
        let mut copies = Vec::with_capacity(audience.busy.len());
        let mut asides = Vec::new();
        for &session in &audience.busy {
            let Some(standpoint) = audience.members.get_mut(&session) else {
                continue;
            };
            let flags = standpoint.flags;
            if !std::mem::replace(&mut standpoint.aside, true) {
                asides.push((session, flags));
            }
            // A session receives nothing after its close.
            let receives = self.sessions.get(&session).is_some_and(|it| !it.closing);
            if receives && !standpoint.held && Some(session) != all_but {
                copies.push((session, flags));
            }
        }
        for (session, flags) in asides {
            // The order bypasses the member's queue: it is in force for the message that follows.
            let aside = true;
            let join = AudienceFrame::Join {
                session,
                flags,
                aside,
            };
            self.frame(id, join);
        }
        for (session, flags) in copies {
            let member = Member {
                audience: id,
                flags,
                encoding,
            };
            self.audiences.counts.member_messages += 1;
            if self.retained() + body.len() > RETENTION {
                self.fail(session, CloseReason::Retention);
                continue;
            }
            let body = body.clone();
            self.send_order(session, Order::Object { member, body });
        }
    }

    /// The session's queue is empty: the edge takes it back into its audiences.
    pub(super) fn has_caught_up(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get(&session) else {
            return;
        };
        for id in state.audiences.clone() {
            let busy = |audience: &Audience| audience.busy.contains(&session);
            if !self.audiences.known.get(&id).is_some_and(busy) {
                continue;
            }
            if self.audiences.in_line.contains_key(&id) {
                self.audiences.stand(id, Standing::Rejoin(id, session));
            } else {
                self.rejoin(id, session);
            }
        }
    }

    fn rejoin(&mut self, id: AudienceId, session: SessionId) {
        let queues = |state: &super::OriginSession| !state.queue.is_empty();
        if self.sessions.get(&session).is_none_or(queues) {
            return;
        }
        let Some(audience) = self.audiences.known.get_mut(&id) else {
            return;
        };
        audience.busy.retain(|&busy| busy != session);
        let Some(standpoint) = audience.members.get_mut(&session) else {
            return;
        };
        if !standpoint.held && std::mem::replace(&mut standpoint.aside, false) {
            let flags = standpoint.flags;
            let aside = false;
            let join = AudienceFrame::Join {
                session,
                flags,
                aside,
            };
            self.frame(id, join);
        }
    }

    /// Encodes the first item of the line and the items behind it that need not wait any more, up
    /// to a batch. Returns the size.
    pub(super) fn advance_line(&mut self) -> usize {
        self.audiences.has_turn = false;
        let mut encoded = 0;
        while encoded < BATCH
            && let Some(standing) = self.audiences.line.pop_front()
        {
            encoded += self.advance(standing);
            if let Some(Standing::Long { .. }) = self.audiences.line.front() {
                break;
            }
        }
        self.take_line_place();
        encoded
    }

    fn advance(&mut self, standing: Standing) -> usize {
        match standing {
            Standing::Long {
                audience,
                head,
                body,
                sent,
            } => self.encode_piece(audience, head, body, sent),
            Standing::Audience(audience, order) => {
                self.audiences.left_line(audience);
                let size = order.size();
                self.queued -= size;
                self.audiences.moves_in_line -= usize::from(order.moves());
                if let Some(session) = order.mover() {
                    self.session_left_line(session);
                }
                self.do_audience(audience, order);
                size + 16
            }
            Standing::Session(session, order) => {
                let size = order.size();
                self.queued -= size;
                self.session_left_line(session);
                self.send_order(session, order);
                size + 16
            }
            Standing::Rejoin(audience, session) => {
                self.audiences.left_line(audience);
                self.rejoin(audience, session);
                16
            }
        }
    }

    fn session_left_line(&mut self, session: SessionId) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.in_line -= 1;
        }
    }

    fn encode_piece(
        &mut self,
        audience: AudienceId,
        head: AudienceHead,
        body: Bytes,
        sent: usize,
    ) -> usize {
        let size = (body.len() - sent).min(MAX_FRAGMENT);
        let piece = AudiencePiece {
            head: (sent == 0).then_some(head),
            data: body.slice(sent..sent + size),
        };
        self.queued -= size;
        self.frame(audience, AudienceFrame::Send(piece));
        let sent = sent + size;
        if sent == body.len() {
            self.audiences.left_line(audience);
        } else {
            self.audiences.line.push_front(Standing::Long {
                audience,
                head,
                body,
                sent,
            });
        }
        size
    }
}
