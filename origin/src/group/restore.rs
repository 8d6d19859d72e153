//! Clients of another process of this origin go on in this group.
//!
//! ```text
//! edge ── sessions, records, objects, places of streams ──► Restoring ──► clients, asked again
//!                                                            then their publishes, then their plays
//! ```

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::{
    command::{
        self, Connect, Status,
        stream::{PlayStart, PublishKind},
    },
    link::{CloseReason, Filter, LiveId, RestoredObject, RestoredSession, ToSession},
};

use super::{
    client::{Client, read_connect},
    core::Core,
    message_stream::{Asked, PlayLength, Playing, Role},
    name::with_query,
    notice::Notice,
    record::{CLIENT, ClientRecord, REMEMBERED, RESUME, RecordTime, RecordedRole, StreamRecord},
    resume_token::Resumable,
    streams::{ReachedStreams, StreamSlot, Viewing},
    turn::Turn,
};
use crate::{
    app::{Admission, ClientId, Rejection, Restored},
    live::LiveStream,
    session::{Brought, LaneOut, SessionKey},
};

/// The parts of a group that edges have brought, until the group goes on with them.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    sessions: Vec<(SessionKey, LaneOut, Box<RestoredSession>)>,
    reached: ReachedStreams,
    objects: HashMap<String, RestoredObject>,
    /// Set if the group was handed over: what its application has left.
    state: Option<Bytes>,
}

/// A play or publish of a client that goes on.
struct Resumed {
    slot: StreamSlot,
    filter: Filter,
    role: RecordedRole,
}

/// A client about whom the application is asked again.
struct Returning {
    key: SessionKey,
    connect: Arc<Connect>,
    remembered: Bytes,
}

/// The parts of a client's records that are no message streams.
struct Recalled {
    record: ClientRecord,
    remembered: Bytes,
    resumable: Option<Box<Resumable>>,
}

