use std::fmt;

/// The reason for which bytes are not AMF, or exceed the budget. Decoding stops at the first one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The input ends inside a value, or a length goes beyond its end.
    Truncated,
    /// A marker that the encoding does not define.
    UnknownMarker(u8),
    /// AMF0's object end outside an object.
    UnexpectedObjectEnd,
    /// A reference to an object, string or trait that has not occurred.
    BadReference(u32),
    /// Values nest deeper than [`Budget::depth`](super::Budget::depth).
    TooDeep,
    /// More values than [`Budget::elements`](super::Budget::elements).
    TooManyElements,
    /// More bytes than [`Budget::bytes`](super::Budget::bytes).
    TooLarge,
    /// References add more bytes than [`Budget::referenced`](super::Budget::referenced).
    TooMuchReferenced,
    /// An externalizable object of an unknown class, whose body has no known end, at a position
    /// where other values may follow.
    UnknownExternalizable(Box<str>),
}

impl Error {
    /// Whether the bytes may be AMF and exceed the budget.
    pub fn is_limit(&self) -> bool {
        matches!(
            self,
            Self::TooDeep | Self::TooManyElements | Self::TooLarge | Self::TooMuchReferenced
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("AMF value is truncated"),
            Self::UnknownMarker(marker) => write!(f, "unknown AMF marker {marker:#04x}"),
            Self::UnexpectedObjectEnd => f.write_str("AMF0 object end outside an object"),
            Self::BadReference(index) => write!(f, "AMF reference {index} has no target"),
            Self::TooDeep => f.write_str("AMF values nest too deeply"),
            Self::TooManyElements => f.write_str("AMF message holds too many values"),
            Self::TooLarge => f.write_str("AMF message is too large"),
            Self::TooMuchReferenced => f.write_str("AMF references repeat too many bytes"),
            Self::UnknownExternalizable(class) => {
                write!(
                    f,
                    "AMF3 externalizable class {class:?} has a body of unknown length"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
