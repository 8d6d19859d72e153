//! Orders to audiences: one frame for all members, in its order among the orders to each of them.
//!
//! A member with a queue of its own (a long answer) *stands aside*: messages to all pass it by, and
//! it gets a copy of each in its queue, until the queue is empty. A message longer than a fragment
//! takes turns with the sessions. Until its last fragment has left, orders for its audience and for
//! members of that audience stand in a *line* behind it.

use bytes::Bytes;

use super::{LaneSessions, MIN_TURN, Order, Orders, RETENTION, Standing, Turn};
use crate::{
    SessionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, CloseReason, Recipients, ToAudience,
        lane_frame::{AudienceFrame, AudienceHead, AudiencePiece, MAX_FRAGMENT, Member, ToEdge},
        origin_lane::OriginEvent,
        outbox::BATCH,
    },
    shared_object::Flags,
};

impl Orders {
    /// Sends an order to an audience. It keeps its order among the orders to the members.
    pub(in crate::link::origin_lane) fn send_audience(
        &mut self,
        sessions: &mut LaneSessions,
        audience: AudienceId,
        order: ToAudience,
    ) {
        if !self.merge(sessions, audience, &order) {
            self.unmerge_before(sessions, audience, &order);
            self.order_audience(sessions, audience, order);
        }
    }

    pub(super) fn order_audience(
        &mut self,
        sessions: &mut LaneSessions,
        audience: AudienceId,
        order: ToAudience,
    ) {
        if let ToAudience::Send {
            to: Recipients::One(session),
            encoding,
            body,
        } = order
        {
            let flags = self.audiences.flags(audience, session);
            let member = Member {
                audience,
                flags: flags.unwrap_or_default(),
                encoding,
            };
            self.audiences.counts.member_messages += 1;
            return self.send(sessions, session, Order::Object { member, body });
        }
        if !self.fits(audience, &order) {
            return self.lose(sessions, audience, &order);
        }
        if self.line.is_empty() {
            return self.do_audience(sessions, audience, order);
        }
        self.queued += order.size();
        self.line.stand(Standing::Audience(audience, order));
    }

    fn do_audience(&mut self, sessions: &mut LaneSessions, id: AudienceId, order: ToAudience) {
        if let ToAudience::Begin { name, persistent } = order {
            if self.audiences.begin(id) {
                self.frame(id, AudienceFrame::Begin { name, persistent });
            }
            return;
        }
        if !self.audiences.has(id) {
            return;
        }
        match order {
            ToAudience::Begin { .. } => {}
            ToAudience::Join { session, flags } => self.join(sessions, id, session, flags),
            ToAudience::Stand { session, aside } => self.stand_aside(sessions, id, session, aside),
            ToAudience::Leave { session } => self.leave(sessions, id, session),
            ToAudience::Send { to, encoding, body } => {
                self.send_all(sessions, id, to, encoding, body);
            }
            ToAudience::Snapshot { encoding, body } => {
                if let Some(audience) = self.audiences.get_mut(id) {
                    audience.note_missed();
                }
                self.send_all(sessions, id, Recipients::All, encoding, body);
            }
            ToAudience::End => self.end_audience(sessions, id),
        }
    }

    fn frame(&mut self, audience: AudienceId, frame: AudienceFrame) {
        self.append(&ToEdge::Audience { audience, frame });
    }

    fn join(
        &mut self,
        sessions: &mut LaneSessions,
        id: AudienceId,
        session: SessionId,
        flags: Flags,
    ) {
        let state = sessions.get_mut(session).filter(|state| !state.closing);
        let (Some(state), Some(audience)) = (state, self.audiences.get_mut(id)) else {
            return;
        };
        if !state.audiences.contains(&id) {
            state.audiences.push(id);
        }
        let frame = audience.join(session, flags, !state.queue.is_empty());
        self.frame(id, frame);
    }

    /// Changes whether the group has a member stand aside.
    fn stand_aside(
        &mut self,
        sessions: &mut LaneSessions,
        id: AudienceId,
        session: SessionId,
        held: bool,
    ) {
        let Some(audience) = self.audiences.get_mut(id) else {
            return;
        };
        let (has_missed, frame) = audience.stand(session, held);
        if has_missed {
            // The dropped messages may be older than the time at which the member stood aside.
            sessions.report(OriginEvent::SnapshotWanted { audience: id });
        }
        if let Some(frame) = frame {
            self.frame(id, frame);
        }
    }

    fn leave(&mut self, sessions: &mut LaneSessions, id: AudienceId, session: SessionId) {
        let Some(state) = sessions.get_mut(session) else {
            return;
        };
        state.audiences.retain(|&of| of != id);
        if let Some(audience) = self.audiences.get_mut(id) {
            audience.forget(session);
        }
        // Messages in its queue still reach it.
        self.frame(id, AudienceFrame::Leave { session });
    }

