//! Times of tokens: seconds of UNIX time, with the tolerance of clocks.

use crate::tokens::refused::TokenRefused;

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Seconds of UNIX time.
    pub(super) now: u64,
    /// Seconds by which clocks may differ.
    pub(super) leeway: u64,
}

impl Clock {
    /// Whether a token that ends at this second is still good (RFC 7519, section 4.1.4).
    pub(super) fn before_end(self, end: u64) -> Result<(), TokenRefused> {
        if self.now < end.saturating_add(self.leeway) {
            return Ok(());
        }
        Err(TokenRefused::Expired)
    }

    /// Whether a token that begins at this second is good already (section 4.1.5).
    pub(super) fn after_begin(self, begin: u64) -> Result<(), TokenRefused> {
        if self.now.saturating_add(self.leeway) >= begin {
            return Ok(());
        }
        Err(TokenRefused::NotYet)
    }
}

/// The last second of the year 9999. A token that names a later time was made with milliseconds, and
/// would never end.
pub(super) const LAST: u64 = 253_402_300_799;
