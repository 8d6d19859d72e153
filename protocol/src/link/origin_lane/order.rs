//! Orders to a session, in frames.

use bytes::Bytes;

use crate::{
    SessionId,
    link::{
        ToSession,
        lane_frame::{Fragment, Head, MAX_FRAGMENT, Member, ToEdge},
    },
};

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

/// An order that leaves in turn with those of other sessions.
#[derive(Debug)]
pub(super) struct Queued {
    order: Order,
    sent: usize,
}

impl Order {
    /// The bytes that the order counts against the retention.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Session(order) => order.size(),
            Self::Object { body, .. } => body.len(),
        }
    }

    pub(super) fn closes(&self) -> bool {
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
    pub(super) fn into_frame(self, session: SessionId) -> ToEdge {
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
    pub(super) fn new(order: Order) -> Self {
        Self { order, sent: 0 }
    }

    pub(super) fn closes(&self) -> bool {
        self.order.closes()
    }

    /// The bytes that have not been encoded.
    pub(super) fn left(&self) -> usize {
        self.order.size() - self.sent
    }

    pub(super) fn next_frame(&mut self, session: SessionId) -> ToEdge {
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

    pub(super) fn is_done(&self) -> bool {
        self.left() == 0
    }
}
