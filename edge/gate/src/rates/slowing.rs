//! Slowing an address after failures.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use crate::rates::{lru::Lru, place::Place};

/// The addresses whose decisions were refused lately; an edge has one for all its applications.
///
/// After so many refusals within a minute (`failures_per_minute`) the next connects of the address wait
/// 1, 2, 4 ... 60 s before they are answered. Two minutes without a refusal end it. There is no list of
/// banned addresses to maintain, and clients that share an address with a guesser are slowed, not shut
/// out.
#[derive(Debug, Default)]
pub struct Slowing(Lru<Place, Failures>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    /// The first refusal of the minute that is counted.
    first: Instant,
    last: Instant,
    /// Refusals of that minute.
    count: u32,
    /// Connects since the address is slowed; `None` before.
    waited: Option<u32>,
}

impl Slowing {
    /// Notes a refused decision. `limit` is the application's `failures_per_minute`.
    pub fn note_refused(&mut self, address: Option<IpAddr>, limit: u32, now: Instant) {
        let Some(place) = Place::of(address) else {
            return;
        };
        let failures = self.0.get_or_make(&place, || Failures::new(now));
        if failures.is_over(now) {
            *failures = Failures::new(now);
        }
        failures.note(limit, now);
    }

    /// The time for which the answer to a connect waits.
    pub fn delay(&mut self, address: Option<IpAddr>, now: Instant) -> Duration {
        let Some(place) = Place::of(address) else {
            return Duration::ZERO;
        };
        let Some(failures) = self.0.peek_mut(&place) else {
            return Duration::ZERO;
        };
        if failures.is_over(now) {
            self.0.remove(&place);
            return Duration::ZERO;
        }
        failures.delay()
    }

    /// The addresses that are known, for a metric.
    pub fn addresses(&self) -> usize {
        self.0.len()
    }
}

impl Failures {
    fn new(now: Instant) -> Self {
        Self {
            first: now,
            last: now,
            count: 0,
            waited: None,
        }
    }

    /// Whether the last refusal is so long ago that none counts any more.
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGET
    }

    fn note(&mut self, limit: u32, now: Instant) {
        self.last = self.last.max(now);
        if now.saturating_duration_since(self.first) >= MINUTE {
            (self.first, self.count) = (now, 0);
        }
        self.count = self.count.saturating_add(1);
        if self.count >= limit {
            self.waited.get_or_insert(0);
        }
    }

    fn delay(&mut self) -> Duration {
        let Some(waited) = &mut self.waited else {
            return Duration::ZERO;
        };
        let seconds = 1_u64 << (*waited).min(6);
        *waited = waited.saturating_add(1);
        LONGEST.min(Duration::from_secs(seconds))
    }
}

/// Refusals are counted within it.
const MINUTE: Duration = Duration::from_secs(60);
/// The longest wait. Reason: an encoder gives up after it, and a guesser has one guess a minute.
const LONGEST: Duration = Duration::from_secs(60);
/// The time without a refusal after which an address is as any other: longer than [`LONGEST`], so that
/// a guesser who waits is not forgotten meanwhile.
const FORGET: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u32 = 5;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "`Instant` offers no other beginning"
    )]
    fn start() -> Instant {
        Instant::now()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn after_five_refusals_in_a_minute_connects_wait_longer_and_longer() {
        let (mut slowing, start) = (Slowing::default(), start());
        let guesser = address("192.0.2.1");
        for n in 0..4 {
            slowing.note_refused(guesser, LIMIT, start + seconds(n * 10));
            assert_eq!(slowing.delay(guesser, start + seconds(n * 10)), seconds(0));
        }
        let now = start + seconds(59);
        slowing.note_refused(guesser, LIMIT, now);
        let waits: Vec<_> = (0..9).map(|_| slowing.delay(guesser, now)).collect();
        let expected = [1, 2, 4, 8, 16, 32, 60, 60, 60].map(seconds);
        assert_eq!(waits, expected);
        assert_eq!(slowing.delay(address("192.0.2.2"), now), seconds(0));
        assert_eq!(slowing.delay(address("::ffff:192.0.2.1"), now), seconds(60));
    }

    #[test]
    fn a_guesser_that_waits_stays_slow_and_a_quiet_address_recovers() {
        let (mut slowing, start) = (Slowing::default(), start());
        let guesser = address("2001:db8::1");
        let mut now = start;
        for _ in 0..40 {
            slowing.note_refused(guesser, LIMIT, now);
            now += slowing.delay(address("2001:db8::2"), now);
        }
        assert!(now - start > seconds(28 * 60), "{:?}", now - start);
        assert_eq!(slowing.delay(guesser, now + seconds(59)), seconds(60));
        assert_eq!(slowing.delay(guesser, now + seconds(60)), seconds(0));
        assert_eq!(slowing.addresses(), 0);
    }

    #[test]
    fn rare_refusals_slow_nobody() {
        let (mut slowing, start) = (Slowing::default(), start());
        let client = address("192.0.2.1");
        for n in 0..100 {
            let now = start + seconds(n * 15);
            slowing.note_refused(client, LIMIT, now);
            assert_eq!(slowing.delay(client, now), seconds(0), "{n}");
        }
    }

    #[test]
    fn an_unknown_address_is_exempt() {
        let (mut slowing, now) = (Slowing::default(), start());
        for _ in 0..100 {
            slowing.note_refused(None, LIMIT, now);
        }
        assert_eq!(slowing.delay(None, now), seconds(0));
        assert_eq!(slowing.addresses(), 0);
    }

    #[test]
    fn so_many_addresses_are_remembered() {
        let (mut slowing, now) = (Slowing::default(), start());
        for bits in 0..crate::MAX_ADDRESSES as u32 + 5 {
            slowing.note_refused(Some(IpAddr::V4(bits.into())), 1, now);
        }
        assert_eq!(slowing.addresses(), crate::MAX_ADDRESSES);
        assert_eq!(slowing.delay(address("0.0.0.1"), now), seconds(0));
        assert_eq!(slowing.delay(address("0.0.0.9"), now), seconds(1));
    }
}
