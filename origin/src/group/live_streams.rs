//! How a group's clients begin, follow and end live streams.

use std::{rc::Rc, sync::Arc, time::Instant};

use tributary_protocol::{
    MessageStreamId,
    command::{self, Status},
    link::{CloseReason, Filter, Generation},
};

use super::{
    answer,
    client::{Announce, Asking, Client, PlayHow, PlayLength, Playing, Role},
    core::{Core, Notice},
    name::StreamName,
    net_stream::Farewell,
    streams::{Claim, Claimant, Ended, Holder, Holds, Own, Place, Watch},
    timers::{LONGEST_TIMER, Timer},
};
use crate::{
    app::{Identity, PublishGrant},
    link::handle::{LaneKey, SessionKey, ToSession},
    live::LiveStream,
    metrics::PublishResult,
};

/// The most message streams of one client that may wait for a publisher. Reason: each keeps a
/// name that may never come.
pub(super) const WAITING_NAMES: usize = 16;

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

    pub(super) fn start_play(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        name: &str,
        how: PlayHow,
    ) {
        let Some(client) = self.clients.get(&key) else {
            return;
        };
        if self.waits(client) >= WAITING_NAMES && !self.streams.is_published(name) {
            let why = "This connection waits for too many streams.";
            return self.stream_status(key, stream, Status::PlayFailed, why, name);
        }
        let (name, watch) = self.streams.watch(name, client.place(stream));
        let live = match watch {
            Watch::Live(live) => Some(live),
            Watch::Wait => None,
            Watch::Full => {
                let why = "Too many streams are waited for.";
                return self.stream_status(key, stream, Status::PlayFailed, why, &name);
            }
        };
        self.shared.metrics.viewers.inc();
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        announce_play(client, stream, &name, how.announce);
        let Some(net_stream) = client.stream(stream) else {
            return;
        };
        net_stream.filter.paused = false;
        net_stream.role = Role::Playing(Playing {
            name: Rc::clone(&name),
            live: None,
            ended: false,
            length: how.length.map_or(PlayLength::Unlimited, PlayLength::Asked),
        });
        if let Some(live) = live {
            begin_media(client, stream, &live);
            self.begin_length(Place {
                session: key,
                stream,
            });
        }
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if how.announce == Announce::Transition {
            client.send(answer::play_status(
                stream,
                Status::PlayTransitionComplete,
                &name,
            ));
        }
    }

    /// Ends what a message stream does, at its client's word.
    pub(super) fn close_role(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        farewell: Farewell,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let place = client.place(stream);
        let Some(net_stream) = client.stream(stream) else {
            return;
        };
        net_stream.playlist = None;
        match std::mem::replace(&mut net_stream.role, Role::Idle) {
            Role::Idle => {}
            Role::Asking(asking) => {
                if let super::client::Asked::Publish(generation) = asking.what {
                    client.tell(ToSession::StopPublish { stream, generation });
                }
            }
            Role::Publishing { name, generation } => {
                client.tell(ToSession::StopPublish { stream, generation });
                let description = format!("Stopped publishing {name}.");
                let status = answer::status(Status::UnpublishSuccess, &description, &name);
                client.command_on(stream, &status);
                self.unpublish(&name, place);
            }
            Role::Playing(playing) => {
                let name = &playing.name;
                if let Some(live) = playing.live {
                    client.tell(ToSession::Detach { stream, live });
                }
                if farewell == Farewell::Full {
                    let description = format!("Stopped playing {name}.");
                    let status = answer::status(Status::PlayStop, &description, name);
                    client.command_on(stream, &status);
                }
                self.unwatch(name, place);
            }
        }
    }

    /// A session is over: its streams wait for its return, or end if it was sent away.
    pub(super) fn leave_streams(&mut self, key: SessionKey, reason: CloseReason) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let streams = std::mem::take(&mut client.streams);
        for net_stream in streams {
            let place = Place {
                session: key,
                stream: net_stream.id,
            };
            match net_stream.role {
                Role::Idle | Role::Asking(_) => {}
                Role::Publishing { name, .. } if is_final(reason) => self.unpublish(&name, place),
                Role::Publishing { name, .. } => {
                    self.streams.lose(&name, place, self.now);
                    self.schedule_stream(&name);
                    self.log_stream("publisher lost", place, &name, false);
                }
                Role::Playing(playing) => self.unwatch(&playing.name, place),
            }
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

    fn unwatch(&mut self, name: &Rc<str>, place: Place) {
        self.shared.metrics.viewers.dec();
        self.streams.unwatch(name, place);
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

    /// How many message streams of a client wait for a publisher.
    fn waits(&self, client: &Client) -> usize {
        let waiting = |role: &Role| matches!(role, Role::Playing(playing) if !self.streams.is_published(&playing.name));
        client
            .streams
            .iter()
            .filter(|stream| waiting(&stream.role))
            .count()
    }

    pub(super) fn announce_start(&mut self, name: &Rc<str>, live: &Arc<LiveStream>, holds: Holds) {
        let description = format!("{name} is now published.");
        let status = answer::status(Status::PlayPublishNotify, &description, name);
        for place in self.streams.viewers(name) {
            match place.of() {
                Some(Own::Stream(own)) => self.source_begins(own, name, live),
                Some(Own::NetStream(stream)) => self.net_stream_begins(stream, live),
                None => {}
            }
            let Place { session, stream } = place;
            let Some(client) = self.clients.get_mut(&session) else {
                continue;
            };
            let Some(playing) = client.stream(stream).and_then(|found| found.playing()) else {
                continue;
            };
            if std::mem::take(&mut playing.ended) {
                client.send(answer::stream_begin(stream));
            }
            if holds == Holds::Firmly {
                client.command_on(stream, &status);
            }
            begin_media(client, stream, live);
            self.begin_length(Place { session, stream });
        }
    }

    /// The time a play was asked for begins with its first media.
    fn begin_length(&mut self, place: Place) {
        let now = self.now;
        let Some(playing) = self.playing(place) else {
            return;
        };
        if let PlayLength::Asked(length) = playing.length {
            let until = now + length;
            playing.length = PlayLength::Until(until);
            self.play_may_be_over(place, until);
        }
    }

    /// Ends a play whose time is over, if it is still there.
    pub(super) fn play_may_be_over(&mut self, place: Place, until: Instant) {
        let length = self.playing(place).map(|playing| playing.length);
        if length != Some(PlayLength::Until(until)) {
            return;
        }
        if until > self.now {
            let at = until.min(self.now + LONGEST_TIMER);
            self.timers.add(at, Timer::Play(place, until));
            return;
        }
        self.end_play(place);
    }

    /// Ends a play before its stream does; what waits behind it follows.
    fn end_play(&mut self, place: Place) {
        let Place { session, stream } = place;
        let playlist = self.take_playlist(place);
        self.close_role(session, stream, Farewell::Full);
        let Some(client) = self.clients.get_mut(&session) else {
            return;
        };
        client.send(answer::stream_eof(stream));
        if let Some(net_stream) = client.stream(stream) {
            net_stream.playlist = playlist;
            self.play_next_later(place);
        }
    }

    /// Ends a play at the word of the application, and what waits behind it.
    pub(super) fn stop_playing(&mut self, key: SessionKey, stream: MessageStreamId) -> bool {
        let place = Place {
            session: key,
            stream,
        };
        if self.playing(place).is_none() {
            return false;
        }
        self.take_playlist(place);
        self.end_play(place);
        true
    }

    /// Whether what a message stream plays has ended, and is waited for again.
    pub(super) fn has_ended(&mut self, place: Place) -> bool {
        self.playing(place).is_some_and(|playing| playing.ended)
    }

    fn playing(&mut self, place: Place) -> Option<&mut Playing> {
        let client = self.clients.get_mut(&place.session)?;
        client.stream(place.stream)?.playing()
    }

    /// The end comes after the last message of the feed.
    fn announce_end(&mut self, name: &Rc<str>, live: &Arc<LiveStream>) {
        let description = format!("{name} is now unpublished.");
        let status = answer::status(Status::PlayUnpublishNotify, &description, name);
        let after = live.place();
        for place in self.streams.viewers(name) {
            if let Some(Own::Stream(own)) = place.of() {
                self.source_ends(own, name);
            }
            let Place { session, stream } = place;
            let Some(client) = self.clients.get_mut(&session) else {
                continue;
            };
            if let Some(playing) = client.stream(stream).and_then(|found| found.playing()) {
                playing.ended = true;
                let notify = answer::on_stream(stream, &status, client.encoding());
                client.send_after(notify, after);
                client.send_after(answer::stream_eof(stream), after);
                self.play_next_later(place);
            }
        }
    }

    pub(super) fn log_stream(&self, what: &str, publisher: Place, name: &str, fresh: bool) {
        tracing::info!(
            client = %publisher,
            application = self.name.application(),
            instance = self.name.instance(),
            stream = %self.shared.shown(name, self.registered.settings.secret_names),
            fresh,
            "{what}",
        );
    }
}

/// What a player hears first.
fn announce_play(client: &mut Client, stream: MessageStreamId, name: &str, announce: Announce) {
    let mut say = |status, description: &str| {
        client.command_on(stream, &answer::status(status, description, name));
    };
    if announce == Announce::Transition {
        return say(Status::PlayTransition, &format!("Moving to {name}."));
    }
    client.send(answer::stream_begin(stream));
    if announce == Announce::Reset {
        let description = format!("Playing and resetting {name}.");
        client.command_on(
            stream,
            &answer::status(Status::PlayReset, &description, name),
        );
    }
    let description = format!("Started playing {name}.");
    client.command_on(
        stream,
        &answer::status(Status::PlayStart, &description, name),
    );
}

/// The data messages that go before the media, and the attachment to the stream.
fn begin_media(client: &mut Client, stream: MessageStreamId, live: &Arc<LiveStream>) {
    let (audio, video) = client.may_sample(stream);
    client.send(answer::sample_access(stream, audio, video));
    client.send(answer::data_start(stream));
    let Some(net_stream) = client.stream(stream) else {
        return;
    };
    let filter = net_stream.filter;
    let Some(playing) = net_stream.playing() else {
        return;
    };
    match playing.live.replace(Arc::clone(live)) {
        Some(old) if Arc::ptr_eq(&old, live) => return,
        Some(old) => client.tell(ToSession::Detach { stream, live: old }),
        None => {}
    }
    client.tell(ToSession::Attach {
        stream,
        live: Arc::clone(live),
    });
    if filter != Filter::default() {
        client.tell(ToSession::Filter { stream, filter });
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

/// Whether a session that ended for this reason is not to come back.
fn is_final(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Application | CloseReason::Shutdown | CloseReason::Moved
    )
}
