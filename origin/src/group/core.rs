//! What a group owns besides its application, and how it speaks to its sessions.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    rc::Rc,
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use tributary_node::queue;
use tributary_protocol::{
    GroupName, Message, MessageType,
    amf::{Object, Value},
    command::{self, Command, Status},
    link::{CloseReason, Generation, ToSession, WriterId},
};

use super::{
    answer,
    client::Client,
    connections::Connections,
    freeing::Freeing,
    mailbox::Item,
    own_streams::OwnStreams,
    process::Process,
    remote_objects::RemoteObjects,
    shared_objects::{ObjectNotice, Objects},
    streams::{Place, Streams},
    timers::{Timer, Timers},
    worker::Load,
};
use crate::{
    app::{AppVersion, CallToken, ClientId, Level, ObjectId, Rejection, Responder},
    metrics::ConnectResult,
    session::SessionKey,
};

/// Everything of a group but its application, which acts on this through a
/// [`Context`](super::Context).
pub(super) struct Core {
    pub(super) name: Arc<GroupName>,
    pub(super) version: Arc<AppVersion>,
    pub(super) process: Arc<Process>,
    pub(super) mailbox: queue::Sender<Item>,
    pub(super) load: Load,
    pub(super) clients: HashMap<SessionKey, Box<Client>>,
    pub(super) streams: Streams,
    pub(super) own_streams: OwnStreams,
    pub(super) connections: Connections,
    pub(super) remote_objects: RemoteObjects,
    pub(super) objects: Objects,
    pub(super) timers: Timers,
    pub(super) app_deadline: Option<Instant>,
    /// What the application is to be told once the present call of it has returned.
    pub(super) notices: VecDeque<Notice>,
    /// The application is to end once the present turn is over.
    pub(super) ending: Option<Ending>,
    /// The client whose command to free a name the application answers just now.
    pub(super) freeing: Option<Freeing>,
    /// The name that the application is just told is published no more, and its query then.
    pub(super) unpublished: Option<(Rc<str>, Box<str>)>,
    /// The time of this turn.
    pub(super) now: Instant,
}

/// How an application ends that has asked for its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// As one that has failed, for this reason.
    Failed(String),
    /// As one that is unloaded.
    Unloaded,
}

