//! Shared objects: the messages that carry them.

pub mod message;

pub use message::{Error, Event, Flags, SharedObjectMessage};
