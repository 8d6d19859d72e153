//! Orders to a session and events of a session, as frames.

use bytes::BufMut;

use super::{
    ACCEPT, ACCEPT_PUBLISH, ATTACH, BANDWIDTH, CLOSE, CONTINUES, DETACH, FILTER, HANDLED,
    MAX_STREAM_NAME, OPEN, PING, PUBLISH_READ, RECONNECTS, RELAY, REMEMBER, REPEAT, RESTORED,
    STALLED, STATISTICS, STOP_PUBLISH, WATCH, encode_session,
    fragment::{Fragment, Head, encode_fragment},
    open::{decode_open, encode_open},
    put_session,
    restore::encode_handled,
    take_session, take_stream,
};
use crate::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    link::{
        Bandwidth, CloseReason, Filter, FrameError, FromSession, Generation, LiveId, Record,
        RelayAddress, Source, Statistics, TakeoverKey, Target, ToSession, WriterId,
        frame::{self, Frame, put_str, take, take_str, take_u8, take_varint_u32},
        varint,
    },
};

impl ToSession {
    /// Appends the order's frame. A message is written as one fragment: its payload has at most
    /// [`MAX_FRAGMENT`](super::MAX_FRAGMENT) bytes.
    pub(super) fn encode(&self, session: SessionId, out: &mut impl BufMut) {
        match self {
            Self::Accept => encode_session(ACCEPT, session, out),
            Self::Message { message, after } => {
                let head = Head {
                    after: *after,
                    ..Head::of(message)
                };
                let fragment = Fragment {
                    head: Some(head),
                    data: message.payload.clone(),
                };
                encode_fragment(session, &fragment, out);
            }
            Self::Attach { stream, source } => {
                let mut body = stream_body(session, *stream);
                varint::encode(source.live.0, &mut body);
                if source.publication > 0 || source.name.is_some() {
                    varint::encode(source.publication, &mut body);
                }
                if let Some(name) = &source.name {
                    put_str(name, &mut body);
                }
                frame::encode(ATTACH, &body, out);
            }
            Self::Detach { stream } => {
                frame::encode(DETACH, &stream_body(session, *stream), out);
            }
            Self::AcceptPublish {
                stream,
                generation,
                target,
            } => {
                let mut body = stream_body(session, *stream);
                varint::encode(u64::from(generation.0), &mut body);
                varint::encode(target.live.0, &mut body);
                varint::encode(target.writer.0, &mut body);
                frame::encode(ACCEPT_PUBLISH, &body, out);
            }
            Self::StopPublish { stream, generation } => {
                let mut body = stream_body(session, *stream);
                varint::encode(u64::from(generation.0), &mut body);
                frame::encode(STOP_PUBLISH, &body, out);
            }
            Self::PublishRead {
                stream,
                generation,
                read,
            } => {
                let mut body = stream_body(session, *stream);
                varint::encode(u64::from(generation.0), &mut body);
                body.put_u8(u8::from(*read));
                frame::encode(PUBLISH_READ, &body, out);
            }
            Self::Filter { stream, filter } => {
                let mut body = stream_body(session, *stream);
                let bits = u8::from(filter.audio)
                    | u8::from(filter.video) << 1
                    | u8::from(filter.paused) << 2;
                body.put_u8(bits);
                frame::encode(FILTER, &body, out);
            }
            Self::Watch => encode_session(WATCH, session, out),
            Self::Bandwidth(bandwidth) => bandwidth.encode(session, out),
            Self::Ping => encode_session(PING, session, out),
            Self::Remember(record) => record.encode_remember(session, out),
            Self::Handled(messages) => encode_handled(session, *messages, out),
            Self::Restored => encode_session(RESTORED, session, out),
            Self::Continues { live, was } => {
                let mut body = Vec::with_capacity(24);
                put_session(session, &mut body);
                varint::encode(live.0, &mut body);
                varint::encode(was.0, &mut body);
                frame::encode(CONTINUES, &body, out);
            }
            Self::Repeat(message) => {
                let mut body = stream_body(session, message.stream);
                body.put_u8(message.kind.0);
                body.put_slice(&message.payload);
                frame::encode(REPEAT, &body, out);
            }
            Self::Close(reason) => encode_close(session, *reason, out),
        }
    }

