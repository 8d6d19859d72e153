//! Deadlines of many sessions that come at the same moments, so that they wake their worker once.

use std::time::{Duration, Instant};

/// Deadlines at least this far away are kept to whole [`TICK`]s.
const FAR: Duration = Duration::from_secs(16);

/// The time from one moment at which far deadlines come to the next. Reason: the pings of many
/// thousand idle sessions, and the answers, wake the worker once in this time and not once for
/// each. They should not all leave at once either: loopback and virtual Ethernet devices drop what
/// is more than 1,000 packets for each core.
const TICK: Duration = Duration::from_millis(250);

/// The deadline, or, if it is far away, the first tick from it on. Ticks count from `origin`.
pub(super) fn far(origin: Instant, now: Instant, due: Instant) -> Instant {
    if due.saturating_duration_since(now) < FAR {
        return due;
    }
    next(origin, due, TICK)
}

/// The first moment from `due` on that is a whole number of steps after `origin`.
pub(super) fn next(origin: Instant, due: Instant, step: Duration) -> Instant {
    let since = due.saturating_duration_since(origin);
    let steps = since.as_nanos().div_ceil(step.as_nanos());
    origin + step * u32::try_from(steps).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn far_deadlines_of_all_sessions_come_at_the_same_moments() {
        let origin = Instant::now();
        let at = |ms| origin + Duration::from_millis(ms);
        for (now, due, expected) in [
            (0, 15_999, 15_999),
            (0, 16_000, 16_000),
            (0, 60_001, 60_250),
            (500, 60_900, 61_000),
            (60_001, 70_001, 70_001),
            (61_000, 121_000, 121_000),
        ] {
            assert_eq!(far(origin, at(now), at(due)), at(expected), "{now} {due}");
        }
    }
}
