//! A client's connection in the hands of its application.

use std::time::Instant;

use tributary_protocol::link::{Bandwidth, Statistics, ToSession};

use super::{Rates, Watched};
use crate::{
    app::ClientId,
    group::{client::Client, context::Context},
    session::Order,
};

impl Client {
    /// The traffic of its connection: its edge's last report, and the lane's traffic since, never
    /// less than before. `None` before the first report after [`Context::request_statistics`].
    pub fn statistics(&self, now: Instant) -> Option<Statistics> {
        let watched = self.watched.as_ref()?;
        let figures = watched.figures(self.traffic, now)?;
        let said = watched.report.as_ref()?.statistics;
        Some(Statistics {
            bytes_in: figures.bytes_in,
            bytes_out: figures.bytes_out,
            messages_in: figures.messages_in,
            messages_out: figures.messages_out,
            ..said
        })
    }

    /// How fast its connection is; 0 in the first second after the first report.
    pub fn rates(&self, now: Instant) -> Rates {
        let watched = self.watched.as_ref();
        let rates = watched.map(|watched| watched.rates(self.traffic, now));
        rates.unwrap_or_default()
    }

    /// How fast its connection may be.
    pub fn bandwidth(&self) -> Bandwidth {
        let watched = self.watched.as_ref();
        watched.map(|watched| watched.bandwidth).unwrap_or_default()
    }
}

impl Context<'_> {
    /// Asks the client's edge for reports of its connection, at once and every 5 s from then on:
    /// [`Client::statistics`]. A second request changes nothing.
    pub fn request_statistics(&mut self, client: ClientId) {
        let traffic = self.client(client).map(|client| client.traffic);
        self.watch(client, |watched| {
            if std::mem::replace(&mut watched.asked, true) {
                return None;
            }
            watched.note_sent(traffic?);
            Some(ToSession::Watch)
        });
    }

    /// Limits how fast the client's connection is, media included.
    pub fn limit_bandwidth(&mut self, client: ClientId, bandwidth: Bandwidth) {
        self.watch(client, |watched| {
            let before = std::mem::replace(&mut watched.bandwidth, bandwidth);
            (before != bandwidth).then_some(ToSession::Bandwidth(bandwidth))
        });
    }

    /// Asks the client's edge to ping it. `false` if the client is gone.
    pub fn ping(&mut self, client: ClientId) -> bool {
        self.watch(client, |_| Some(ToSession::Ping))
    }

    fn watch(
        &mut self,
        client: ClientId,
        tell: impl FnOnce(&mut Watched) -> Option<Order>,
    ) -> bool {
        let Some(client) = self.client_mut(client) else {
            return false;
        };
        if let Some(what) = tell(client.watched.get_or_insert_default()) {
            client.tell(what);
        }
        true
    }
}