    /// Reads an order other than a message; its frame begins with the session.
    pub(super) fn decode(frame: &Frame) -> Result<(SessionId, Self), FrameError> {
        let input = &mut &*frame.body;
        let session = take_session(input)?;
        let order = match frame.kind {
            ACCEPT => Self::Accept,
            ATTACH => Self::Attach {
                stream: take_stream(input)?,
                source: Source {
                    live: LiveId(varint::decode(input)?),
                    publication: match input.is_empty() {
                        true => 0,
                        false => varint::decode(input)?,
                    },
                    name: match input.is_empty() {
                        true => None,
                        false => Some(take_str(input, MAX_STREAM_NAME)?.into()),
                    },
                },
            },
            DETACH => Self::Detach {
                stream: take_stream(input)?,
            },
            ACCEPT_PUBLISH => Self::AcceptPublish {
                stream: take_stream(input)?,
                generation: Generation(take_varint_u32(input)?),
                target: Target {
                    live: LiveId(varint::decode(input)?),
                    writer: WriterId(varint::decode(input)?),
                },
            },
            STOP_PUBLISH => Self::StopPublish {
                stream: take_stream(input)?,
                generation: Generation(take_varint_u32(input)?),
            },
            PUBLISH_READ => Self::PublishRead {
                stream: take_stream(input)?,
                generation: Generation(take_varint_u32(input)?),
                read: take_u8(input)? != 0,
            },
            FILTER => {
                let stream = take_stream(input)?;
                let bits = take_u8(input)?;
                let filter = Filter {
                    audio: bits & 1 != 0,
                    video: bits & 2 != 0,
                    paused: bits & 4 != 0,
                };
                Self::Filter { stream, filter }
            }
            WATCH => Self::Watch,
            BANDWIDTH => Self::Bandwidth(Bandwidth::decode(input)?),
            PING => Self::Ping,
            REMEMBER => Self::Remember(Record::decode_body(input)?),
            HANDLED => Self::Handled(varint::decode(input)?),
            RESTORED => Self::Restored,
            CONTINUES => Self::Continues {
                live: LiveId(varint::decode(input)?),
                was: LiveId(varint::decode(input)?),
            },
            REPEAT => Self::Repeat(Message {
                stream: take_stream(input)?,
                kind: MessageType(take_u8(input)?),
                timestamp: RtmpTimestamp(0),
                payload: frame.body.slice(frame.body.len() - input.len()..),
            }),
            CLOSE => Self::Close(CloseReason::from_code(take_u8(input)?)),
            kind => return Err(FrameError::Unexpected(kind)),
        };
        Ok((session, order))
    }
}

impl FromSession {
    /// Appends the event's frame. A message is written as one fragment: its payload has at most
    /// [`MAX_FRAGMENT`](super::MAX_FRAGMENT) bytes.
    pub(super) fn encode(&self, session: SessionId, out: &mut impl BufMut) {
        match self {
            Self::Open(open) => {
                let mut body = Vec::with_capacity(open.connect.len() + 64);
                put_session(session, &mut body);
                encode_open(open, &mut body);
                frame::encode(OPEN, &body, out);
            }
            Self::Message {
                generation,
                message,
            } => {
                let head = Head {
                    generation: *generation,
                    ..Head::of(message)
                };
                let fragment = Fragment {
                    head: Some(head),
                    data: message.payload.clone(),
                };
                encode_fragment(session, &fragment, out);
            }
            Self::Stalled { stream, stalled } => {
                let mut body = stream_body(session, *stream);
                body.put_u8(u8::from(*stalled));
                frame::encode(STALLED, &body, out);
            }
            Self::Statistics(statistics) => statistics.encode(session, out),
            Self::Reconnects(key) => {
                let mut body = Vec::with_capacity(32);
                put_session(session, &mut body);
                body.put_slice(key.bytes());
                frame::encode(RECONNECTS, &body, out);
            }
            Self::Relay { stream, address } => {
                let mut body = stream_body(session, *stream);
                put_str(address.as_str(), &mut body);
                frame::encode(RELAY, &body, out);
            }
            Self::Close(reason) => encode_close(session, *reason, out),
        }
    }

    /// Reads an event other than a message; its frame begins with the session.
    pub(super) fn decode(frame: &Frame) -> Result<(SessionId, Self), FrameError> {
        let input = &mut &*frame.body;
        let session = take_session(input)?;
        let event = match frame.kind {
            OPEN => Self::Open(decode_open(frame, input)?),
            STALLED => Self::Stalled {
                stream: take_stream(input)?,
                stalled: take_u8(input)? != 0,
            },
            STATISTICS => Self::Statistics(Statistics::decode(input)?),
            RECONNECTS => {
                let key = take(input, TakeoverKey::LENGTH)?;
                let key = key.try_into().map_err(|_| FrameError::Truncated)?;
                Self::Reconnects(TakeoverKey::new(key))
            }
            RELAY => Self::Relay {
                stream: take_stream(input)?,
                address: RelayAddress::new(take_str(input, RelayAddress::MAX)?)
                    .ok_or(FrameError::Value)?,
            },
            CLOSE => Self::Close(CloseReason::from_code(take_u8(input)?)),
            kind => return Err(FrameError::Unexpected(kind)),
        };
        Ok((session, event))
    }
}

fn encode_close(session: SessionId, reason: CloseReason, out: &mut impl BufMut) {
    let mut body = Vec::with_capacity(9);
    put_session(session, &mut body);
    body.put_u8(reason.code());
    frame::encode(CLOSE, &body, out);
}

fn stream_body(session: SessionId, stream: MessageStreamId) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    put_session(session, &mut body);
    varint::encode(u64::from(stream.0), &mut body);
    body
}
