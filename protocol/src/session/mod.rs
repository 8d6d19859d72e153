//! One RTMP connection, either side of it: handshake, chunk streams, protocol control, ping.
//!
//! [`ServerConnection`] is the edge's end. [`ClientConnection`] is the other one, with the commands
//! a publisher or player needs. Both follow the settle rule: after anything that came in, poll
//! events until there are none, and send what is in the output.

mod client;
mod connection;
mod flow;
mod server;

pub use client::{ClientConnection, ClientEvent};
pub use server::ServerConnection;

use std::{fmt, time::Duration};

use crate::{Message, MessageStreamId, chunk, handshake, message::user_control::UserControl};

/// What a connection tells its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The handshake is done.
    Connected,
    /// A message that is not about the connection itself: types 1 to 6 never arrive here.
    Message(Message),
    /// A player states its buffer.
    SetBufferLength {
        /// Its message stream.
        stream: MessageStreamId,
        /// The buffer, in milliseconds.
        milliseconds: u32,
    },
    /// The peer answered a ping.
    Pong {
        /// How long it took.
        round_trip: Duration,
    },
    /// A user control event that the connection does not act on: StreamBegin and the like.
    UserControl(UserControl),
}

/// What one peer may do, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What the chunk reader may hold.
    pub read: chunk::ReadLimits,
    /// The whole handshake, from the first moment. Default 5 s.
    pub handshake: Duration,
    /// A peer that has sent nothing for this long is pinged. Default 60 s.
    pub ping_after: Duration,
    /// A peer that sends nothing at all for this long after a ping is gone. Default 20 s.
    pub ping_timeout: Duration,
    /// Chunks per second, with a second's worth of burst: the measure of the work a peer causes.
    /// Beyond it the driver is asked to wait before it reads on. Default 500,000, which is
    /// 512 Mbit/s of the smallest usual chunks and about one hundredth of a core.
    pub chunks_per_second: u32,
}

impl Default for Limits {
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

/// Why a connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The handshake cannot go on.
    Handshake(handshake::Error),
    /// The handshake was not done in time.
    HandshakeTimeout,
    /// The bytes are no chunk stream, or not one we accept.
    Chunk(chunk::ReadError),
    /// A protocol control message is too short for its value.
    Control {
        /// Its type.
        kind: crate::MessageType,
    },
    /// The driver was asked to wait and read on, and the peer's chunks are four seconds ahead of
    /// [`Limits::chunks_per_second`].
    ChunkRate,
    /// The peer has sent nothing since a ping.
    PingTimeout,
}

/// Who is to blame, which decides how a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The peer did what RTMP does not allow.
    Protocol,
    /// The peer wants what we do not have.
    Unsupported,
    /// A limit of ours was hit.
    Limit,
    /// The peer took too long.
    Timeout,
}

impl Error {
    /// Who is to blame.
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
