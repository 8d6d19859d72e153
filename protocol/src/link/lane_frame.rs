//! The frames of a lane, and of its opening.

use bytes::BufMut;

use super::{
    AudienceId, CloseReason, Filter, FrameError, Generation, LiveId, OpenSession, WriterId,
    frame::{self, Frame, take_u8, take_varint_u32},
    varint,
};
use crate::{MessageStreamId, SessionId, amf::ObjectEncoding};

mod audience;
mod control;
mod fragment;
mod opening;

pub use audience::{AudienceFrame, AudienceHead, AudiencePiece, MAX_AUDIENCE_NAME};
pub use control::{Bandwidth, Statistics, frames};
pub use fragment::{Fragment, Head, Member};
pub use opening::{LaneAnswer, OpenLane};

use fragment::{decode_fragment, decode_open, encode_fragment, encode_open};

/// A frame that an edge sends in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToOrigin {
    /// Frames received; not numbered itself.
    Ack(u64),
    /// A client asks to connect.
    Open {
        /// Its number, never used before in this lane.
        session: SessionId,
        /// Who it is.
        open: OpenSession,
    },
    /// A piece of a message.
    Fragment {
        /// From whom.
        session: SessionId,
        /// The piece.
        fragment: Fragment,
    },
    /// The session is over at the edge.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// A publishing client sends nothing, or sends again.
    Stalled {
        /// Whose.
        session: SessionId,
        /// The message stream it publishes on.
        stream: MessageStreamId,
        /// Whether it is silent.
        stalled: bool,
    },
    /// What a session's connection has carried, as it was asked for.
    Statistics {
        /// Which.
        session: SessionId,
        /// The figures.
        statistics: Statistics,
    },
    /// The lane has no sessions left and ends with this frame.
    End,
}

/// A frame that an origin sends in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToEdge {
    /// Frames received; not numbered itself.
    Ack(u64),
    /// How far a session may send, as an absolute cost; not numbered.
    Credit {
        /// Which.
        session: SessionId,
        /// The offset.
        offset: u64,
    },
    /// The application accepted the connect.
    Accept {
        /// Which.
        session: SessionId,
    },
    /// A piece of a message.
    Fragment {
        /// For whom.
        session: SessionId,
        /// The piece.
        fragment: Fragment,
    },
    /// The session is over at the origin.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// The message stream plays a live stream.
    Attach {
        /// Whose.
        session: SessionId,
        /// The client's message stream.
        stream: MessageStreamId,
        /// The live stream.
        live: LiveId,
        /// The first message of the publication that it plays; 0 towards an edge without the
        /// feature [`PUBLICATION`](super::features::PUBLICATION).
        publication: u64,
    },
    /// The message stream plays nothing.
    Detach {
        /// Whose.
        session: SessionId,
        /// The client's message stream.
        stream: MessageStreamId,
    },
    /// The publish of this generation is accepted.
    AcceptPublish {
        /// Whose.
        session: SessionId,
        /// The client's message stream.
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
        /// The live stream.
        live: LiveId,
        /// What the feed must carry.
        writer: WriterId,
    },
    /// The publish of this generation is refused or over.
    StopPublish {
        /// Whose.
        session: SessionId,
        /// The client's message stream.
        stream: MessageStreamId,
        /// The generation of the publish command.
        generation: Generation,
    },
    /// What a viewer gets.
    Filter {
        /// Whose.
        session: SessionId,
        /// The client's message stream.
        stream: MessageStreamId,
        /// What passes.
        filter: Filter,
    },
    /// About an audience, or to its members.
    Audience {
        /// Which.
        audience: AudienceId,
        /// What.
        frame: AudienceFrame,
    },
    /// The edge is to tell what the session's connection carries, at once and from then on.
    Watch {
        /// Which.
        session: SessionId,
    },
    /// How fast the session's connection may be.
    Bandwidth {
        /// Which.
        session: SessionId,
        /// The limits.
        bandwidth: Bandwidth,
    },
    /// The client is to be pinged.
    Ping {
        /// Which.
        session: SessionId,
    },
}

