//! Messages of sessions, in fragments.

use bytes::{BufMut, Bytes};

use super::{FRAGMENT, encoding_code, encoding_of, put_session, take_session, take_stream};
use crate::{
    MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, FeedPlace, FrameError, Generation,
        frame::{self, Frame, take_u8, take_u32, take_varint_u32},
        varint,
    },
    shared_object::Flags,
};

/// The start of a message, in its first fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub kind: MessageType,
    pub stream: MessageStreamId,
    pub timestamp: RtmpTimestamp,
    /// The whole payload's length in bytes.
    pub length: u32,
    /// Towards the origin: the message stream's generation after this message.
    pub generation: Generation,
    /// Towards the edge: the place in the feed that the message follows.
    pub after: Option<FeedPlace>,
    /// Towards the edge: the member that an object's message is for.
    pub member: Option<Member>,
}

/// The member of an audience that a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub audience: AudienceId,
    /// The flags that the edge writes into the message.
    pub flags: Flags,
    /// Only a member of this encoding receives the message.
    pub encoding: Option<ObjectEncoding>,
}

/// A piece of a message of one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Only the first fragment has it.
    pub head: Option<Head>,
    pub data: Bytes,
}

const FIRST: u8 = 1;
const AFTER: u8 = 2;
const MEMBER: u8 = 4;

pub(super) fn encode_fragment(session: SessionId, fragment: &Fragment, out: &mut impl BufMut) {
    let mut head = Vec::with_capacity(48);
    put_session(session, &mut head);
    match &fragment.head {
        None => head.put_u8(0),
        Some(first) => {
            let after = if first.after.is_some() { AFTER } else { 0 };
            let member = if first.member.is_some() { MEMBER } else { 0 };
            head.put_u8(FIRST | after | member);
            head.put_u8(first.kind.0);
            varint::encode(u64::from(first.stream.0), &mut head);
            head.put_u32(first.timestamp.0);
            varint::encode(u64::from(first.length), &mut head);
            varint::encode(u64::from(first.generation.0), &mut head);
            if let Some(after) = first.after {
                varint::encode(after.0, &mut head);
            }
            if let Some(member) = first.member {
                member.encode(&mut head);
            }
        }
    }
    frame::head(FRAGMENT, head.len() + fragment.data.len(), out);
    out.put_slice(&head);
    out.put_slice(&fragment.data);
}

pub(super) fn decode_fragment(frame: &Frame) -> Result<(SessionId, Fragment), FrameError> {
    let input = &mut &*frame.body;
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
        member: (flags & MEMBER != 0)
            .then(|| Member::decode(input))
            .transpose()?,
    })
}

impl Member {
    fn encode(self, out: &mut impl BufMut) {
        varint::encode(u64::from(self.audience.0), out);
        out.put_u32(self.flags.0[0]);
        out.put_u32(self.flags.0[1]);
        out.put_u8(encoding_code(self.encoding));
    }

    fn decode(input: &mut &[u8]) -> Result<Self, FrameError> {
        Ok(Self {
            audience: AudienceId(take_varint_u32(input)?),
            flags: Flags([take_u32(input)?, take_u32(input)?]),
            encoding: encoding_of(take_u8(input)?)?,
        })
    }
}
