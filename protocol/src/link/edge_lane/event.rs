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
    /// An order of the origin to a session. The lane forgets a session with its close.
    Session {
        /// The session.
        session: SessionId,
        /// The order.
        order: ToSession,
    },
    /// A session has more to send than its rate allows: it waits.
    Throttled {
        /// The session.
        session: SessionId,
    },
    /// A part of a session's messages left its queue.
    Left {
        /// The session.
        session: SessionId,
        /// Payload bytes.
        bytes: usize,
        /// Whether they were a message's last.
        finished: bool,
    },
    /// A message of a shared object for one member of its audience.
    Object {
        /// The session.
        session: SessionId,
        /// The member; its audience may have ended.
        member: Member,
        /// The message in the form of type 19, with flags 0.
        body: Bytes,
    },
    /// An event of an audience.
    Audience {
        /// The audience.
        audience: AudienceId,
        /// The event.
        event: AudienceEvent,
    },
}

/// What happens to an audience. Sessions that are over are not named.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudienceEvent {
    /// It begins.
    Begun {
        /// The object's name.
        name: String,
        /// Whether the object outlives its members.
        persistent: bool,
    },
    /// A session is a member from now on, or stands otherwise than before.
    Joined {
        /// Which.
        session: SessionId,
        /// What goes into every message to it.
        flags: Flags,
        /// Messages to all, or all but one, pass it by.
        aside: bool,
    },
    /// A session is a member no more.
    Left {
        /// Which.
        session: SessionId,
    },
    /// A message to those who are members now.
    Message {
        /// To whom: all, or all but one, who do not stand aside.
        to: Recipients,
        /// For members of this encoding only.
        encoding: Option<ObjectEncoding>,
        /// The message in the form of type 19, with flags 0.
        body: Bytes,
    },
    /// It ends.
    Ended,
}