const OPEN_LANE: u64 = 0x10;
const LANE_ANSWER: u64 = 0x11;
const ACK: u64 = 0x12;
const CREDIT: u64 = 0x13;
const OPEN: u64 = 0x20;
const FRAGMENT: u64 = 0x21;
const CLOSE: u64 = 0x22;
const STALLED: u64 = 0x23;
const END: u64 = 0x24;
const STATISTICS: u64 = 0x25;
const ACCEPT: u64 = 0x30;
const ATTACH: u64 = 0x31;
const DETACH: u64 = 0x32;
const ACCEPT_PUBLISH: u64 = 0x33;
const STOP_PUBLISH: u64 = 0x34;
const FILTER: u64 = 0x35;
const AUDIENCE_BEGIN: u64 = 0x36;
const AUDIENCE_JOIN: u64 = 0x37;
const AUDIENCE_LEAVE: u64 = 0x38;
const AUDIENCE_SEND: u64 = 0x39;
const AUDIENCE_END: u64 = 0x3a;
const WATCH: u64 = 0x3b;
const BANDWIDTH: u64 = 0x3c;
const PING: u64 = 0x3d;

/// The most payload one fragment carries, so that its frame keeps [`frame::MAX_BODY`].
pub const MAX_FRAGMENT: usize = frame::MAX_BODY - 64;

/// The longest connect command a session can be opened with, in bytes: it must fit one frame.
pub const MAX_CONNECT: usize = frame::MAX_BODY - 128;

/// Whether frames of this type count in a lane's numbers.
pub fn is_numbered(kind: u64) -> bool {
    !matches!(kind, OPEN_LANE | LANE_ANSWER | ACK | CREDIT)
}

impl ToOrigin {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Ack(received) => encode_ack(*received, out),
            Self::Open { session, open } => {
                let mut body = Vec::with_capacity(open.connect.len() + 64);
                varint::encode(session.0, &mut body);
                encode_open(open, &mut body);
                frame::encode(OPEN, &body, out);
            }
            Self::Fragment { session, fragment } => encode_fragment(*session, fragment, out),
            Self::Close { session, reason } => encode_close(*session, *reason, out),
            Self::Stalled {
                session,
                stream,
                stalled,
            } => {
                let mut body = stream_body(*session, *stream);
                body.put_u8(u8::from(*stalled));
                frame::encode(STALLED, &body, out);
            }
            Self::Statistics {
                session,
                statistics,
            } => statistics.encode(*session, out),
            Self::End => frame::encode(END, &[], out),
        }
    }

    /// Reads a frame from an edge.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        Ok(match frame.kind {
            ACK => Self::Ack(varint::decode(input)?),
            OPEN => Self::Open {
                session: take_session(input)?,
                open: decode_open(frame, input)?,
            },
            FRAGMENT => {
                let (session, fragment) = decode_fragment(frame, input)?;
                Self::Fragment { session, fragment }
            }
            CLOSE => Self::Close {
                session: take_session(input)?,
                reason: CloseReason::from_code(take_u8(input)?),
            },
            STALLED => Self::Stalled {
                session: take_session(input)?,
                stream: take_stream(input)?,
                stalled: take_u8(input)? != 0,
            },
            STATISTICS => Self::Statistics {
                session: take_session(input)?,
                statistics: Statistics::decode(input)?,
            },
            END => Self::End,
            kind => return Err(FrameError::Unexpected(kind)),
        })
    }
}

