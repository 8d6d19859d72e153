//! The pace of a client's messages towards its origin.

use std::time::{Duration, Instant};

mod parcel;

/// The part of a client's rate that it has used. The burst is one second's worth.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    /// Messages since the client last used less than [`NO_PAUSE`] of its burst.
    pressed: u32,
    /// The time at which all of the burst is free again.
    full_at: Instant,
}

/// The client has sent [`PATIENCE`] bursts without a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flood;

/// The messages that a client may send at once after a rest, as time at its rate.
const BURST: Duration = Duration::from_secs(1);

/// A client that has used more of its burst than this makes no pause.
const NO_PAUSE: Duration = Duration::from_millis(500);

/// Bursts without a pause after which a client is closed. Reason: an ordinary client sends its
/// messages and waits for answers.
const PATIENCE: u32 = 10;

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second,
            pressed: 0,
            full_at: now,
        }
    }

    /// Counts a message.
    pub(super) fn spend(&mut self, now: Instant) -> Result<(), Flood> {
        if self.used(now) < NO_PAUSE {
            self.pressed = 0;
        }
        self.pressed += 1;
        self.full_at = self.full_at.max(now) + Duration::from_secs(1) / self.per_second;
        if self.pressed > self.per_second.saturating_mul(PATIENCE) {
            return Err(Flood);
        }
        Ok(())
    }

    /// The time until which the client is not read, if its burst is used up.
    pub(super) fn shut_until(&self, now: Instant) -> Option<Instant> {
        (self.used(now) > BURST).then(|| self.full_at - BURST)
    }

    /// Shifts the pace by the time for which the process was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.full_at += by;
    }

    fn used(&self, now: Instant) -> Duration {
        self.full_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spend(pace: &mut Pace, now: Instant, count: u32) -> Result<(), Flood> {
        (0..count).try_for_each(|_| pace.spend(now))
    }

    #[test]
    fn a_burst_passes_and_what_is_beyond_it_waits() {
        let now = Instant::now();
        let mut pace = Pace::new(1000, now);
        assert_eq!(spend(&mut pace, now, 1000), Ok(()));
        assert_eq!(pace.shut_until(now), None);
        assert_eq!(spend(&mut pace, now, 500), Ok(()));
        let open = now + Duration::from_millis(500);
        assert_eq!(pace.shut_until(now), Some(open));
        assert_eq!(pace.shut_until(open), None);
    }

    #[test]
    fn a_client_that_never_leaves_off_is_closed_and_one_that_pauses_is_not() {
        let begun = Instant::now();
        let mut pace = Pace::new(1000, begun);
        let mut now = begun;
        let mut sent = 0;
        let flooded = loop {
            // Each read finds more messages.
            now = pace.shut_until(now).unwrap_or(now);
            match spend(&mut pace, now, 100) {
                Ok(()) => sent += 100,
                Err(Flood) => break sent,
            }
        };
        assert!((10_000..=10_700).contains(&flooded), "{flooded}");
        assert!(now - begun >= Duration::from_secs(9));

        let mut pace = Pace::new(1000, begun);
        for second in 0..100 {
            let now = begun + Duration::from_secs(second);
            assert_eq!(spend(&mut pace, now, 999), Ok(()));
        }
    }
}
