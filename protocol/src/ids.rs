//! Newtypes for the numbers of the wire.

use std::fmt;

/// A chunk stream of one connection: 2 to 65,599 (RTMP 1.0, section 5.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkStreamId(pub u32);

impl ChunkStreamId {
    /// Protocol control messages and user control messages.
    pub const CONTROL: Self = Self(2);
    /// Command results of a session.
    pub const COMMAND: Self = Self(3);
    /// Shared-object messages.
    pub const SHARED_OBJECT: Self = Self(4);
    /// `onStatus` and data messages of a session.
    pub const STATUS: Self = Self(5);
    /// Audio of live streams, in the shared encoding.
    pub const AUDIO: Self = Self(6);
    /// Video of live streams, in the shared encoding.
    pub const VIDEO: Self = Self(7);
    /// Data messages of live streams, in the shared encoding.
    pub const DATA: Self = Self(8);
    /// The lowest id that the form of the basic header leaves free.
    pub const MIN: Self = Self(2);
    /// The highest id the three-byte basic header can carry.
    pub const MAX: Self = Self(65_599);
}

/// A message stream of one NetConnection; 0 is the connection itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageStreamId(pub u32);

impl MessageStreamId {
    /// The NetConnection itself: connect, call, shared objects, protocol control.
    pub const CONNECTION: Self = Self(0);
}

impl fmt::Display for MessageStreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The transaction id of a command, an AMF number as received: a peer may send NaN.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct TransactionId(pub f64);

impl TransactionId {
    /// The id of commands without an answer, such as `onStatus`.
    pub const NONE: Self = Self(0.0);

    /// Whether the peer waits for an answer: the id is a finite number other than 0.
    pub fn expects_answer(self) -> bool {
        self.0.is_finite() && self.0 != 0.0
    }
}

/// A lane, numbered by the edge, unique within one start of one edge process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u64);

/// One client's NetConnection within its lane, numbered by the edge and never used twice there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
