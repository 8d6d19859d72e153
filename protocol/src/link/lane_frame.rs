//! The frames of a lane, and of its opening.

use std::sync::Arc;

use bytes::BufMut;

use super::{
    AudienceId, ClientClaims, FrameError, FromSession, ToSession,
    frame::{self, Frame, take_varint_u32},
    varint,
};
use crate::{MessageStreamId, SessionId, amf::ObjectEncoding};

mod audience;
mod claims;
mod control;
mod fragment;
mod handed_over;
mod open;
mod opening;
mod restore;
mod session;

pub use audience::{AudienceFrame, AudienceHead, AudiencePiece, MAX_AUDIENCE_NAME};
pub use control::{Bandwidth, Statistics, frames};
pub use fragment::{Fragment, Head, Member};
pub use handed_over::HandedOver;
pub use opening::{LaneAnswer, OpenLane};
pub use restore::{
    ContentsHead, ContentsPiece, MAX_OBJECT_NAME, MAX_UNANSWERED, Reached, RestoreFrame,
};

use fragment::{decode_fragment, encode_fragment};

/// A frame that an edge sends in a lane.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ToOrigin {
    /// The count of received frames; not numbered itself.
    Ack(u64),
    /// The claims of the session that the next numbered frame opens.
    Claims {
        session: SessionId,
        claims: Arc<ClientClaims>,
    },
    /// An event of a session. An opening has a session number that the lane has never used; its
    /// claims have a frame of their own.
    Session {
        session: SessionId,
        /// The event; a message is read as fragments.
        event: FromSession,
    },
    /// A piece of a message of a session.
    Fragment {
        session: SessionId,
        fragment: Fragment,
    },
    /// A frame that restores the lane.
    Restore(RestoreFrame),
    /// The lane has no sessions left and ends with this frame.
    End,
}

/// A frame that an origin sends in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToEdge {
    /// The count of received frames; not numbered itself.
    Ack(u64),
    /// The credit of a session, which is not numbered.
    Credit {
        session: SessionId,
        /// The cost that the session may have sent since it opened.
        offset: u64,
    },
    /// An order to a session.
    Session {
        session: SessionId,
        /// The order; a message is read as fragments.
        order: ToSession,
    },
    /// A piece of a message for a session.
    Fragment {
        session: SessionId,
        fragment: Fragment,
    },
    /// A frame of an audience.
    Audience {
        audience: AudienceId,
        frame: AudienceFrame,
    },
    /// The lane's group goes on elsewhere; no numbered frame follows.
    HandedOver(HandedOver),
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
const CLAIMS: u64 = 0x26;
const RESTORE: u64 = 0x27;
const RECORD: u64 = 0x28;
const UNANSWERED: u64 = 0x29;
const REACHED: u64 = 0x2a;
const OBJECT: u64 = 0x2b;
const RESTORE_END: u64 = 0x2c;
const RECONNECTS: u64 = 0x2f;
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
const REMEMBER: u64 = 0x3e;
const HANDLED: u64 = 0x3f;
const RESTORED: u64 = 0x50;
const CONTINUES: u64 = 0x51;
const PUBLISH_READ: u64 = 0x54;
const RELAY: u64 = 0x55;
const HANDED_OVER: u64 = 0x56;
const REPEAT: u64 = 0x57;

/// The most payload of one fragment, so that its frame keeps [`frame::MAX_BODY`].
pub const MAX_FRAGMENT: usize = frame::MAX_BODY - 64;

/// The longest connect command of a session, in bytes: it must fit one frame.
pub const MAX_CONNECT: usize = frame::MAX_BODY - 128;

/// The longest name of a live stream, in bytes.
pub const MAX_STREAM_NAME: usize = 512;

/// Whether frames of this type count in a lane's numbers.
pub fn is_numbered(kind: u64) -> bool {
    !matches!(kind, OPEN_LANE | LANE_ANSWER | ACK | CREDIT)
}

impl ToOrigin {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Ack(received) => encode_ack(*received, out),
            Self::Claims { session, claims } => claims.encode(*session, out),
            Self::Session { session, event } => event.encode(*session, out),
            Self::Fragment { session, fragment } => encode_fragment(*session, fragment, out),
            Self::Restore(restore) => restore.encode(out),
            Self::End => frame::encode(END, &[], out),
        }
    }

    /// Reads a frame from an edge.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        Ok(match frame.kind {
            ACK => Self::Ack(varint::decode(&mut &*frame.body)?),
            FRAGMENT => {
                let (session, fragment) = decode_fragment(frame)?;
                Self::Fragment { session, fragment }
            }
            END => Self::End,
            CLAIMS => {
                let (session, claims) = ClientClaims::decode(frame)?;
                let claims = Arc::new(claims);
                Self::Claims { session, claims }
            }
            kind if restore::restores(kind) => Self::Restore(RestoreFrame::decode(frame)?),
            _ => {
                let (session, event) = FromSession::decode(frame)?;
                Self::Session { session, event }
            }
        })
    }
}

impl ToEdge {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Ack(received) => encode_ack(*received, out),
            Self::Credit { session, offset } => {
                let mut body = Vec::with_capacity(16);
                put_session(*session, &mut body);
                varint::encode(*offset, &mut body);
                frame::encode(CREDIT, &body, out);
            }
            Self::Session { session, order } => order.encode(*session, out),
            Self::Fragment { session, fragment } => encode_fragment(*session, fragment, out),
            Self::Audience { audience, frame } => frame.encode(*audience, out),
            Self::HandedOver(handed_over) => handed_over.encode(out),
        }
    }

    /// Reads a frame from an origin.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        Ok(match frame.kind {
            ACK => Self::Ack(varint::decode(input)?),
            CREDIT => Self::Credit {
                session: take_session(input)?,
                offset: varint::decode(input)?,
            },
            FRAGMENT => {
                let (session, fragment) = decode_fragment(frame)?;
                Self::Fragment { session, fragment }
            }
            AUDIENCE_BEGIN..=AUDIENCE_END => {
                let (audience, frame) = AudienceFrame::decode(frame)?;
                Self::Audience { audience, frame }
            }
            HANDED_OVER => Self::HandedOver(HandedOver::decode(frame)?),
            _ => {
                let (session, order) = ToSession::decode(frame)?;
                Self::Session { session, order }
            }
        })
    }
}

fn encode_ack(received: u64, out: &mut impl BufMut) {
    frame::head(ACK, varint::length(received), out);
    varint::encode(received, out);
}

/// Appends a frame whose body is a session's number.
fn encode_session(kind: u64, session: SessionId, out: &mut impl BufMut) {
    frame::head(kind, varint::length(session.0), out);
    varint::encode(session.0, out);
}

fn put_session(session: SessionId, out: &mut impl BufMut) {
    varint::encode(session.0, out);
}

fn take_session(input: &mut &[u8]) -> Result<SessionId, FrameError> {
    varint::decode(input).map(SessionId)
}

/// The code of a message's encoding: either, AMF0, AMF3.
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
