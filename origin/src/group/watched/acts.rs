//! Reports of edges.

use tributary_protocol::link::Statistics;

use crate::{group::core::Core, session::SessionKey};

impl Core {
    /// An edge says what a session's connection has carried.
    pub(in crate::group) fn counted(&mut self, session: SessionKey, statistics: Statistics) {
        if let Some(client) = self.clients.get_mut(&session) {
            let traffic = client.traffic;
            let watched = client.watched.get_or_insert_default();
            watched.report(statistics, traffic, self.now);
        }
    }
}
