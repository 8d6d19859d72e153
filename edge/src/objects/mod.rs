//! Shared objects at the edge: one message in, a copy for each member out.
//!
//! ```text
//!  link thread                          worker (one of several)
//!  AudienceSend ─► mirror
//!               └► once for each ──────► Hub: one buffer for each encoding,
//!                  worker with members       one write for each member
//!                                            no room? it waits in the member's Seat;
//!                                            changes of one slot become one
//! ```
//!
//! The origin decides. The edge knows the members, writes each member's flags into its messages,
//! and keeps no data that the origin does not have.
//!
//! A member that falls behind gets one message with the latest values of the slots it has missed,
//! once its socket takes bytes again. Messages with other events (`send`) wait one by one, behind
//! the changes before them.

mod audience;
mod batch;
mod hub;
mod message;
mod order;
mod seat;

pub use message::{ObjectMessage, Recipient};
pub use order::{Delivery, HubOut, ObjectKey, ToHub};

pub(crate) use hub::{Hub, Seated};
pub(crate) use seat::Seat;
