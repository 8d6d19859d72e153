//! The limits of a reader, and its errors.

use std::fmt;

use super::MAX_MESSAGE_LENGTH;
use crate::{ChunkStreamId, MessageType};

/// The bounds on the memory that one peer can make a [`Reader`](super::Reader) hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The longest message accepted, in bytes. Default [`MAX_MESSAGE_LENGTH`] (16 MiB), the longest
    /// of the wire.
    pub message: u32,
    /// Bytes of incomplete messages at one time, over all chunk streams. Default
    /// [`ReadLimits::PARTIAL_BEFORE_PUBLISH`].
    pub partial: usize,
    /// Chunk streams remembered; each costs 48 bytes. Default [`ReadLimits::CHUNK_STREAMS`].
    pub chunk_streams: usize,
}

impl ReadLimits {
    /// 4 MiB: enough for every command that a client sends before it publishes.
    pub const PARTIAL_BEFORE_PUBLISH: usize = 4 * 1024 * 1024;
    /// 20 MiB: the longest message and messages interleaved with it.
    pub const PARTIAL_PUBLISHING: usize = 20 * 1024 * 1024;
    /// 64: real clients use fewer than ten.
    pub const CHUNK_STREAMS: usize = 64;
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            message: MAX_MESSAGE_LENGTH,
            partial: Self::PARTIAL_BEFORE_PUBLISH,
            chunk_streams: Self::CHUNK_STREAMS,
        }
    }
}

/// The reason for which a peer's bytes are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// Format 2 or 3 on a chunk stream that has had no complete header.
    UnknownChunkStream {
        chunk_stream: ChunkStreamId,
        format: u8,
    },
    /// A header of format 0, 1 or 2 on a chunk stream whose message is incomplete.
    HeaderInMessage {
        chunk_stream: ChunkStreamId,
        format: u8,
    },
    /// A Set Chunk Size of 0 or above 2^31 - 1.
    ChunkSize { size: u32 },
    /// A Set Chunk Size or Abort Message of fewer than four bytes.
    ShortControl { kind: MessageType },
    /// A message longer than [`ReadLimits::message`].
    MessageTooLong {
        chunk_stream: ChunkStreamId,
        /// The length in the header.
        length: u32,
    },
    /// More bytes in incomplete messages than [`ReadLimits::partial`].
    PartialBudget { limit: usize },
    /// More chunk streams than [`ReadLimits::chunk_streams`].
    TooManyChunkStreams { limit: usize },
}

impl ReadError {
    /// Whether the peer exceeded a limit; otherwise it broke the protocol.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::MessageTooLong { .. }
                | Self::PartialBudget { .. }
                | Self::TooManyChunkStreams { .. }
        )
    }

    /// The label in logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownChunkStream { .. } => "chunk_unknown_stream",
            Self::HeaderInMessage { .. } => "chunk_header_in_message",
            Self::ChunkSize { .. } => "chunk_size_invalid",
            Self::ShortControl { .. } => "chunk_control_short",
            Self::MessageTooLong { .. } => "message_too_long",
            Self::PartialBudget { .. } => "partial_messages_too_large",
            Self::TooManyChunkStreams { .. } => "too_many_chunk_streams",
        }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownChunkStream {
                chunk_stream,
                format,
            } => {
                write!(f, "format {format} opens chunk stream {}", chunk_stream.0)
            }
            Self::HeaderInMessage {
                chunk_stream,
                format,
            } => write!(
                f,
                "format {format} header inside a message on chunk stream {}",
                chunk_stream.0
            ),
            Self::ChunkSize { size } => write!(f, "chunk size {size} is not allowed"),
            Self::ShortControl { kind } => write!(f, "message of type {} is too short", kind.0),
            Self::MessageTooLong {
                chunk_stream,
                length,
            } => {
                write!(
                    f,
                    "message of {length} bytes on chunk stream {} is too long",
                    chunk_stream.0
                )
            }
            Self::PartialBudget { limit } => {
                write!(f, "more than {limit} bytes of incomplete messages")
            }
            Self::TooManyChunkStreams { limit } => write!(f, "more than {limit} chunk streams"),
        }
    }
}

impl std::error::Error for ReadError {}
