//! Shared objects as applications know them.

use std::fmt;

pub use tributary_protocol::shared_object::{
    Encoded,
    authority::{Change as ObjectChange, ChangeKind, Refused},
};

/// A shared object of a group, never used for another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) u32);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why an application does not get a shared object, or cannot change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectError {
    /// The name is empty or too long, or holds control characters, backslashes, or parts that are
    /// empty, `.` or `..`.
    Name,
    /// The living object of that name is persistent and this one is not to be, or the other way
    /// round.
    BadPersistence,
    /// The group has too many objects, or the application has stored too much.
    Limit,
    /// The process stores nothing: `origin.data` names no directory.
    NoStore,
    /// The store could not be read.
    Store,
    /// The change exceeds a limit of the object.
    Refused(Refused),
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "a shared object cannot have this name",
            Self::BadPersistence => "the shared object lives with another persistence",
            Self::Limit => "there are too many shared objects, or too much is stored",
            Self::NoStore => "nothing is stored: origin.data names no directory",
            Self::Store => "the store cannot be read",
            Self::Refused(Refused::Name) => "a slot cannot have this name",
            Self::Refused(Refused::Value) => "the value is too large",
            Self::Refused(Refused::Slots) => "the shared object has too many slots",
            Self::Refused(_) => "the shared object is too large",
        })
    }
}

impl std::error::Error for ObjectError {}
