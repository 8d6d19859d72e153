//! A bound of how often a peer may do something.

use std::time::{Duration, Instant};

/// A budget that fills with time, up to a burst.
#[derive(Debug)]
pub struct Rate {
    per_second: u32,
    burst: u32,
    left: f64,
    filled: Instant,
}

impl Rate {
    /// A full budget.
    pub fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        Self {
            per_second,
            burst,
            left: f64::from(burst),
            filled: now,
        }
    }

    /// Takes one, if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled);
        self.filled = now;
        let filled = self.left + passed.min(HOUR).as_secs_f64() * f64::from(self.per_second);
        self.left = filled.min(f64::from(self.burst));
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }
}

/// No budget takes longer to fill.
const HOUR: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(10, 5, start);
        let count = |rate: &mut Rate, at| (0..100).filter(|_| rate.take(at)).count();
        assert_eq!(count(&mut rate, start), 5);
        assert_eq!(count(&mut rate, start + Duration::from_millis(250)), 2);
        assert_eq!(count(&mut rate, start + Duration::from_secs(100)), 5);
    }
}