/// Reads the records of a client and takes their codes off; none if one of them is not of this cluster,
/// cannot be read, or is missing: the client would go on with less than it had, or with more than it may.
fn recall(
    key: SessionKey,
    lane: &LaneOut,
    restored: &mut RestoredSession,
    now: Instant,
) -> Option<Recalled> {
    let refused = |part: u32, why: &dyn fmt::Display| {
        let (edge, session) = (lane.edge().to_string(), key.session.0);
        tracing::warn!(edge, session, part, %why, "a record of the client is refused, and the client is closed");
    };
    let (mut own, mut remembered, mut resumable) = (None, Bytes::new(), None);
    for record in &mut restored.records {
        let Some(bytes) = lane.recall(key.session, record) else {
            refused(record.part, &"no origin of this cluster has made it");
            return None;
        };
        let read = match record.part {
            CLIENT => ClientRecord::decode(&bytes, now).map(|read| own = Some(read)),
            REMEMBERED => {
                remembered = bytes.clone();
                Ok(())
            }
            RESUME => {
                resumable = Resumable::from_record(&bytes);
                Ok(())
            }
            part => match StreamRecord::stream_of(part) {
                Some(stream) => StreamRecord::decode(stream, &bytes, RecordTime::at(now)).map(drop),
                None => Ok(()),
            },
        };
        if let Err(error) = read {
            refused(record.part, &error);
            return None;
        }
        record.bytes = bytes;
    }
    let Some(record) = own else {
        refused(CLIENT, &"it is missing");
        return None;
    };
    Some(Recalled {
        record,
        remembered,
        resumable,
    })
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
            Brought::State(state) => self.state = Some(state),
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
        if other.state.is_some() {
            self.state = other.state;
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
    /// Goes on with the clients that edges have brought. The application, which has just started if it
    /// `is_new`, is asked about each.
    ///
    /// Unless it expects that, it may find nothing in the temporary objects that it opens: it may refuse
    /// a client whose name it finds there, as that of another.
    pub(super) fn restore(&mut self, mut restoring: Restoring, is_new: bool) {
        self.core
            .streams
            .remember_reached(std::mem::take(&mut restoring.reached));
        let sessions = std::mem::take(&mut restoring.sessions).into_iter();
        // All are known before the application is asked: if it fails, they are closed.
        let returning: Vec<_> = sessions
            .filter_map(|(key, lane, restored)| self.core.add_restored(key, lane, restored))
            .collect();
        if self.ask(|app, context| app.expects_restore(context)) {
            self.core.object_acts().show_brought();
        }
        if is_new {
            let restored = match &restoring.state {
                Some(state) => Restored::HandedOver { state },
                None => Restored::Crashed,
            };
            self.ask(|app, context| app.restored(context, restored));
        }
        for returning in returning {
            // The application may have closed it for another.
            if self.core.clients.contains(returning.key) {
                self.readmit(&returning);
            }
        }
        self.core.show_brought_if_decided();
        self.settle();
        self.core.forget_brought_if_decided();
    }

    fn readmit(&mut self, returning: &Returning) {
        let Returning {
            key,
            connect,
            remembered,
        } = returning;
        let client = ClientId(*key);
        let admission = self.ask(|app, context| app.readmit(context, client, connect, remembered));
        match admission {
            Admission::Accept => self.core.accept(*key),
            Admission::Reject(_) | Admission::Redirect { .. } => {
                self.core.reject(*key, Rejection::default());
            }
            Admission::Pending => self.core.wait_for_decision(*key),
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
        self.core.show_brought_if_decided();
        let (mut plays, mut asked) = (Vec::new(), Vec::new());
        for (key, restored) in &all {
            for resumed in self.core.resume_streams(*key, restored) {
                match resumed.role {
                    RecordedRole::Idle => {}
                    RecordedRole::Publishing { .. } => self.core.resume_publish(resumed),
                    RecordedRole::Playing { .. } => plays.push(resumed),
                    RecordedRole::Asking { name, query, what } => {
                        asked.push((resumed.slot, name, query, what));
                    }
                }
            }
        }
        for play in plays {
            self.core.resume_play(play);
        }
        for (slot, name, query, what) in asked {
            let full = with_query(&name, &query);
            match what {
                Asked::Publish(generation) => {
                    self.publish(slot, generation, &full, PublishKind::Live);
                }
                Asked::Play(how) => self.play(slot, &full, PlayStart::default(), how),
            }
        }
        for (key, restored) in all {
            self.core.fail_unanswered(key, &restored);
            for (name, flags) in restored.uses {
                self.core.object_acts().restore_use(key, &name, flags);
            }
        }
        self.core.forget_brought_if_decided();
    }
}

impl Core {
    /// Whether the application has decided about all clients that edges have brought.
    fn all_are_decided(&self) -> bool {
        !self.clients.all().any(Client::is_restored)
    }

    /// Shared objects go on with what edges have brought, once all clients are decided.
    pub(super) fn show_brought_if_decided(&mut self) {
        if self.objects.has_brought() && self.all_are_decided() {
            self.object_acts().show_brought();
        }
    }

    /// Once all clients have gone on too, objects that are made are new.
    fn forget_brought_if_decided(&mut self) {
        let goes_on = |notice: &Notice| matches!(notice, Notice::Restored(..));
        let all_went_on = !self.room.agenda.notices.iter().any(goes_on);
        if self.objects.has_brought() && all_went_on && self.all_are_decided() {
            self.objects.forget_brought();
        }
    }

    /// A client that was undecided is gone: it may have been the last.
    pub(super) fn restored_is_gone(&mut self) {
        self.show_brought_if_decided();
        self.forget_brought_if_decided();
    }

    /// Takes a client in that edges have brought; it is undecided.
    fn add_restored(
        &mut self,
        key: SessionKey,
        lane: LaneOut,
        mut restored: Box<RestoredSession>,
    ) -> Option<Returning> {
        let connect = read_connect(&restored.open.connect);
        let Some(connect) = connect.filter(|_| !self.clients.contains(key)) else {
            lane.send(key.session, ToSession::Close(CloseReason::Protocol));
            return None;
        };
        let recalled = recall(key, &lane, &mut restored, self.room.now);
        let Some(Recalled {
            record,
            remembered,
            resumable,
        }) = recalled
        else {
            lane.send(key.session, ToSession::Close(CloseReason::OriginLost));
            return None;
        };
        let connect = Arc::new(connect);
        let now = self.room.now;
        let mut client = Client::restored(key, lane, restored, Arc::clone(&connect), now);
        client.read_access = record.read_access;
        client.write_access = record.write_access;
        if let Some(resumable) = &resumable {
            *resumable.remembered.borrow_mut() = remembered.clone();
            if !self.takes_over(resumable) {
                client.tell(ToSession::Close(CloseReason::Resumed));
                return None;
            }
        }
        client.resumable = resumable;
        self.add(client);
        Some(Returning {
            key,
            connect,
            remembered,
        })
    }

    /// Of two edges that bring the same client, the one to which it has come back last has it. The other's session
    /// ends.
    fn takes_over(&mut self, resumable: &Resumable) -> bool {
        let tokens = self.clients.tokens();
        let Some(key) = tokens.and_then(|tokens| tokens.of_lineage(resumable.lineage)) else {
            return true;
        };
        let known = self.clients.get(key);
        if known.is_some_and(|known| known.returns() >= resumable.returns) {
            return false;
        }
        if let Some(known) = known {
            known.tell(ToSession::Close(CloseReason::Resumed));
        }
        self.forget(key, CloseReason::Resumed);
        true
    }

    /// Makes the message streams of a client that goes on; what they did follows.
    fn resume_streams(&mut self, key: SessionKey, restored: &RestoredSession) -> Vec<Resumed> {
        let now = self.room.now;
        let Some(client) = self.clients.get_mut(key) else {
            return Vec::new();
        };
        let mut resumed = Vec::new();
        let at = RecordTime::at(now);
        for record in &restored.records {
            let Some(stream) = StreamRecord::stream_of(record.part) else {
                continue;
            };
            // Those that cannot be read have closed the session.
            let Ok(record) = StreamRecord::decode(stream, &record.bytes, at) else {
                continue;
            };
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
        if matches!(watch, Viewing::Full) {
            let why = "Too many streams are waited for.";
            self.clients
                .stream_status(slot, Status::PlayFailed, why, &name);
            return self.clients.remember_stream(slot, self.room.now);
        }
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
            (Viewing::Wait, _) | (Viewing::Full, _) => {
                self.clients.remember_stream(slot, self.room.now);
            }
        }
        self.play_acts().begin_length_if_attached(slot);
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
