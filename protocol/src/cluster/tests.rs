//! Virtual time.

use std::time::Instant;

/// The start of virtual time.
#[allow(clippy::disallowed_methods)] // `Instant` offers no other beginning.
pub(super) fn start() -> Instant {
    Instant::now()
}
