//! The two directions between an origin and one session, from the link's frames to the session.
//!
//! Each direction is one enum. Its type parameters are the types to which a tier resolves an
//! identifier: on the wire an order to play names a [`LiveId`], inside an origin it carries the
//! stream itself, inside an edge the stream's ring. [`ToSession::resolve`] and
//! [`FromSession::resolve`] are the only translations.
//!
//! Both enums are exhaustive for other crates as well, so that the compiler names each place that has
//! to carry out a new order, or to take a new event.

use std::sync::Arc;

use super::{
    Bandwidth, CloseReason, FeedPlace, Filter, Generation, LiveId, OpenSession, Record,
    RelayAddress, Statistics, TakeoverKey, WriterId,
};
use crate::{Message, MessageStreamId};

/// An order of an origin to one session. A lane delivers a session's orders in sequence.
///
/// `S` is the source of an attached message stream, `T` the target of an accepted publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToSession<S = Source, T = Target> {
    /// The application accepts the connect; its `_result` follows as a message.
    Accept,
    /// A message for the client.
    Message {
        /// The message, complete.
        message: Message,
        /// The place in its message stream's feed that it follows.
        after: Option<FeedPlace>,
    },
    /// The message stream plays this source from here on.
    Attach {
        stream: MessageStreamId,
        /// The live stream that it plays.
        source: S,
    },
    /// The message stream plays nothing from here on.
    Detach { stream: MessageStreamId },
    /// The publish of this generation is accepted.
    AcceptPublish {
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
        /// The live stream that takes the media.
        target: T,
    },
    /// The publish of this generation is refused or over: its media is dropped.
    StopPublish {
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
    },
    /// Whether the live stream of the publish of this generation has readers. Without this order it
    /// has.
    PublishRead {
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
        /// Whether there are readers.
        read: bool,
    },
    /// The media that the viewer asked for.
    Filter {
        stream: MessageStreamId,
        /// The kinds of media that pass.
        filter: Filter,
    },
    /// The edge reports the connection's statistics, at once and every few seconds from then on.
    Watch,
    /// The speed limits of the session's connection.
    Bandwidth(Bandwidth),
    /// The edge pings the client; the round trip shows in the session's statistics.
    Ping,
    /// The edge keeps this part of the session's record, in place of the one before.
    Remember(Record),
    /// So many of the session's messages in this lane are done with, from the first on.
    Handled(u64),
    /// The session goes on at this process.
    Restored,
    /// The live stream goes on with the one that had this number at the process before.
    Continues { live: LiveId, was: LiveId },
    /// The client has sent this message in a session that this one goes on with: the edge passes it on as
    /// one that comes from the client now.
    Repeat(Message),
    /// The edge sends everything before this to the client, then closes the connection.
    Close(CloseReason),
}

/// An event of one session at its edge. A lane delivers a session's events in sequence.
///
/// `O` is the opening of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromSession<O = OpenSession> {
    /// A client asks to connect.
    Open(O),
    /// A message of the client.
    Message {
        /// The message stream's generation after this message.
        generation: Generation,
        /// The message, complete.
        message: Message,
    },
    /// A publishing client has gone silent, or sends again.
    Stalled {
        /// The message stream it publishes on.
        stream: MessageStreamId,
        /// Whether it is silent.
        stalled: bool,
    },
    /// Figures of the session's connection, after [`ToSession::Watch`].
    Statistics(Statistics),
    /// The edge asks the client to reconnect: the names that it publishes go to the session that
    /// shows this key, if it comes soon.
    Reconnects(TakeoverKey),
    /// The service that the edge has asked wants the stream of the next publish on this message stream
    /// to go to another server as well, or that of the next play to come from there.
    Relay {
        stream: MessageStreamId,
        /// The stream at the other server.
        address: RelayAddress,
    },
    /// The session is over; no further event or order concerns it.
    Close(CloseReason),
}

/// The source of an attached message stream: `L` is a live stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source<L = LiveId> {
    /// The live stream.
    pub live: L,
    /// The number of the first message of the publication that it plays; 0 towards an edge without
    /// the feature [`PUBLICATION`](super::features::PUBLICATION).
    pub publication: u64,
    /// The name of the live stream in its group; `None` towards an edge without the feature
    /// [`NAMED`](super::features::NAMED).
    pub name: Option<Arc<str>>,
}

/// The target of an accepted publish: `L` is a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<L = LiveId> {
    /// The live stream.
    pub live: L,
    /// The writer that the feed names.
    pub writer: WriterId,
}

impl<S, T> ToSession<S, T> {
    /// The same order with its source or target replaced.
    pub fn resolve<S2, T2>(
        self,
        source: impl FnOnce(MessageStreamId, S) -> S2,
        target: impl FnOnce(MessageStreamId, T) -> T2,
    ) -> ToSession<S2, T2> {
        match self {
            Self::Accept => ToSession::Accept,
            Self::Message { message, after } => ToSession::Message { message, after },
            Self::Attach { stream, source: of } => ToSession::Attach {
                stream,
                source: source(stream, of),
            },
            Self::Detach { stream } => ToSession::Detach { stream },
            Self::AcceptPublish {
                stream,
                generation,
                target: of,
            } => ToSession::AcceptPublish {
                stream,
                generation,
                target: target(stream, of),
            },
            Self::StopPublish { stream, generation } => {
                ToSession::StopPublish { stream, generation }
            }
            Self::PublishRead {
                stream,
                generation,
                read,
            } => ToSession::PublishRead {
                stream,
                generation,
                read,
            },
            Self::Filter { stream, filter } => ToSession::Filter { stream, filter },
            Self::Watch => ToSession::Watch,
            Self::Bandwidth(bandwidth) => ToSession::Bandwidth(bandwidth),
            Self::Ping => ToSession::Ping,
            Self::Remember(record) => ToSession::Remember(record),
            Self::Handled(messages) => ToSession::Handled(messages),
            Self::Restored => ToSession::Restored,
            Self::Continues { live, was } => ToSession::Continues { live, was },
            Self::Repeat(message) => ToSession::Repeat(message),
            Self::Close(reason) => ToSession::Close(reason),
        }
    }

    /// The payload bytes that the order carries.
    pub fn size(&self) -> usize {
        match self {
            Self::Message { message, .. } | Self::Repeat(message) => message.payload.len(),
            Self::Remember(record) => record.bytes.len(),
            _ => 0,
        }
    }
}

impl<O> FromSession<O> {
    /// The same event with its opening replaced.
    pub fn resolve<O2>(self, open: impl FnOnce(O) -> O2) -> FromSession<O2> {
        match self {
            Self::Open(of) => FromSession::Open(open(of)),
            Self::Message {
                generation,
                message,
            } => FromSession::Message {
                generation,
                message,
            },
            Self::Stalled { stream, stalled } => FromSession::Stalled { stream, stalled },
            Self::Statistics(statistics) => FromSession::Statistics(statistics),
            Self::Reconnects(key) => FromSession::Reconnects(key),
            Self::Relay { stream, address } => FromSession::Relay { stream, address },
            Self::Close(reason) => FromSession::Close(reason),
        }
    }
}
