//! Clients' connections, as far as their applications look after them: figures, limits, pings.

use std::time::Instant;

use tributary_protocol::link::{Bandwidth, Statistics};

use super::{Client, Context, core::Core};
use crate::{
    app::ClientId,
    link::handle::{SessionKey, ToSession},
};

/// What an application has asked of a client's connection.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The edge was asked for figures.
    asked: bool,
    /// The last report, and when it came.
    statistics: Option<(Statistics, Instant)>,
    rates: Rates,
    bandwidth: Bandwidth,
}

/// How fast a client's connection has been between its edge's last two reports, in bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// What it has sent.
    pub from_client: u64,
    /// What it was sent.
    pub to_client: u64,
}

impl Watched {
    fn report(&mut self, statistics: Statistics, now: Instant) {
        let before = self.statistics.replace((statistics, now));
        let Some((before, then)) = before else { return };
        let millis = now.saturating_duration_since(then).as_millis();
        let rate = |now: u64, before: u64| {
            let bytes = u128::from(now.saturating_sub(before)) * 1000;
            u64::try_from(bytes / millis.max(1)).unwrap_or(u64::MAX)
        };
        self.rates = Rates {
            from_client: rate(statistics.bytes_in, before.bytes_in),
            to_client: rate(statistics.bytes_out, before.bytes_out),
        };
    }
}

impl Client {
    /// What its connection has carried, as its edge last said; nothing before the first report
    /// after [`Context::request_statistics`].
    pub fn statistics(&self) -> Option<Statistics> {
        let (statistics, _) = self.watched.as_ref()?.statistics?;
        Some(statistics)
    }

    /// How fast its connection has been of late; 0 before the second report.
    pub fn rates(&self) -> Rates {
        let watched = self.watched.as_ref();
        watched.map(|watched| watched.rates).unwrap_or_default()
    }

    /// How fast its connection may be.
    pub fn bandwidth(&self) -> Bandwidth {
        let watched = self.watched.as_ref();
        watched.map(|watched| watched.bandwidth).unwrap_or_default()
    }
}

impl Context<'_> {
    /// Has the client's edge say what its connection carries, at once and every 5 s from then on:
    /// [`Client::statistics`]. Asking again changes nothing.
    pub fn request_statistics(&mut self, client: ClientId) {
        self.watch(client, |watched| {
            (!std::mem::replace(&mut watched.asked, true)).then_some(ToSession::RequestStatistics)
        });
    }

    /// Limits how fast the client's connection is, media included.
    pub fn limit_bandwidth(&mut self, client: ClientId, bandwidth: Bandwidth) {
        self.watch(client, |watched| {
            let before = std::mem::replace(&mut watched.bandwidth, bandwidth);
            (before != bandwidth).then_some(ToSession::Bandwidth(bandwidth))
        });
    }

    /// Has the client pinged. `false` if it is gone.
    pub fn ping(&mut self, client: ClientId) -> bool {
        self.watch(client, |_| Some(ToSession::Ping))
    }

    fn watch(
        &mut self,
        client: ClientId,
        tell: impl FnOnce(&mut Watched) -> Option<ToSession>,
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

impl Core {
    /// An edge says what a session's connection has carried.
    pub(super) fn counted(&mut self, session: SessionKey, statistics: Statistics) {
        if let Some(client) = self.clients.get_mut(&session) {
            let watched = client.watched.get_or_insert_default();
            watched.report(statistics, self.now);
        }
    }
}
