//! Encoders whose publish is refused or lost: they would go on sending into nothing.

use std::time::Duration;

use tributary_protocol::link::CloseReason;

use super::{client::Role, core::Core, timers::Timer};
use crate::session::SessionKey;

/// How long an encoder keeps its connection after its publish was refused or taken. Reason: it reads
/// the status, and may publish another name.
const PARTING: Duration = Duration::from_secs(1);

impl Core {
    /// The client calls a method of the application, plays or uses a shared object: its connection
    /// is more than a publish.
    pub(super) fn is_no_encoder(&mut self, key: SessionKey) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.is_encoder = false;
        }
    }

    /// A publish of this client was refused, or taken from it. The connection of an encoder closes
    /// after a while, unless it publishes again.
    pub(super) fn publish_is_over(&mut self, key: SessionKey) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.is_encoder && client.parting_at.is_none() {
            let at = self.now + PARTING;
            client.parting_at = Some(at);
            self.timers.add(at, Timer::Encoder(key));
        }
    }

    /// A publish of this client is accepted.
    pub(super) fn publish_goes_on(&mut self, key: SessionKey) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.parting_at = None;
        }
    }

    /// The time of an encoder without a publish may be over.
    pub(super) fn part_with_encoder(&mut self, key: SessionKey) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.parting_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let mut streams = client.streams.iter();
        let is_idle = streams.all(|stream| matches!(stream.role, Role::Idle));
        if client.is_encoder && is_idle {
            self.end(key, &[], CloseReason::PublishOver);
        }
    }
}
