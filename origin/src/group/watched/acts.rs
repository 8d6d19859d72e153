//! Reports of edges.

use std::time::Instant;

use tributary_protocol::link::Statistics;

use crate::group::client::Client;

impl Client {
    /// Takes an edge's report of what the session's connection has carried.
    pub(in crate::group) fn report(&mut self, statistics: Statistics, now: Instant) {
        let traffic = self.traffic;
        let watched = self.watched.get_or_insert_default();
        watched.report(statistics, traffic, now);
    }
}
