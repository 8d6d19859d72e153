//! Orders to sessions, which take turns if they are longer than a fragment.

use bytes::Bytes;

use super::{OriginLane, RETENTION};
use crate::{
    SessionId,
    link::{
        CloseReason, ToSession,
        lane_frame::{Fragment, Head, MAX_FRAGMENT, Member, ToEdge},
        outbox::BATCH,
    },
};

/// An item of the turns.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    Session(SessionId),
    /// The audiences' line.
    Line,
}

/// An order that waits in a session's queue.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Session(ToSession),
    /// A message of an audience for this member alone.
    Object {
        member: Member,
        body: Bytes,
    },
}

#[derive(Debug)]
pub(super) struct Queued {
    order: Order,
    sent: usize,
}

impl OriginLane {
    /// Queues an order to a session behind the orders before it.
    pub(super) fn queue_order(&mut self, session: SessionId, order: Order) {
        self.unmerge_for(session);
        let retained = self.retained();
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.closing {
            return;
        }
        let size = order.size();
        if retained + size > RETENTION && !order.closes() {
            self.fail(session, CloseReason::Retention);
            return;
        }
        if order.closes() {
            state.closing = true;
        }
        if self.audiences.hold_back(&state.audiences, state.in_line) {
            self.queued += size;
            state.in_line += 1;
            self.audiences.stand_session(session, order);
            return;
        }
        self.send_order(session, order);
    }

    /// Encodes an order. An order that is longer than a fragment, or behind such an order, waits
    /// for the session's turn.
    pub(super) fn send_order(&mut self, session: SessionId, order: Order) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let size = order.size();
        if !state.queue.is_empty() {
            self.queued += size;
            state.queue.push_back(Queued { order, sent: 0 });
            return;
        }
        if size > MAX_FRAGMENT {
            self.queued += size;
            state.queue.push_back(Queued { order, sent: 0 });
            self.turns.push_back(Turn::Session(session));
            self.audiences.is_busy(&state.audiences, session);
            return;
        }
        let closes = order.closes();
        let frame = order.into_frame(session);
        self.outbox.append(|out| frame.encode(out));
        if closes {
            self.remove(session);
        }
    }

    /// Encodes one fragment of each session in turn, until a batch is full.
    pub(super) fn take_turns(&mut self) {
        let mut encoded = 0;
        while encoded < BATCH {
            let Some(turn) = self.turns.pop_front() else {
                break;
            };
            encoded += match turn {
                Turn::Session(session) => self.take_turn(session),
                Turn::Line => self.advance_line(),
            };
        }
    }

    /// Encodes one fragment of a session; returns its size.
    fn take_turn(&mut self, id: SessionId) -> usize {
        let Some(state) = self.sessions.get_mut(&id) else {
            return 0;
        };
        let Some(front) = state.queue.front_mut() else {
            self.has_caught_up(id);
            return 0;
        };
        let left = front.left();
        let closes = front.order.closes();
        let frame = front.next_frame(id);
        let done = front.is_done();
        let after = if done { 0 } else { front.left() };
        if done {
            state.queue.pop_front();
        }
        let more = !state.queue.is_empty();
        self.queued -= left - after;
        self.outbox.append(|out| frame.encode(out));
        if closes {
            self.remove(id);
        } else if more {
            self.turns.push_back(Turn::Session(id));
        } else {
            self.has_caught_up(id);
        }
        (left - after).max(16)
    }
}

impl Order {
    /// The bytes that the order counts against the retention.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Session(order) => order.size(),
            Self::Object { body, .. } => body.len(),
        }
    }

    fn closes(&self) -> bool {
        matches!(self, Self::Session(ToSession::Close(_)))
    }

    /// The head and payload of a message.
    fn message(&self) -> Option<(Head, &Bytes)> {
        match self {
            Self::Session(ToSession::Message { message, after }) => {
                let head = Head {
                    after: *after,
                    ..Head::of(message)
                };
                Some((head, &message.payload))
            }
            Self::Object { member, body } => Some((Head::of_member(*member, body), body)),
            Self::Session(_) => None,
        }
    }

    /// The whole order in one frame.
    fn into_frame(self, session: SessionId) -> ToEdge {
        match self {
            Self::Session(order) => ToEdge::Session { session, order },
            Self::Object { member, body } => ToEdge::Fragment {
                session,
                fragment: Fragment {
                    head: Some(Head::of_member(member, &body)),
                    data: body,
                },
            },
        }
    }
}

impl Queued {
    pub(super) fn left(&self) -> usize {
        self.order.size() - self.sent
    }

    fn next_frame(&mut self, session: SessionId) -> ToEdge {
        let Some((head, payload)) = self.order.message() else {
            return self.order.clone().into_frame(session);
        };
        let size = (payload.len() - self.sent).min(MAX_FRAGMENT);
        let fragment = Fragment {
            head: (self.sent == 0).then_some(head),
            data: payload.slice(self.sent..self.sent + size),
        };
        self.sent += size;
        ToEdge::Fragment { session, fragment }
    }

    fn is_done(&self) -> bool {
        self.left() == 0
    }
}
