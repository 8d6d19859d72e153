//! The frames of a lane, and of its opening.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes};

use super::{
    CloseReason, FeedPlace, Filter, FrameError, Generation, LiveId, OpenSession, WriterId,
    frame::{self, Frame, put_str, take, take_str, take_u8, take_u32, take_varint_u32},
    hello::{MAX_NAME, take_group},
    varint,
};
use crate::{GroupName, LaneId, MessageStreamId, MessageType, RtmpTimestamp, SessionId};

/// The first frame of a lane's stream, from the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLane {
    /// The lane's number.
    pub lane: LaneId,
    /// Whose lane it is.
    pub group: GroupName,
    /// The name of the group's home, as the edges' configurations know that origin.
    pub home: String,
    /// Numbered frames of this lane received from the origin so far; `None` opens a new lane.
    pub resume: Option<u64>,
    /// Open it only if the group lives there already; the answer is [`LaneAnswer::Unknown`] if not.
    pub only_if_living: bool,
}

/// The origin's answer to [`OpenLane`], the first frame in the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneAnswer {
    /// The lane is open. `received` numbered frames arrived here so far.
    Open {
        /// Numbered frames received from the edge.
        received: u64,
    },
    /// There is no such lane to resume: its sessions are over.
    Unknown,
    /// The group may still live elsewhere: ask again after this many milliseconds.
    Wait {
        /// Milliseconds.
        retry_ms: u32,
    },
    /// The origin takes no more lanes from this edge, or is going away.
    Refused,
}

/// The start of a message, in its first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The message's type.
    pub kind: MessageType,
    /// The client's message stream.
    pub stream: MessageStreamId,
    /// The message's time.
    pub timestamp: RtmpTimestamp,
    /// The whole payload's length in bytes.
    pub length: u32,
    /// Towards the origin: the message stream's generation after this message.
    pub generation: Generation,
    /// Towards the edge: the place in the feed that the message follows.
    pub after: Option<FeedPlace>,
}

/// A piece of a message of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Present in the first piece.
    pub head: Option<Head>,
    /// The piece of the payload.
    pub data: Bytes,
}

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
const ACCEPT: u64 = 0x30;
const ATTACH: u64 = 0x31;
const DETACH: u64 = 0x32;
const ACCEPT_PUBLISH: u64 = 0x33;
const STOP_PUBLISH: u64 = 0x34;
const FILTER: u64 = 0x35;

/// The most payload one fragment carries, so that its frame keeps [`frame::MAX_BODY`].
pub const MAX_FRAGMENT: usize = frame::MAX_BODY - 64;

/// The longest connect command a session can be opened with, in bytes: it must fit one frame.
pub const MAX_CONNECT: usize = frame::MAX_BODY - 128;

const FIRST: u8 = 1;
const AFTER: u8 = 2;

/// Whether frames of this type count in a lane's numbers.
pub fn is_numbered(kind: u64) -> bool {
    !matches!(kind, OPEN_LANE | LANE_ANSWER | ACK | CREDIT)
}

impl OpenLane {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        let mut body = Vec::new();
        varint::encode(self.lane.0, &mut body);
        put_str(&self.group.to_string(), &mut body);
        put_str(&self.home, &mut body);
        body.put_u8(match self.resume {
            None if self.only_if_living => 2,
            resume => u8::from(resume.is_some()),
        });
        varint::encode(self.resume.unwrap_or(0), &mut body);
        frame::encode(OPEN_LANE, &body, out);
    }

    /// Reads the frame.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        if frame.kind != OPEN_LANE {
            return Err(FrameError::Unexpected(frame.kind));
        }
        let input = &mut &*frame.body;
        let lane = LaneId(varint::decode(input)?);
        let group = take_group(input)?;
        let home = take_str(input, MAX_NAME)?.to_owned();
        let how = take_u8(input)?;
        let received = varint::decode(input)?;
        Ok(Self {
            lane,
            group,
            home,
            resume: (how == 1).then_some(received),
            only_if_living: match how {
                0 | 1 => false,
                2 => true,
                _ => return Err(FrameError::Value),
            },
        })
    }
}

impl LaneAnswer {
    /// Appends the frame.
    pub fn encode(self, out: &mut impl BufMut) {
        let mut body = Vec::new();
        let (code, value) = match self {
            Self::Open { received } => (0, received),
            Self::Unknown => (1, 0),
            Self::Wait { retry_ms } => (2, u64::from(retry_ms)),
            Self::Refused => (3, 0),
        };
        body.put_u8(code);
        varint::encode(value, &mut body);
        frame::encode(LANE_ANSWER, &body, out);
    }

