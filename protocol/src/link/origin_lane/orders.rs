//! The orders of a lane, from the group to the edge.
//!
//! An order leaves at once, unless it is longer than a fragment or behind such an order: then it
//! waits for its session's turn.

use std::collections::VecDeque;

use super::{
    audiences::OriginAudiences,
    line::{Line, Standing},
    order::{Order, Queued},
    sessions::{LaneSessions, OriginSession},
};
use crate::{
    SessionId,
    link::{
        CloseReason, ToSession,
        lane_frame::{MAX_FRAGMENT, ToEdge},
        outbox::{BATCH, Outbox},
    },
};

mod audiences;
mod lapsing;
mod merging;

use merging::Merging;

/// The most bytes that a lane keeps for its edge, sent or not. Reason: a group of a thousand
/// chatting clients stays below it through an outage of the default grace time. A session whose
/// frames no longer fit is closed with [`CloseReason::Retention`].
pub const RETENTION: usize = 16 * 1024 * 1024;

/// The bytes that a turn costs at least. Reason: a batch of empty orders ends too.
const MIN_TURN: usize = 16;

/// Orders that have not reached the edge, encoded or not.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) outbox: Outbox,
    pub(super) audiences: OriginAudiences,
    /// Sessions with queued messages in turn, and the line.
    turns: VecDeque<Turn>,
    line: Line,
    merging: Merging,
    /// The bytes in the queues of sessions and in the line.
    queued: usize,
}

/// An item of the turns.
#[derive(Clone, Copy, Debug)]
enum Turn {
    Session(SessionId),
    Line,
}

impl Orders {
    /// The bytes kept for the edge.
    pub(super) fn retained(&self) -> usize {
        self.outbox.retained() + self.queued + self.merging.bytes()
    }

    /// Whether no order waits to be encoded.
    pub(super) fn are_encoded(&self) -> bool {
        self.turns.is_empty() && self.line.is_empty() && self.merging.bytes() == 0
    }

    /// Queues an order to a session behind the orders before it. A session whose order exceeds
    /// [`RETENTION`] is closed.
    pub(super) fn send(&mut self, sessions: &mut LaneSessions, session: SessionId, order: Order) {
        self.unmerge_for(sessions, session);
        let retained = self.retained();
        let Some(state) = sessions.get_mut(session).filter(|state| !state.closing) else {
            return;
        };
        let size = order.size();
        if retained + size > RETENTION && !order.closes() {
            return self.close(sessions, session, CloseReason::Retention);
        }
        if order.closes() {
            state.closing = true;
        }
        if self.line.holds_back(session, &state.audiences) {
            self.queued += size;
            return self.line.stand(Standing::Session(session, order));
        }
        self.send_behind_queue(sessions, session, order);
    }

    /// Closes a session from this side, for both ends. The edge drops its part of a message under
    /// way when it reads the close.
    pub(super) fn close(
        &mut self,
        sessions: &mut LaneSessions,
        session: SessionId,
        reason: CloseReason,
    ) {
        if self.remove(sessions, session).is_some() {
            let order = ToSession::Close(reason);
            self.append(&ToEdge::Session { session, order });
            sessions.report_closed(session, reason);
        }
    }

    /// Removes a session and its queue.
    pub(super) fn remove(
        &mut self,
        sessions: &mut LaneSessions,
        session: SessionId,
    ) -> Option<OriginSession> {
        let state = sessions.remove(session)?;
        self.queued -= state.queue.iter().map(Queued::left).sum::<usize>();
        for audience in &state.audiences {
            if let Some(audience) = self.audiences.get_mut(*audience) {
                audience.forget(session);
            }
        }
        Some(state)
    }

    /// Encodes one fragment of each session in turn, until a batch is full or the window is.
    pub(super) fn take_turns(&mut self, sessions: &mut LaneSessions) {
        if self.outbox.is_blocked() {
            return;
        }
        self.unmerge_all(sessions);
        let mut encoded = 0;
        while encoded < BATCH
            && let Some(turn) = self.turns.pop_front()
        {
            encoded += match turn {
                Turn::Session(session) => self.take_turn(sessions, session),
                Turn::Line => self.advance_line(sessions),
            };
        }
    }

    /// Encodes an order, or queues it behind the session's other orders.
    fn send_behind_queue(&mut self, sessions: &mut LaneSessions, session: SessionId, order: Order) {
        let Some(state) = sessions.get_mut(session) else {
            return;
        };
        let size = order.size();
        let begins_queue = state.queue.is_empty();
        if !begins_queue || size > MAX_FRAGMENT {
            self.queued += size;
            state.queue.push_back(Queued::new(order));
            if begins_queue {
                self.turns.push_back(Turn::Session(session));
                self.audiences.note_busy(&state.audiences, session);
            }
            return;
        }
        let closes = order.closes();
        self.append(&order.into_frame(session));
        if closes {
            self.remove(sessions, session);
        }
    }

    /// Encodes one fragment of a session; returns its size.
    fn take_turn(&mut self, sessions: &mut LaneSessions, id: SessionId) -> usize {
        let Some(state) = sessions.get_mut(id) else {
            return 0;
        };
        let Some(front) = state.queue.front_mut() else {
            self.end_queue(sessions, id);
            return 0;
        };
        let left = front.left();
        let closes = front.closes();
        let frame = front.next_frame(id);
        let done = front.is_done();
        let after = if done { 0 } else { front.left() };
        if done {
            state.queue.pop_front();
        }
        let more = !state.queue.is_empty();
        self.queued -= left - after;
        self.append(&frame);
        if closes {
            self.remove(sessions, id);
        } else if more {
            self.turns.push_back(Turn::Session(id));
        } else {
            self.end_queue(sessions, id);
        }
        (left - after).max(MIN_TURN)
    }

    fn append(&mut self, frame: &ToEdge) {
        self.outbox.append(|out| frame.encode(out));
    }
}