impl ToEdge {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Ack(received) => encode_ack(*received, out),
            Self::Credit { session, offset } => {
                let mut body = Vec::new();
                varint::encode(session.0, &mut body);
                varint::encode(*offset, &mut body);
                frame::encode(CREDIT, &body, out);
            }
            Self::Accept { session } => encode_session(ACCEPT, *session, out),
            Self::Fragment { session, fragment } => encode_fragment(*session, fragment, out),
            Self::Close { session, reason } => encode_close(*session, *reason, out),
            Self::Attach {
                session,
                stream,
                live,
                publication,
            } => {
                let mut body = stream_body(*session, *stream);
                varint::encode(live.0, &mut body);
                if *publication > 0 {
                    varint::encode(*publication, &mut body);
                }
                frame::encode(ATTACH, &body, out);
            }
            Self::Detach { session, stream } => {
                frame::encode(DETACH, &stream_body(*session, *stream), out);
            }
            Self::AcceptPublish {
                session,
                stream,
                generation,
                live,
                writer,
            } => {
                let mut body = stream_body(*session, *stream);
                varint::encode(u64::from(generation.0), &mut body);
                varint::encode(live.0, &mut body);
                varint::encode(writer.0, &mut body);
                frame::encode(ACCEPT_PUBLISH, &body, out);
            }
            Self::StopPublish {
                session,
                stream,
                generation,
            } => {
                let mut body = stream_body(*session, *stream);
                varint::encode(u64::from(generation.0), &mut body);
                frame::encode(STOP_PUBLISH, &body, out);
            }
            Self::Filter {
                session,
                stream,
                filter,
            } => {
                let mut body = stream_body(*session, *stream);
                let bits = u8::from(filter.audio)
                    | u8::from(filter.video) << 1
                    | u8::from(filter.paused) << 2;
                body.put_u8(bits);
                frame::encode(FILTER, &body, out);
            }
            Self::Audience { audience, frame } => frame.encode(*audience, out),
            Self::Watch { session } => encode_session(WATCH, *session, out),
            Self::Bandwidth { session, bandwidth } => bandwidth.encode(*session, out),
            Self::Ping { session } => encode_session(PING, *session, out),
        }
    }

    /// Reads a frame from an origin.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        if frame.kind == ACK {
            return Ok(Self::Ack(varint::decode(input)?));
        }
        if frame.kind == FRAGMENT {
            let (session, fragment) = decode_fragment(frame, input)?;
            return Ok(Self::Fragment { session, fragment });
        }
        if matches!(frame.kind, AUDIENCE_BEGIN..=AUDIENCE_END) {
            let (audience, frame) = AudienceFrame::decode(frame)?;
            return Ok(Self::Audience { audience, frame });
        }
        let session = take_session(input)?;
        Ok(match frame.kind {
            CREDIT => Self::Credit {
                session,
                offset: varint::decode(input)?,
            },
            ACCEPT => Self::Accept { session },
            CLOSE => Self::Close {
                session,
                reason: CloseReason::from_code(take_u8(input)?),
            },
            ATTACH => Self::Attach {
                session,
                stream: take_stream(input)?,
                live: LiveId(varint::decode(input)?),
                publication: if input.is_empty() {
                    0
                } else {
                    varint::decode(input)?
                },
            },
            DETACH => Self::Detach {
                session,
                stream: take_stream(input)?,
            },
            ACCEPT_PUBLISH => Self::AcceptPublish {
                session,
                stream: take_stream(input)?,
                generation: Generation(take_varint_u32(input)?),
                live: LiveId(varint::decode(input)?),
                writer: WriterId(varint::decode(input)?),
            },
            STOP_PUBLISH => Self::StopPublish {
                session,
                stream: take_stream(input)?,
                generation: Generation(take_varint_u32(input)?),
            },
            FILTER => Self::Filter {
                session,
                stream: take_stream(input)?,
                filter: {
                    let bits = take_u8(input)?;
                    Filter {
                        audio: bits & 1 != 0,
                        video: bits & 2 != 0,
                        paused: bits & 4 != 0,
                    }
                },
            },
            WATCH => Self::Watch { session },
            BANDWIDTH => Self::Bandwidth {
                session,
                bandwidth: Bandwidth::decode(input)?,
            },
            PING => Self::Ping { session },
            kind => return Err(FrameError::Unexpected(kind)),
        })
    }
}

fn encode_ack(received: u64, out: &mut impl BufMut) {
    frame::head(ACK, varint::length(received), out);
    varint::encode(received, out);
}

/// A frame that only names a session.
fn encode_session(kind: u64, session: SessionId, out: &mut impl BufMut) {
    frame::head(kind, varint::length(session.0), out);
    varint::encode(session.0, out);
}

fn encode_close(session: SessionId, reason: CloseReason, out: &mut impl BufMut) {
    let mut body = Vec::new();
    varint::encode(session.0, &mut body);
    body.put_u8(reason.code());
    frame::encode(CLOSE, &body, out);
}

fn stream_body(session: SessionId, stream: MessageStreamId) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    varint::encode(session.0, &mut body);
    varint::encode(u64::from(stream.0), &mut body);
    body
}

fn put_session(session: SessionId, out: &mut impl BufMut) {
    varint::encode(session.0, out);
}

fn take_session(input: &mut &[u8]) -> Result<SessionId, FrameError> {
    varint::decode(input).map(SessionId)
}

/// Which encoding a message is meant for: either, AMF0, AMF3.
fn encoding_code(encoding: Option<ObjectEncoding>) -> u8 {
    match encoding {
        None => 0,
        Some(ObjectEncoding::Amf0) => 1,
        Some(ObjectEncoding::Amf3) => 2,
    }
}

fn encoding_of(code: u8) -> Result<Option<ObjectEncoding>, FrameError> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(ObjectEncoding::Amf0)),
        2 => Ok(Some(ObjectEncoding::Amf3)),
        _ => Err(FrameError::Value),
    }
}

fn take_stream(input: &mut &[u8]) -> Result<MessageStreamId, FrameError> {
    take_varint_u32(input).map(MessageStreamId)
}
