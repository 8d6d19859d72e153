//! User control messages: type 4 (RTMP 1.0, sections 6.2 and 7.1.7).

use bytes::{BufMut, Bytes, BytesMut};

use super::{Message, MessageType, control::of_connection};
use crate::MessageStreamId;

/// A user control event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserControl {
    /// 0: the message stream carries a stream from now on.
    StreamBegin(MessageStreamId),
    /// 1: the stream on the message stream is over.
    StreamEof(MessageStreamId),
    /// 2: the message stream has no data for now.
    StreamDry(MessageStreamId),
    /// 3: a player's buffer length.
    SetBufferLength {
        stream: MessageStreamId,
        /// The buffer, in milliseconds.
        milliseconds: u32,
    },
    /// 4: the stream on the message stream is a recording.
    StreamIsRecorded(MessageStreamId),
    /// 6: the receiver answers with the same number.
    PingRequest(u32),
    /// 7: the answer.
    PingResponse(u32),
    /// 31: the message stream's buffer has run empty at the server.
    BufferEmpty(MessageStreamId),
    /// 32: that buffer is filled again.
    BufferReady(MessageStreamId),
    /// Any other event, undecoded: undocumented events (8, and 26 and 27 of SWF verification), and
    /// known ones without their value.
    Other {
        /// The event's number.
        event: u16,
        /// The bytes behind the number.
        data: Bytes,
    },
}

impl UserControl {
    /// Reads the payload of a message of type 4; `None` if it has no event number. Bytes after a
    /// known event's values are ignored: old clients send pings of 10 and 14 bytes.
    pub fn decode(payload: &Bytes) -> Option<Self> {
        let (event, data) = payload.split_first_chunk()?;
        let event = u16::from_be_bytes(*event);
        let known = data.split_first_chunk().and_then(|(value, rest)| {
            let value = u32::from_be_bytes(*value);
            let stream = MessageStreamId(value);
            Some(match event {
                STREAM_BEGIN => Self::StreamBegin(stream),
                STREAM_EOF => Self::StreamEof(stream),
                STREAM_DRY => Self::StreamDry(stream),
                SET_BUFFER_LENGTH => {
                    let milliseconds = u32::from_be_bytes(*rest.first_chunk()?);
                    Self::SetBufferLength {
                        stream,
                        milliseconds,
                    }
                }
                STREAM_IS_RECORDED => Self::StreamIsRecorded(stream),
                PING_REQUEST => Self::PingRequest(value),
                PING_RESPONSE => Self::PingResponse(value),
                BUFFER_EMPTY => Self::BufferEmpty(stream),
                BUFFER_READY => Self::BufferReady(stream),
                _ => return None,
            })
        });
        Some(known.unwrap_or_else(|| Self::Other {
            event,
            data: payload.slice(2..),
        }))
    }

    /// The message, on message stream 0 at time 0.
    pub fn to_message(&self) -> Message {
        let mut payload = BytesMut::with_capacity(10);
        payload.put_u16(self.event());
        match self {
            Self::StreamBegin(MessageStreamId(value))
            | Self::StreamEof(MessageStreamId(value))
            | Self::StreamDry(MessageStreamId(value))
            | Self::StreamIsRecorded(MessageStreamId(value))
            | Self::PingRequest(value)
            | Self::PingResponse(value)
            | Self::BufferEmpty(MessageStreamId(value))
            | Self::BufferReady(MessageStreamId(value)) => payload.put_u32(*value),
            Self::SetBufferLength {
                stream,
                milliseconds,
            } => {
                payload.put_u32(stream.0);
                payload.put_u32(*milliseconds);
            }
            Self::Other { data, .. } => payload.extend_from_slice(data),
        }
        of_connection(MessageType::USER_CONTROL, payload.freeze())
    }

