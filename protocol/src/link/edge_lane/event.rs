//! The events of a lane at its edge.

use bytes::Bytes;

use crate::{
    SessionId,
    amf::ObjectEncoding,
    link::{AudienceId, Recipients, ToSession, lane_frame::Member},
    shared_object::Flags,
};

/// An event of a lane at its edge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EdgeEvent {
    /// An order of the origin to a session. A close removes the session from the lane.
    Session {
        session: SessionId,
        order: ToSession,
    },
    /// A session has used up its rate and waits.
    Throttled { session: SessionId },
    /// A part of a session's messages left its queue.
    Left {
        session: SessionId,
        /// Payload bytes.
        bytes: usize,
        /// Whether they end a message.
        finished: bool,
    },
    /// A message of a shared object for one member of its audience.
    Object {
        session: SessionId,
        /// The member; its audience may have ended.
        member: Member,
        /// The message in the form of type 19, with flags 0.
        body: Bytes,
    },
    /// An event of an audience.
    Audience {
        audience: AudienceId,
        event: AudienceEvent,
    },
    /// The lane's group has stopped at this origin. It goes on at the one of this name; an empty name is
    /// the next process of the same.
    HandedOver { origin: String },
}

/// An event of an audience. Sessions that are over are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudienceEvent {
    /// The audience begins.
    Begun {
        name: String,
        /// Whether the object outlives its members.
        persistent: bool,
    },
    /// A session becomes a member, or its standing changes.
    Joined {
        session: SessionId,
        /// The flags that the edge writes into every message to it.
        flags: Flags,
        /// Whether messages to all, or to all but one, pass it by.
        aside: bool,
    },
    /// A session is no longer a member.
    Left { session: SessionId },
    /// A message to the members of this moment.
    Message {
        /// All, or all but one; members that stand aside do not receive it.
        to: Recipients,
        /// Only members of this encoding receive it.
        encoding: Option<ObjectEncoding>,
        /// The message in the form of type 19, with flags 0.
        body: Bytes,
    },
    /// The audience ends.
    Ended,
}
