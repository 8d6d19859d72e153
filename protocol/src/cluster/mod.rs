//! The rules of a cluster of origins: which origin has a group, which takes it, and which gives it away.
//!
//! [`Ownership`] is the state of one origin. Reports of its links, lanes and groups go in; [`Act`]s come out, which its
//! driver carries out. The machine asks its driver for facts that it does not keep itself ([`Here`]). [`Directory`]
//! is the other side: what an edge does about the news of its origins, and [`routing`] where it places sessions.
//!
//! ```text
//! admission, copies, giving, taking ──► ownership ──► elsewhere, gathering, moves, others, residents ──► act, here
//! ```

mod act;
mod admission;
mod copies;
mod directory;
mod elsewhere;
mod gathering;
mod giving;
mod here;
mod move_error;
mod moves;
mod others;
mod ownership;
mod residents;
pub mod routing;
mod taking;

pub use act::{Act, Finished, Note};
pub use admission::Admission;
pub use directory::{Directory, EdgeDriver, EdgeLaneFacts};
pub use gathering::ClusterStart;
pub use here::{Here, LaneFacts, LaneNumber};
pub use move_error::MoveError;
pub use ownership::{OriginStanding, Ownership};
pub use residents::NamedGroups;

#[cfg(test)]
mod tests;
