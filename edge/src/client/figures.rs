//! The figures of a client's connection, and the limits that its application sets.

use std::time::{Duration, Instant};

use crate::wire::Throttle;

mod parcel;

/// Bytes and messages of a client's connection, counted for its application.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Bytes from the client.
    pub(super) received: u64,
    pub(super) messages_in: u64,
    /// [`frames`](tributary_protocol::link::frames) of messages from the origin.
    pub(super) frames: u64,
    /// The client's time for its last answer to a ping, in milliseconds.
    pub(super) round_trip: Option<u32>,
    wishes: Option<Box<Wishes>>,
}

/// The wishes of an application about a connection; most have none.
#[derive(Debug, Default)]
struct Wishes {
    /// The time of the next report, if reports are wanted.
    report_at: Option<Instant>,
    /// The rate at which the client is read.
    read_limit: Option<Throttle>,
}

/// The interval of reports.
const REPORT: Duration = Duration::from_secs(5);

impl Figures {
    /// Counts bytes from the client.
    pub(super) fn count_read(&mut self, now: Instant, bytes: usize) {
        self.received += bytes as u64;
        let wishes = self.wishes.as_mut();
        if let Some(limit) = wishes.and_then(|wishes| wishes.read_limit.as_mut()) {
            limit.spend(bytes, now);
        }
    }

    /// The time at which the client is read again, if its rate is used up.
    pub(super) fn read_again_at(&self, now: Instant) -> Option<Instant> {
        let limit = self.wishes.as_ref()?.read_limit.as_ref()?;
        limit.shut_until(now)
    }

    /// Limits the rate at which the client is read, in bytes per second.
    pub(super) fn set_read_limit(&mut self, rate: Option<u32>, now: Instant) {
        let limit = rate.map(|rate| Throttle::new(rate, now));
        if limit.is_some() || self.wishes.is_some() {
            self.wishes.get_or_insert_default().read_limit = limit;
        }
    }

    /// Begins reports, the first one now.
    pub(super) fn begin_reports(&mut self, now: Instant) {
        self.wishes.get_or_insert_default().report_at = Some(now);
    }

    /// The time of the next report.
    pub(super) fn report_at(&self) -> Option<Instant> {
        self.wishes.as_ref()?.report_at
    }

    /// Whether a report is due; the next one follows after [`REPORT`].
    pub(super) fn take_report(&mut self, now: Instant) -> bool {
        let wishes = self.wishes.as_mut();
        let Some(report_at) = wishes.and_then(|wishes| wishes.report_at.as_mut()) else {
            return false;
        };
        let is_due = now >= *report_at;
        if is_due {
            *report_at = now + REPORT;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_follow_each_other_once_they_are_wanted() {
        let now = Instant::now();
        let mut figures = Figures::default();
        assert_eq!(
            (figures.report_at(), figures.take_report(now)),
            (None, false)
        );
        figures.begin_reports(now);
        assert!(figures.take_report(now));
        assert!(!figures.take_report(now));
        assert_eq!(figures.report_at(), Some(now + REPORT));
        assert!(figures.take_report(now + REPORT));
    }

    #[test]
    fn a_read_limit_is_kept_until_it_is_taken_back() {
        let now = Instant::now();
        let mut figures = Figures::default();
        figures.set_read_limit(None, now);
        assert!(figures.wishes.is_none(), "no memory without a wish");
        figures.set_read_limit(Some(1000), now);
        figures.count_read(now, 100_000);
        assert!(figures.read_again_at(now).is_some());
        figures.set_read_limit(None, now);
        assert_eq!(figures.read_again_at(now), None);
        assert_eq!(figures.received, 100_000);
    }
}
