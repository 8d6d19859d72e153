//! How publishers of live streams come, follow each other and go.

use std::{rc::Rc, sync::Arc};

use tributary_protocol::{
    MessageStreamId,
    command::{self, Status},
    link::{CloseReason, Generation},
};

use super::{
    answer,
    client::{Asking, Client, Role},
    core::{Core, Notice},
    streams::{Claim, Claimant, Ended, Holder, Holds, Own, Place},
    name::StreamName,
    timers::Timer,
};
use crate::{
    app::{Identity, PublishGrant},
    link::handle::{LaneKey, SessionKey, ToSession},
    metrics::PublishResult,
};

impl Core {
    pub(super) fn start_publish(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        generation: Generation,
        asking: &Asking,
        grant: PublishGrant,
    ) {
        let Some(client) = self.clients.get(&key) else {
            return;
        };
        let claimant = Claimant {
            place: client.place(stream),
            generation,
            identity: grant
                .identity
                .or_else(|| identity(client, &asking.name, &asking.query)),
            query: asking.query.as_str().into(),
            holds: Holds::Firmly,
        };
        let (name, claim) = self.streams.claim(&asking.name, claimant, self.now);
        let (live, writer, fresh) = match claim {
            Claim::Taken => {
                let (status, why) = (Status::PublishBadName, "The name is being published.");
                return self.refuse_publish(key, stream, generation, status, why, &name);
            }
            Claim::Fresh { live, writer } => (live, writer, true),
            Claim::Continued {
                live,
                writer,
                displaced,
            } => {
                if let Some(holder) = displaced {
                    self.displace(&holder, key);
                }
                (live, writer, false)
            }
        };
        let place = Place {
            session: key,
            stream,
        };
        self.log_stream("publish begins", place, &name, fresh);
        if let Some(client) = self.clients.get_mut(&key) {
            if let Some(net_stream) = client.stream(stream) {
                net_stream.role = Role::Publishing {
                    name: Rc::clone(&name),
                    generation,
                };
            }
            let accept = ToSession::AcceptPublish {
                stream,
                generation,
                live: Arc::clone(&live),
                writer,
            };
            client.tell(accept);
            client.send(answer::stream_begin(stream));
            let description = format!("Started publishing {name}.");
            client.command_on(
                stream,
                &answer::status(Status::PublishStart, &description, &name),
            );
        }
        if fresh {
            self.shared.metrics.published(PublishResult::Started);
            self.shared.metrics.streams.inc();
            self.announce_start(&name, &live, Holds::Firmly);
            self.notices.push_back(Notice::Published(key, name));
        } else {
            self.shared.metrics.published(PublishResult::Continued);
        }
    }

    pub(super) fn release_stream(&mut self, key: SessionKey, name: &str) {
        let (Some(parsed), Some(client)) = (StreamName::parse(name), self.clients.get(&key)) else {
            return;
        };
        let identity = identity(client, parsed.name, parsed.query);
        let released = self
            .streams
            .release(parsed.name, key, identity.as_ref(), self.now);
        if let Some(holder) = released {
            self.schedule_stream(&Rc::from(parsed.name));
            self.displace(&holder, key);
        }
    }

    /// Tells a publisher that its name has gone to somebody else.
    fn displace(&mut self, holder: &Holder, by: SessionKey) {
        let why = "Another publisher has taken the name over.";
        self.lose_name(holder, why, Some(by));
    }

    /// Ends a stream whoever publishes it.
    pub(super) fn kick(&mut self, name: &str, why: &str) -> bool {
        let Some(holder) = self.streams.holder(name) else {
            return self.kick_lost(name);
        };
        if let Some(Own::Stream(own)) = holder.place.of() {
            return self.stop_own(own);
        }
        let Some((Some(holder), ended)) = self.streams.kick(name, self.now) else {
            return false;
        };
        let name = Rc::from(name);
        self.ended(&name, &ended);
        self.lose_name(&holder, why, None);
        self.streams.prune(&name);
        true
    }

    /// The return of a publisher is not waited for any more.
    fn kick_lost(&mut self, name: &str) -> bool {
        let Some((_, ended)) = self.streams.kick(name, self.now) else {
            return false;
        };
        let name = Rc::from(name);
        self.ended(&name, &ended);
        self.streams.prune(&name);
        true
    }

    /// Tells a publisher that the name is not its own any more. Its connection closes unless it is
    /// used for something more, or has taken the name over from itself: an encoder would go on
    /// sending into nothing.
    fn lose_name(&mut self, holder: &Holder, why: &str, by: Option<SessionKey>) {
        let Place { session, stream } = holder.place;
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        let Some(net_stream) = client.stream(stream) else {
            return;
        };
        let name = match std::mem::replace(&mut net_stream.role, Role::Idle) {
            Role::Publishing { name, .. } => name,
            other => {
                net_stream.role = other;
                return;
            }
        };
        client.tell(ToSession::StopPublish {
            stream,
            generation: holder.generation,
        });
        client.command_on(stream, &answer::status(Status::PublishBadName, why, &name));
        let in_use = client
            .streams
            .iter()
            .any(|other| !matches!(other.role, Role::Idle));
        if by != Some(session) && !in_use {
            self.end(session, &[command::close()], CloseReason::Application);
        }
    }

    pub(super) fn stalled(&mut self, key: SessionKey, stream: MessageStreamId, stalled: bool) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let place = client.place(stream);
        if let Some(net_stream) = client.stream(stream)
            && let Role::Publishing { name, .. } = &net_stream.role
        {
            self.streams.stalled(name, place, stalled);
        }
    }

    pub(super) fn lane_lost(&mut self, lane: LaneKey) {
        self.streams.lane_lost(lane, self.now);
    }

    pub(super) fn lane_back(&mut self, lane: LaneKey) {
        for name in self.streams.lane_back(lane, self.now) {
            self.schedule_stream(&name);
        }
    }

    pub(super) fn expire_stream(&mut self, name: &Rc<str>) {
        if let Some(ended) = self.streams.expire(name, self.now) {
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    pub(super) fn unpublish(&mut self, name: &Rc<str>, place: Place) {
        if let Some(ended) = self.streams.unpublish(name, place, self.now) {
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    fn ended(&mut self, name: &Rc<str>, ended: &Ended) {
        if ended.holds == Holds::Firmly {
            self.shared.metrics.streams.dec();
            self.log_stream("publish ends", ended.publisher, name, false);
            self.announce_end(name, &ended.live);
            if ended.publisher.of().is_none() {
                self.notices.push_back(Notice::Unpublished(
                    ended.publisher.session,
                    Rc::clone(name),
                ));
            }
        }
        self.schedule_stream(name);
    }

    fn schedule_stream(&mut self, name: &Rc<str>) {
        if let Some(at) = self.streams.deadline(name) {
            self.timers.add(at, Timer::Stream(Rc::clone(name)));
        }
    }
}

/// Who a client is when it publishes this name.
fn identity(client: &Client, name: &str, query: &str) -> Option<Identity> {
    match &client.identity {
        Some(identity) => Some(Identity::clone(identity)),
        None if query.is_empty() => None,
        None => Some(Identity::NameWithQuery(format!("{name}?{query}"))),
    }
}
