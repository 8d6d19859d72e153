//! RTMP, AMF, shared objects and the link between the tiers, as data and state machines.
//!
//! Nothing in this crate touches a socket, a task, a clock or a source of randomness: bytes,
//! [`std::time::Instant`]s and seeds come in; bytes, events and the next deadline go out.
//!
//! The layers, lowest first:
//!
//! | module | what it knows |
//! |---|---|
//! | [`handshake`] | C0 to S2, simple and digest |
//! | [`chunk`] | chunk streams: bytes to messages and back |
//! | [`message`] | message types, control and user control, aggregates |
//! | [`amf`] | AMF0 and AMF3 values |
//! | [`media`] | what a media message is: key frame, sequence header, track |
//! | [`command`] | NetConnection and NetStream commands and every status code |
//! | [`shared_object`] | the shared-object messages |
//! | [`flv`] | FLV files: header and tags |
//! | [`session`] | one RTMP connection, either side of it |
//! | [`ring`] | a live stream's recent messages, and cursors into them |
//! | [`link`] | the frames and state machines between an edge and an origin |
//!
//! **Settle rule**: after anything that changes a state machine, call its `poll_*` functions until
//! they return nothing, and only then wait.

pub mod amf;
pub mod chunk;
pub mod command;
pub mod flv;
pub mod group_name;
pub mod handshake;
pub mod ids;
pub mod link;
pub mod media;
pub mod message;
pub mod ring;
pub mod session;
pub mod shared_object;
pub mod timestamp;

#[cfg(test)]
mod test_vectors;

pub use group_name::{GroupName, GroupNameError};
pub use ids::{ChunkStreamId, LaneId, MessageStreamId, SessionId, TransactionId};
pub use message::{Message, MessageType};
pub use timestamp::RtmpTimestamp;
