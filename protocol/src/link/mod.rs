//! The link between an edge and an origin: frames and state machines.
//!
//! `docs/link.md` of the repository specifies the bytes.

pub mod session;

pub use session::{CloseReason, FeedPlace, Filter, Generation, LiveId, OpenSession, WriterId};
