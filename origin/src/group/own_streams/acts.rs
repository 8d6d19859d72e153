//! Streams of the application: opened, played into, sent to and stopped.

use std::{rc::Rc, sync::Arc};

use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    amf::Value,
    chunk::MAX_MESSAGE_LENGTH,
    command::{DataMessage, ObjectEncoding, Status, stream::PlayStart},
    link::Generation,
};

use super::{Found, Item, MAX_OWN_STREAMS, MAX_PLAYLIST, OnAir, OwnStream, Playing};
use crate::group::{
    core::Core,
    mailbox::Item as Mailed,
    name::StreamName,
    remote_sources::start,
    streams::{Claim, Claimant, Holds, Place, Watch},
    timers::{LONGEST_TIMER, Timer},
};
use crate::{
    app::{PlayRequest, StreamError, StreamId, StreamStatus},
    live::{LiveStream, relay::Relay},
};

impl Core {
    pub(in crate::group) fn open_stream(&mut self, name: &str) -> Result<StreamId, StreamError> {
        let parsed = StreamName::parse(name).ok_or(StreamError::BadName)?;
        self.own_streams.open(parsed.name)
    }

    /// Ends what a stream plays and forgets it. Its application hears no more of it.
    pub(in crate::group) fn close_stream(&mut self, id: StreamId) {
        self.stop_own(id);
        let Some(stream) = self.own_streams.get(id) else {
            return;
        };
        let name = Rc::clone(&stream.name);
        self.unpublish(&name, Place::of_application(id));
        self.own_streams.remove(id);
    }

    /// Plays something into a stream, or puts it behind what plays. `false` if it cannot be; the
    /// application hears why.
    pub(in crate::group) fn play_own(&mut self, id: StreamId, request: &PlayRequest) -> bool {
        let Some(stream) = self.own_streams.get(id) else {
            return false;
        };
        let local = request.remote.is_none();
        let accepted = match StreamName::parse(&request.name) {
            None => Err((Status::PlayFailed, BAD_NAME)),
            Some(_) if local && matches!(request.start, PlayStart::Recorded(_)) => {
                Err((Status::PlayStreamNotFound, NOT_FOUND))
            }
            Some(parsed) if local && self.leads_to(parsed.name, &stream.name) => {
                Err((Status::PlayFailed, CIRCLE))
            }
            Some(_) if !request.reset && stream.playlist.len() >= MAX_PLAYLIST => {
                Err((Status::PlayFailed, TOO_MANY))
            }
            Some(parsed) if local => Ok(parsed.name),
            // Its query is for the other side.
            Some(_) => Ok(&*request.name),
        };
        let name = match accepted {
            Ok(name) => name,
            Err((status, why)) => {
                let name = without_query(&request.name).to_owned();
                self.own_status(id, status, why, &name);
                return false;
            }
        };
        if !self.go_on_air(id) {
            return false;
        }
        if request.reset {
            self.end_source(id);
            let shown = without_query(name);
            let description = format!("Playing and resetting {shown}.");
            self.own_status(id, Status::PlayReset, &description, shown);
        }
        let Some(stream) = self.own_streams.get_mut(id) else {
            return false;
        };
        if request.reset {
            stream.playlist.clear();
        }
        stream.playlist.push_back(Item {
            name: Rc::from(name),
            length: request.length.filter(|length| !length.is_zero()),
            remote: request.remote.map(|remote| (remote, start(request.start))),
        });
        if stream.source().is_none() {
            self.play_next(id);
        }
        true
    }

    /// Ends what a stream plays: its viewers hear that nobody publishes it any more.
    pub(in crate::group) fn stop_own(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.own_streams.get_mut(id) else {
            return false;
        };
        stream.playlist.clear();
        if !stream.is_on_air() {
            return false;
        }
        self.end_source(id);
        self.go_off_air(id);
        true
    }

