//! What an application wants to know of a connection, and how fast it lets it be.

use std::time::{Duration, Instant};

use tributary_protocol::link::{Bandwidth, Statistics};

use super::Session;
use crate::wire::Throttle;

/// What a session's application has asked of its connection.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// When the next figures are due, if they are wanted.
    report_at: Option<Instant>,
    /// How fast the client may send.
    read_limit: Option<Throttle>,
}

/// How often figures are told once they were asked for.
const REPORT: Duration = Duration::from_secs(5);

impl Session {
    /// The application wants figures: now, and again and again.
    pub(super) fn watch(&mut self, now: Instant) {
        if self.round_trip.is_none() {
            self.wire.session().send_ping(now);
        }
        self.watched.get_or_insert_default().report_at = Some(now);
        self.report(now);
    }

    /// When figures are due.
    pub(super) fn report_at(&self) -> Option<Instant> {
        self.watched.as_ref()?.report_at
    }

    /// Tells the origin the figures that are due.
    pub(super) fn report(&mut self, now: Instant) {
        let statistics = self.statistics();
        let Some(report_at) = self.watched.as_mut().and_then(|it| it.report_at.as_mut()) else {
            return;
        };
        if now < *report_at {
            return;
        }
        *report_at = now + REPORT;
        if let Some(link) = &self.link {
            link.statistics(statistics);
        }
    }

    fn statistics(&self) -> Statistics {
        let (messages_out, messages_dropped) = self.wire.messages();
        Statistics {
            bytes_in: self.received,
            bytes_out: self.wire.sent(),
            messages_in: self.messages_in,
            messages_out,
            messages_dropped,
            queued: (self.pending() + self.waiting_objects()) as u64,
            round_trip_ms: self.round_trip,
            received: Some(self.frames),
        }
    }

    /// Sets how fast the connection may be.
    pub(super) fn set_bandwidth(&mut self, bandwidth: Bandwidth, now: Instant) {
        self.wire.set_limit(bandwidth.to_client);
        let pace = bandwidth.from_client.map(|rate| Throttle::new(rate, now));
        if pace.is_some() || self.watched.is_some() {
            self.watched.get_or_insert_default().read_limit = pace;
        }
    }

    /// Counts what the client has sent.
    pub(super) fn count_read(&mut self, now: Instant, bytes: usize) {
        if let Some(pace) = self.watched.as_mut().and_then(|it| it.read_limit.as_mut()) {
            pace.spend(bytes, now);
        }
    }

    /// When the client is read again, if its pace has it wait.
    pub(super) fn read_again_at(&self, now: Instant) -> Option<Instant> {
        self.watched.as_ref()?.read_limit.as_ref()?.shut_until(now)
    }
}
