//! The conversation of two origins of a cluster about the move of a group, in their control stream.
//!
//! ```text
//! from ── MoveOffer ──► to        the group runs on
//! from ◄── MoveAnswer ── to
//! from ── MoveState, MoveCommit ──► to     the group has stopped; its edges bring its sessions
//! from ◄── MoveArrived ── to      it goes on
//! ```

use bytes::{BufMut, Bytes};

use super::{
    FrameError,
    frame::{Frame, put_str, take, take_str},
    names::{MAX_NAME, take_group},
    varint,
};
use crate::GroupName;

/// A frame about one move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveFrame {
    /// The number of the move, which its offering origin has drawn at random.
    pub id: u64,
    pub step: MoveStep,
}

/// A step of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// The sender would like the receiver to go on with a group.
    Offer {
        group: GroupName,
        sessions: u64,
        /// The edges that will bring sessions of the group.
        edges: Vec<String>,
    },
    /// The receiver of the offer takes the group, or states why not.
    Answer { refused: Option<String> },
    /// A piece of what the group's application hands to its next instance.
    State(Bytes),
    /// The group has stopped at the sender: it is the receiver's from here on. The pieces of the state have so
    /// many bytes.
    Commit { state: u64 },
    /// The sender keeps the group.
    Withdraw,
    /// The group goes on at the sender, with so many sessions.
    Arrived { sessions: u64 },
}

/// The longest reason of a refusal, in bytes.
const MAX_REASON: usize = 1024;

/// The most edges that one offer names. Reason: the frame must keep
/// [`MAX_BODY`](super::frame::MAX_BODY).
pub const MAX_MOVE_EDGES: usize = 60;

/// The longest state that an application hands to the next instance of its group, in bytes of AMF.
pub const MAX_STATE: usize = 1024 * 1024;

/// The longest piece of a state, in bytes.
pub const MAX_STATE_PIECE: usize = 16_000;

const MOVE_OFFER: u64 = 0x80;
const MOVE_ANSWER: u64 = 0x81;
const MOVE_STATE: u64 = 0x82;
const MOVE_COMMIT: u64 = 0x83;
const MOVE_WITHDRAW: u64 = 0x84;
const MOVE_ARRIVED: u64 = 0x85;

impl MoveFrame {
    /// Appends the body; returns the frame's type.
    pub(super) fn encode_body(&self, body: &mut Vec<u8>) -> u64 {
        body.put_u64(self.id);
        match &self.step {
            MoveStep::Offer {
                group,
                sessions,
                edges,
            } => {
                put_str(&group.to_string(), body);
                varint::encode(*sessions, body);
                varint::encode(edges.len() as u64, body);
                for edge in edges {
                    put_str(edge, body);
                }
                MOVE_OFFER
            }
            MoveStep::Answer { refused } => {
                if let Some(reason) = refused {
                    let mut end = reason.len().min(MAX_REASON);
                    while !reason.is_char_boundary(end) {
                        end -= 1;
                    }
                    put_str(&reason[..end], body);
                }
                MOVE_ANSWER
            }
            MoveStep::State(piece) => {
                body.put_slice(piece);
                MOVE_STATE
            }
            MoveStep::Commit { state } => {
                varint::encode(*state, body);
                MOVE_COMMIT
            }
            MoveStep::Withdraw => MOVE_WITHDRAW,
            MoveStep::Arrived { sessions } => {
                varint::encode(*sessions, body);
                MOVE_ARRIVED
            }
        }
    }

    /// Whether frames of this type are about a move.
    pub(super) fn is_of(kind: u64) -> bool {
        (MOVE_OFFER..=MOVE_ARRIVED).contains(&kind)
    }

    /// Reads a frame of one of these types.
    pub(super) fn decode(frame: &Frame) -> Result<Self, FrameError> {
        let input = &mut &*frame.body;
        let id = take_eight(input)?;
        let step = match frame.kind {
            MOVE_OFFER => {
                let group = take_group(input)?;
                let sessions = varint::decode(input)?;
                let count = varint::decode(input)?;
                if count > MAX_MOVE_EDGES as u64 {
                    return Err(FrameError::TooLong);
                }
                let mut edges = Vec::new();
                for _ in 0..count {
                    edges.push(take_str(input, MAX_NAME)?.to_owned());
                }
                MoveStep::Offer {
                    group,
                    sessions,
                    edges,
                }
            }
            MOVE_ANSWER => {
                let is_refused = !input.is_empty();
                let reason = is_refused.then(|| take_str(input, MAX_REASON));
                let refused = reason.transpose()?.map(str::to_owned);
                MoveStep::Answer { refused }
            }
            MOVE_STATE => MoveStep::State(Bytes::copy_from_slice(input)),
            MOVE_COMMIT => MoveStep::Commit {
                state: varint::decode(input)?,
            },
            MOVE_WITHDRAW => MoveStep::Withdraw,
            MOVE_ARRIVED => MoveStep::Arrived {
                sessions: varint::decode(input)?,
            },
            _ => return Err(FrameError::Value),
        };
        Ok(Self { id, step })
    }
}

fn take_eight(input: &mut &[u8]) -> Result<u64, FrameError> {
    let bytes = take(input, 8)?;
    let bytes = bytes.try_into().map_err(|_| FrameError::Truncated)?;
    Ok(u64::from_be_bytes(bytes))
}
