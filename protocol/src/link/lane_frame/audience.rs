//! The frames of audiences, all from the origin and all numbered.

use bytes::{BufMut, Bytes};

use super::{AUDIENCE_BEGIN, AUDIENCE_END, AUDIENCE_JOIN, AUDIENCE_LEAVE, AUDIENCE_SEND};
use super::{encoding_code, encoding_of, put_session, take_session};
use crate::{
    SessionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, FrameError,
        frame::{self, Frame, put_str, take_str, take_u8, take_u32, take_varint_u32},
        varint,
    },
    shared_object::Flags,
};

/// A frame about an audience.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AudienceFrame {
    /// The audience begins.
    Begin {
        /// The object's name, cut at [`MAX_AUDIENCE_NAME`]: only logs and lists use it.
        name: String,
        /// Whether the object outlives its members.
        persistent: bool,
    },
    /// A session becomes a member, or its standing changes.
    Join {
        session: SessionId,
        /// The flags that the edge writes into every message to it.
        flags: Flags,
        /// Whether messages to all pass it by; it receives its messages for it alone.
        aside: bool,
    },
    /// A session is no longer a member.
    Leave { session: SessionId },
    /// A piece of a message.
    Send(AudiencePiece),
    /// The audience ends.
    End,
}

/// A piece of a message to all of an audience. A message to a single member is a message of its
/// session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudiencePiece {
    /// Only the first piece has it.
    pub head: Option<AudienceHead>,
    pub data: Bytes,
}

/// The start of a message to an audience, in its first piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudienceHead {
    /// Every member but this one receives the message.
    pub all_but: Option<SessionId>,
    /// Only members of this encoding receive it.
    pub encoding: Option<ObjectEncoding>,
    /// The whole body's length in bytes.
    pub length: u32,
}

/// The longest name of an object in the frame that begins its audience, in bytes. Reason: the frame
/// must hold it, and logs and lists show no more.
pub const MAX_AUDIENCE_NAME: usize = 1024;

const FIRST: u8 = 1;
const ALL_BUT: u8 = 2;
const ENCODING_SHIFT: u8 = 2;

impl AudienceFrame {
    pub(super) fn encode(&self, audience: AudienceId, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(32);
        varint::encode(u64::from(audience.0), &mut body);
        let kind = match self {
            Self::Begin { name, persistent } => {
                body.put_u8(u8::from(*persistent));
                put_str(cut(name), &mut body);
                AUDIENCE_BEGIN
            }
            Self::Join {
                session,
                flags,
                aside,
            } => {
                put_session(*session, &mut body);
                body.put_u32(flags.0[0]);
                body.put_u32(flags.0[1]);
                body.put_u8(u8::from(*aside));
                AUDIENCE_JOIN
            }
            Self::Leave { session } => {
                put_session(*session, &mut body);
                AUDIENCE_LEAVE
            }
            Self::Send(piece) => {
                piece.encode_head(&mut body);
                frame::head(AUDIENCE_SEND, body.len() + piece.data.len(), out);
                out.put_slice(&body);
                out.put_slice(&piece.data);
                return;
            }
            Self::End => AUDIENCE_END,
        };
        frame::encode(kind, &body, out);
    }

    /// Reads a frame that has the type of an audience's frame.
    pub(super) fn decode(frame: &Frame) -> Result<(AudienceId, Self), FrameError> {
        let input = &mut &*frame.body;
        let audience = AudienceId(take_varint_u32(input)?);
        let read = match frame.kind {
            AUDIENCE_BEGIN => {
                let persistent = take_u8(input)? != 0;
                let name = take_str(input, MAX_AUDIENCE_NAME)?.to_owned();
                Self::Begin { name, persistent }
            }
            AUDIENCE_JOIN => Self::Join {
                session: take_session(input)?,
                flags: Flags([take_u32(input)?, take_u32(input)?]),
                aside: take_u8(input)? != 0,
            },
            AUDIENCE_LEAVE => Self::Leave {
                session: take_session(input)?,
            },
            AUDIENCE_SEND => Self::Send(AudiencePiece::decode(frame, input)?),
            AUDIENCE_END => Self::End,
            kind => return Err(FrameError::Unexpected(kind)),
        };
        Ok((audience, read))
    }
}

impl AudiencePiece {
    fn encode_head(&self, body: &mut Vec<u8>) {
        let Some(head) = &self.head else {
            return body.put_u8(0);
        };
        let encoding = encoding_code(head.encoding) << ENCODING_SHIFT;
        body.put_u8(FIRST | encoding | if head.all_but.is_some() { ALL_BUT } else { 0 });
        if let Some(session) = head.all_but {
            put_session(session, body);
        }
        varint::encode(u64::from(head.length), body);
    }

    fn decode(frame: &Frame, input: &mut &[u8]) -> Result<Self, FrameError> {
        let bits = take_u8(input)?;
        let head = (bits & FIRST != 0)
            .then(|| AudienceHead::decode(bits, input))
            .transpose()?;
        Ok(Self {
            head,
            data: frame.body.slice_ref(input),
        })
    }
}

impl AudienceHead {
    fn decode(bits: u8, input: &mut &[u8]) -> Result<Self, FrameError> {
        Ok(Self {
            all_but: (bits & ALL_BUT != 0)
                .then(|| take_session(input))
                .transpose()?,
            encoding: encoding_of(bits >> ENCODING_SHIFT)?,
            length: take_varint_u32(input)?,
        })
    }
}

/// The longest start of a name that a frame holds.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_AUDIENCE_NAME)]
}
