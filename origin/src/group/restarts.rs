//! The restarts of a failed application.

use std::time::{Duration, Instant};

/// The failures of an application.
#[derive(Debug, Default)]
pub(super) struct Restarts(Vec<Instant>);

/// How many restarts are allowed within [`PERIOD`]. Reason: an application that fails more often
/// fails at something its clients send, and would burn the worker's time.
const INTENSITY: usize = 2;

/// The period of [`INTENSITY`].
const PERIOD: Duration = Duration::from_secs(300);

impl Restarts {
    /// Notes a failure.
    pub(super) fn failed(&mut self, now: Instant) {
        self.forget(now);
        self.0.push(now);
    }

    /// Whether the application may be started now.
    pub(super) fn may_start(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.0.len() <= INTENSITY
    }

    /// When the last failure ceases to matter.
    pub(super) fn settled(&self) -> Option<Instant> {
        self.0.last().map(|last| *last + PERIOD)
    }

    fn forget(&mut self, now: Instant) {
        self.0
            .retain(|failure| now.saturating_duration_since(*failure) < PERIOD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_failure_in_a_period_holds_off() {
        let mut restarts = Restarts::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(restarts.may_start(at(0)));
        restarts.failed(at(0));
        assert!(restarts.may_start(at(1)));
        restarts.failed(at(100));
        assert!(restarts.may_start(at(100)));
        restarts.failed(at(200));
        assert!(!restarts.may_start(at(299)));
        assert!(restarts.may_start(at(300)), "the first no longer counts");
        assert_eq!(restarts.settled(), Some(at(500)));
    }
}
