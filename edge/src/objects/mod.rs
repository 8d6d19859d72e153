//! Shared objects at the edge: one message in, a copy for each member out.
//!
//! The origin decides; the edge knows who is a member, writes each member's flags into what it
//! sends, and keeps nothing that the origin does not have.

mod message;

pub use message::{ObjectMessage, Recipient};
