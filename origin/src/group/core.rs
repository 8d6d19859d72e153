//! A group without its application: its parts, and the acts that concern all of them, such as the
//! end of a session.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use tributary_node::queue;
use tributary_protocol::{
    GroupName, MessageType,
    amf::{Object, Value},
    command::{self, Command, ObjectEncoding, Status},
    link::{CloseReason, ToSession},
};

use super::{
    answer,
    bandwidth::Measurement,
    client::Client,
    clients::Clients,
    connections::{Connections, acts::ConnectionActs},
    mailbox::Item,
    notice::Notice,
    own_streams::OwnStreams,
    playing::PlayActs,
    process::Process,
    publishing::PublishActs,
    relays::Relays,
    remote_objects::{RemoteObjects, acts::RemoteObjectActs},
    room::{Agenda, Room},
    shared_objects::{Objects, acts::ObjectActs},
    streams::Streams,
    timers::Timer,
    verdict::Verdict,
    worker::Load,
};
use crate::{
    app::{AppVersion, CallToken, ClientId, ConnectionId, Rejection},
    metrics::ConnectResult,
    session::{LaneKey, SessionKey},
};

/// Everything of a group but its application, which acts on this through a
/// [`Context`](super::Context). Acts of one area borrow the parts that they work on.
pub(super) struct Core {
    pub(super) room: Room,
    pub(super) clients: Clients,
    pub(super) streams: Streams,
    pub(super) own_streams: OwnStreams,
    pub(super) connections: Connections,
    pub(super) remote_objects: RemoteObjects,
    pub(super) relays: Relays,
    pub(super) objects: Objects,
}

impl Core {
    pub(super) fn new(
        name: Arc<GroupName>,
        version: Arc<AppVersion>,
        process: Arc<Process>,
        mailbox: queue::Sender<Item>,
        load: Load,
    ) -> Self {
        let ids = Arc::clone(&process.live_ids);
        Self {
            streams: Streams::new(ids, Arc::clone(&version)),
            room: Room::new(name, version, process, mailbox, load),
            clients: Clients::default(),
            own_streams: OwnStreams::default(),
            connections: Connections::default(),
            remote_objects: RemoteObjects::default(),
            relays: Relays::default(),
            objects: Objects::default(),
        }
    }

    /// Whether there are neither clients nor streams of clients, and no pull waits for viewers.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.streams.is_empty() && !self.relays.linger()
    }

    /// Ends all state, for an application that is no more.
    pub(super) fn reset(&mut self, reason: CloseReason) {
        self.end_all(reason);
        self.object_acts().drop_all();
        // Each part is named, so that a new one is not forgotten. The clients are gone.
        let Self {
            room,
            clients: _,
            streams,
            own_streams,
            connections,
            remote_objects,
            relays,
            objects,
        } = self;
        let published = streams.published() as i64;
        room.process.metrics.streams.dec_by(published);
        room.agenda = Agenda::default();
        streams.reset();
        own_streams.reset();
        connections.reset();
        remote_objects.reset();
        relays.reset();
        objects.reset();
    }

    /// Takes another version; the application that ran is no more.
    pub(super) fn take_version(&mut self, version: Arc<AppVersion>) {
        let ids = Arc::clone(&self.room.process.live_ids);
        self.streams = Streams::new(ids, Arc::clone(&version));
        self.room.version = version;
    }
}

/// The parts, as the acts of each area borrow them.
impl Core {
    pub(super) fn object_acts(&mut self) -> ObjectActs<'_> {
        ObjectActs {
            room: &mut self.room,
            clients: &mut self.clients,
            objects: &mut self.objects,
        }
    }

    pub(super) fn play_acts(&mut self) -> PlayActs<'_> {
        PlayActs {
            room: &mut self.room,
            clients: &mut self.clients,
            streams: &mut self.streams,
        }
    }

    pub(super) fn publish_acts(&mut self) -> PublishActs<'_> {
        PublishActs {
            room: &mut self.room,
            clients: &mut self.clients,
            streams: &mut self.streams,
            own_streams: &mut self.own_streams,
            connections: &mut self.connections,
            relays: &mut self.relays,
        }
    }

    pub(super) fn connection_acts(&mut self) -> ConnectionActs<'_> {
        ConnectionActs {
            room: &mut self.room,
            streams: &mut self.streams,
            connections: &mut self.connections,
        }
    }

    pub(super) fn remote_object_acts(&mut self) -> RemoteObjectActs<'_> {
        RemoteObjectActs {
            connections: &mut self.connections,
            objects: &mut self.remote_objects,
        }
    }
}

