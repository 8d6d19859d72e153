//! Shared objects: the messages that carry them, and both ends of one object between the tiers.
//!
//! | module | what it is |
//! |---|---|
//! | [`message`] | messages of type 19 and 16 |
//! | [`body`] | what an origin says of an object: written once for each encoding, whoever gets it |
//! | [`authority`] | the object itself: slots, versions, conflicts, locks, what must be stored |
//! | [`merged`] | bodies for the same members that become one while they wait |
//! | [`mirror`] | the object as an edge knows it from the bodies that pass |
//! | [`replica`] | the object of another server, as a member that is a server itself has it |
//! | [`value`] | a slot's value in the forms it has on the wire |
//! | [`limits`] | how much of everything there may be |

pub mod authority;
pub mod body;
pub mod limits;
pub mod merged;
pub mod message;
pub mod mirror;
pub mod replica;
pub mod value;

mod slots;

pub use authority::{Access, Authority, Handled, Output, To};
pub use body::{Body, Told};
pub use limits::Limits;
pub use merged::Merged;
pub use message::{Error, Event, Flags, SharedObjectMessage};
pub use mirror::Mirror;
pub use replica::Replica;
pub use value::Encoded;
