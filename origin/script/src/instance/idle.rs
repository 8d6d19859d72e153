//! Clients that send nothing for a long time: `AutoCloseIdleClients` of `Application.xml`.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tributary_origin::app::{ClientId, Context};
use tributary_protocol::command::Status;

/// Watches the clients of an instance. A client that publishes or plays is not idle, whatever it
/// sends.
#[derive(Debug)]
pub(crate) struct IdleClients {
    limit: Duration,
    /// The bytes that each client had sent, and the time since when there are no more.
    seen: HashMap<ClientId, (u64, Instant)>,
    next: Instant,
}

/// The bounds of the time between two checks, which is a part of the limit.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

impl IdleClients {
    pub(crate) fn new(limit: Duration, now: Instant) -> Self {
        Self {
            limit,
            seen: HashMap::new(),
            next: now,
        }
    }

    /// The time of the next check.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Closes clients that have been idle for too long, if a check is due.
    pub(crate) fn look(&mut self, context: &mut Context<'_>) {
        let now = context.now();
        if now < self.next {
            return;
        }
        self.next = now + (self.limit / 4).clamp(SHORTEST, LONGEST);
        let clients = context.clients().map(|client| {
            let busy = client
                .streams()
                .any(|stream| stream.publishes.is_some() || stream.plays.is_some());
            (client.id(), client.bytes_in(), busy)
        });
        let clients: Vec<_> = clients.collect();
        let before = std::mem::take(&mut self.seen);
        for (client, bytes, busy) in clients {
            let since = before
                .get(&client)
                .filter(|(sent, _)| *sent == bytes && !busy);
            let since = since.map_or(now, |(_, since)| *since);
            if now.saturating_duration_since(since) >= self.limit {
                let info = Status::ConnectIdleTimeout.info(None, None);
                context.call(client, "onStatus", &[info.into()], None);
                context.disconnect(client);
            } else {
                self.seen.insert(client, (bytes, since));
            }
        }
    }
}