    /// The event's number.
    pub fn event(&self) -> u16 {
        match self {
            Self::StreamBegin(_) => STREAM_BEGIN,
            Self::StreamEof(_) => STREAM_EOF,
            Self::StreamDry(_) => STREAM_DRY,
            Self::SetBufferLength { .. } => SET_BUFFER_LENGTH,
            Self::StreamIsRecorded(_) => STREAM_IS_RECORDED,
            Self::PingRequest(_) => PING_REQUEST,
            Self::PingResponse(_) => PING_RESPONSE,
            Self::BufferEmpty(_) => BUFFER_EMPTY,
            Self::BufferReady(_) => BUFFER_READY,
            Self::Other { event, .. } => *event,
        }
    }
}

const STREAM_BEGIN: u16 = 0;
const STREAM_EOF: u16 = 1;
const STREAM_DRY: u16 = 2;
const SET_BUFFER_LENGTH: u16 = 3;
const STREAM_IS_RECORDED: u16 = 4;
const PING_REQUEST: u16 = 6;
const PING_RESPONSE: u16 = 7;
const BUFFER_EMPTY: u16 = 31;
const BUFFER_READY: u16 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Vec<(&'static [u8], UserControl)> {
        let stream = MessageStreamId(0x8ace);
        vec![
            (&[0, 0, 0, 0, 0x8a, 0xce], UserControl::StreamBegin(stream)),
            (&[0, 1, 0, 0, 0x8a, 0xce], UserControl::StreamEof(stream)),
            (&[0, 2, 0, 0, 0x8a, 0xce], UserControl::StreamDry(stream)),
            (
                &[0, 3, 0, 0, 0x8a, 0xce, 0, 0, 0x0b, 0xb8],
                UserControl::SetBufferLength {
                    stream,
                    milliseconds: 3000,
                },
            ),
            (
                &[0, 4, 0, 0, 0x8a, 0xce],
                UserControl::StreamIsRecorded(stream),
            ),
            (&[0, 6, 0, 0, 0x0d, 0x0f], UserControl::PingRequest(0x0d0f)),
            (&[0, 7, 0, 0, 0x0d, 0x0f], UserControl::PingResponse(0x0d0f)),
            (&[0, 31, 0, 0, 0x8a, 0xce], UserControl::BufferEmpty(stream)),
            (&[0, 32, 0, 0, 0x8a, 0xce], UserControl::BufferReady(stream)),
            (
                &[0, 8, 0, 0, 0, 1, 0x41],
                UserControl::Other {
                    event: 8,
                    data: Bytes::from_static(&[0, 0, 0, 1, 0x41]),
                },
            ),
            (
                &[0, 26],
                UserControl::Other {
                    event: 26,
                    data: Bytes::new(),
                },
            ),
            (
                &[0, 27, 1, 1],
                UserControl::Other {
                    event: 27,
                    data: Bytes::from_static(&[1, 1]),
                },
            ),
            (
                &[0, 31],
                UserControl::Other {
                    event: 31,
                    data: Bytes::new(),
                },
            ),
        ]
    }

    #[test]
    fn events_read_and_write() {
        for (bytes, event) in table() {
            let payload = Bytes::from_static(bytes);
            assert_eq!(UserControl::decode(&payload), Some(event.clone()));
            let message = event.to_message();
            assert_eq!(
                (message.kind, message.payload),
                (MessageType::USER_CONTROL, payload)
            );
        }
    }

    #[test]
    fn an_event_cut_short_is_kept_as_it_came() {
        for (bytes, _) in table() {
            for cut in 2..bytes.len() {
                let payload = Bytes::from_static(&bytes[..cut]);
                let event = UserControl::decode(&payload).expect("an event number");
                let is_ping_or_stream = cut >= 6 && bytes[1] != 3;
                assert!(is_ping_or_stream || matches!(event, UserControl::Other { .. }));
                assert_eq!(event.to_message().payload, payload);
            }
        }
        assert_eq!(UserControl::decode(&Bytes::from_static(&[0])), None);
        assert_eq!(UserControl::decode(&Bytes::new()), None);
    }

    #[test]
    fn long_pings_of_old_clients_are_read() {
        for length in [10, 14] {
            let mut payload = vec![0; length];
            payload[1] = 6;
            payload[5] = 9;
            let event = UserControl::decode(&payload.into());
            assert_eq!(event, Some(UserControl::PingRequest(9)));
        }
    }
}
