//! RTMP messages: the unit above chunks (RTMP 1.0, section 6).

pub mod aggregate;
pub mod control;
mod parcel;
pub mod user_control;

use bytes::Bytes;

use crate::{MessageStreamId, RtmpTimestamp};

/// A complete RTMP message, payload undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub kind: MessageType,
    pub stream: MessageStreamId,
    /// The time on the clock of the stream.
    pub timestamp: RtmpTimestamp,
    /// The body, not decoded at this layer; at most 16,777,215 bytes on the RTMP wire.
    pub payload: Bytes,
}

/// The message type id; unknown types pass through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageType(pub u8);

impl MessageType {
    /// Set Chunk Size (RTMP 1.0, 5.4.1).
    pub const SET_CHUNK_SIZE: Self = Self(1);
    /// Abort Message (5.4.2).
    pub const ABORT: Self = Self(2);
    /// Acknowledgement (5.4.3).
    pub const ACKNOWLEDGEMENT: Self = Self(3);
    /// User control (6.2).
    pub const USER_CONTROL: Self = Self(4);
    /// Window Acknowledgement Size (5.4.4).
    pub const WINDOW_ACK_SIZE: Self = Self(5);
    /// Set Peer Bandwidth (5.4.5).
    pub const SET_PEER_BANDWIDTH: Self = Self(6);
    /// Audio (7.1.4).
    pub const AUDIO: Self = Self(8);
    /// Video (7.1.5).
    pub const VIDEO: Self = Self(9);
    /// Data message, AMF3 (7.1.2).
    pub const DATA_AMF3: Self = Self(15);
    /// Shared-object message, AMF3 (7.1.3).
    pub const SHARED_OBJECT_AMF3: Self = Self(16);
    /// Command, AMF3 (7.1.1).
    pub const COMMAND_AMF3: Self = Self(17);
    /// Data message, AMF0 (7.1.2).
    pub const DATA_AMF0: Self = Self(18);
    /// Shared-object message, AMF0 (7.1.3).
    pub const SHARED_OBJECT_AMF0: Self = Self(19);
    /// Command, AMF0 (7.1.1).
    pub const COMMAND_AMF0: Self = Self(20);
    /// Aggregate of audio, video and data (7.1.6).
    pub const AGGREGATE: Self = Self(22);

    /// Whether this is a command in either encoding.
    pub fn is_command(self) -> bool {
        matches!(self, Self::COMMAND_AMF0 | Self::COMMAND_AMF3)
    }

    /// Whether this is a data message in either encoding.
    pub fn is_data(self) -> bool {
        matches!(self, Self::DATA_AMF0 | Self::DATA_AMF3)
    }

    /// Whether this is a shared-object message in either encoding.
    pub fn is_shared_object(self) -> bool {
        matches!(self, Self::SHARED_OBJECT_AMF0 | Self::SHARED_OBJECT_AMF3)
    }

    /// Whether a feed carries it when it arrives on a publishing message stream.
    pub fn is_media(self) -> bool {
        matches!(self, Self::AUDIO | Self::VIDEO | Self::AGGREGATE) || self.is_data()
    }
}
