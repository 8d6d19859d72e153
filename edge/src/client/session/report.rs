//! Reports of a connection's figures to its application, and the rates that it sets.

use std::time::Instant;

use tributary_protocol::link::{Bandwidth, Statistics};

use super::Session;
use crate::wire::PING;

impl Session {
    /// Begins the reports to the application, the first one now.
    pub(super) fn watch(&mut self, now: Instant) {
        // The application reads the round trip, which is that of the last ping.
        self.wire.session().set_ping_after(PING);
        if self.figures.round_trip.is_none() {
            self.wire.session().send_ping(now);
        }
        self.figures.begin_reports(now);
        self.report(now);
    }

    /// Sends the origin the figures that are due.
    pub(super) fn report(&mut self, now: Instant) {
        if !self.figures.take_report(now) {
            return;
        }
        if let Some(link) = self.forwarding.link() {
            link.statistics(self.statistics());
        }
    }

    fn statistics(&self) -> Statistics {
        let (messages_out, messages_dropped) = self.wire.messages();
        let objects = self.seat.as_ref().map_or(0, |seat| seat.waiting());
        Statistics {
            bytes_in: self.figures.received,
            bytes_out: self.wire.sent(),
            messages_in: self.figures.messages_in,
            messages_out,
            messages_dropped,
            queued: (self.pending() + objects) as u64,
            round_trip_ms: self.figures.round_trip,
            received: Some(self.figures.frames),
        }
    }

    /// Sets the rates of the connection in both directions.
    pub(super) fn set_bandwidth(&mut self, bandwidth: Bandwidth, now: Instant) {
        self.wire.set_limit(bandwidth.to_client);
        self.figures.set_read_limit(bandwidth.from_client, now);
    }
}
