//! The groups' clock: it does not count the time in which the process was stopped.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Shows the time without the gaps in which the process did not run, so that every deadline of
/// every group moves by them: a publisher whose return was awaited while the process was stopped
/// still has the rest of its time.
///
/// The clock notices a gap because it is read at least once in [`TICK`] while the process runs.
#[derive(Debug)]
pub(super) struct Clock {
    state: Option<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    seen: Instant,
    stopped: Duration,
}

/// How often the clock is read at least.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// How late a reading may be before the process counts as stopped.
const LATE: Duration = Duration::from_secs(1);

impl Clock {
    /// A clock that notices gaps, as long as a task reads it once in [`TICK`].
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: Some(Mutex::new(State {
                seen: now,
                stopped: Duration::ZERO,
            })),
        }
    }

    /// A clock for tests that move the time themselves.
    #[cfg(any(test, feature = "test"))]
    pub(super) fn plain() -> Self {
        Self { state: None }
    }

    /// The groups' time, given the real one.
    pub(super) fn read(&self, real: Instant) -> Instant {
        real - self.update(real)
    }

    /// The real time of a deadline, unless the process is stopped before it.
    pub(super) fn real(&self, deadline: Instant, real: Instant) -> Instant {
        deadline + self.update(real)
    }

    fn update(&self, real: Instant) -> Duration {
        let Some(state) = &self.state else {
            return Duration::ZERO;
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let gap = real.saturating_duration_since(state.seen);
        if gap > TICK + LATE {
            state.stopped += gap - TICK;
        }
        state.seen = state.seen.max(real);
        state.stopped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_moves_the_time_back_and_delays_do_not() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let clock = Clock::new(start);
        assert_eq!(clock.read(at(900)), at(900));
        assert_eq!(clock.read(at(2_800)), at(2_800), "a busy machine");
        assert_eq!(
            clock.read(at(2_700)),
            at(2_700),
            "another thread's older reading"
        );
        assert_eq!(clock.real(at(7_000), at(3_000)), at(7_000));
        // Stopped for 10 s right after the last reading; one tick of it is as usual.
        assert_eq!(clock.read(at(13_000)), at(4_000));
        assert_eq!(clock.real(at(7_000), at(13_000)), at(16_000));
        assert_eq!(clock.read(at(14_000)), at(5_000));
        assert_eq!(clock.read(at(16_000)), at(7_000));
    }
}
