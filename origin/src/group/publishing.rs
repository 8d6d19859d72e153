//! How publishers of live streams come, follow each other and go.

use std::{rc::Rc, sync::Arc};

use tributary_protocol::{
    MessageStreamId,
    command::Status,
    link::{Generation, Target, ToSession, WriterId},
};

use super::{
    answer,
    client::{Asking, Client, Role},
    core::{Core, Notice},
    freeing::Freeing,
    name::StreamName,
    streams::{Claim, Claimant, Ended, Holder, Holds, Own, Place},
    timers::Timer,
};
use crate::{
    app::{Identity, PublishGrant},
    metrics::PublishResult,
    session::{LaneKey, SessionKey},
};

/// What becomes of the connection of a publisher that has lost its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// That of an encoder closes.
    Closes,
    /// It stays.
    Stays,
    /// It stays, and the client has asked for the end.
    Asked,
}

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
        let query = client.publish_query(&self.version.settings, &asking.query);
        let claimant = Claimant {
            place: client.place(stream),
            generation,
            identity: grant
                .identity
                .or_else(|| identity(client, &asking.name, &query)),
            query: asking.query.as_str().into(),
            holds: Holds::Firmly,
        };
        let (name, claim) = self.streams.claim(&asking.name, claimant, self.now);
        let (writer, fresh) = match claim {
            Claim::Taken => {
                let (status, why) = (Status::PublishBadName, "The name is being published.");
                return self.refuse_publish(key, stream, generation, status, why, &name);
            }
            Claim::Fresh { writer, .. } => (writer, true),
            Claim::Continued {
                writer, displaced, ..
            } => {
                if let Some(holder) = displaced {
                    self.displace(&name, &holder, key);
                }
                (writer, false)
            }
        };
        let place = Place {
            session: key,
            stream,
        };
        self.log_stream("publish begins", place, &name, fresh);
        let client = self.clients.get_mut(&key);
        if let Some(net_stream) = client.and_then(|client| client.stream(stream)) {
            net_stream.role = Role::Publishing {
                name: Rc::clone(&name),
                generation,
            };
        }
        if fresh {
            self.process.metrics.published(PublishResult::Started);
            self.process.metrics.streams.inc();
        } else {
            self.process.metrics.published(PublishResult::Continued);
        }
        self.notices
            .push_back(Notice::Published(place, name, writer));
    }

    /// A publisher that holds its name is accepted: its media reach viewers from here on.
    pub(super) fn accept_publisher(&mut self, name: &Rc<str>, writer: WriterId) {
        let Some((holder, live)) = self.streams.written(name, writer) else {
            return;
        };
        let (place, generation, live) = (holder.place, holder.generation, Arc::clone(live));
        self.publish_goes_on(place.session);
        let Some(client) = self.clients.get_mut(&place.session) else {
            return;
        };
        let stream = place.stream;
        client.tell(ToSession::AcceptPublish {
            stream,
            generation,
            target: Target {
                live: Arc::clone(&live),
                writer,
            },
        });
        client.send(answer::stream_begin(stream));
        let description = format!("Started publishing {name}.");
        let status = answer::status(Status::PublishStart, &description, name);
        client.command_on(stream, &status);
        if self.streams.announce(name) {
            self.announce_start(name, &live, Holds::Firmly);
        }
    }

    /// A client publishes a name no more: the application is told at once if it was told that the
    /// client does.
    fn gone_off_air(&mut self, name: &Rc<str>, holder: &Holder) {
        if holder.told {
            let (session, query) = (holder.place.session, holder.query.clone());
            self.notices
                .push_back(Notice::Unpublished(session, Rc::clone(name), query));
        }
    }

    pub(super) fn release_stream(&mut self, key: SessionKey, name: &str) {
        let (Some(parsed), Some(client)) = (StreamName::parse(name), self.clients.get(&key)) else {
            return;
        };
        let query = client.publish_query(&self.version.settings, parsed.query);
        let identity = identity(client, parsed.name, &query);
        let released = self
            .streams
            .release(parsed.name, key, identity.as_ref(), self.now);
        if let Some(holder) = released {
            let name = Rc::from(parsed.name);
            self.schedule_stream(&name);
            self.displace(&name, &holder, key);
        }
    }

    /// Tells a publisher that its name has gone to somebody else.
    pub(super) fn displace(&mut self, name: &Rc<str>, holder: &Holder, by: SessionKey) {
        let why = "Another publisher has taken the name over.";
        let afterwards = if holder.place.session == by {
            Afterwards::Stays
        } else {
            self.gone_off_air(name, holder);
            Afterwards::Closes
        };
        self.lose_name(holder, why, afterwards);
    }

    /// Ends a stream whoever publishes it.
    pub(super) fn kick(&mut self, name: &str, why: &str) -> bool {
        if let Some(holder) = self.streams.holder(name)
            && let Some(Own::Stream(own)) = holder.place.of()
        {
            return self.stop_own(own);
        }
        self.end_publish(name, why, Afterwards::Closes)
    }

    /// Ends a client's publish at the word of the application; its connection stays. `false` if no
    /// client publishes the name, or if the application answers a client that may not free it.
    pub(super) fn stop_publish(&mut self, name: &str) -> bool {
        let why = "The application has ended the stream.";
        let own = |holder: &Holder| holder.place.of().is_some();
        if self.streams.holder(name).is_some_and(own) {
            return false;
        }
        match &self.freeing {
            Some(freeing) if self.publishes(freeing.client, name) => {
                self.end_publish(name, "The client has asked for it.", Afterwards::Asked)
            }
            Some(freeing) if !self.may_free(freeing, name) => false,
            _ => self.end_publish(name, why, Afterwards::Stays),
        }
    }

    fn publishes(&self, client: SessionKey, name: &str) -> bool {
        let holder = self.streams.holder(name);
        holder.is_some_and(|holder| holder.place.session == client)
    }

    /// Whether a client that asks for it may free a name that another publishes.
    fn may_free(&self, freeing: &Freeing, name: &str) -> bool {
        let Some(client) = self.clients.get(&freeing.client) else {
            return false;
        };
        let settings = &self.version.settings;
        let has_token = settings.publish_token.is_none()
            || client.may_publish(settings, &freeing.query).is_ok();
        has_token && client.may_write(name)
    }

    fn end_publish(&mut self, name: &str, why: &str, afterwards: Afterwards) -> bool {
        let Some((holder, ended)) = self.streams.kick(name, self.now) else {
            return false;
        };
        let name = Rc::from(name);
        if let Some(holder) = &holder {
            self.gone_off_air(&name, holder);
        }
        self.ended(&name, &ended);
        if let Some(holder) = &holder {
            self.lose_name(holder, why, afterwards);
        }
        self.streams.prune(&name);
        true
    }

    /// Tells a publisher that the name is not its own any more.
    fn lose_name(&mut self, holder: &Holder, why: &str, afterwards: Afterwards) {
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
        let status = match afterwards {
            Afterwards::Asked => Status::UnpublishSuccess,
            Afterwards::Closes | Afterwards::Stays => Status::PublishBadName,
        };
        client.command_on(stream, &answer::status(status, why, &name));
        if afterwards == Afterwards::Closes {
            self.publish_is_over(session);
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

    /// The link of a lane is lost. Where no session of the lane is left, nothing would tell that it
    /// is over, so its lost publishers are waited for as if it were there.
    pub(super) fn lane_lost(&mut self, lane: LaneKey) {
        if self.clients.keys().any(|key| key.lane == lane) {
            self.streams.lane_lost(lane, self.now);
        }
    }

    pub(super) fn lane_back(&mut self, lane: LaneKey) {
        for name in self.streams.lane_back(lane, self.now) {
            self.schedule_stream(&name);
        }
    }

    /// A publisher is gone without a word: its viewers wait for its return.
    pub(super) fn lose_publisher(&mut self, name: &Rc<str>, place: Place) {
        if let Some(holder) = self.streams.lose(name, place, self.now) {
            self.gone_off_air(name, &holder);
            self.schedule_stream(name);
            self.log_stream("publisher lost", place, name, false);
        }
    }

    pub(super) fn expire_stream(&mut self, name: &Rc<str>) {
        if let Some(ended) = self.streams.expire(name, self.now) {
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    pub(super) fn unpublish(&mut self, name: &Rc<str>, place: Place) {
        if let Some((holder, ended)) = self.streams.unpublish(name, place, self.now) {
            self.gone_off_air(name, &holder);
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    fn ended(&mut self, name: &Rc<str>, ended: &Ended) {
        if ended.holds == Holds::Firmly {
            self.process.metrics.streams.dec();
            self.log_stream("publish ends", ended.publisher, name, false);
        }
        if ended.holds == Holds::Firmly && ended.announced {
            self.announce_end(name, &ended.live);
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
