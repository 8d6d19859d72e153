//! Audiences: the members of one shared object among the sessions of one lane.
//!
//! A group reports the users of an object to a lane ([`ToAudience`]); from then on one frame
//! reaches all of them. The edge writes each member's own flags and encoding.

use bytes::Bytes;

use crate::{SessionId, amf::ObjectEncoding, shared_object::Flags};

/// An audience of a lane; its group chooses the number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AudienceId(pub u32);

/// The members of an audience that receive a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every member.
    All,
    /// Every member but this one, the author of a change.
    AllBut(SessionId),
    /// This member alone.
    One(SessionId),
}

/// An order of a group to an audience. A lane keeps its order among the orders to sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAudience {
    /// Creates the audience, and the edge's mirror of the object. The lane ignores a second Begin,
    /// and every order to an audience that does not exist.
    Begin {
        name: String,
        /// Whether the object outlives its members.
        persistent: bool,
    },
    /// A session begins to use the object.
    Join {
        session: SessionId,
        /// The flags of its Use; the edge writes them into every message to it.
        flags: Flags,
    },
    /// A member begins or ceases to stand aside. Messages to all pass by a member that stands
    /// aside; messages for it alone reach it in their order. The group sends it the messages that
    /// passed it by.
    Stand { session: SessionId, aside: bool },
    /// A session no longer uses the object. A session that closes leaves without this order.
    Leave { session: SessionId },
    /// A message of the object.
    Send {
        /// A message to all, or to all but one, also enters the edge's mirror, even if the audience
        /// has no members.
        to: Recipients,
        /// Only members of this encoding receive the message, because its values differ between the
        /// encodings; `None` is every member. Of the two forms the one for AMF3 enters the mirror.
        encoding: Option<ObjectEncoding>,
        /// A shared-object message in the form of type 19, with values of `encoding` and flags 0.
        body: Bytes,
    },
    /// The object's whole state, to all: a Clear, and a Change for every slot. It fills the mirror
    /// of a new audience, and replaces messages that a lane could not keep through an outage.
    Snapshot {
        encoding: Option<ObjectEncoding>,
        body: Bytes,
    },
    /// Ends the audience and the edge's mirror.
    End,
}

impl ToAudience {
    /// The session whose membership or standing changes.
    pub(super) fn mover(&self) -> Option<SessionId> {
        match *self {
            Self::Join { session, .. } | Self::Stand { session, .. } | Self::Leave { session } => {
                Some(session)
            }
            _ => None,
        }
    }

    /// Whether the order changes the members that receive later messages.
    pub(super) fn moves(&self) -> bool {
        !matches!(self, Self::Send { .. } | Self::Snapshot { .. })
    }

    /// The bytes that the order counts against the bounds of a lane.
    pub fn size(&self) -> usize {
        match self {
            Self::Send { body, .. } | Self::Snapshot { body, .. } => body.len(),
            Self::Begin { name, .. } => name.len(),
            Self::Join { .. } | Self::Stand { .. } | Self::Leave { .. } | Self::End => 0,
        }
    }
}
