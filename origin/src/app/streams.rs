//! Live streams as an application sees them.

use std::{fmt, time::Duration};

use tributary_protocol::{
    MessageStreamId,
    amf::Object,
    command::{Status, stream::PlayStart},
};

use super::{ClientId, ConnectionId};

/// A stream that the application has opened, never used twice by one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

/// What a stream of the application is to play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayRequest {
    /// The name of the stream to play; a query is cut off.
    pub name: String,
    /// Live or recorded. There are no recordings yet: what asks for one is not found.
    pub start: PlayStart,
    /// For how long, from its first media on; to its end if there is none.
    pub length: Option<Duration>,
    /// Whether it replaces what plays and waits; if not, it waits for its turn.
    pub reset: bool,
    /// The connection whose other side has the stream, with its query and its recordings; this
    /// instance if there is none.
    pub remote: Option<ConnectionId>,
}

impl PlayRequest {
    /// A live stream to its end, at once.
    pub fn live(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            start: PlayStart::LiveOrRecorded,
            length: None,
            reset: true,
            remote: None,
        }
    }

    /// The same from the other side of a connection.
    #[must_use]
    pub fn over(mut self, remote: ConnectionId) -> Self {
        self.remote = Some(remote);
        self
    }

    /// The same for so long only.
    #[must_use]
    pub fn lasting(mut self, length: Duration) -> Self {
        self.length = Some(length);
        self
    }

    /// The same, behind what plays already.
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.reset = false;
        self
    }
}

/// Something that happened to a stream of the application: what a script gets as the info object
/// of `Stream.onStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// What.
    pub status: Status,
    /// In words.
    pub description: String,
    /// The name of the stream that it is about.
    pub details: String,
}

impl StreamStatus {
    /// The info object.
    pub fn info(&self) -> Object {
        let details = Some(self.details.as_str());
        self.status.info(Some(&self.description), details)
    }
}

/// Who publishes a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// A client.
    Client(ClientId),
    /// The application itself.
    Application(StreamId),
}

/// What there is to say of a stream that has a publisher, or one that may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStatistics {
    /// Who publishes it; the last one while its return is waited for.
    pub publisher: Publisher,
    /// How many message streams play it.
    pub viewers: usize,
    /// Messages that its publishers have sent.
    pub messages: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// How long it has been there.
    pub time: Duration,
}

/// What a message stream of a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientStream<'a> {
    /// The message stream.
    pub stream: MessageStreamId,
    /// What it publishes.
    pub publishes: Option<&'a str>,
    /// What it plays, or waits for.
    pub plays: Option<&'a str>,
}

/// A stream cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The name is not allowed.
    BadName,
    /// The application has as many as it may.
    TooMany,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadName => "the stream's name is not allowed",
            Self::TooMany => "the application has too many streams",
        })
    }
}

impl std::error::Error for StreamError {}
