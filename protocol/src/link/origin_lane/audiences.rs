//! The audiences of a lane at its origin: one frame for all members, in its place among what each
//! of them is told.
//!
//! A member with a queue of its own (a long answer) *stands aside*: messages to all pass it by, and
//! it gets a copy of each in its queue, until that is empty. A message longer than a fragment takes
//! turns with the sessions; until its last fragment has left, whatever concerns an audience, or a
//! member of one that is concerned, stands in a *line* behind it.

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

/// What a lane's audiences have cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudienceCounts {
    /// Messages to all of an audience, each put on the link once.
    pub messages: u64,
    /// Messages to one member: answers to it, and the copies for those that stand aside.
    pub member_messages: u64,
    /// Messages to all that became part of the one before, since the lane was behind.
    pub merged: u64,
    /// Times an audience no longer fitted what the lane keeps and needed a snapshot.
    pub lapses: u64,
}

#[derive(Debug, Default)]
pub(super) struct Audiences {
    known: HashMap<AudienceId, Audience>,
    /// A long message under way, and what must not pass it, in order.
    line: VecDeque<Standing>,
    /// Whether it has a place among the turns.
    has_turn: bool,
    /// How much of each audience is in the line.
    in_line: HashMap<AudienceId, usize>,
    /// How many times somebody comes, goes or stands otherwise there.
    moves_in_line: usize,
    /// Those that wait for a snapshot.
    lapsed: Vec<AudienceId>,
    counts: AudienceCounts,
}

#[derive(Debug, Default)]
struct Audience {
    members: HashMap<SessionId, Standpoint>,
    /// Members that have a queue, or that the edge still passes by.
    busy: Vec<SessionId>,
    lapse: Lapse,
}

/// How a member gets messages to all.
#[derive(Debug)]
struct Standpoint {
    flags: Flags,
    /// The edge passes it by.
    aside: bool,
    /// The group wants it so, and sends what it has to get.
    held: bool,
    /// A snapshot has passed it by meanwhile.
    missed: bool,
}

/// Something in the line.
#[derive(Debug)]
enum Standing {
    Audience(AudienceId, ToAudience),
    /// A message to all, of which this much has been encoded.
    Long {
        audience: AudienceId,
        head: AudienceHead,
        body: Bytes,
        sent: usize,
    },
    Session(SessionId, Order),
    /// The member has no queue any more.
    Rejoin(AudienceId, SessionId),
}

impl Audiences {
    /// Whether a session that is in these audiences, and has this much in the line, must stand in
    /// it.
    pub(super) fn hold_back(&self, audiences: &[AudienceId], in_line: usize) -> bool {
        let concerned = |audience| self.in_line.contains_key(audience);
        !self.line.is_empty() && (in_line > 0 || audiences.iter().any(concerned))
    }

    pub(super) fn stand_session(&mut self, session: SessionId, order: Order) {
        self.line.push_back(Standing::Session(session, order));
    }

    /// The session has a queue from now on.
    pub(super) fn is_busy(&mut self, audiences: &[AudienceId], session: SessionId) {
        for audience in audiences {
            if let Some(audience) = self.known.get_mut(audience) {
                audience.note_busy(session);
            }
        }
    }

    /// The session is over.
    pub(super) fn forget_member(&mut self, audience: AudienceId, session: SessionId) {
        if let Some(audience) = self.known.get_mut(&audience) {
            audience.forget(session);
        }
    }

    /// Whether an audience is there and misses nothing.
    pub(super) fn is_whole(&self, audience: AudienceId) -> bool {
        let known = self.known.get(&audience);
        known.is_some_and(|known| known.lapse == Lapse::None)
    }

    /// Whether nobody in the line comes, goes or stands otherwise.
    pub(super) fn is_settled(&self) -> bool {
        self.moves_in_line == 0
    }

    pub(super) fn members(&self, audience: AudienceId) -> Vec<SessionId> {
        let known = self.known.get(&audience);
        let members = known.into_iter().flat_map(|known| known.members.keys());
        members.copied().collect()
    }

    /// Whom a message to an audience is for.
    pub(super) fn hearers(&self, audience: AudienceId, to: Recipients) -> Vec<SessionId> {
        let hears = |session: SessionId| match to {
            Recipients::All => true,
            Recipients::AllBut(but) => session != but,
            Recipients::One(one) => session == one,
        };
        let known = self.known.get(&audience);
        let members = known.into_iter().flat_map(|known| &known.members);
        members
            .filter(|(session, member)| !member.held && hears(**session))
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
    /// Tells an audience something. It keeps its place among what its members are told.
    pub fn audience(&mut self, audience: AudienceId, what: ToAudience) {
        if !self.merge(audience, &what) {
            self.unmerge_before(audience, &what);
            self.tell_audience(audience, what);
        }
    }

    pub(super) fn tell_audience(&mut self, audience: AudienceId, what: ToAudience) {
        if let ToAudience::Send {
            to: Recipients::One(session),
            encoding,
            body,
        } = what
        {
            self.tell_member(audience, session, encoding, body);
            return;
        }
        if !self.fits(audience, &what) {
            return self.lose(audience, &what);
        }
        if self.audiences.line.is_empty() {
            self.do_audience(audience, what);
            return;
        }
        self.queued += what.size();
        self.audiences.moves_in_line += usize::from(what.moves());
        if let Some(session) = what.mover()
            && let Some(state) = self.sessions.get_mut(&session)
        {
            state.in_line += 1;
        }
        self.audiences
            .stand(audience, Standing::Audience(audience, what));
    }

    /// What audiences have cost since this was asked last.
    pub fn take_audience_counts(&mut self) -> AudienceCounts {
        std::mem::take(&mut self.audiences.counts)
    }

    fn tell_member(
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

    fn do_audience(&mut self, audience: AudienceId, what: ToAudience) {
        let known = self.audiences.known.contains_key(&audience);
        match what {
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

    /// The group has a member stand aside, or not any more.
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
            // What it stands for was dropped, perhaps before the group kept the member apart.
            self.events
                .push_back(OriginEvent::SnapshotWanted { audience: id });
        }
        // A member with a queue goes back when that is empty.
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
        // Messages that are queued for it reach it all the same.
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
            // The edge need not know of others.
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

    /// Members with queues get copies there, and the edge passes them by.
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
            // After its close it hears nothing.
            let hears = self.sessions.get(&session).is_some_and(|it| !it.closing);
            if hears && !standpoint.held && Some(session) != all_but {
                copies.push((session, flags));
            }
        }
        for (session, flags) in asides {
            // Not through its queue: it holds for the message that follows.
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

    /// The session's queue is empty: the edge need not pass it by any more.
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
        let queues = |state: &super::Session| !state.queue.is_empty();
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

    /// Encodes what is first in the line, and what need not wait any more after it, up to a batch.
    /// How much that was.
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
            Standing::Audience(audience, what) => {
                self.audiences.left_line(audience);
                let size = what.size();
                self.queued -= size;
                self.audiences.moves_in_line -= usize::from(what.moves());
                if let Some(session) = what.mover() {
                    self.session_left_line(session);
                }
                self.do_audience(audience, what);
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
