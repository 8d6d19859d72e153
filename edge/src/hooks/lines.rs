//! Log lines about a service that fails, which would fail for each client.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The last lines about each service. Settings name the services, and so bound their number.
#[derive(Debug, Default)]
pub(super) struct Lines(Mutex<HashMap<String, Last>>);

#[derive(Debug)]
struct Last {
    at: Instant,
    omitted: u64,
}

/// The time between two lines about a service.
const PAUSE: Duration = Duration::from_secs(1);

impl Lines {
    /// Whether a line about this service may be written now: the number of lines that were omitted
    /// since the last one.
    pub(super) fn pass(&self, host: &str, now: Instant) -> Option<u64> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.get_mut(host) {
            Some(last) if now.saturating_duration_since(last.at) < PAUSE => {
                last.omitted += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.omitted))
            }
            None => {
                lines.insert(
                    host.to_owned(),
                    Last {
                        at: now,
                        omitted: 0,
                    },
                );
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_a_line_in_a_second_and_the_others_are_counted() {
        let (lines, now) = (Lines::default(), Instant::now());
        assert_eq!(lines.pass("a", now), Some(0));
        assert_eq!(lines.pass("a", now), None);
        assert_eq!(lines.pass("a", now + PAUSE / 2), None);
        assert_eq!(lines.pass("b", now), Some(0));
        assert_eq!(lines.pass("a", now + PAUSE), Some(2));
        assert_eq!(lines.pass("a", now + 2 * PAUSE), Some(0));
    }
}
