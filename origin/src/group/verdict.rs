//! The outcome of an act for its session.

use tributary_protocol::link::CloseReason;

/// Whether a session goes on. An act of one part returns this, since the end of a session concerns
/// all parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(super) enum Verdict {
    GoesOn,
    /// The session gets `close` and ends for this reason.
    Ends(CloseReason),
}
