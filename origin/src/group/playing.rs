//! The plays of live streams by a group's clients.

use std::{sync::Arc, time::Instant};

use tributary_node::config::{DataStart, RelayUrl};
use tributary_protocol::{
    MessageStreamId,
    command::{Command, ObjectEncoding, Status},
    link::{FeedPlace, Filter, ToSession},
};

use super::{
    answer,
    client::Client,
    clients::{Clients, slot_of},
    message_stream::{Announce, Asked, PlayHow, PlayLength, Playing, Role},
    notice::Notice,
    room::Room,
    streams::{StreamSlot, Streams, Viewing},
    timers::{LONGEST_TIMER, Timer},
};
use crate::{
    app::{DECISION_TIME, Decision, RequestId},
    live::LiveStream,
};

/// A group's players at work.
pub(super) struct PlayActs<'a> {
    pub(super) room: &'a mut Room,
    pub(super) clients: &'a mut Clients,
    pub(super) streams: &'a mut Streams,
}

/// The statuses for a client whose message stream stops publishing or playing at its own command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Unpublish.Success, Play.Stop.
    Full,
    /// Unpublish.Success: the message stream is deleted, or gets a new use.
    Silent,
}

/// The most message streams of one client that may wait for a publisher. Reason: each keeps a
/// name that may never come.
pub(super) const WAITING_NAMES: usize = 16;

