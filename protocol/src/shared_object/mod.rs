//! Shared objects: the messages that carry them, and both ends of one object between the tiers.
//!
//! | module | content |
//! |---|---|
//! | [`message`] | messages of type 19 and 16 |
//! | [`body`] | messages of an origin about an object, encoded once for each encoding |
//! | [`authority`] | the object itself: slots, versions, conflicts, locks, writes to the store |
//! | [`merged`] | merging of bodies that wait for the same members |
//! | [`mirror`] | an edge's copy of the object |
//! | [`replica`] | the copy of a member that is a server, of another server's object |
//! | [`value`] | the encoded forms of a slot's value |
//! | [`limits`] | the limits of one object |

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
