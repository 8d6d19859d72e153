//! The share of its thread's time that a group takes.

use std::time::{Duration, Instant};

/// The time that the turns of a group have taken in the present period.
#[derive(Debug)]
pub(super) struct Heat {
    began: Instant,
    busy: Duration,
}

/// The period over which the time is measured. Reason: an event that each client answers, such as
/// the end of a stream, takes much time for a moment, and moves no group.
const PERIOD: Duration = Duration::from_secs(1);

/// The share of its thread from which on a group is hot.
pub(super) const HOT: f64 = 0.25;

impl Heat {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            began: now,
            busy: Duration::ZERO,
        }
    }

    /// Notes a turn that took this long until `now`. Returns whether the period ends with it and the
    /// group was hot.
    pub(super) fn note(&mut self, now: Instant, took: Duration) -> bool {
        self.busy += took;
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed < PERIOD {
            return false;
        }
        let busy = self.busy;
        *self = Self::new(now);
        busy > elapsed.mul_f64(HOT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The moments, in ms, at which a group is hot that has a turn of `took` every `every`.
    fn hot(every: u32, took: Duration) -> Vec<u32> {
        let start = Instant::now();
        let mut heat = Heat::new(start);
        let turns = (1..=3000 / every).map(|turn| turn * every);
        turns
            .filter(|at| heat.note(start + *at * MS, took))
            .collect()
    }

    #[test]
    fn a_group_is_hot_that_takes_more_than_a_quarter_of_a_second() {
        assert!(hot(10, 2 * MS).is_empty());
        assert_eq!(hot(10, 3 * MS), [1000, 2000, 3000]);
    }

    #[test]
    fn long_turns_that_are_seldom_do_not_make_a_group_hot() {
        assert!(hot(1500, 300 * MS).is_empty());
        assert_eq!(hot(1500, 400 * MS), [1500, 3000]);
    }
}