/// Sessions: begun, decided, ended.
impl Core {
    /// Takes a client in as pending.
    pub(super) fn add(&mut self, client: Client) {
        let room = &self.room;
        tracing::info!(
            client = %client.id(),
            address = %client.peer(),
            application = room.name.application(),
            instance = room.name.instance(),
            edge = client.edge(),
            "session begins",
        );
        room.load.add(1);
        room.process.metrics.sessions.inc();
        room.version.common.sessions.fetch_add(1, Ordering::Relaxed);
        self.clients.insert(client);
    }

    /// Accepts a pending client.
    pub(super) fn accept(&mut self, key: SessionKey) {
        let client = self.clients.get_mut(key);
        let Some(client) = client.filter(|client| !client.is_accepted()) else {
            return;
        };
        let accepted = client.accept(&self.room.process.settings.fms_version);
        let metrics = &self.room.process.metrics;
        match accepted.restored {
            Some(restored) => self.room.notify(Notice::Restored(key, restored)),
            None => metrics.connected(ConnectResult::Accepted),
        }
        if !accepted.held.is_empty() {
            // The messages are handled after the present call of the application.
            self.room.notify(Notice::Ready(key, accepted.held));
        }
    }

    /// Leaves a client pending until it is decided, or its application's time is over.
    pub(super) fn wait_for_decision(&mut self, key: SessionKey) {
        let pending = |client: &Client| !client.is_accepted();
        if self.clients.get(key).is_some_and(pending) {
            let at = self.room.now + self.room.version.settings().connect_time.get();
            self.room.wake_at(at, Timer::Connect(key));
        }
    }

    /// Rejects a pending client.
    pub(super) fn reject(&mut self, key: SessionKey, rejection: Rejection) {
        self.refuse(key, rejected(rejection), CloseReason::Rejected);
    }

    /// Sends a pending client elsewhere.
    pub(super) fn redirect(&mut self, key: SessionKey, uri: &str, why: Rejection) {
        let ex = Object::new().with("code", 302.0).with("redirect", uri);
        self.refuse(key, rejected(why).with("ex", ex), CloseReason::Rejected);
    }

