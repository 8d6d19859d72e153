//! The publishers of live streams: how they come, follow each other and go.

use std::sync::Arc;

use tributary_protocol::{
    command::Status,
    link::{Generation, TakeoverKey, Target, ToSession, WriterId},
};

use super::{
    answer,
    client::Client,
    clients::{Clients, slot_of},
    connections::Connections,
    freeing::Freeing,
    message_stream::{Asked, Asking, Role},
    name::StreamName,
    notice::Notice,
    own_streams::{OwnStreams, sources::SourceActs},
    playing::PlayActs,
    relays::Relays,
    room::Room,
    streams::{Bid, Claim, Claimant, Ended, Holder, Holds, Own, StreamSlot, Streams},
    timers::Timer,
};
use crate::{
    app::{Decision, Identity, PublishGrant, RequestId},
    live::LiveStream,
    metrics::PublishResult,
    session::{LaneKey, SessionKey},
};

mod restore;

/// A group's publishers at work: clients, and the application with its own streams. Their acts reach
/// all that watch the name: players, streams of the application, connections.
pub(super) struct PublishActs<'a> {
    pub(super) room: &'a mut Room,
    pub(super) clients: &'a mut Clients,
    pub(super) streams: &'a mut Streams,
    pub(super) own_streams: &'a mut OwnStreams,
    pub(super) connections: &'a mut Connections,
    pub(super) relays: &'a mut Relays,
}

/// The treatment of a publisher that has lost its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Afterwards {
    /// The connection closes if the client is an encoder.
    Closes,
    /// The connection stays.
    Stays,
    /// The connection stays; the client itself has asked for the end.
    Asked,
}

/// A name that a publisher has got.
struct ClaimedName {
    name: Arc<str>,
    live: Arc<LiveStream>,
    writer: WriterId,
    /// Whether its stream begins with this publish.
    fresh: bool,
}

