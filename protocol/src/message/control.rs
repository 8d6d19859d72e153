//! Protocol control messages: types 1, 2, 3, 5 and 6 (RTMP 1.0, section 5.4).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Message, MessageType};
use crate::{ChunkStreamId, MessageStreamId, RtmpTimestamp};

/// A protocol control message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlMessage {
    /// The length of the sender's chunks from now on.
    SetChunkSize(u32),
    /// The incomplete message of this chunk stream will not be finished.
    Abort(ChunkStreamId),
    /// The count of bytes that the sender has received, wrapping.
    Acknowledgement(u32),
    /// The bytes after which the sender wants an acknowledgement at the latest.
    WindowAckSize(u32),
    /// The bytes that the peer may send unacknowledged.
    SetPeerBandwidth {
        /// The window, in bytes.
        window: u32,
        /// How it combines with the window in force.
        limit: BandwidthLimit,
    },
}

/// How a Set Peer Bandwidth combines with the window in force (5.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BandwidthLimit {
    /// The window is exactly this.
    Hard,
    /// The window is the smaller of this and the one in force.
    Soft,
    /// Hard if the last limit was hard, otherwise ignored. Unknown types are read as this.
    Dynamic,
}

/// A protocol control message that is too short for its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlTooShort(pub MessageType);

impl ControlMessage {
    /// Reads a message of types 1, 2, 3, 5 or 6; `None` for any other type. Bytes after the value
    /// are ignored.
    pub fn decode(kind: MessageType, payload: &[u8]) -> Option<Result<Self, ControlTooShort>> {
        let make: fn(u32, &[u8]) -> Self = match kind {
            MessageType::SET_CHUNK_SIZE => |size, _| Self::SetChunkSize(size),
            MessageType::ABORT => |id, _| Self::Abort(ChunkStreamId(id)),
            MessageType::ACKNOWLEDGEMENT => |total, _| Self::Acknowledgement(total),
            MessageType::WINDOW_ACK_SIZE => |window, _| Self::WindowAckSize(window),
            MessageType::SET_PEER_BANDWIDTH => |window, rest| Self::SetPeerBandwidth {
                window,
                limit: BandwidthLimit::from_code(rest.first().copied()),
            },
            _ => return None,
        };
        Some(match payload.split_first_chunk() {
            Some((value, rest)) => Ok(make(u32::from_be_bytes(*value), rest)),
            None => Err(ControlTooShort(kind)),
        })
    }

    /// The message type.
    pub fn kind(&self) -> MessageType {
        match self {
            Self::SetChunkSize(_) => MessageType::SET_CHUNK_SIZE,
            Self::Abort(_) => MessageType::ABORT,
            Self::Acknowledgement(_) => MessageType::ACKNOWLEDGEMENT,
            Self::WindowAckSize(_) => MessageType::WINDOW_ACK_SIZE,
            Self::SetPeerBandwidth { .. } => MessageType::SET_PEER_BANDWIDTH,
        }
    }

    /// The message, on message stream 0 at time 0, as the specification asks.
    pub fn to_message(&self) -> Message {
        let mut payload = BytesMut::with_capacity(5);
        match *self {
            Self::SetChunkSize(value)
            | Self::Abort(ChunkStreamId(value))
            | Self::Acknowledgement(value)
            | Self::WindowAckSize(value) => payload.put_u32(value),
            Self::SetPeerBandwidth { window, limit } => {
                payload.put_u32(window);
                payload.put_u8(limit as u8);
            }
        }
        of_connection(self.kind(), payload.freeze())
    }
}

impl BandwidthLimit {
    fn from_code(code: Option<u8>) -> Self {
        match code {
            Some(0) => Self::Hard,
            Some(1) => Self::Soft,
            _ => Self::Dynamic,
        }
    }
}

/// A message about the connection itself, at time 0.
pub(super) fn of_connection(kind: MessageType, payload: Bytes) -> Message {
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp(0),
        payload,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, u8, &[u8], ControlMessage)] = &[
        (
            "chunk size",
            1,
            &[0, 0, 0x27, 0x10],
            ControlMessage::SetChunkSize(10_000),
        ),
        (
            "abort",
            2,
            &[0, 0, 0, 7],
            ControlMessage::Abort(ChunkStreamId(7)),
        ),
        (
            "acknowledgement",
            3,
            &[2, 0xbd, 0x33, 0xb0],
            ControlMessage::Acknowledgement(45_953_968),
        ),
        (
            "window",
            5,
            &[0, 0x26, 0x25, 0xa0],
            ControlMessage::WindowAckSize(2_500_000),
        ),
        (
            "hard limit",
            6,
            &[0, 0x26, 0x25, 0xa0, 0],
            ControlMessage::SetPeerBandwidth {
                window: 2_500_000,
                limit: BandwidthLimit::Hard,
            },
        ),
        (
            "soft limit",
            6,
            &[0, 0, 0, 1, 1],
            ControlMessage::SetPeerBandwidth {
                window: 1,
                limit: BandwidthLimit::Soft,
            },
        ),
        (
            "dynamic limit",
            6,
            &[0xff, 0xff, 0xff, 0xff, 2],
            ControlMessage::SetPeerBandwidth {
                window: u32::MAX,
                limit: BandwidthLimit::Dynamic,
            },
        ),
    ];

    #[test]
    fn control_messages_read_and_write() {
        for &(name, kind, bytes, control) in TABLE {
            let kind = MessageType(kind);
            assert_eq!(
                ControlMessage::decode(kind, bytes),
                Some(Ok(control)),
                "{name}"
            );
            let message = control.to_message();
            assert_eq!(
                (message.kind, &message.payload[..]),
                (kind, bytes),
                "{name}"
            );
            for cut in 0..4 {
                let short = ControlMessage::decode(kind, &bytes[..cut]);
                assert_eq!(
                    short,
                    Some(Err(ControlTooShort(kind))),
                    "{name} cut at {cut}"
                );
            }
        }
    }

    #[test]
    fn a_peer_bandwidth_without_a_known_limit_is_dynamic() {
        for bytes in [&[0, 0, 0, 9][..], &[0, 0, 0, 9, 77]] {
            let expected = ControlMessage::SetPeerBandwidth {
                window: 9,
                limit: BandwidthLimit::Dynamic,
            };
            let read = ControlMessage::decode(MessageType::SET_PEER_BANDWIDTH, bytes);
            assert_eq!(read, Some(Ok(expected)));
        }
    }

    #[test]
    fn other_types_are_no_control_messages() {
        for kind in [0, 4, 7, 8, 9, 20, 22, 255] {
            assert_eq!(ControlMessage::decode(MessageType(kind), &[0; 8]), None);
        }
    }
}
