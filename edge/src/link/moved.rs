//! The state of the links on its way to another process.

use std::fmt;

use tributary_protocol::parcel::ParcelError;

/// The links as parcels, which `docs/replace.md` specifies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MovedLinks {
    /// The numbers that go on, and the origins.
    pub head: Vec<u8>,
    /// One parcel for each lane.
    pub lanes: Vec<Vec<u8>>,
    /// One parcel for each session that waits for a lane.
    pub waiting: Vec<Vec<u8>>,
}

/// The reason for which the links do not move.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MoveError {
    /// The link thread has ended.
    Ended,
    /// The links are not frozen, or their origins change faster than they can be exported.
    Unsettled,
    /// A parcel is refused, or not made.
    Parcel {
        /// The thing that the parcel carries.
        of: String,
        error: ParcelError,
    },
    /// The origin of a lane is not in this process's configuration.
    UnknownOrigin { of: String, origin: String },
    /// A parcel contradicts another one.
    Contradiction {
        of: String,
        /// The fact that both state.
        fact: &'static str,
    },
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("the link thread has ended"),
            Self::Unsettled => f.write_str("the links do not stand still"),
            Self::Parcel { of, error } => write!(f, "{of}: {error}"),
            Self::UnknownOrigin { of, origin } => write!(
                f,
                "{of} is at the origin {origin}, which the new configuration lacks; \
                 add it, and remove it by a reload later"
            ),
            Self::Contradiction { of, fact } => {
                write!(f, "{of} contradicts another parcel: {fact}")
            }
        }
    }
}

impl std::error::Error for MoveError {}

#[cfg(test)]
mod tests;
