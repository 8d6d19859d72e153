//! Reports of edges.

use std::time::Instant;

use tributary_protocol::link::Statistics;

use crate::group::client::Client;

impl Client {
    /// Handles an edge's report of the traffic of the session's connection.
    pub(in crate::group) fn report(&mut self, statistics: Statistics, now: Instant) {
        let traffic = self.traffic;
        let watched = self.watched.get_or_insert_default();
        watched.report(statistics, traffic, now);
    }
}
