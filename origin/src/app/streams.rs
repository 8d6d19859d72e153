//! Live streams as an application sees them.

use std::{fmt, time::Duration};

use tributary_node::config::RelayUrlError;
use tributary_protocol::{
    MessageStreamId,
    amf::Object,
    command::{Status, stream::PlayStart},
};

use super::{ClientId, ConnectionId};

/// A stream that the application has opened, never used twice by one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(crate) u64);

/// A request to play a source into a stream of the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayRequest {
    /// The name of the stream to play; a query is cut off.
    pub name: String,
    /// Live or recorded. There are no recordings yet: a request for one finds nothing.
    pub start: PlayStart,
    /// The time to play, from the first media on; `None` plays to the end.
    pub length: Option<Duration>,
    /// Whether it replaces the source that plays and the list; if not, it waits for its turn.
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

    /// The same, behind the plays before it.
    #[must_use]
    pub fn queued(mut self) -> Self {
        self.reset = false;
        self
    }
}

/// A status of a stream of the application: a script gets it as the info object of
/// `Stream.onStatus`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    pub status: Status,
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

/// The publisher of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// A client.
    Client(ClientId),
    /// The application itself.
    Application(StreamId),
    /// Another server, from which the origin pulls the stream.
    Pull,
}

/// A relay does not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelayRefused {
    /// The address cannot be used.
    Address(RelayUrlError),
    /// The application's setting `outgoing` does not name the server.
    NotNamed,
    /// No stream can have this name.
    BadName,
    /// The stream has no publisher.
    NotPublished,
    /// A pull of the settings has the name.
    Configured,
    /// There are too many relays of this stream, group or process.
    TooMany,
}

impl fmt::Display for RelayRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address(error) => return error.fmt(f),
            Self::NotNamed => "the application's setting `outgoing` does not name this server",
            Self::BadName => "no stream can have this name",
            Self::NotPublished => "the stream has no publisher",
            Self::Configured => "a pull of the settings has the name",
            Self::TooMany => "too many relays are at work",
        })
    }
}

impl std::error::Error for RelayRefused {}

/// The figures of a stream that has a publisher, or one that may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStatistics {
    /// The last publisher while the stream waits for its return.
    pub publisher: Publisher,
    /// How many message streams play it.
    pub viewers: usize,
    /// Messages that its publishers have sent.
    pub messages: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// For how long its publisher has held the name.
    pub time: Duration,
}

/// The use of a message stream of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientStream<'a> {
    pub stream: MessageStreamId,
    /// The name that it publishes.
    pub publishes: Option<&'a str>,
    /// The name that it plays, or waits for.
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
