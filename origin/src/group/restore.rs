//! Clients of another process of this origin go on in this group.
//!
//! ```text
//! edge ── sessions, records, objects, places of streams ──► Restoring ──► clients, asked again
//!                                                            then their publishes, then their plays
//! ```

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::{
    command::{self, Status},
    link::{CloseReason, Filter, LiveId, RestoredObject, RestoredSession, ToSession},
};

use super::{
    client::{Client, read_connect},
    core::Core,
    message_stream::{PlayLength, Playing, Role},
    notice::Notice,
    record::{CLIENT, ClientRecord, REMEMBERED, RecordedRole, StreamRecord},
    streams::{ReachedStreams, StreamSlot, Viewing},
    turn::Turn,
};
use crate::{
    app::{Admission, ClientId, Rejection},
    live::LiveStream,
    session::{Brought, LaneOut, SessionKey},
};

/// The parts of a group that edges have brought, until the group goes on with them.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    sessions: Vec<(SessionKey, LaneOut, Box<RestoredSession>)>,
    reached: ReachedStreams,
    objects: HashMap<String, RestoredObject>,
}

/// A play or publish of a client that goes on.
struct Resumed {
    slot: StreamSlot,
    filter: Filter,
    role: RecordedRole,
}

impl Restoring {
    /// Adds what an edge has brought.
    pub(super) fn add(&mut self, brought: Brought, now: Instant) {
        match brought {
            Brought::Session {
                session,
                lane,
                restored,
            } => self.sessions.push((session, lane, restored)),
            Brought::Reached(reached) => {
                let age = Duration::from_millis(reached.age_ms.into());
                let at = now.checked_sub(age).unwrap_or(now);
                let known = self
                    .reached
                    .entry(reached.live)
                    .or_insert((reached.time, at));
                if reached.time.since(known.0) > 0 {
                    *known = (reached.time, at);
                }
            }
            Brought::Contents(object) => self.add_object(object),
            Brought::End => {}
        }
    }

    /// Of several edges' contents of one object, those that have come farthest hold the others.
    fn add_object(&mut self, object: RestoredObject) {
        let newer = self
            .objects
            .get(&object.name)
            .is_none_or(|known| object.version() > known.version());
        if newer {
            self.objects.insert(object.name.clone(), object);
        }
    }

    /// Adds what another edge has brought.
    pub(super) fn merge(&mut self, other: Self) {
        self.sessions.extend(other.sessions);
        for (live, (time, at)) in other.reached {
            let known = self.reached.entry(live).or_insert((time, at));
            if time.since(known.0) > 0 {
                *known = (time, at);
            }
        }
        for (_, object) in other.objects {
            self.add_object(object);
        }
    }

    /// Closes all sessions: the group does not go on with them.
    pub(super) fn close(self, reason: CloseReason) {
        for (key, lane, _) in self.sessions {
            lane.send(key.session, ToSession::Close(reason));
        }
    }

    /// Takes the contents of shared objects, which the application may open as it starts.
    pub(super) fn take_objects(&mut self) -> impl Iterator<Item = RestoredObject> + use<> {
        std::mem::take(&mut self.objects).into_values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

impl Turn<'_> {
    /// Goes on with the clients that edges have brought. The application is asked about each.
    pub(super) fn restore(&mut self, restoring: Restoring) {
        self.core.streams.remember_reached(restoring.reached);
        for (key, lane, restored) in restoring.sessions {
            self.restore_client(key, lane, restored);
        }
        self.settle();
        self.core.objects.forget_brought();
    }

    fn restore_client(&mut self, key: SessionKey, lane: LaneOut, restored: Box<RestoredSession>) {
        let connect = read_connect(&restored.open.connect);
        let Some(connect) = connect.filter(|_| !self.core.clients.contains(key)) else {
            return lane.send(key.session, ToSession::Close(CloseReason::Protocol));
        };
        let connect = Arc::new(connect);
        let now = self.core.room.now;
        let mut client = Client::restored(key, lane, restored.clone(), Arc::clone(&connect), now);
        let mut remembered = Bytes::new();
        for (part, bytes) in client.recall(&restored) {
            match part {
                CLIENT => {
                    if let Ok(record) = ClientRecord::decode(&bytes, now) {
                        client.read_access = record.read_access;
                        client.write_access = record.write_access;
                    }
                }
                REMEMBERED => remembered = bytes,
                _ => {}
            }
        }
        self.core.add(client);
        let client = ClientId(key);
        let admission =
            self.ask(|app, context| app.readmit(context, client, &connect, &remembered));
        match admission {
            Admission::Accept => self.core.accept(key),
            Admission::Reject(_) | Admission::Redirect { .. } => {
                self.core.reject(key, Rejection::default());
            }
            Admission::Pending => self.core.wait_for_decision(key),
        }
    }

    /// Goes on with clients that the application has accepted again: with this one, and with all others
    /// whose notices wait, so that viewers find the publishers of all.
    pub(super) fn go_on_with(&mut self, key: SessionKey, restored: Box<RestoredSession>) {
        let mut all = vec![(key, restored)];
        let notices = std::mem::take(&mut self.core.room.agenda.notices);
        for notice in notices {
            match notice {
                Notice::Restored(key, restored) => all.push((key, restored)),
                other => self.core.room.agenda.notices.push_back(other),
            }
        }
        let mut plays = Vec::new();
        for (key, restored) in &all {
            for resumed in self.core.resume_streams(*key, restored) {
                match resumed.role {
                    RecordedRole::Idle => {}
                    RecordedRole::Publishing { .. } => self.core.resume_publish(resumed),
                    RecordedRole::Playing { .. } => plays.push(resumed),
                }
            }
        }
        for play in plays {
            self.core.resume_play(play);
        }
        for (key, restored) in all {
            self.core.fail_unanswered(key, &restored);
            for (name, flags) in restored.uses {
                self.core.object_acts().restore_use(key, &name, flags);
            }
        }
    }
}

impl Core {
    /// Makes the message streams of a client that goes on; what they did follows.
    fn resume_streams(&mut self, key: SessionKey, restored: &RestoredSession) -> Vec<Resumed> {
        let now = self.room.now;
        let Some(client) = self.clients.get_mut(key) else {
            return Vec::new();
        };
        let mut resumed = Vec::new();
        for (part, bytes) in client.recall(restored) {
            let Some(stream) = StreamRecord::stream_of(part) else {
                continue;
            };
            match StreamRecord::decode(stream, &bytes, now) {
                Ok(record) => {
                    client.streams.restore(stream, record.filter);
                    resumed.push(Resumed {
                        slot: StreamSlot {
                            session: key,
                            stream,
                        },
                        filter: record.filter,
                        role: record.role,
                    });
                }
                Err(error) => {
                    tracing::warn!(client = %client.id(), %error, "a record cannot be read");
                }
            }
        }
        resumed
    }

