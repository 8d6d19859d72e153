//! The frames by which an edge brings its sessions to another process of their origin, and those by
//! which an origin has its edges remember them.

use bytes::{BufMut, Bytes};

use super::{
    HANDLED, OBJECT, REACHED, RECORD, REMEMBER, RESTORE, RESTORE_END, UNANSWERED,
    open::{decode_open, encode_open},
    put_session, take_session,
};
use crate::{
    RtmpTimestamp, SessionId, TransactionId,
    link::{
        FrameError, LiveId, OpenSession, Record,
        frame::{self, Frame, put_str, take, take_str, take_u8, take_u32, take_varint_u32},
        varint,
    },
    shared_object::Flags,
};

/// A frame of a lane that is restored, from its edge. Those of one session follow each other, and
/// begin with [`RestoreFrame::Session`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RestoreFrame {
    /// A session that was accepted, as it was opened; its claims go before it.
    Session {
        session: SessionId,
        open: OpenSession,
    },
    /// A record of the session.
    Record { session: SessionId, record: Record },
    /// Commands of the session that the origin has received and not answered. They are not sent
    /// again.
    Unanswered {
        session: SessionId,
        transactions: Vec<TransactionId>,
    },
    /// The session uses this shared object.
    Uses {
        session: SessionId,
        name: String,
        flags: Flags,
    },
    /// The end of what viewers at the edge have of a live stream.
    Reached(Reached),
    /// A piece of the contents of a shared object.
    Contents(ContentsPiece),
    /// All that the edge knew of the group has been said.
    End,
}

/// The end of what an edge has of a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reached {
    /// The stream's number at the process before.
    pub live: LiveId,
    /// The time of its newest frame.
    pub time: RtmpTimestamp,
    /// How long ago the edge received that frame, in milliseconds.
    pub age_ms: u32,
}

/// A piece of the contents of a shared object, as an edge's mirror has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentsPiece {
    /// Only the first piece has it.
    pub head: Option<ContentsHead>,
    pub data: Bytes,
}

/// The begin of the contents of a shared object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentsHead {
    pub name: String,
    /// Whether the object outlives its members.
    pub persistent: bool,
    /// The whole body's length in bytes.
    pub length: u32,
}

/// The most transactions in one frame.
pub const MAX_UNANSWERED: usize = 1_024;

/// The longest name of a shared object that is restored, in bytes.
pub const MAX_OBJECT_NAME: usize = 1_024;

const USES: u8 = 0;
const FIRST: u8 = 1;
const REST: u8 = 2;
const FIRST_PERSISTENT: u8 = 3;

/// Whether frames of this type restore a lane.
pub(super) fn restores(kind: u64) -> bool {
    matches!(
        kind,
        RESTORE | RECORD | UNANSWERED | REACHED | OBJECT | RESTORE_END
    )
}

impl RestoreFrame {
    /// Appends the frame.
    pub(super) fn encode(&self, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(64);
        let kind = match self {
            Self::Session { session, open } => {
                put_session(*session, &mut body);
                encode_open(open, &mut body);
                RESTORE
            }
            Self::Record { session, record } => {
                put_session(*session, &mut body);
                record.encode_body(&mut body);
                RECORD
            }
            Self::Unanswered {
                session,
                transactions,
            } => {
                put_session(*session, &mut body);
                for transaction in transactions {
                    body.put_f64(transaction.0);
                }
                UNANSWERED
            }
            Self::Uses {
                session,
                name,
                flags,
            } => {
                body.put_u8(USES);
                put_session(*session, &mut body);
                body.put_u32(flags.0[0]);
                body.put_u32(flags.0[1]);
                put_str(name, &mut body);
                OBJECT
            }
            Self::Reached(reached) => {
                varint::encode(reached.live.0, &mut body);
                body.put_u32(reached.time.0);
                varint::encode(u64::from(reached.age_ms), &mut body);
                REACHED
            }
            Self::Contents(piece) => {
                match &piece.head {
                    None => body.put_u8(REST),
                    Some(head) => {
                        body.put_u8(if head.persistent {
                            FIRST_PERSISTENT
                        } else {
                            FIRST
                        });
                        varint::encode(u64::from(head.length), &mut body);
                        put_str(&head.name, &mut body);
                    }
                }
                body.put_slice(&piece.data);
                OBJECT
            }
            Self::End => RESTORE_END,
        };
        frame::encode(kind, &body, out);
    }

