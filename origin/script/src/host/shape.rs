//! Kinds of script objects.

/// The kind of a script object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Array,
    Date,
    Bytes,
    Map,
    Set,
    Error,
    /// `new Number(1)` and the like.
    Boxed,
}

impl Shape {
    /// The kind of a number of the boot script.
    pub(crate) fn of(number: i32) -> Self {
        match number {
            1 => Self::Array,
            2 => Self::Date,
            3 => Self::Bytes,
            4 => Self::Map,
            5 => Self::Set,
            6 => Self::Error,
            7 => Self::Boxed,
            _ => Self::Object,
        }
    }
}