    /// Goes on with a publish; the client gets no status.
    fn resume_publish(&mut self, resumed: Resumed) {
        let RecordedRole::Publishing {
            name,
            generation,
            query,
            live: was,
            offset,
        } = resumed.role
        else {
            return;
        };
        let mut publishers = self.publish_acts();
        publishers.resume(resumed.slot, generation, &name, &query, (was, offset));
    }

    /// Goes on with a play; the client gets no status, unless its stream has begun or ended meanwhile.
    fn resume_play(&mut self, resumed: Resumed) {
        let Resumed { slot, filter, role } = resumed;
        let RecordedRole::Playing {
            name,
            live: was,
            ended,
            length,
        } = role
        else {
            return;
        };
        if let Some(was) = was.filter(|_| !ended) {
            self.publish_acts().expect_again(&name, was, slot);
        }
        let (name, watch) = self.streams.watch(&name, slot);
        self.room.process.metrics.viewers.inc();
        let stream = slot.stream;
        let Some(client) = self.clients.get_mut(slot.session) else {
            return;
        };
        let Some(message_stream) = client.streams.get_mut(stream) else {
            return;
        };
        message_stream.role = Role::Playing(Playing {
            name: Arc::clone(&name),
            live: None,
            ended,
            length,
        });
        match (watch, was) {
            (Viewing::Live(live), Some(was)) if !ended => {
                self.attach_again(slot, &live, was, filter);
            }
            (Viewing::Live(live), _) => {
                let description = format!("{name} is now published.");
                let status = super::answer::status(Status::PlayPublishNotify, &description, &name);
                self.play_acts().stream_begins(slot, Some(&status), &live);
            }
            (Viewing::Wait | Viewing::Full, _) => {
                self.clients.remember_stream(slot, self.room.now);
            }
        }
        if let PlayLength::Until(until) = length {
            self.play_acts().may_be_over(slot, until);
        }
    }

    /// Attaches a viewer to the stream that goes on with the one that it had.
    fn attach_again(
        &mut self,
        slot: StreamSlot,
        live: &Arc<LiveStream>,
        was: LiveId,
        filter: Filter,
    ) {
        let StreamSlot { session, stream } = slot;
        let now = self.room.now;
        let Some(client) = self.clients.get_mut(session) else {
            return;
        };
        if let Some(playing) = client.streams.get_mut(stream).and_then(|it| it.playing()) {
            playing.live = Some(Arc::clone(live));
        }
        client.remember_stream(stream, now);
        let id = live.id();
        client.tell(ToSession::Continues { live: id, was });
        client.tell(ToSession::Attach {
            stream,
            source: Arc::clone(live),
        });
        if filter != Filter::default() {
            client.tell(ToSession::Filter { stream, filter });
        }
    }

    /// Answers the calls that the process before has not answered: they may have been carried out.
    fn fail_unanswered(&mut self, key: SessionKey, restored: &RestoredSession) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let why = "The server was lost while it handled the call.";
        for transaction in &restored.unanswered {
            let info = Status::CallFailed.info(Some(why), None);
            client.command(&command::error(*transaction, info));
        }
        let failed = restored.unanswered.len() as u64;
        self.room.process.metrics.calls_lost.inc_by(failed);
    }
}
