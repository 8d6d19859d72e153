//! The live clients of an edge, given to another process or taken from one.

mod giving;
mod taking;

pub(crate) use giving::SharedUpstream;
pub use giving::{Followers, Frozen, LiveClients};
pub use taking::{TakeError, Taken, Taking};
