//! What a lane tells its edge.

use bytes::Bytes;

use crate::{
    Message, MessageStreamId, SessionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, Bandwidth, CloseReason, FeedPlace, Filter, Generation, LiveId, Recipients,
        WriterId, lane_frame::Member,
    },
    shared_object::Flags,
};

/// What a lane tells its edge.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EdgeEvent {
    /// The connect was accepted.
    Accepted {
        /// Whose.
        session: SessionId,
    },
    /// A message for the client.
    Message {
        /// For whom.
        session: SessionId,
        /// The message.
        message: Message,
        /// The place in the feed it follows.
        after: Option<FeedPlace>,
    },
    /// The origin ended the session; it is forgotten here.
    Closed {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A message stream plays this live stream.
    Attach {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// The live stream.
        live: LiveId,
        /// The first message of the publication that it plays.
        publication: u64,
    },
    /// A message stream plays nothing.
    Detach {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
    },
    /// A publish is accepted.
    AcceptPublish {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
        /// The live stream.
        live: LiveId,
        /// What the feed must carry.
        writer: WriterId,
    },
    /// A publish is refused or over.
    StopPublish {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// The publish command's generation.
        generation: Generation,
    },
    /// What a viewer gets.
    Filter {
        /// Whose.
        session: SessionId,
        /// The message stream.
        stream: MessageStreamId,
        /// What passes.
        filter: Filter,
    },
    /// A session has more to send than its rate allows: it waits.
    Throttled {
        /// Which.
        session: SessionId,
    },
    /// Something of a session's messages left its queue.
    Left {
        /// Whose.
        session: SessionId,
        /// Payload bytes.
        bytes: usize,
        /// Whether they were a message's last.
        finished: bool,
    },
    /// A message of a shared object for one member of its audience.
    Object {
        /// For whom.
        session: SessionId,
        /// As which member; the audience need not exist any more.
        member: Member,
        /// The message in the form of type 19, with flags 0.
        body: Bytes,
    },
    /// Something happened to an audience.
    Audience {
        /// Which.
        audience: AudienceId,
        /// What.
        event: AudienceEvent,
    },
    /// The origin wants to know what the session's connection carries, from now on.
    Watched {
        /// Which.
        session: SessionId,
    },
    /// How fast the session's connection may be.
    Bandwidth {
        /// Which.
        session: SessionId,
        /// The limits.
        bandwidth: Bandwidth,
    },
    /// The client is to be pinged.
    Ping {
        /// Which.
        session: SessionId,
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