    /// Reads a frame that has one of these types.
    pub(super) fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        Ok(match frame.kind {
            RESTORE => Self::Session {
                session: take_session(input)?,
                open: decode_open(frame, input)?,
            },
            RECORD => Self::Record {
                session: take_session(input)?,
                record: Record::decode_body(input)?,
            },
            UNANSWERED => Self::Unanswered {
                session: take_session(input)?,
                transactions: take_transactions(input)?,
            },
            REACHED => Self::Reached(Reached {
                live: LiveId(varint::decode(input)?),
                time: RtmpTimestamp(take_u32(input)?),
                age_ms: take_varint_u32(input)?,
            }),
            OBJECT => match take_u8(input)? {
                USES => Self::Uses {
                    session: take_session(input)?,
                    flags: Flags([take_u32(input)?, take_u32(input)?]),
                    name: take_str(input, MAX_OBJECT_NAME)?.to_owned(),
                },
                what @ (FIRST | FIRST_PERSISTENT) => {
                    let head = ContentsHead {
                        length: take_varint_u32(input)?,
                        name: take_str(input, MAX_OBJECT_NAME)?.to_owned(),
                        persistent: what == FIRST_PERSISTENT,
                    };
                    let data = frame.body.slice_ref(input);
                    let head = Some(head);
                    Self::Contents(ContentsPiece { head, data })
                }
                REST => Self::Contents(ContentsPiece {
                    head: None,
                    data: frame.body.slice_ref(input),
                }),
                _ => return Err(FrameError::Value),
            },
            RESTORE_END => Self::End,
            kind => return Err(FrameError::Unexpected(kind)),
        })
    }
}

fn take_transactions(input: &mut &[u8]) -> Result<Vec<TransactionId>, FrameError> {
    let count = input.len() / size_of::<f64>();
    if !input.len().is_multiple_of(size_of::<f64>()) || count > MAX_UNANSWERED {
        return Err(FrameError::Value);
    }
    let mut transactions = Vec::with_capacity(count);
    while let Some(bytes) = input.first_chunk() {
        transactions.push(TransactionId(f64::from_be_bytes(*bytes)));
        take(input, size_of::<f64>())?;
    }
    Ok(transactions)
}

impl Record {
    /// Appends the frame by which an origin has its edge remember the record.
    pub(super) fn encode_remember(&self, session: SessionId, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(self.bytes.len() + 16);
        put_session(session, &mut body);
        self.encode_body(&mut body);
        frame::encode(REMEMBER, &body, out);
    }

    fn encode_body(&self, body: &mut Vec<u8>) {
        varint::encode(u64::from(self.part), body);
        body.put_slice(&self.bytes);
    }

    pub(super) fn decode_body(input: &mut &[u8]) -> Result<Self, FrameError> {
        let part = take_varint_u32(input)?;
        if input.len() > Self::MAX {
            return Err(FrameError::TooLong);
        }
        Ok(Self {
            part,
            // It lives as long as the session, and must not hold the frame's buffer.
            bytes: Bytes::copy_from_slice(input),
        })
    }
}

/// Appends the frame that says how many of a session's messages are done with.
pub(super) fn encode_handled(session: SessionId, messages: u64, out: &mut impl BufMut) {
    let length = varint::length(session.0) + varint::length(messages);
    frame::head(HANDLED, length, out);
    put_session(session, out);
    varint::encode(messages, out);
}