    /// Ends a pending client's session with this answer to its connect.
    pub(super) fn refuse(&mut self, key: SessionKey, info: Object, reason: CloseReason) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let Some(transaction) = client.undecided() else {
            return;
        };
        if client.is_restored() {
            // Its connect was answered by the process before.
            let info = Status::ConnectClosed.info(None, None);
            return self.end(key, &[command::on_status(info), command::close()], reason);
        }
        for command in &answer::refusal(transaction, info) {
            client.send(answer::on_connection(command, ObjectEncoding::Amf0));
        }
        client.tell(ToSession::Close(reason));
        let metrics = &self.room.process.metrics;
        metrics.connected(ConnectResult::Rejected);
        self.forget(key, reason);
    }

    /// Ends an accepted client's session with these last commands.
    pub(super) fn end(&mut self, key: SessionKey, last: &[Command], reason: CloseReason) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        for command in last {
            client.command(command);
        }
        client.tell(ToSession::Close(reason));
        self.forget(key, reason);
    }

    /// Ends a session if an act has returned that verdict.
    pub(super) fn obey(&mut self, key: SessionKey, verdict: Verdict) {
        match verdict {
            Verdict::GoesOn => {}
            Verdict::Ends(reason) => self.end(key, &[command::close()], reason),
        }
    }

    /// Ends every session because the application is gone.
    pub(super) fn end_all(&mut self, reason: CloseReason) {
        let keys: Vec<_> = self.clients.keys().collect();
        for key in keys {
            self.end_one(key, reason);
        }
    }

    /// Ends a session because the application is gone.
    pub(super) fn end_one(&mut self, key: SessionKey, reason: CloseReason) {
        let info = Status::ConnectAppShutdown.info(None, None);
        if self.clients.get(key).is_some_and(Client::is_accepted) {
            self.end(key, &[command::on_status(info), command::close()], reason);
        } else {
            self.refuse(key, info, reason);
        }
    }

    /// Takes a client out: its streams, its calls, its line in the log.
    pub(super) fn forget(&mut self, key: SessionKey, reason: CloseReason) {
        self.leave_streams(key, reason);
        self.object_acts().leave(key, reason);
        let Some(mut client) = self.clients.remove(key) else {
            return;
        };
        self.fail_calls(key, client.calls.take_all());
        if client.is_accepted() {
            self.room.notify(Notice::Left(key, reason));
        }
        if client.is_restored() {
            self.restored_is_gone();
        }
        self.count_out(&client, reason);
        self.lane_is_left(client.place().lane);
        self.streams.forget_moved(key);
    }

    /// The return of a lost lane without sessions would not be reported.
    pub(super) fn lane_is_left(&mut self, lane: LaneKey) {
        if self.streams.has_news_of(lane) && !self.clients.has_lane(lane) {
            self.publish_acts().lane_back(lane);
            self.streams.lane_silent(lane, false);
        }
    }

    /// Notifies the application that its calls to a client have no answer.
    pub(super) fn fail_calls(&mut self, key: SessionKey, calls: Vec<CallToken>) {
        for token in calls {
            let failed = Value::Object(Status::CallFailed.info(None, None));
            self.room.notify(Notice::Answered(key, token, Err(failed)));
        }
    }

    fn count_out(&self, client: &Client, reason: CloseReason) {
        let room = &self.room;
        room.load.remove(1);
        room.process.metrics.session_ended(reason);
        room.version.common.sessions.fetch_sub(1, Ordering::Relaxed);
        let duration = room.now.saturating_duration_since(client.opened);
        tracing::info!(
            client = %client.id(),
            address = %client.peer(),
            application = room.name.application(),
            instance = room.name.instance(),
            bytes_in = client.bytes_in(),
            bytes_out = client.bytes_out(),
            duration_ms = duration.as_millis() as u64,
            reason = reason.label(),
            "session ends",
        );
    }

    /// Takes a client's answer to a call of the application.
    pub(super) fn answered(&mut self, key: SessionKey, command: Command) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let transaction = command.transaction;
        if Measurement::answered(client, transaction, self.room.now) {
            return;
        }
        let Some(token) = client.calls.end(transaction) else {
            return;
        };
        let value = command.arguments.into_iter().next();
        let value = value.unwrap_or(Value::Undefined);
        let answer = match command.name.as_str() {
            "_result" => Ok(value),
            _ => Err(value),
        };
        self.room.notify(Notice::Answered(key, token, answer));
    }

    /// Ends the session of a client whose command cannot be read: it does not speak RTMP.
    pub(super) fn unreadable(
        &mut self,
        key: SessionKey,
        kind: MessageType,
        error: &command::Error,
    ) {
        tracing::debug!(client = %ClientId(key), kind = kind.0, %error, "unreadable command");
        self.end(key, &[command::close()], CloseReason::Protocol);
    }

    /// Ends the session of an encoder whose time without a publish is over.
    pub(super) fn part_with_encoder(&mut self, key: SessionKey) {
        let now = self.room.now;
        let client = self.clients.get_mut(key);
        if client.is_some_and(|client| client.encoder.parts(now) && client.streams.are_idle()) {
            self.end(key, &[], CloseReason::PublishOver);
        }
    }
}

/// Connections of the application, and relays.
impl Core {
    /// Notes the pulls of the settings, none of which runs.
    pub(super) fn set_up_pulls(&mut self) {
        let room = &self.room;
        let pulls = &room.version.settings().pull;
        self.relays.set_up(pulls, room.name.instance());
    }

    /// Ends a connection: the application gets NetConnection.Connect.Closed.
    pub(super) fn close_connection(&mut self, id: ConnectionId) {
        let lost = self.connection_acts().end(id);
        for (stream, source) in lost {
            let mut publishers = self.publish_acts();
            let air = publishers.source_acts().remote_lost(stream, source);
            publishers.follow(stream, air);
        }
        self.remote_objects.end(id);
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.room.name)
            .field("clients", &self.clients.len())
            .field("streams", &self.streams)
            .finish_non_exhaustive()
    }
}

/// The info object of a connect that is rejected.
fn rejected(why: Rejection) -> Object {
    let info = Status::ConnectRejected.info(why.description.as_deref(), None);
    match why.application {
        Some(value) => info.with("application", value),
        None => info,
    }
}