impl PublishActs<'_> {
    pub(super) fn play_acts(&mut self) -> PlayActs<'_> {
        PlayActs {
            room: self.room,
            clients: self.clients,
            streams: self.streams,
        }
    }

    pub(super) fn source_acts(&mut self) -> SourceActs<'_> {
        SourceActs {
            room: self.room,
            streams: self.streams,
            own_streams: self.own_streams,
            connections: self.connections,
        }
    }

    /// Handles the application's decision about a publish; it may ask for more time.
    pub(super) fn decide(&mut self, request: RequestId, decision: Decision<PublishGrant>) {
        let grant = match decision {
            Decision::Pending => return self.play_acts().wait_for_decision(request),
            Decision::Accept(grant) => Ok(grant),
            Decision::Refuse(why) => Err(why),
        };
        let Some(asking) = self.clients.take_asking(request) else {
            return;
        };
        let Asked::Publish(generation) = asking.what else {
            return self.clients.put_back(request, asking);
        };
        let slot = slot_of(request);
        match grant {
            Ok(grant) => self.start(slot, generation, &asking, grant),
            Err(why) => {
                let status = Status::PublishBadName;
                self.refuse(slot, generation, status, &why, &asking.name);
            }
        }
    }

    pub(super) fn start(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        asking: &Asking,
        grant: PublishGrant,
    ) {
        let Some(client) = self.clients.get(slot.session) else {
            return;
        };
        let query = client.publish_query(&self.room.version.settings(), &asking.query);
        let own = || identity(client, &asking.name, &query);
        let claimant = Claimant {
            slot,
            generation,
            identity: match client.user() {
                Some(_) => own(),
                None => grant.identity.or_else(own),
            },
            key: client.takeover_key(),
            query: asking.query.as_str().into(),
            holds: Holds::Firmly,
        };
        let Some(ClaimedName {
            name,
            live,
            writer,
            fresh,
        }) = self.take_name(&asking.name, claimant)
        else {
            return;
        };
        self.room.log_stream("publish begins", slot, &name, fresh);
        if let Some(url) = &asking.relay {
            self.push_for(&name, &live, url);
        }
        if let Some(message_stream) = self.clients.stream(slot) {
            message_stream.role = Role::Publishing {
                name: Arc::clone(&name),
                generation,
                query: asking.query.as_str().into(),
                live: Arc::clone(&live),
            };
        }
        self.remember_publish(slot);
        let metrics = &self.room.process.metrics;
        if fresh {
            metrics.published(PublishResult::Started);
            metrics.streams.inc();
        } else {
            metrics.published(PublishResult::Continued);
        }
        self.room.notify(Notice::Published(slot, name, writer));
    }

    /// Gives a name to a claimant, and displaces its holder; none if the claimant was refused.
    fn take_name(&mut self, wanted: &str, claimant: Claimant) -> Option<ClaimedName> {
        let (slot, generation) = (claimant.slot, claimant.generation);
        let (name, claim) = self.streams.claim(wanted, claimant, self.room.now);
        let (live, writer, fresh) = match claim {
            Claim::Taken => {
                let (status, why) = (Status::PublishBadName, "The name is being published.");
                self.refuse(slot, generation, status, why, &name);
                return None;
            }
            Claim::Fresh { live, writer } => (live, writer, true),
            Claim::Continued {
                live,
                writer,
                displaced,
            } => {
                if let Some(holder) = displaced {
                    self.displace(&name, &holder, slot.session);
                }
                (live, writer, false)
            }
        };
        Some(ClaimedName {
            name,
            live,
            writer,
            fresh,
        })
    }

    pub(super) fn refuse(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        status: Status,
        description: &str,
        name: &str,
    ) {
        if let Some(client) = self.clients.get(slot.session) {
            let stream = slot.stream;
            client.tell(ToSession::StopPublish { stream, generation });
        }
        let metrics = &self.room.process.metrics;
        metrics.published(PublishResult::Refused);
        self.clients.remember_stream(slot, self.room.now);
        self.clients.stream_status(slot, status, description, name);
        self.is_over(slot.session);
    }

    /// Starts the time after which an encoder is closed: its publish was refused, or taken from it.
    pub(super) fn is_over(&mut self, key: SessionKey) {
        let client = self.clients.get_mut(key);
        let at = client.and_then(|client| client.encoder.publish_is_over(self.room.now));
        if let Some(at) = at {
            self.room.wake_at(at, Timer::Encoder(key));
        }
    }

    /// Accepts a publisher that holds its name: its media reaches viewers from here on.
    pub(super) fn accept(&mut self, name: &Arc<str>, writer: WriterId) {
        let Some((holder, live)) = self.streams.written(name, writer) else {
            return;
        };
        let (slot, generation, live) = (holder.slot, holder.generation, Arc::clone(live));
        let is_silent = holder.silent;
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        client.encoder.publish_goes_on();
        let stream = slot.stream;
        client.tell(ToSession::AcceptPublish {
            stream,
            generation,
            target: Target {
                live: Arc::clone(&live),
                writer,
            },
        });
        if !is_silent {
            client.send(answer::stream_begin(stream));
            let description = format!("Started publishing {name}.");
            let status = answer::status(Status::PublishStart, &description, name);
            client.command_on(stream, &status);
        }
        self.goes_on_air(name, &live);
    }

    /// Gives a stream whose publisher has come, or is back, to all that watch its name and to other
    /// servers.
    pub(super) fn goes_on_air(&mut self, name: &Arc<str>, live: &Arc<LiveStream>) {
        if self.streams.announce(name) {
            self.announce_start(name, live, Holds::Firmly);
        } else {
            // The settings may have changed while the publisher was away.
            self.push_begins(name, live);
        }
    }

    /// Ends a publish at its client's command; its role was taken from the message stream.
    pub(super) fn close(&mut self, slot: StreamSlot, name: &Arc<str>, generation: Generation) {
        if let Some(client) = self.clients.get_mut(slot.session) {
            let stream = slot.stream;
            client.tell(ToSession::StopPublish { stream, generation });
            let description = format!("Stopped publishing {name}.");
            let status = answer::status(Status::UnpublishSuccess, &description, name);
            client.command_on(stream, &status);
        }
        self.unpublish(name, slot);
    }

    /// Queues a notice that a client no longer publishes a name, if the application has one that it
    /// does.
    fn gone_off_air(&mut self, name: &Arc<str>, holder: &Holder) {
        if holder.told {
            let (session, query) = (holder.slot.session, holder.query.clone());
            let notice = Notice::Unpublished(session, Arc::clone(name), query);
            self.room.notify(notice);
        }
    }

    /// Expects a publisher to come back with this key: its edge has asked it to reconnect.
    pub(super) fn reconnects(&mut self, session: SessionKey, key: TakeoverKey) {
        self.streams.expect(session, key, self.room.now);
    }

    /// Frees a name for a client that is about to publish it, if it may have it.
    pub(super) fn release(&mut self, key: SessionKey, name: &str) {
        let (Some(parsed), Some(client)) = (StreamName::parse(name), self.clients.get(key)) else {
            return;
        };
        let query = client.publish_query(&self.room.version.settings(), parsed.query);
        let identity = identity(client, parsed.name, &query);
        let now = self.room.now;
        let bid = Bid {
            session: key,
            identity: identity.as_ref(),
            key: client.takeover_key(),
        };
        let released = self.streams.release(parsed.name, &bid, now);
        if let Some(holder) = released {
            let name = Arc::from(parsed.name);
            self.schedule(&name);
            self.displace(&name, &holder, key);
        }
    }

    /// Notifies a publisher that its name has gone to another.
    pub(super) fn displace(&mut self, name: &Arc<str>, holder: &Holder, by: SessionKey) {
        let why = "Another publisher has taken the name over.";
        let afterwards = if holder.slot.session == by {
            Afterwards::Stays
        } else {
            self.gone_off_air(name, holder);
            Afterwards::Closes
        };
        self.lose_name(holder, why, afterwards);
    }

    /// Ends the publish of a name by a client or by the application.
    pub(super) fn kick(&mut self, name: &str, why: &str) -> bool {
        match self
            .streams
            .holder(name)
            .and_then(|holder| holder.slot.of())
        {
            Some(Own::Stream(own)) => return self.stop_own(own),
            Some(Own::Pull(pull)) => self.relays.kicked(pull),
            _ => {}
        }
        self.end(name, why, Afterwards::Closes)
    }

    /// Ends a client's publish for the application; its connection stays. `false` if no client
    /// publishes the name, or if the application answers a client that may not free it.
    pub(super) fn stop(&mut self, name: &str) -> bool {
        let why = "The application has ended the stream.";
        let own = |holder: &Holder| holder.slot.of().is_some();
        if self.streams.holder(name).is_some_and(own) {
            return false;
        }
        match &self.room.agenda.freeing {
            Some(freeing) if self.publishes(freeing.client, name) => {
                self.end(name, "The client has asked for it.", Afterwards::Asked)
            }
            Some(freeing) if !self.may_free(freeing, name) => false,
            _ => self.end(name, why, Afterwards::Stays),
        }
    }

    fn publishes(&self, client: SessionKey, name: &str) -> bool {
        let holder = self.streams.holder(name);
        holder.is_some_and(|holder| holder.slot.session == client)
    }

    /// Whether a client that asks for a free name may end the publish of another.
    fn may_free(&self, freeing: &Freeing, name: &str) -> bool {
        let Some(client) = self.clients.get(freeing.client) else {
            return false;
        };
        let settings = &self.room.version.settings();
        let has_token = settings.publish_token.is_none()
            || client.may_publish(settings, &freeing.query).is_ok();
        has_token && client.may_write(name)
    }

    fn end(&mut self, name: &str, why: &str, afterwards: Afterwards) -> bool {
        let Some((holder, ended)) = self.streams.kick(name, self.room.now) else {
            return false;
        };
        let name = Arc::from(name);
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

    /// Notifies a publisher that it has lost the name.
    fn lose_name(&mut self, holder: &Holder, why: &str, afterwards: Afterwards) {
        let StreamSlot { session, stream } = holder.slot;
        let Some(client) = self.clients.get_mut(session) else {
            return;
        };
        let Some(message_stream) = client.streams.get_mut(stream) else {
            return;
        };
        let name = match std::mem::replace(&mut message_stream.role, Role::Idle) {
            Role::Publishing { name, .. } => name,
            other => {
                message_stream.role = other;
                return;
            }
        };
        client.remember_stream(stream, self.room.now);
        client.tell(ToSession::StopPublish {
            stream,
            generation: holder.generation,
        });
        let status = match afterwards {
            Afterwards::Asked => Status::UnpublishSuccess,
            Afterwards::Closes | Afterwards::Stays => Status::PublishBadName,
        };
        let status = answer::status(status, why, &name);
        client.command_on(stream, &status);
        if let Some(resumable) = &mut client.resumable {
            resumable.note_unheard(stream, status, self.room.now);
        }
        if afterwards == Afterwards::Closes {
            self.is_over(session);
        }
    }

    pub(super) fn stalled(&mut self, slot: StreamSlot, stalled: bool) {
        if let Some(message_stream) = self.clients.stream(slot)
            && let Role::Publishing { name, .. } = &message_stream.role
        {
            self.streams.stalled(name, slot, stalled);
        }
    }

    /// Stops the timers of a lane whose link is lost. A lane without sessions reports no end, so
    /// its lost publishers are waited for as if the link were there.
    pub(super) fn lane_lost(&mut self, lane: LaneKey) {
        if self.clients.has_lane(lane) {
            self.streams.lane_lost(lane, self.room.now);
        }
    }

    /// Notes whether a lane's edge may be lost: then others may have the bare names of its publishers.
    pub(super) fn lane_silent(&mut self, lane: LaneKey, silent: bool) {
        if !silent || self.clients.has_lane(lane) {
            self.streams.lane_silent(lane, silent);
        }
    }

    pub(super) fn lane_back(&mut self, lane: LaneKey) {
        for name in self.streams.lane_back(lane, self.room.now) {
            self.schedule(&name);
        }
    }

    /// Notes that a publisher is gone without a command: its viewers wait for its return.
    pub(super) fn lose(&mut self, name: &Arc<str>, slot: StreamSlot) {
        if let Some(holder) = self.streams.lose(name, slot, self.room.now) {
            self.gone_off_air(name, &holder);
            self.schedule(name);
            self.room.log_stream("publisher lost", slot, name, false);
        }
    }

    pub(super) fn expire(&mut self, name: &Arc<str>) {
        if let Some(ended) = self.streams.expire(name, self.room.now) {
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    pub(super) fn unpublish(&mut self, name: &Arc<str>, slot: StreamSlot) {
        if let Some((holder, ended)) = self.streams.unpublish(name, slot, self.room.now) {
            self.gone_off_air(name, &holder);
            self.ended(name, &ended);
        }
        self.streams.prune(name);
    }

    fn ended(&mut self, name: &Arc<str>, ended: &Ended) {
        self.relays.push_ends(name);
        if ended.holds == Holds::Firmly {
            self.room.process.metrics.streams.dec();
            let publisher = ended.publisher;
            self.room.log_stream("publish ends", publisher, name, false);
        }
        if ended.holds == Holds::Firmly && ended.announced {
            self.announce_end(name, &ended.live);
        }
        self.schedule(name);
    }

    fn schedule(&mut self, name: &Arc<str>) {
        if let Some(at) = self.streams.deadline(name) {
            self.room.wake_at(at, Timer::Stream(Arc::clone(name)));
        }
    }

    /// Gives the stream to all that watch its name.
    pub(super) fn announce_start(&mut self, name: &Arc<str>, live: &Arc<LiveStream>, holds: Holds) {
        self.begin_viewers(name, live, holds);
        if holds == Holds::Firmly {
            self.push_begins(name, live);
        }
    }

    /// Gives a stream to all that watch its name now.
    fn begin_viewers(&mut self, name: &Arc<str>, live: &Arc<LiveStream>, holds: Holds) {
        let description = format!("{name} is now published.");
        let status = answer::status(Status::PlayPublishNotify, &description, name);
        let status = (holds == Holds::Firmly).then_some(&status);
        for slot in self.streams.viewers(name) {
            match slot.of() {
                Some(Own::Stream(own)) => self.source_acts().begins(own, name, live),
                Some(Own::NetStream(stream)) => {
                    self.connections.feed(stream, Some(Arc::clone(live)));
                }
                Some(Own::Pull(_)) => {}
                None => self.play_acts().stream_begins(slot, status, live),
            }
        }
    }

    /// Notifies all that watch a name that it has no publisher any more.
    fn announce_end(&mut self, name: &Arc<str>, live: &Arc<LiveStream>) {
        let description = format!("{name} is now unpublished.");
        let status = answer::status(Status::PlayUnpublishNotify, &description, name);
        let after = live.place();
        for slot in self.streams.viewers(name) {
            match slot.of() {
                Some(Own::Stream(own)) => {
                    let air = self.source_acts().ends(own, name);
                    self.follow(own, air);
                }
                Some(Own::NetStream(_) | Own::Pull(_)) => {}
                None => self.play_acts().stream_ends(slot, &status, after),
            }
        }
    }
}

/// A client's identity as the publisher of this name: what its edge has verified goes before what the
/// application has said of it.
fn identity(client: &Client, name: &str, query: &str) -> Option<Identity> {
    if let Some(user) = client.user() {
        return Some(Identity::Subject(user.to_owned()));
    }
    match &client.identity {
        Some(identity) => Some(Identity::clone(identity)),
        None if query.is_empty() => None,
        None => Some(Identity::NameWithQuery(format!("{name}?{query}"))),
    }
}