    /// Reads the frame.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        if frame.kind != LANE_ANSWER {
            return Err(FrameError::Unexpected(frame.kind));
        }
        let input = &mut &*frame.body;
        let code = take_u8(input)?;
        let value = varint::decode(input)?;
        match code {
            0 => Ok(Self::Open { received: value }),
            1 => Ok(Self::Unknown),
            2 => Ok(Self::Wait {
                retry_ms: u32::try_from(value).map_err(|_| FrameError::Value)?,
            }),
            3 => Ok(Self::Refused),
            _ => Err(FrameError::Value),
        }
    }
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
            Self::Accept { session } => {
                let mut body = Vec::new();
                varint::encode(session.0, &mut body);
                frame::encode(ACCEPT, &body, out);
            }
            Self::Fragment { session, fragment } => encode_fragment(*session, fragment, out),
            Self::Close { session, reason } => encode_close(*session, *reason, out),
            Self::Attach {
                session,
                stream,
                live,
            } => {
                let mut body = stream_body(*session, *stream);
                varint::encode(live.0, &mut body);
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
            kind => return Err(FrameError::Unexpected(kind)),
        })
    }
}

fn encode_ack(received: u64, out: &mut impl BufMut) {
    frame::head(ACK, varint::length(received), out);
    varint::encode(received, out);
}

fn encode_close(session: SessionId, reason: CloseReason, out: &mut impl BufMut) {
    let mut body = Vec::new();
    varint::encode(session.0, &mut body);
    body.put_u8(reason.code());
    frame::encode(CLOSE, &body, out);
}

fn encode_fragment(session: SessionId, fragment: &Fragment, out: &mut impl BufMut) {
    let mut head = Vec::with_capacity(48);
    varint::encode(session.0, &mut head);
    match &fragment.head {
        None => head.put_u8(0),
        Some(first) => {
            head.put_u8(FIRST | if first.after.is_some() { AFTER } else { 0 });
            head.put_u8(first.kind.0);
            varint::encode(u64::from(first.stream.0), &mut head);
            head.put_u32(first.timestamp.0);
            varint::encode(u64::from(first.length), &mut head);
            varint::encode(u64::from(first.generation.0), &mut head);
            if let Some(after) = first.after {
                varint::encode(after.0, &mut head);
            }
        }
    }
    frame::head(FRAGMENT, head.len() + fragment.data.len(), out);
    out.put_slice(&head);
    out.put_slice(&fragment.data);
}

fn decode_fragment(frame: &Frame, input: &mut &[u8]) -> Result<(SessionId, Fragment), FrameError> {
    let session = take_session(input)?;
    let flags = take_u8(input)?;
    let head = (flags & FIRST != 0)
        .then(|| decode_head(flags, input))
        .transpose()?;
    Ok((
        session,
        Fragment {
            head,
            data: frame.body.slice_ref(input),
        },
    ))
}

fn decode_head(flags: u8, input: &mut &[u8]) -> Result<Head, FrameError> {
    Ok(Head {
        kind: MessageType(take_u8(input)?),
        stream: take_stream(input)?,
        timestamp: RtmpTimestamp(take_u32(input)?),
        length: take_varint_u32(input)?,
        generation: Generation(take_varint_u32(input)?),
        after: (flags & AFTER != 0)
            .then(|| varint::decode(input).map(FeedPlace))
            .transpose()?,
    })
}

fn encode_open(open: &OpenSession, out: &mut impl BufMut) {
    match open.peer.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(open.peer.port());
    put_str(&open.protocol, out);
    out.put_slice(&open.connect);
}

fn decode_open(frame: &Frame, input: &mut &[u8]) -> Result<OpenSession, FrameError> {
    let ip = match take_u8(input)? {
        4 => IpAddr::from(<[u8; 4]>::try_from(take(input, 4)?).map_err(|_| FrameError::Truncated)?),
        6 => {
            IpAddr::from(<[u8; 16]>::try_from(take(input, 16)?).map_err(|_| FrameError::Truncated)?)
        }
        _ => return Err(FrameError::Value),
    };
    let port = take(input, 2)?;
    let peer = SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]));
    let protocol = take_str(input, 16)?.to_owned();
    // The command outlives the frame by the whole session: it must not hold the frame's buffer.
    let connect = Bytes::copy_from_slice(&frame.body.slice_ref(input));
    Ok(OpenSession {
        peer,
        protocol,
        connect,
    })
}

fn stream_body(session: SessionId, stream: MessageStreamId) -> Vec<u8> {
    let mut body = Vec::with_capacity(32);
    varint::encode(session.0, &mut body);
    varint::encode(u64::from(stream.0), &mut body);
    body
}

fn take_session(input: &mut &[u8]) -> Result<SessionId, FrameError> {
    varint::decode(input).map(SessionId)
}

fn take_stream(input: &mut &[u8]) -> Result<MessageStreamId, FrameError> {
    take_varint_u32(input).map(MessageStreamId)
}
