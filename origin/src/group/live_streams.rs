//! How a group's clients play live streams, and how a message stream ends what it does.

use std::{rc::Rc, sync::Arc, time::Instant};

use tributary_node::config::DataStart;
use tributary_protocol::{
    MessageStreamId,
    command::{ObjectEncoding, Status},
    link::{CloseReason, Filter, ToSession},
};

use super::{
    answer,
    client::{Announce, Client, PlayHow, PlayLength, Playing, Role},
    core::Core,
    net_stream::Farewell,
    streams::{Holds, Own, Place, Watch},
    timers::{LONGEST_TIMER, Timer},
};
use crate::{live::LiveStream, session::SessionKey};

/// The most message streams of one client that may wait for a publisher. Reason: each keeps a
/// name that may never come.
pub(super) const WAITING_NAMES: usize = 16;

impl Core {
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
        self.process.metrics.viewers.inc();
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
            let data_start = self.version.settings.data_start;
            begin_media(client, stream, &live, data_start);
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
                if playing.live.is_some() {
                    client.tell(ToSession::Detach { stream });
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
                Role::Publishing { name, .. } => self.lose_publisher(&name, place),
                Role::Playing(playing) => self.unwatch(&playing.name, place),
            }
        }
    }

    fn unwatch(&mut self, name: &Rc<str>, place: Place) {
        self.process.metrics.viewers.dec();
        self.streams.unwatch(name, place);
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
        let data_start = self.version.settings.data_start;
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
            begin_media(client, stream, live, data_start);
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
    pub(super) fn announce_end(&mut self, name: &Rc<str>, live: &Arc<LiveStream>) {
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
            stream = %self.process.shown(name, self.version.settings.secret_names),
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
fn begin_media(
    client: &mut Client,
    stream: MessageStreamId,
    live: &Arc<LiveStream>,
    data_start: DataStart,
) {
    let (audio, video) = client.may_sample(stream);
    client.send(answer::sample_access(stream, audio, video));
    if data_start == DataStart::Always || client.encoding() == ObjectEncoding::Amf3 {
        client.send(answer::data_start(stream));
    }
    let Some(net_stream) = client.stream(stream) else {
        return;
    };
    let filter = net_stream.filter;
    let Some(playing) = net_stream.playing() else {
        return;
    };
    match playing.live.replace(Arc::clone(live)) {
        Some(old) if Arc::ptr_eq(&old, live) => return,
        Some(_) => client.tell(ToSession::Detach { stream }),
        None => {}
    }
    client.tell(ToSession::Attach {
        stream,
        source: Arc::clone(live),
    });
    if filter != Filter::default() {
        client.tell(ToSession::Filter { stream, filter });
    }
}

/// Whether a session that ended for this reason is not to come back.
fn is_final(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Application | CloseReason::Shutdown | CloseReason::Moved
    )
}
