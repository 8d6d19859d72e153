//! The end of a session's work here, and its part in a replacement of the edge's program.

use super::end::End;
use crate::wire::Pump;

/// The end of the work for a session.
pub(super) enum Outcome {
    Ended(End),
    /// It goes on in another process; the pump does the work that stays.
    Moved(Option<Box<Pump>>),
}

/// The part of a session in a replacement.
#[derive(Debug, Default)]
pub(super) enum Freeze {
    #[default]
    None,
    /// It has come from another process, and has not gone on yet.
    Arrived,
    /// The session has handled its inbox: nothing comes behind.
    Marked,
    /// It is on its way; the pump does the work that stays.
    Out(Option<Box<Pump>>),
    /// It cannot move as it is.
    Stays,
}
