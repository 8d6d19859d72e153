//! The choice of an origin for each group.
//!
//! A [`Router`] has a [`Table`] of the origins' states, and asks a [`Placement`] where a group
//! goes.

mod placement;
mod rendezvous;
mod router;
mod table;

pub use placement::{Place, Placement};
pub use rendezvous::Rendezvous;
pub use router::Router;
pub use table::{Health, OriginId, STARTING, Table};