impl PlayActs<'_> {
    /// Handles the application's decision about a play; it may ask for more time.
    pub(super) fn decide(&mut self, request: RequestId, decision: Decision<()>) {
        let refused = match decision {
            Decision::Pending => return self.wait_for_decision(request),
            Decision::Accept(()) => None,
            Decision::Refuse(why) => Some(why),
        };
        let Some(asking) = self.clients.take_asking(request) else {
            return;
        };
        let Asked::Play(how) = asking.what else {
            return self.clients.put_back(request, asking);
        };
        match refused {
            None => {
                self.start(slot_of(request), &asking.name, how);
                if self.clients.playing(slot_of(request)).is_none() {
                    self.clients
                        .remember_stream(slot_of(request), self.room.now);
                }
                self.pull_later(slot_of(request), asking.relay);
            }
            Some(why) => self.refuse(slot_of(request), &why, &asking.name),
        }
    }

    /// Sets the time after which an undecided request is refused.
    pub(super) fn wait_for_decision(&mut self, request: RequestId) {
        if self.clients.contains(request.client.0) {
            // Another process of the origin asks the application again.
            self.clients
                .remember_stream(slot_of(request), self.room.now);
            let timer = Timer::Request(slot_of(request), request.serial);
            self.room.wake_at(self.room.now + DECISION_TIME, timer);
        }
    }

    /// Refuses a play; the next one that waits behind it follows.
    pub(super) fn refuse(&mut self, slot: StreamSlot, why: &str, name: &str) {
        let status = Status::PlayFailed;
        self.clients.remember_stream(slot, self.room.now);
        self.clients.stream_status(slot, status, why, name);
        self.play_next_later(slot);
    }

    /// Queues the pull of a stream that a viewer's service wants from another server.
    fn pull_later(&mut self, slot: StreamSlot, relay: Option<Box<RelayUrl>>) {
        if let (Some(url), Some(playing)) = (relay, self.clients.playing(slot)) {
            let name = Arc::clone(&playing.name);
            self.room.notify(Notice::Pull(name, url));
        }
    }

    pub(super) fn start(&mut self, slot: StreamSlot, name: &str, how: PlayHow) {
        let Some(client) = self.clients.get(slot.session) else {
            return;
        };
        let failed = Status::PlayFailed;
        if self.waits(client) >= WAITING_NAMES && !self.streams.is_published(name) {
            let why = "This connection waits for too many streams.";
            return self.clients.stream_status(slot, failed, why, name);
        }
        let (name, watch) = self.streams.watch(name, slot);
        let live = match watch {
            Viewing::Live(live) => Some(live),
            Viewing::Wait => None,
            Viewing::Full => {
                let why = "Too many streams are waited for.";
                return self.clients.stream_status(slot, failed, why, &name);
            }
        };
        self.room.process.metrics.viewers.inc();
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        if let Some(message_stream) = client.streams.get_mut(slot.stream) {
            message_stream.filter.paused = false;
            message_stream.role = Role::Playing(Playing {
                name: Arc::clone(&name),
                live: None,
                ended: false,
                length: how.length.map_or(PlayLength::Unlimited, PlayLength::Asked),
            });
        }
        client.remember_stream(slot.stream, self.room.now);
        announce_play(client, slot.stream, &name, how.announce);
        if let Some(live) = live {
            self.begin_media(slot, &live);
        }
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        if how.announce == Announce::Transition {
            let status = Status::PlayTransitionComplete;
            client.send(answer::play_status(slot.stream, status, &name));
        }
    }

    /// How many message streams of a client wait for a publisher.
    fn waits(&self, client: &Client) -> usize {
        let waiting = |role: &Role| matches!(role, Role::Playing(playing) if !self.streams.is_published(&playing.name));
        let streams = client.streams.iter();
        streams.filter(|stream| waiting(&stream.role)).count()
    }

    fn begin_media(&mut self, slot: StreamSlot, live: &Arc<LiveStream>) {
        let data_start = self.room.version.settings().data_start;
        let now = self.room.now;
        // The edge's record of the play has its end.
        self.begin_length(slot);
        if let Some(client) = self.clients.get_mut(slot.session) {
            begin_media(client, slot.stream, live, data_start, now);
        }
    }

    /// Begins the play of a message stream whose stream is published now; its client gets this
    /// status before the media.
    pub(super) fn stream_begins(
        &mut self,
        slot: StreamSlot,
        status: Option<&Command>,
        live: &Arc<LiveStream>,
    ) {
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        let message_stream = client.streams.get_mut(slot.stream);
        let Some(playing) = message_stream.and_then(|found| found.playing()) else {
            return;
        };
        if std::mem::take(&mut playing.ended) {
            client.send(answer::stream_begin(slot.stream));
        }
        if let Some(status) = status {
            client.command_on(slot.stream, status);
        }
        self.begin_media(slot, live);
    }

    /// Ends the media of a message stream whose stream has lost its publisher for good. The status
    /// comes after the last message of the feed.
    pub(super) fn stream_ends(
        &mut self,
        slot: StreamSlot,
        status: &Command,
        after: Option<FeedPlace>,
    ) {
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        let message_stream = client.streams.get_mut(slot.stream);
        let Some(playing) = message_stream.and_then(|found| found.playing()) else {
            return;
        };
        playing.ended = true;
        client.remember_stream(slot.stream, self.room.now);
        let notify = answer::on_stream(slot.stream, status, client.encoding());
        client.send_after(notify, after);
        client.send_after(answer::stream_eof(slot.stream), after);
        self.play_next_later(slot);
    }

    /// Ends a play that was taken from its message stream.
    pub(super) fn close(&mut self, slot: StreamSlot, playing: &Playing, farewell: Farewell) {
        let name = &playing.name;
        if let Some(client) = self.clients.get_mut(slot.session) {
            let stream = slot.stream;
            if playing.live.is_some() {
                client.tell(ToSession::Detach { stream });
            }
            if farewell == Farewell::Full {
                let description = format!("Stopped playing {name}.");
                let status = answer::status(Status::PlayStop, &description, name);
                client.command_on(stream, &status);
            }
        }
        self.unwatch(name, slot);
    }

    pub(super) fn unwatch(&mut self, name: &Arc<str>, slot: StreamSlot) {
        self.room.process.metrics.viewers.dec();
        self.streams.unwatch(name, slot);
    }

    /// The same for a play that has gone on with its media.
    pub(super) fn begin_length_if_attached(&mut self, slot: StreamSlot) {
        let playing = self.clients.playing(slot);
        if playing.is_some_and(|playing| playing.live.is_some()) {
            self.begin_length(slot);
        }
    }

    /// Starts the time of a play that was asked for one: it begins with the first media.
    fn begin_length(&mut self, slot: StreamSlot) {
        let now = self.room.now;
        let Some(playing) = self.clients.playing(slot) else {
            return;
        };
        if let PlayLength::Asked(length) = playing.length {
            let until = now + length;
            playing.length = PlayLength::Until(until);
            self.may_be_over(slot, until);
        }
    }

    /// Ends a play whose time is over, if it is still there.
    pub(super) fn may_be_over(&mut self, slot: StreamSlot, until: Instant) {
        let length = self.clients.playing(slot).map(|playing| playing.length);
        if length != Some(PlayLength::Until(until)) {
            return;
        }
        if until > self.room.now {
            let at = until.min(self.room.now + LONGEST_TIMER);
            return self.room.wake_at(at, Timer::Play(slot, until));
        }
        self.end(slot);
    }

    /// Ends a play before its stream ends; the next one that waits behind it follows.
    fn end(&mut self, slot: StreamSlot) {
        let playlist = self.clients.take_playlist(slot);
        if let Some(Role::Playing(playing)) = self.clients.take_role(slot) {
            self.clients.remember_stream(slot, self.room.now);
            self.close(slot, &playing, Farewell::Full);
        }
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        client.send(answer::stream_eof(slot.stream));
        if let Some(message_stream) = client.streams.get_mut(slot.stream) {
            message_stream.playlist = playlist;
            self.play_next_later(slot);
        }
    }

    /// Ends a play for the application, and the plays that wait behind it.
    pub(super) fn stop(&mut self, slot: StreamSlot) -> bool {
        if self.clients.playing(slot).is_none() {
            return false;
        }
        self.clients.take_playlist(slot);
        self.end(slot);
        true
    }

    /// Queues the next play of a message stream, if one waits.
    pub(super) fn play_next_later(&mut self, slot: StreamSlot) {
        let stream = self.clients.stream(slot);
        if stream.is_some_and(|stream| stream.playlist.is_some()) {
            self.room.notify(Notice::PlayNext(slot));
        }
    }

    /// Pauses a play that was paused before.
    pub(super) fn pause_silently(&mut self, slot: StreamSlot) {
        let Some(message_stream) = self.clients.stream(slot) else {
            return;
        };
        message_stream.filter.paused = true;
        let filter = message_stream.filter;
        self.clients.remember_stream(slot, self.room.now);
        self.filter(slot, filter);
    }

    pub(super) fn pause(&mut self, slot: StreamSlot, paused: Option<bool>) {
        let Some(message_stream) = self.clients.stream(slot) else {
            return;
        };
        let paused = paused.unwrap_or(!message_stream.filter.paused);
        let Role::Playing(playing) = &message_stream.role else {
            return;
        };
        let name = Arc::clone(&playing.name);
        let attached = playing.live.is_some();
        message_stream.filter.paused = paused;
        let filter = message_stream.filter;
        self.clients.remember_stream(slot, self.room.now);
        if attached {
            self.filter(slot, filter);
        }
        let (status, verb) = match paused {
            true => (Status::PauseNotify, "Pausing"),
            false => (Status::UnpauseNotify, "Unpausing"),
        };
        let description = format!("{verb} {name}.");
        self.clients
            .stream_status(slot, status, &description, &name);
    }

    pub(super) fn receive(&mut self, slot: StreamSlot, audio: Option<bool>, video: Option<bool>) {
        let Some(message_stream) = self.clients.stream(slot) else {
            return;
        };
        let before = message_stream.filter;
        let filter = &mut message_stream.filter;
        filter.audio = audio.unwrap_or(filter.audio);
        filter.video = video.unwrap_or(filter.video);
        let filter = *filter;
        let Some(playing) = message_stream.playing().filter(|_| filter != before) else {
            return;
        };
        let name = Arc::clone(&playing.name);
        let is_attached = playing.live.is_some();
        self.clients.remember_stream(slot, self.room.now);
        if is_attached {
            self.filter(slot, filter);
        }
        if audio.or(video) == Some(true) {
            // RTMP 1.0, 7.2.2.4 and 7.2.2.5: turning one on is announced like a seek.
            let clients = &mut *self.clients;
            let description = format!("Seeking in {name}.");
            clients.stream_status(slot, Status::SeekNotify, &description, &name);
            let description = format!("Started playing {name}.");
            clients.stream_status(slot, Status::PlayStart, &description, &name);
        }
    }

    fn filter(&self, slot: StreamSlot, filter: Filter) {
        if let Some(client) = self.clients.get(slot.session) {
            let stream = slot.stream;
            client.tell(ToSession::Filter { stream, filter });
        }
    }
}

