//! Violations of the link's protocol by a peer.

use std::fmt;

/// A violation of the link's protocol: the link closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A frame or a field of it is longer than its limit.
    TooLong,
    /// The body ends inside a field.
    Truncated,
    /// A field holds an illegal value.
    Value,
    /// A frame of this type is not allowed at this point, or on this kind of stream.
    Unexpected(u64),
    /// The frame names a session that this lane never opened, or opens a number again.
    Session(u64),
    /// The frame names an unknown audience, begins a known one, or changes one in the middle of a
    /// message to it.
    Audience(u32),
    /// The peer sent more than its credit.
    Credit(u64),
    /// The peer acknowledged, or resumed from, a frame that was never sent.
    Number,
    /// The peer uses another version of the link's protocol.
    Version(u64),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("frame or field too long"),
            Self::Truncated => f.write_str("frame ends inside a field"),
            Self::Value => f.write_str("illegal value in a frame"),
            Self::Unexpected(kind) => write!(f, "unexpected frame type {kind:#x}"),
            Self::Session(id) => write!(f, "frame for unknown or reused session {id}"),
            Self::Audience(id) => write!(f, "frame out of place for audience {id}"),
            Self::Credit(id) => write!(f, "session {id} exceeded its credit"),
            Self::Number => f.write_str("acknowledgement of frames never sent"),
            Self::Version(version) => write!(f, "link version {version} is not supported"),
        }
    }
}

impl std::error::Error for FrameError {}
