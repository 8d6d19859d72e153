//! The rate at which a session may send commands and shared objects towards its origin.

use std::time::{Duration, Instant};

/// A rate with a burst. Media does not count: it travels in feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Payload bytes in a second, on average.
    pub bytes_per_second: u64,
    /// The bytes that may leave at once after a rest.
    pub burst: u64,
}

impl Default for Rate {
    /// 2 Mbit/s, 4 MiB. Reason: far above the traffic of people and their programs, and a hundredth
    /// of the capacity of one lane.
    fn default() -> Self {
        Self {
            bytes_per_second: 250_000,
            burst: 4 * 1024 * 1024,
        }
    }
}

/// The part of its rate that a session has used.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// The time at which the whole burst is available again; a past time, or none, is a full burst.
    full_at: Option<Instant>,
}

impl Bucket {
    /// A bucket whose burst is available again at this time.
    pub(super) fn full(full_at: Option<Instant>) -> Self {
        Self { full_at }
    }

    /// The time at which the burst is available again, if any of it was used.
    pub(super) fn full_at(&self) -> Option<Instant> {
        self.full_at
    }

    /// Counts bytes that leave at `now`.
    pub(super) fn spend(&mut self, rate: Rate, now: Instant, bytes: u64) {
        let from = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(from + rate.time(bytes));
    }

    /// The time at which the session may send again, if it may not now. A message that has begun
    /// may exceed the burst by one fragment.
    pub(super) fn shut_until(&self, rate: Rate, now: Instant) -> Option<Instant> {
        let missing = self.full_at?.saturating_duration_since(now);
        let wait = missing.checked_sub(rate.time(rate.burst))?;
        (!wait.is_zero()).then(|| now + wait)
    }
}

impl Rate {
    fn time(self, bytes: u64) -> Duration {
        Duration::from_secs_f64(bytes as f64 / self.bytes_per_second.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::start, *};

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let rate = Rate {
            bytes_per_second: 1000,
            burst: 5000,
        };
        let mut bucket = Bucket::default();
        let now = start();
        for _ in 0..5 {
            assert_eq!(bucket.shut_until(rate, now), None);
            bucket.spend(rate, now, 1000);
        }
        assert_eq!(bucket.shut_until(rate, now), None, "all of the burst");
        bucket.spend(rate, now, 500);
        let open = now + Duration::from_millis(500);
        assert_eq!(bucket.shut_until(rate, now), Some(open));
        assert_eq!(bucket.shut_until(rate, open), None);
        // A rest restores the burst and no more.
        let rested = now + Duration::from_secs(3600);
        bucket.spend(rate, rested, 6000);
        let open = rested + Duration::from_secs(1);
        assert_eq!(bucket.shut_until(rate, rested), Some(open));
    }
}
