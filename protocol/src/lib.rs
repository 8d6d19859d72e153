//! RTMP, AMF, shared objects and the link between the tiers, as data and state machines.
//!
//! This crate uses no socket, task, clock or source of randomness: bytes, [`std::time::Instant`]s
//! and seeds come in; bytes, events and the next deadline go out.
//!
//! The layers, lowest first:
//!
//! | module | content |
//! |---|---|
//! | [`parcel`] | the state of a machine as bytes that move to another process |
//! | [`proxy`] | the header by which a proxy names the client |
//! | [`http`] | request heads, heads of answers |
//! | [`websocket`] | RTMP in WebSocket messages |
//! | [`tunnel`] | RTMPT: RTMP in HTTP requests |
//! | [`handshake`] | C0 to S2, simple and digest |
//! | [`chunk`] | chunk streams: bytes to messages and back |
//! | [`message`] | message types, control and user control, aggregates |
//! | [`amf`] | AMF0 and AMF3 values |
//! | [`media`] | the class of a media message: key frame, sequence header, track |
//! | [`command`] | NetConnection and NetStream commands and every status code |
//! | [`shared_object`] | messages, authority, mirror and replica of shared objects |
//! | [`flv`] | FLV files: header and tags |
//! | [`session`] | one RTMP connection, either side of it |
//! | [`ring`] | a live stream's recent messages, and cursors into them |
//! | [`link`] | the frames and state machines between an edge and an origin |
//! | [`cluster`] | which origin of a cluster has a group, takes it, gives it away |
//!
//! **Settle rule**: after every change of a state machine its driver calls the `poll_*` functions
//! until they return nothing, and only then waits.

pub mod amf;
pub mod chunk;
pub mod cluster;
pub mod command;
pub mod flv;
pub mod group_name;
pub mod handshake;
pub mod http;
pub mod ids;
pub mod link;
pub mod media;
pub mod message;
mod mutant;
pub mod parcel;
pub mod proxy;
pub mod ring;
pub mod session;
pub mod shared_object;
pub mod timestamp;
pub mod tunnel;
pub mod websocket;

#[cfg(test)]
mod test_vectors;

pub use group_name::{GroupName, GroupNameError};
pub use ids::{ChunkStreamId, LaneId, MessageStreamId, SessionId, TransactionId};
pub use message::{Message, MessageType};
pub use timestamp::RtmpTimestamp;
