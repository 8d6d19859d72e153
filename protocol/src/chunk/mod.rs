//! Chunk streams: bytes to messages and back (RTMP 1.0, section 5.3).
//!
//! [`Reader`] assembles messages from a peer's bytes, [`Writer`] splits messages into chunks with
//! compressed headers for one peer, and [`shared`] encodes a message once for any number of peers.

mod header;
mod limits;
mod reader;
pub mod shared;
mod writer;

pub use limits::{ReadError, ReadLimits};
pub use reader::Reader;
pub use writer::Writer;

/// The chunk size of both directions until a Set Chunk Size (5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// The largest useful chunk size: no message is longer (5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0x00ff_ffff;

/// The longest message that the 24-bit length field can announce.
pub const MAX_MESSAGE_LENGTH: u32 = 0x00ff_ffff;

#[cfg(test)]
mod tests;