    /// Sends a data message into a stream, whoever publishes it; where nobody does, to those who
    /// wait for it.
    pub(in crate::group) fn send_own(
        &mut self,
        id: StreamId,
        handler: &str,
        values: &[Value],
    ) -> bool {
        let Some(stream) = self.own_streams.get(id) else {
            return false;
        };
        let name = Rc::clone(&stream.name);
        let data = DataMessage {
            name: handler.to_owned(),
            values: values.to_vec(),
        };
        // The form that holds every value; the ring keeps the one that every viewer reads if it
        // can.
        let (kind, payload) = data.encode(ObjectEncoding::Amf3);
        if payload.len() > MAX_MESSAGE_LENGTH as usize {
            return false;
        }
        if !self.streams.is_published(&name) && !self.claim_own(id, &name, Holds::Loosely) {
            return false;
        }
        let Some(known) = self.streams.known(&name) else {
            return false;
        };
        let message = Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp::default(),
            payload,
        };
        known.live.insert(message, self.now);
        true
    }

    /// A source that streams of the application wait for has a publisher.
    pub(in crate::group) fn source_begins(
        &mut self,
        id: StreamId,
        name: &Rc<str>,
        live: &Arc<LiveStream>,
    ) {
        let description = format!("{name} is now published.");
        self.own_status(id, Status::PlayPublishNotify, &description, name);
        self.play_media(id, live);
    }

    /// A source has lost its publisher for good.
    pub(in crate::group) fn source_ends(&mut self, id: StreamId, name: &Rc<str>) {
        let description = format!("{name} is now unpublished.");
        self.own_status(id, Status::PlayUnpublishNotify, &description, name);
        self.give_way(id);
    }

    /// The source of the moment has ended: what waits follows. If nothing does, the source is
    /// waited for.
    pub(in crate::group) fn give_way(&mut self, id: StreamId) {
        let waits = |stream: &OwnStream| !stream.playlist.is_empty();
        if self.own_streams.get(id).is_some_and(waits) {
            self.end_source(id);
            self.play_next(id);
        }
    }

    /// The time of a play may be over.
    pub(in crate::group) fn source_may_be_over(&mut self, id: StreamId, serial: u64) {
        let Some(OnAir {
            serial: present,
            playing: Some(playing),
            ..
        }) = self.own_streams.get(id).and_then(|own| own.on_air.as_ref())
        else {
            return;
        };
        let Some(until) = playing.until.filter(|_| *present == serial) else {
            return;
        };
        if until > self.now {
            let at = until.min(self.now + LONGEST_TIMER);
            return self.timers.add(at, Timer::Source(id, serial));
        }
        self.end_source(id);
        self.play_next(id);
    }

    /// Publishes a stream's name. `false` if somebody else has it.
    fn go_on_air(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.own_streams.get(id) else {
            return false;
        };
        if stream.is_on_air() {
            return true;
        }
        let name = Rc::clone(&stream.name);
        self.claim_own(id, &name, Holds::Firmly)
    }

    fn claim_own(&mut self, id: StreamId, name: &Rc<str>, holds: Holds) -> bool {
        let claimant = Claimant {
            place: Place::of_application(id),
            generation: Generation::default(),
            identity: None,
            query: Box::default(),
            holds,
        };
        let by = claimant.place.session;
        let (live, writer, fresh) = match self.streams.claim(name, claimant, self.now).1 {
            Claim::Fresh { live, writer } => (live, writer, true),
            Claim::Continued {
                live,
                writer,
                displaced,
            } => {
                if let Some(holder) = displaced {
                    self.displace(name, &holder, by);
                }
                (live, writer, false)
            }
            Claim::Taken => {
                let why = "The name is being published.";
                self.own_status(id, Status::PublishBadName, why, name);
                return false;
            }
        };
        if holds == Holds::Firmly {
            let Some(stream) = self.own_streams.get_mut(id) else {
                return false;
            };
            let (relay, task) = Relay::new(Arc::clone(&live), writer);
            relay.set_filter(stream.filter);
            stream.on_air = Some(OnAir {
                live: Arc::clone(&live),
                writer,
                relay,
                since: self.now,
                serial: 0,
                playing: None,
            });
            self.process.media.spawn(task);
            self.log_stream("publish begins", Place::of_application(id), name, fresh);
            if fresh {
                self.process.metrics.streams.inc();
            }
        }
        if self.streams.announce(name) {
            self.announce_start(name, &live, holds);
        }
        true
    }

    fn go_off_air(&mut self, id: StreamId) {
        let Some(stream) = self.own_streams.get_mut(id) else {
            return;
        };
        let name = Rc::clone(&stream.name);
        if let Some(on_air) = stream.on_air.take() {
            on_air.live.end_writer(on_air.writer);
            self.unpublish(&name, Place::of_application(id));
        }
    }

    /// Ends the source of the moment, if there is one.
    pub(in crate::group) fn end_source(&mut self, id: StreamId) {
        let Some(on_air) = self.on_air(id) else {
            return;
        };
        let Some(playing) = on_air.playing.take() else {
            return;
        };
        on_air.relay.play(None);
        match playing.remote {
            Some(stream) => self.connections.close_source(stream),
            None => self
                .streams
                .unwatch(&playing.name, Place::of_application(id)),
        }
        let name = without_query(&playing.name);
        let description = format!("Stopped playing {name}.");
        self.own_status(id, Status::PlayStop, &description, name);
    }

    /// Begins with what waits next; a stream without anything ends.
    pub(in crate::group) fn play_next(&mut self, id: StreamId) {
        loop {
            let Some(stream) = self.own_streams.get_mut(id) else {
                return;
            };
            let own_name = Rc::clone(&stream.name);
            let Some(item) = stream.playlist.pop_front() else {
                return self.go_off_air(id);
            };
            let found = match item.remote {
                Some((connection, start)) => self.find_remote(connection, id, &item.name, start),
                None => self.find_local(id, &own_name, &item.name),
            };
            let shown = without_query(&item.name);
            let (remote, live) = match found {
                Ok(found) => found,
                Err(why) => {
                    self.own_status(id, Status::PlayFailed, why, shown);
                    continue;
                }
            };
            let description = format!("Started playing {shown}.");
            self.own_status(id, Status::PlayStart, &description, shown);
            if let Some(on_air) = self.on_air(id) {
                on_air.serial += 1;
                on_air.playing = Some(Playing {
                    name: item.name,
                    length: item.length,
                    remote,
                    live: None,
                    until: None,
                });
            }
            if let Some(live) = live {
                self.play_media(id, &live);
            }
            return;
        }
    }

    /// A source of this group, and its media if there is some.
    fn find_local(&mut self, id: StreamId, own_name: &str, name: &Rc<str>) -> Found {
        // Asked again: who plays what has changed since it was put there.
        if self.leads_to(name, own_name) {
            return Err(CIRCLE);
        }
        match self.streams.watch(name, Place::of_application(id)).1 {
            Watch::Full => Err(TOO_MANY_WAITED),
            Watch::Live(live) => Ok((None, Some(live))),
            Watch::Wait => Ok((None, None)),
        }
    }

    pub(in crate::group) fn on_air(&mut self, id: StreamId) -> Option<&mut OnAir> {
        self.own_streams.get_mut(id)?.on_air.as_mut()
    }

    /// Copies from a source that is there.
    pub(in crate::group) fn play_media(&mut self, id: StreamId, live: &Arc<LiveStream>) {
        let now = self.now;
        let Some(on_air) = self.on_air(id) else {
            return;
        };
        let Some(playing) = &mut on_air.playing else {
            return;
        };
        let before = playing.live.replace(Arc::clone(live));
        if before.is_some_and(|before| Arc::ptr_eq(&before, live)) {
            // The same ring goes on; the relay reads it still.
            return;
        }
        on_air.relay.play(Some(Arc::clone(live)));
        if let (Some(length), None) = (playing.length, playing.until) {
            let until = now + length;
            playing.until = Some(until);
            let timer = Timer::Source(id, on_air.serial);
            self.timers.add(until.min(now + LONGEST_TIMER), timer);
        }
    }

    /// Whether a stream of this name plays, directly or through others of the application, the
    /// stream `target`.
    fn leads_to(&self, name: &str, target: &str) -> bool {
        let mut name = name;
        for _ in 0..=MAX_OWN_STREAMS {
            if name == target {
                return true;
            }
            let own = self.own_streams.named(name);
            let source = own
                .and_then(|id| self.own_streams.get(id))
                .and_then(OwnStream::local_source);
            match source {
                Some(source) => name = source,
                None => return false,
            }
        }
        true
    }

    pub(in crate::group) fn own_status(
        &mut self,
        id: StreamId,
        status: Status,
        description: &str,
        details: &str,
    ) {
        let status = StreamStatus {
            status,
            description: description.to_owned(),
            details: details.to_owned(),
        };
        // By the mailbox, so that it never comes in the middle of a call, and one status that leads
        // to the next gives other groups their turn.
        let weight = STATUS_WEIGHT + status.description.len() + status.details.len();
        let _ = self.mailbox.push(Mailed::Stream(id, status), weight);
    }
}

/// A name as the application wrote it, without what may be a key.
fn without_query(name: &str) -> &str {
    name.split('?').next().unwrap_or_default()
}

/// What a status weighs in the group's mailbox beyond its text.
const STATUS_WEIGHT: usize = 256;

const BAD_NAME: &str = "The stream's name is not allowed.";
const NOT_FOUND: &str = "There is no such recorded stream.";
const CIRCLE: &str = "The stream would play itself.";
const TOO_MANY: &str = "Too many plays wait for this stream.";
const TOO_MANY_WAITED: &str = "Too many streams are waited for.";
