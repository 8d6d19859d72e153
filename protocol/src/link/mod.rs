//! The link between an edge and an origin: frames and state machines.
//!
//! `docs/link.md` of the repository specifies the bytes. One link carries a control stream
//! ([`hello`]), a lane for each group ([`EdgeLane`], [`OriginLane`]) and a feed for each live stream
//! and direction ([`feed`]).

mod audience;
mod conversation;
pub mod credit;
mod edge_lane;
pub mod features;
pub mod feed;
pub mod frame;
mod frame_error;
pub mod hello;
mod inbound;
pub mod lane_frame;
mod move_frame;
mod names;
mod origin_lane;
pub mod outbox;
mod parcel_frame;
mod peer_address;
mod rate;
mod record;
mod relay_address;
pub mod session;
mod takeover;
#[cfg(test)]
mod tests;
pub mod varint;

pub use audience::{AudienceId, Recipients, ToAudience};
pub use conversation::{FromSession, Source, Target, ToSession};
pub use edge_lane::{
    AudienceEvent, EdgeEvent, EdgeLane, EdgeLaneLimits, MAX_AUDIENCES, SalvagedSession,
};
pub use frame_error::FrameError;
pub use hello::{Control, Hello};
pub use lane_frame::{Bandwidth, HandedOver, Statistics, frames};
pub use move_frame::{MAX_MOVE_EDGES, MAX_STATE, MAX_STATE_PIECE, MoveFrame, MoveStep};
pub use origin_lane::{AudienceCounts, OriginEvent, OriginLane, RESERVATION_IDLE, RETENTION};
pub use parcel_frame::{claims_of_parcel, event_of_parcel, parcel_claims, parcel_event};
pub use peer_address::PeerAddress;
pub use rate::Rate;
pub use record::{Record, RestoredObject, RestoredSession};
pub use relay_address::RelayAddress;
pub use session::{
    ClientClaims, CloseReason, FeedPlace, Generation, LiveId, OpenSession, WriterId,
};
pub use takeover::TakeoverKey;

pub use crate::ring::Filter;
