//! The time to wait before another attempt.

use std::time::{Duration, Instant};

use rand::Rng;

/// Doubling delays between two bounds, with jitter, that start over after a healthy period.
///
/// The one owner of a retry keeps one of these. It calls [`Backoff::failed`] after each failed
/// attempt, [`Backoff::began`] after a successful one, and [`Backoff::ended`] when the result of
/// that is lost.
#[derive(Clone, Debug)]
pub struct Backoff {
    least: Duration,
    most: Duration,
    healthy: Duration,
    failures: u32,
    since: Option<Instant>,
}

impl Backoff {
    /// Delays from `least` to `most`; a success that lasted for `healthy` starts them over.
    pub fn new(least: Duration, most: Duration, healthy: Duration) -> Self {
        Self {
            least,
            most: most.max(least),
            healthy,
            failures: 0,
            since: None,
        }
    }

    /// Counts a failed attempt; returns the time to wait before the next. It is between half of the
    /// present delay and all of it, so that many that failed together do not return together.
    pub fn failed(&mut self, random: &mut impl Rng) -> Duration {
        self.since = None;
        let doubled = self
            .least
            .saturating_mul(1 << self.failures.min(MAX_DOUBLINGS));
        let whole = doubled.min(self.most);
        self.failures = self.failures.saturating_add(1);
        whole.mul_f64(random.random_range(0.5..=1.0))
    }

    /// Notes a successful attempt.
    pub fn began(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Notes the loss of the result; returns the time to wait before the next attempt.
    pub fn ended(&mut self, now: Instant, random: &mut impl Rng) -> Duration {
        if self
            .since
            .is_some_and(|since| now.duration_since(since) >= self.healthy)
        {
            self.failures = 0;
        }
        self.failed(random)
    }

    /// Starts over.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// The most doublings: 2^20 times any useful least delay is more than any useful most delay.
const MAX_DOUBLINGS: u32 = 20;

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn delays_double_within_their_bounds() {
        let mut random = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(MS(100), MS(1_000), MS(5_000));
        for whole in [100, 200, 400, 800, 1_000, 1_000, 1_000] {
            let delay = backoff.failed(&mut random);
            assert!(
                (MS(whole / 2)..=MS(whole)).contains(&delay),
                "{delay:?} of {whole} ms"
            );
        }
        for _ in 0..100 {
            assert!(backoff.failed(&mut random) <= MS(1_000));
        }
    }

    #[test]
    fn only_a_healthy_period_starts_over() {
        let mut random = StdRng::seed_from_u64(1);
        let mut backoff = Backoff::new(MS(100), MS(10_000), MS(5_000));
        let start = Instant::now();
        for _ in 0..5 {
            backoff.failed(&mut random);
        }
        backoff.began(start);
        let delay = backoff.ended(start + MS(4_999), &mut random);
        assert!(delay >= MS(1_600), "{delay:?}");
        backoff.began(start);
        let delay = backoff.ended(start + MS(5_000), &mut random);
        assert!(delay <= MS(100), "{delay:?}");
    }
}
