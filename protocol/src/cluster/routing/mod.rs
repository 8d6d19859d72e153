//! The choice of an origin for each group.
//!
//! A [`Router`] has a [`OriginTable`] of the origins' states, and asks a [`Placement`] where a group
//! goes; a [`Wish`] is what one session wants.

mod placement;
mod rendezvous;
mod router;
mod table;
mod wish;

pub use placement::{Placement, SessionPlace};
pub use rendezvous::Rendezvous;
pub use router::Router;
pub use table::{Health, OriginId, OriginTable, STARTING};
pub use wish::{Named, Wish};
