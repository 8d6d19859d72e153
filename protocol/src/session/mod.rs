//! One RTMP connection, either side of it: handshake, chunk streams, protocol control, ping.
//!
//! [`ServerConnection`] is the edge's end. [`ClientConnection`] is the other one, with the commands
//! of a publisher and a player. Both follow the settle rule: after every input the driver polls
//! events until there are none, and sends the output.

mod client;
mod connection;
mod flow;
mod server;

pub use client::{ClientConnection, ClientEvent};
pub use server::ServerConnection;

use std::{fmt, time::Duration};

use crate::{Message, MessageStreamId, chunk, handshake, message::user_control::UserControl};

/// An event of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerEvent {
    /// The handshake is done.
    Connected,
    /// A message that is not about the connection itself: none of types 1 to 6.
    Message(Message),
    /// The length of a player's buffer.
    SetBufferLength {
        stream: MessageStreamId,
        /// The buffer, in milliseconds.
        milliseconds: u32,
    },
    /// The peer answered a ping.
    Pong {
        /// The time from the ping to its answer.
        round_trip: Duration,
    },
    /// A user control event without an effect on the connection, such as StreamBegin.
    UserControl(UserControl),
}

/// The bounds on one peer's input and delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    pub read: chunk::ReadLimits,
    /// The time for the whole handshake. Default 5 s.
    pub handshake: Duration,
    /// The silence after which a peer is pinged. Default 60 s.
    pub ping_after: Duration,
    /// The silence after a ping at which a peer is given up. Default 20 s.
    pub ping_timeout: Duration,
    /// Chunks per second, with a second's worth of burst: the measure of the work that a peer
    /// causes. Beyond it the connection asks the driver to wait. Default 500,000, which is 512
    /// Mbit/s of the smallest usual chunks and about one hundredth of a core.
    pub chunks_per_second: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            read: chunk::ReadLimits::default(),
            handshake: Duration::from_secs(5),
            ping_after: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
            chunks_per_second: 500_000,
        }
    }
}

/// The reason for which a connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The handshake failed.
    Handshake(handshake::Error),
    /// The handshake was late.
    HandshakeTimeout,
    /// The bytes are no chunk stream, or exceed a limit.
    Chunk(chunk::ReadError),
    /// A protocol control message is too short for its value.
    Control { kind: crate::MessageType },
    /// The driver read on although it was asked to wait, and the peer's chunks are four seconds
    /// ahead of [`ConnectionLimits::chunks_per_second`].
    ChunkRate,
    /// The peer has sent no byte since a ping.
    PingTimeout,
}

/// The class of an error, which decides how a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The peer violated RTMP.
    Protocol,
    /// The peer uses a protocol that is not supported.
    Unsupported,
    /// The peer exceeded a limit.
    Limit,
    /// The peer was too slow.
    Timeout,
}

impl Error {
    /// The class of the error.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Handshake(error) if error.is_unsupported() => ErrorKind::Unsupported,
            Self::Chunk(error) if error.is_limit() => ErrorKind::Limit,
            Self::Handshake(_) | Self::Chunk(_) | Self::Control { .. } => ErrorKind::Protocol,
            Self::ChunkRate => ErrorKind::Limit,
            Self::HandshakeTimeout | Self::PingTimeout => ErrorKind::Timeout,
        }
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Handshake(error) => error.reason(),
            Self::HandshakeTimeout => "handshake_timeout",
            Self::Chunk(error) => error.reason(),
            Self::Control { .. } => "control_short",
            Self::ChunkRate => "chunk_rate",
            Self::PingTimeout => "ping_timeout",
        }
    }
}

impl From<handshake::Error> for Error {
    fn from(error: handshake::Error) -> Self {
        Self::Handshake(error)
    }
}

impl From<chunk::ReadError> for Error {
    fn from(error: chunk::ReadError) -> Self {
        Self::Chunk(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handshake(error) => error.fmt(f),
            Self::HandshakeTimeout => f.write_str("the handshake took too long"),
            Self::Chunk(error) => error.fmt(f),
            Self::Control { kind } => write!(f, "message of type {} is too short", kind.0),
            Self::ChunkRate => f.write_str("too many chunks per second"),
            Self::PingTimeout => f.write_str("no answer to a ping"),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests;
