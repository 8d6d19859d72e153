//! Reports of edges.

use std::time::Instant;

use tributary_protocol::link::{Bandwidth, Statistics, ToSession};

use super::Watched;
use crate::group::client::Client;

impl Client {
    /// Handles an edge's report of the traffic of the session's connection.
    pub(in crate::group) fn report(&mut self, statistics: Statistics, now: Instant) {
        let traffic = self.traffic;
        let watched = self.watched.get_or_insert_default();
        watched.report(statistics, traffic, now);
    }

    /// Has the edge of another session report and limit the connection as the edge before did.
    pub(in crate::group) fn watch_again(&mut self) {
        let Some(watched) = &mut self.watched else {
            return;
        };
        let (asked, bandwidth) = (watched.asked, watched.bandwidth);
        **watched = Watched {
            asked,
            bandwidth,
            ..Watched::default()
        };
        if asked {
            self.tell(ToSession::Watch);
        }
        if bandwidth != Bandwidth::default() {
            self.tell(ToSession::Bandwidth(bandwidth));
        }
    }
}
