//! What sessions are told, in turns when it is long.

use bytes::Bytes;

use super::{OriginLane, RETENTION, Tell};
use crate::{
    SessionId,
    link::{
        CloseReason,
        lane_frame::{Fragment, Head, MAX_FRAGMENT, Member, ToEdge},
        outbox::BATCH,
    },
};

/// Who encodes next.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    Session(SessionId),
    /// The audiences' line.
    Line,
}

/// One thing a session is told.
#[derive(Clone, Debug)]
pub(super) enum Said {
    Tell(Tell),
    /// A message of the audience, for it alone.
    Object {
        member: Member,
        body: Bytes,
    },
}

#[derive(Debug)]
pub(super) struct Queued {
    said: Said,
    sent: usize,
}

impl OriginLane {
    /// A session is told something, after what it was told before.
    pub(super) fn hear(&mut self, session: SessionId, said: Said) {
        self.unmerge_for(session);
        let retained = self.retained();
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if state.closing {
            return;
        }
        let size = said.size();
        if retained + size > RETENTION && !said.closes() {
            self.fail(session, CloseReason::Retention);
            return;
        }
        if said.closes() {
            state.closing = true;
        }
        if self.audiences.hold_back(&state.audiences, state.in_line) {
            self.queued += size;
            state.in_line += 1;
            self.audiences.stand_session(session, said);
            return;
        }
        self.say(session, said);
    }

    /// Encodes what a session is told, or lets it wait for its turn: messages longer than a
    /// fragment, and whatever follows them.
    pub(super) fn say(&mut self, session: SessionId, said: Said) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let size = said.size();
        if !state.queue.is_empty() {
            self.queued += size;
            state.queue.push_back(Queued { said, sent: 0 });
            return;
        }
        if size > MAX_FRAGMENT {
            self.queued += size;
            state.queue.push_back(Queued { said, sent: 0 });
            self.turns.push_back(Turn::Session(session));
            self.audiences.is_busy(&state.audiences, session);
            return;
        }
        let closes = said.closes();
        self.outbox.append(|out| said.frame(session).encode(out));
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

    /// Encodes one fragment of a session; how much that was.
    fn take_turn(&mut self, id: SessionId) -> usize {
        let Some(state) = self.sessions.get_mut(&id) else {
            return 0;
        };
        let Some(front) = state.queue.front_mut() else {
            self.has_caught_up(id);
            return 0;
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
        let closed = matches!(frame, ToEdge::Close { .. });
        self.outbox.append(|out| frame.encode(out));
        if closed {
            self.remove(id);
        } else if more {
            self.turns.push_back(Turn::Session(id));
        } else {
            self.has_caught_up(id);
        }
        (left - after).max(16)
    }
}

impl Said {
    /// What it counts against the retention bound.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Tell(Tell::Message { message, .. }) => message.payload.len(),
            Self::Object { body, .. } => body.len(),
            Self::Tell(_) => 0,
        }
    }

    fn closes(&self) -> bool {
        matches!(self, Self::Tell(Tell::Close(_)))
    }

    /// The head and payload of a message.
    fn message(&self) -> Option<(Head, &Bytes)> {
        match self {
            Self::Tell(Tell::Message { message, after }) => {
                let head = Head {
                    after: *after,
                    ..Head::of(message)
                };
                Some((head, &message.payload))
            }
            Self::Object { member, body } => Some((Head::of_member(*member, body), body)),
            Self::Tell(_) => None,
        }
    }

    /// All of it in one frame.
    fn frame(&self, session: SessionId) -> ToEdge {
        match self {
            Self::Tell(tell) => tell.clone().frame(session),
            Self::Object { member, body } => ToEdge::Fragment {
                session,
                fragment: Fragment {
                    head: Some(Head::of_member(*member, body)),
                    data: body.clone(),
                },
            },
        }
    }
}

impl Queued {
    pub(super) fn left(&self) -> usize {
        self.said.size() - self.sent
    }

    fn next_frame(&mut self, session: SessionId) -> ToEdge {
        let Some((head, payload)) = self.said.message() else {
            return self.said.frame(session);
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
