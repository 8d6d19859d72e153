//! The reasons for which a machine does not move.

use std::fmt;

use super::VERSION;

/// The reason for which a parcel is refused, or not made. The session stays at its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParcelError {
    /// The version is neither the reader's own nor the one before.
    Version { version: u16 },
    /// The parcel is longer than this.
    TooLong { limit: usize },
    /// Records stand too deep within each other.
    TooDeep,
    /// The bytes end inside a field.
    Truncated { record: &'static str },
    /// The reader does not know the field, or it comes again or out of order.
    Unknown { record: &'static str, tag: u16 },
    /// A required field is not there.
    Missing { record: &'static str, tag: u16 },
    /// The value of a field is illegal, or contradicts the fields before it.
    Value { record: &'static str, tag: u16 },
    /// The state does not fit the limits of the process that reads it.
    Limit {
        record: &'static str,
        /// The bound, in words.
        bound: &'static str,
    },
    /// The machine cannot move while it is in this state.
    Unsettled { state: &'static str },
}

impl fmt::Display for ParcelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Version { version } => write!(
                f,
                "a parcel of version {version}; this program reads version {VERSION} and the one before"
            ),
            Self::TooLong { limit } => write!(f, "a parcel of more than {limit} bytes"),
            Self::TooDeep => f.write_str("records too deep within each other"),
            Self::Truncated { record } => write!(f, "{record} ends inside a field"),
            Self::Unknown { record, tag } => write!(f, "field {tag} is out of place in {record}"),
            Self::Missing { record, tag } => write!(f, "{record} has no field {tag}"),
            Self::Value { record, tag } => {
                write!(f, "field {tag} of {record} has an illegal value")
            }
            Self::Limit { record, bound } => write!(f, "{record} has more than the limit: {bound}"),
            Self::Unsettled { state } => write!(f, "not movable: {state}"),
        }
    }
}

impl std::error::Error for ParcelError {}
