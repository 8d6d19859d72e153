//! The rate at which a script may fill the log.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Counts a script's lines: a burst, and a rate.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The time at which the lines so far fit the rate.
    until: Cell<Option<Instant>>,
    dropped: Cell<u64>,
}

/// The decision about a line of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// The line is logged, after this many dropped ones.
    After(u64),
    /// The line is not logged.
    Dropped,
}

/// Lines a second that a script may log on average. Reason: a script that traces in a loop would
/// fill the disk and keep its worker from everything else.
const LINES_PER_SECOND: u32 = 200;

/// Lines that a script may log at once after a rest.
const LINES_AT_ONCE: u32 = 2_000;

const EACH: Duration = Duration::from_nanos(1_000_000_000 / LINES_PER_SECOND as u64);

impl Pace {
    pub(crate) fn new() -> Self {
        Self {
            until: Cell::new(None),
            dropped: Cell::new(0),
        }
    }

    /// Counts a line and decides about it.
    pub(crate) fn line(&self, now: Instant) -> Pass {
        let until = self.until.get().map_or(now, |until| until.max(now));
        if until - now >= EACH * LINES_AT_ONCE {
            self.dropped.set(self.dropped.get() + 1);
            return Pass::Dropped;
        }
        self.until.set(Some(until + EACH));
        Pass::After(self.dropped.replace(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_pass_at_their_rate_and_the_dropped_are_counted() {
        let pace = Pace::new();
        let start = Instant::now();
        for _ in 0..LINES_AT_ONCE {
            assert_eq!(pace.line(start), Pass::After(0));
        }
        for _ in 0..3 {
            assert_eq!(pace.line(start), Pass::Dropped);
        }
        assert_eq!(pace.line(start + EACH), Pass::After(3));
        assert_eq!(pace.line(start + EACH), Pass::Dropped);
        let later = start + Duration::from_secs(3_600);
        for dropped in [1, 0, 0] {
            assert_eq!(pace.line(later), Pass::After(dropped));
        }
    }
}