    fn end_audience(&mut self, sessions: &mut LaneSessions, id: AudienceId) {
        let Some(members) = self.audiences.end(id) else {
            return;
        };
        for session in members {
            if let Some(state) = sessions.get_mut(session) {
                state.audiences.retain(|&of| of != id);
            }
        }
        self.frame(id, AudienceFrame::End);
    }

    fn send_all(
        &mut self,
        sessions: &mut LaneSessions,
        id: AudienceId,
        to: Recipients,
        encoding: Option<ObjectEncoding>,
        body: Bytes,
    ) {
        let all_but = match to {
            // The edge knows only members.
            Recipients::AllBut(session) => {
                let flags = self.audiences.flags(id, session);
                flags.map(|_| session)
            }
            Recipients::All | Recipients::One(_) => None,
        };
        self.copy_for_busy(sessions, id, all_but, encoding, &body);
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
            return self.frame(id, AudienceFrame::Send(piece));
        }
        self.queued += body.len();
        self.line.stand_first(Standing::Long {
            audience: id,
            head,
            body,
            sent: 0,
        });
        self.take_line_turn();
    }

    fn take_line_turn(&mut self) {
        if self.line.take_turn() {
            self.turns.push_back(Turn::Line);
        }
    }

    /// Copies a message for members with queues, which messages to all pass by at the edge.
    fn copy_for_busy(
        &mut self,
        sessions: &mut LaneSessions,
        id: AudienceId,
        all_but: Option<SessionId>,
        encoding: Option<ObjectEncoding>,
        body: &Bytes,
    ) {
        let Some(audience) = self.audiences.get_mut(id).filter(|it| it.has_busy()) else {
            return;
        };
        // The frames bypass the members' queues: they are in force for the message that follows.
        let asides = audience.set_busy_aside();
        let copies = audience.busy_recipients(all_but);
        for frame in asides {
            self.frame(id, frame);
        }
        for (session, flags) in copies {
            // A session receives nothing after its close.
            if sessions.get(session).is_none_or(|state| state.closing) {
                continue;
            }
            self.audiences.counts.member_messages += 1;
            if self.retained() + body.len() > RETENTION {
                self.close(sessions, session, CloseReason::Retention);
                continue;
            }
            let member = Member {
                audience: id,
                flags,
                encoding,
            };
            let body = body.clone();
            self.send_behind_queue(sessions, session, Order::Object { member, body });
        }
    }

    /// The session's queue is empty: the edge takes it back into its audiences.
    pub(super) fn end_queue(&mut self, sessions: &mut LaneSessions, session: SessionId) {
        let Some(state) = sessions.get(session) else {
            return;
        };
        for id in state.audiences.clone() {
            let audience = self.audiences.get_mut(id);
            if audience.is_none_or(|audience| !audience.is_busy(session)) {
                continue;
            }
            if self.line.has_audience(id) {
                self.line.stand(Standing::Rejoin(id, session));
            } else {
                self.rejoin(sessions, id, session);
            }
        }
    }

    fn rejoin(&mut self, sessions: &mut LaneSessions, id: AudienceId, session: SessionId) {
        let state = sessions.get(session);
        if state.is_none_or(|state| !state.queue.is_empty()) {
            return;
        }
        let audience = self.audiences.get_mut(id);
        if let Some(frame) = audience.and_then(|audience| audience.rejoin(session)) {
            self.frame(id, frame);
        }
    }

    /// Encodes the first item of the line and the items behind it that need not wait any more, up
    /// to a batch. Returns the size.
    pub(super) fn advance_line(&mut self, sessions: &mut LaneSessions) -> usize {
        self.line.end_turn();
        let mut encoded = 0;
        while encoded < BATCH
            && let Some(standing) = self.line.next()
        {
            encoded += self.advance(sessions, standing);
            if self.line.begins_with_long() {
                break;
            }
        }
        self.take_line_turn();
        encoded
    }

    fn advance(&mut self, sessions: &mut LaneSessions, standing: Standing) -> usize {
        match standing {
            Standing::Long {
                audience,
                head,
                body,
                sent,
            } => self.encode_piece(audience, head, body, sent),
            Standing::Audience(audience, order) => {
                let size = order.size();
                self.queued -= size;
                self.do_audience(sessions, audience, order);
                size + MIN_TURN
            }
            Standing::Session(session, order) => {
                let size = order.size();
                self.queued -= size;
                self.send_behind_queue(sessions, session, order);
                size + MIN_TURN
            }
            Standing::Rejoin(audience, session) => {
                self.rejoin(sessions, audience, session);
                MIN_TURN
            }
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
        if sent < body.len() {
            self.line.stand_first(Standing::Long {
                audience,
                head,
                body,
                sent,
            });
        }
        size
    }
}