/// Something the application, or the turn itself, has to attend to.
#[derive(Debug)]
pub(super) enum Notice {
    /// The client was accepted and had sent these messages before.
    Ready(SessionKey, VecDeque<(Generation, Message)>),
    /// An accepted client is gone.
    Left(SessionKey, CloseReason),
    /// This writer's publisher has claimed the name and goes on air once the application knows.
    Published(Place, Rc<str>, WriterId),
    /// A client publishes this name, with this query, no more.
    Unpublished(SessionKey, Rc<str>, Box<str>),
    /// What a message stream plays is over, and something waits behind it.
    PlayNext(Place),
    Answered(SessionKey, CallToken, Result<Value, Value>),
    Object(ObjectId, ObjectNotice),
    /// Many shared objects live.
    ObjectsCrowd,
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
        let streams = Streams::new(ids, Arc::clone(&version));
        Self {
            name,
            version,
            process,
            mailbox,
            load,
            clients: HashMap::new(),
            streams,
            own_streams: OwnStreams::default(),
            connections: Connections::default(),
            remote_objects: RemoteObjects::default(),
            objects: Objects::default(),
            timers: Timers::default(),
            app_deadline: None,
            notices: VecDeque::new(),
            ending: None,
            freeing: None,
            unpublished: None,
            now: Instant::now(),
        }
    }

    /// Whether there are neither clients nor streams of clients.
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.streams.is_empty()
    }

    /// Ends everything, for an application that is no more.
    pub(super) fn reset(&mut self, reason: CloseReason) {
        self.end_all(reason);
        self.drop_objects();
        self.process
            .metrics
            .streams
            .dec_by(self.streams.published() as i64);
        let ids = Arc::clone(&self.process.live_ids);
        self.streams = Streams::new(ids, Arc::clone(&self.version));
        self.own_streams.reset();
        self.connections.reset();
        self.remote_objects.reset();
        self.timers = Timers::default();
        self.notices = VecDeque::new();
        self.freeing = None;
        self.unpublished = None;
        self.ending = None;
        self.app_deadline = None;
    }

    /// Takes another version; the application that ran is no more.
    pub(super) fn take_version(&mut self, version: Arc<AppVersion>) {
        self.streams = Streams::new(Arc::clone(&self.process.live_ids), Arc::clone(&version));
        self.version = version;
    }

    /// Adds a line to the application's log.
    pub(super) fn log(&self, level: Level, text: &str) {
        let log = &self.version.common.log;
        log.push(level, Some(self.name.instance()), text);
    }

    /// Takes a client in as pending.
    pub(super) fn add(&mut self, client: Client) {
        tracing::info!(
            client = %client.id(),
            address = %client.peer(),
            application = self.name.application(),
            instance = self.name.instance(),
            edge = client.edge(),
            "session begins",
        );
        self.load.add(1);
        self.process.metrics.sessions.inc();
        self.version.common.sessions.fetch_add(1, Ordering::Relaxed);
        self.clients.insert(client.key, Box::new(client));
    }

    /// Accepts a pending client.
    pub(super) fn accept(&mut self, key: SessionKey) {
        let Some(client) = self
            .clients
            .get_mut(&key)
            .filter(|client| !client.is_accepted())
        else {
            return;
        };
        let held = client.accept(&self.process.settings.fms_version);
        if !held.is_empty() {
            // Handled after the present call of the application.
            self.notices.push_back(Notice::Ready(key, held));
        }
        self.process.metrics.connected(ConnectResult::Accepted);
    }

    /// Leaves a client pending for as long as its application allows.
    pub(super) fn wait_for_decision(&mut self, key: SessionKey) {
        if self
            .clients
            .get(&key)
            .is_some_and(|client| !client.is_accepted())
        {
            let at = self.now + self.version.settings.connect_time.get();
            self.timers.add(at, Timer::Connect(key));
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
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let Some(transaction) = client.undecided() else {
            return;
        };
        for command in &answer::refusal(transaction, info) {
            client.send(answer::on_connection(
                command,
                command::ObjectEncoding::Amf0,
            ));
        }
        client.tell(ToSession::Close(reason));
        self.process.metrics.connected(ConnectResult::Rejected);
        self.forget(key, reason);
    }

    /// Ends an accepted client's session with these last commands.
    pub(super) fn end(&mut self, key: SessionKey, last: &[Command], reason: CloseReason) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        for command in last {
            client.command(command);
        }
        client.tell(ToSession::Close(reason));
        self.forget(key, reason);
    }

    /// Ends every session because the application is gone.
    pub(super) fn end_all(&mut self, reason: CloseReason) {
        let keys: Vec<_> = self.clients.keys().copied().collect();
        for key in keys {
            let info = Status::ConnectAppShutdown.info(None, None);
            if self
                .clients
                .get(&key)
                .is_some_and(|client| client.is_accepted())
            {
                self.end(key, &[command::on_status(info), command::close()], reason);
            } else {
                self.refuse(key, info, reason);
            }
        }
    }

    /// Takes a client out: its streams, its calls, its line in the log.
    pub(super) fn forget(&mut self, key: SessionKey, reason: CloseReason) {
        self.leave_streams(key, reason);
        self.leave_objects(key, reason);
        let Some(mut client) = self.clients.remove(&key) else {
            return;
        };
        if self.clients.is_empty() {
            self.clients = HashMap::new();
        }
        for token in client.take_calls() {
            let failed = Value::Object(Status::CallFailed.info(None, None));
            self.notices
                .push_back(Notice::Answered(key, token, Err(failed)));
        }
        if client.is_accepted() {
            self.notices.push_back(Notice::Left(key, reason));
        }
        self.load.remove(1);
        self.process.metrics.session_ended(reason);
        self.version.common.sessions.fetch_sub(1, Ordering::Relaxed);
        let duration = self.now.saturating_duration_since(client.opened);
        tracing::info!(
            client = %ClientId(key),
            address = %client.peer(),
            application = self.name.application(),
            instance = self.name.instance(),
            bytes_in = client.bytes_in(),
            bytes_out = client.bytes_out(),
            duration_ms = duration.as_millis() as u64,
            reason = reason.label(),
            "session ends",
        );
        if self.streams.is_lost(key.lane)
            && !self.clients.keys().any(|other| other.lane == key.lane)
        {
            // Nobody is left to say that the lane is back.
            self.lane_back(key.lane);
        }
    }

    /// Sends a command to every accepted client, encoded once for each encoding.
    pub(super) fn broadcast(&mut self, command: &Command) {
        let mut encoded: [Option<_>; 2] = [None, None];
        for client in self
            .clients
            .values_mut()
            .filter(|client| client.is_accepted())
        {
            let encoding = client.encoding();
            let slot = usize::from(encoding == command::ObjectEncoding::Amf3);
            let message =
                encoded[slot].get_or_insert_with(|| answer::on_connection(command, encoding));
            client.send(message.clone());
        }
    }

    /// Takes a client's answer to a call of the application.
    pub(super) fn answered(&mut self, key: SessionKey, command: Command) {
        if self.measured(key, command.transaction) {
            return;
        }
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if let Some(token) = client.end_call(command.transaction) {
            let value = command
                .arguments
                .into_iter()
                .next()
                .unwrap_or(Value::Undefined);
            let answer = if command.name == "_result" {
                Ok(value)
            } else {
                Err(value)
            };
            self.notices.push_back(Notice::Answered(key, token, answer));
        }
    }

    /// A command that cannot be read: the client does not speak RTMP.
    pub(super) fn unreadable(
        &mut self,
        key: SessionKey,
        kind: MessageType,
        error: &command::Error,
    ) {
        tracing::debug!(client = %ClientId(key), kind = kind.0, %error, "unreadable command");
        self.end(key, &[command::close()], CloseReason::Protocol);
    }

    /// Answers a call, if its caller is still there and waits.
    pub(super) fn respond(&mut self, responder: Responder, answer: Result<Value, Value>) {
        let Some(client) = self.clients.get_mut(&responder.client.0) else {
            return;
        };
        if !responder.transaction.expects_answer() {
            return;
        }
        let (name, value) = match answer {
            Ok(value) => ("_result", value),
            Err(value) => ("_error", value),
        };
        let command = Command::new(name, responder.transaction).with(value);
        let message = answer::on_connection(&command, client.encoding());
        if answer::fits(&message) {
            return client.send(message);
        }
        let why = "The answer is longer than a message can be.";
        let info = Status::CallFailed.info(Some(why), None);
        client.command(&command::error(responder.transaction, info));
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("name", &self.name)
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
