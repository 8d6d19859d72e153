//! Which origin a group belongs to.

mod rendezvous;
mod table;

pub use rendezvous::order;
pub use table::{Health, Place, STARTING, Table};
