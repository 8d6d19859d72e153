//! Streams of the application as publishers: played into, sent to, stopped and closed.

use std::sync::Arc;

use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    amf::Value,
    chunk::MAX_MESSAGE_LENGTH,
    command::{DataMessage, ObjectEncoding, Status, stream::PlayStart},
    link::Generation,
};

use super::{
    MAX_PLAYLIST, OnAir, PlaylistItem,
    remote::start,
    sources::{Air, CIRCLE},
};
use crate::group::{
    name::{StreamName, without_query},
    publishing::PublishActs,
    streams::{Claim, Claimant, Holds, StreamSlot},
};
use crate::{
    app::{PlayRequest, StreamId},
    live::relay::Relay,
};

impl PublishActs<'_> {
    /// Stops a stream and forgets it. Its application gets no more statuses of it.
    pub(in crate::group) fn close_own(&mut self, id: StreamId) {
        self.stop_own(id);
        let Some(stream) = self.own_streams.get(id) else {
            return;
        };
        let name = Arc::clone(&stream.name);
        self.unpublish(&name, StreamSlot::of_application(id));
        self.own_streams.remove(id);
    }

    /// Plays a source into a stream, or queues it behind the one that plays. `false` if that fails;
    /// the application gets a status with the reason.
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
            Some(parsed) if local && self.own_streams.leads_to(parsed.name, &stream.name) => {
                Err((Status::PlayFailed, CIRCLE))
            }
            Some(_) if !request.reset && stream.playlist.len() >= MAX_PLAYLIST => {
                Err((Status::PlayFailed, TOO_MANY))
            }
            Some(parsed) if local => Ok(parsed.name),
            // The query is for the other side.
            Some(_) => Ok(&*request.name),
        };
        let name = match accepted {
            Ok(name) => name,
            Err((status, why)) => {
                let name = without_query(&request.name).to_owned();
                self.room.own_status(id, status, why, &name);
                return false;
            }
        };
        if !self.go_on_air(id) {
            return false;
        }
        if request.reset {
            self.source_acts().end(id);
            let shown = without_query(name);
            let description = format!("Playing and resetting {shown}.");
            self.room
                .own_status(id, Status::PlayReset, &description, shown);
        }
        let Some(stream) = self.own_streams.get_mut(id) else {
            return false;
        };
        if request.reset {
            stream.playlist.clear();
        }
        stream.playlist.push_back(PlaylistItem {
            name: Arc::from(name),
            length: request.length.filter(|length| !length.is_zero()),
            remote: request.remote.map(|remote| (remote, start(request.start))),
        });
        if stream.source().is_none() {
            let air = self.source_acts().next(id);
            self.follow(id, air);
        }
        true
    }

    /// Stops a stream: its viewers get the end of its publication.
    pub(in crate::group) fn stop_own(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.own_streams.get_mut(id) else {
            return false;
        };
        stream.playlist.clear();
        if !stream.is_on_air() {
            return false;
        }
        self.source_acts().end(id);
        self.go_off_air(id);
        true
    }

    /// Sends a data message into a stream, also if a client publishes it. Without a publisher the
    /// viewers that wait for the name get it.
    pub(in crate::group) fn send_own(
        &mut self,
        id: StreamId,
        handler: &str,
        values: &[Value],
    ) -> bool {
        let Some(stream) = self.own_streams.get(id) else {
            return false;
        };
        let name = Arc::clone(&stream.name);
        let data = DataMessage {
            name: handler.to_owned(),
            values: values.to_vec(),
        };
        // This form holds every value; the ring keeps the AMF0 form, which every viewer reads, if
        // there is one.
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
        known.live.insert(message, self.room.now);
        true
    }

    /// Publishes a stream's name. `false` if another publisher has it.
    fn go_on_air(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.own_streams.get(id) else {
            return false;
        };
        if stream.is_on_air() {
            return true;
        }
        let name = Arc::clone(&stream.name);
        self.claim_own(id, &name, Holds::Firmly)
    }

    fn claim_own(&mut self, id: StreamId, name: &Arc<str>, holds: Holds) -> bool {
        let claimant = Claimant {
            slot: StreamSlot::of_application(id),
            generation: Generation::default(),
            identity: None,
            key: None,
            query: Box::default(),
            holds,
        };
        let by = claimant.slot.session;
        let (live, writer, fresh) = match self.streams.claim(name, claimant, self.room.now).1 {
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
                self.room.own_status(id, Status::PublishBadName, why, name);
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
                since: self.room.now,
                serial: 0,
                playing: None,
            });
            self.room.process.media.spawn(task);
            self.room.log_stream(
                "publish begins",
                StreamSlot::of_application(id),
                name,
                fresh,
            );
            if fresh {
                self.room.process.metrics.streams.inc();
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
        let name = Arc::clone(&stream.name);
        if let Some(on_air) = stream.on_air.take() {
            on_air.live.end_writer(on_air.writer);
            self.unpublish(&name, StreamSlot::of_application(id));
        }
    }

    /// Takes a stream off air if nothing is left to play.
    pub(in crate::group) fn follow(&mut self, id: StreamId, air: Air) {
        match air {
            Air::Stays => {}
            Air::Leaves => self.go_off_air(id),
        }
    }
}

const BAD_NAME: &str = "The stream's name is not allowed.";
const NOT_FOUND: &str = "There is no such recorded stream.";
const TOO_MANY: &str = "Too many plays wait for this stream.";
