//! Publishes that outlive the process: what edges keep of them, and how they go on.

use std::{sync::Arc, time::Duration};

use tributary_protocol::link::{Generation, LiveId};

use super::{ClaimedName, PublishActs, identity};
use crate::group::{
    message_stream::Role,
    notice::Notice,
    streams::{Claimant, Holds, StreamSlot},
    timers::Timer,
};

/// The time after which the distance of a stream's time from its publisher's is looked for. Reason: the
/// first frame follows the publish within this time.
const OFFSET_KNOWN: Duration = Duration::from_secs(1);

impl PublishActs<'_> {
    /// Has the edge remember a publish, and again once the distance of the stream's time from the
    /// publisher's is known.
    pub(in crate::group) fn remember_publish(&mut self, slot: StreamSlot) {
        let now = self.room.now;
        self.clients.remember_stream(slot, now);
        let remembers = self.clients.get(slot.session);
        if !remembers.is_some_and(|client| client.lane().remembers()) {
            return;
        }
        if let Some(stream) = self.clients.stream(slot)
            && let Role::Publishing { live, .. } = &stream.role
            && live.offset().is_none()
        {
            self.room.wake_at(now + OFFSET_KNOWN, Timer::Offset(slot));
        }
    }

    /// Goes on with a publish of the process before, at this distance from the publisher's time. The
    /// client gets no status, and its viewers none.
    pub(in crate::group) fn resume(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        name: &str,
        query: &str,
        (was, offset): (LiveId, Option<u32>),
    ) {
        let Some(client) = self.clients.get(slot.session) else {
            return;
        };
        let full = client.publish_query(&self.room.version.settings(), query);
        let claimant = Claimant {
            slot,
            generation,
            identity: identity(client, name, &full),
            key: None,
            query: query.into(),
            holds: Holds::Firmly,
        };
        let Some(ClaimedName {
            name,
            live,
            writer,
            fresh,
        }) = self.take_name(name, claimant)
        else {
            return;
        };
        match (offset, self.streams.reached(was)) {
            (Some(offset), _) => live.set_offset(offset),
            (None, Some((time, at))) => live.had_reached(time, at),
            (None, None) => {}
        }
        self.room.log_stream("publish goes on", slot, &name, fresh);
        if let Some(message_stream) = self.clients.stream(slot) {
            message_stream.role = Role::Publishing {
                name: Arc::clone(&name),
                generation,
                query: query.into(),
                live: Arc::clone(&live),
            };
        }
        self.remember_publish(slot);
        if fresh {
            self.room.process.metrics.streams.inc();
            // Viewers of the process before, which follow, have its beginning; those that wait here do not.
            self.streams.announce(&name);
            self.begin_viewers(&name, &live, Holds::Firmly);
        }
        self.streams.go_on_silently(&name, writer);
        self.room.notify(Notice::Published(slot, name, writer));
    }

    /// Viewers of a name had its stream at the process before: unless it is here, its publisher is
    /// expected back.
    pub(in crate::group) fn expect_again(&mut self, name: &str, was: LiveId, viewer: StreamSlot) {
        let now = self.room.now;
        if let Some(name) = self.streams.expect_again(name, was, viewer, now) {
            self.room.process.metrics.streams.inc();
            self.schedule(&name);
        }
    }
}