/// Sends the first statuses of a play.
fn announce_play(client: &mut Client, stream: MessageStreamId, name: &str, announce: Announce) {
    if announce != Announce::Transition {
        client.send(answer::stream_begin(stream));
    }
    let mut say = |status, description: &str| {
        client.command_on(stream, &answer::status(status, description, name));
    };
    if announce == Announce::Transition {
        return say(Status::PlayTransition, &format!("Moving to {name}."));
    }
    if announce == Announce::Reset {
        say(Status::PlayReset, &format!("Playing and resetting {name}."));
    }
    say(Status::PlayStart, &format!("Started playing {name}."));
}

/// The data messages that go before the media, and the attachment to the stream.
fn begin_media(
    client: &mut Client,
    stream: MessageStreamId,
    live: &Arc<LiveStream>,
    data_start: DataStart,
    now: Instant,
) {
    let (audio, video) = client.may_sample(stream);
    client.send(answer::sample_access(stream, audio, video));
    if data_start == DataStart::Always || client.encoding() == ObjectEncoding::Amf3 {
        client.send(answer::data_start(stream));
    }
    let Some(message_stream) = client.streams.get_mut(stream) else {
        return;
    };
    let filter = message_stream.filter;
    let Some(playing) = message_stream.playing() else {
        return;
    };
    let before = playing.live.replace(Arc::clone(live));
    client.remember_stream(stream, now);
    match before {
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
