//! The clients of a group, by session.
//!
//! All of it is state but the lanes to the clients, which are handles.

use std::{collections::HashMap, time::Instant};

use tributary_node::config::RelayUrl;
use tributary_protocol::{
    TransactionId,
    amf::{Object, Value},
    command::{self, Command, ObjectEncoding, Status},
};

use super::{
    answer,
    client::Client,
    message_stream::{Asked, Asking, MessageStream, Playing, Playlist, Role},
    name::{StreamName, without_query},
    resume_token::Tokens,
    streams::StreamSlot,
};
use crate::{
    app::{ClientId, RequestId, Responder, StreamRequest},
    session::{LaneKey, SessionKey},
};

/// All clients of a group, pending ones included.
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: HashMap<SessionKey, Box<Client>>,
    /// The call that the application has just got, until it is answered.
    in_call: Option<Responder>,
    /// Hardly any client asks for a token.
    tokens: Option<Box<Tokens>>,
}

impl Clients {
    pub(super) fn get(&self, key: SessionKey) -> Option<&Client> {
        self.clients.get(&key).map(|client| &**client)
    }

    pub(super) fn get_mut(&mut self, key: SessionKey) -> Option<&mut Client> {
        self.clients.get_mut(&key).map(|client| &mut **client)
    }

    pub(super) fn contains(&self, key: SessionKey) -> bool {
        self.clients.contains_key(&key)
    }

    pub(super) fn insert(&mut self, client: Client) {
        if let Some(resumable) = &client.resumable {
            let tokens = self.tokens.get_or_insert_default();
            tokens.add(resumable, client.key);
        }
        self.clients.insert(client.key, Box::new(client));
    }

    /// A client goes on in another session, and has another token.
    pub(super) fn moves(&mut self, key: SessionKey, place: SessionKey) {
        let tokens = self.tokens.get_or_insert_default();
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let before = client.place();
        if let Some(resumable) = &mut client.resumable {
            tokens.come_back(resumable, key, (before, place));
        }
    }

    /// A message of a client has come.
    pub(super) fn heard(&mut self, key: SessionKey) {
        let Some(tokens) = &mut self.tokens else {
            return;
        };
        let client = self.clients.get_mut(&key);
        if let Some(resumable) = client.and_then(|client| client.resumable.as_mut()) {
            for used in resumable.heard() {
                tokens.forget(used);
            }
        }
    }

    pub(super) fn tokens(&self) -> Option<&Tokens> {
        self.tokens.as_deref()
    }

    /// The client whose session this is; none if the client has gone on in another one.
    pub(super) fn in_session(&self, session: SessionKey) -> Option<SessionKey> {
        let Some(tokens) = &self.tokens else {
            return Some(session);
        };
        if let Some(client) = tokens.of_place(session) {
            return Some(client);
        }
        let has_left = |client: &Client| client.place() != session;
        (!self.get(session).is_some_and(has_left)).then_some(session)
    }

    pub(super) fn remove(&mut self, key: SessionKey) -> Option<Box<Client>> {
        let client = self.clients.remove(&key)?;
        if let (Some(tokens), Some(resumable)) = (&mut self.tokens, &client.resumable) {
            tokens.remove(resumable, client.place());
            self.tokens.take_if(|tokens| tokens.is_empty());
        }
        if self.clients.is_empty() {
            self.clients = HashMap::new();
        }
        Some(client)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = SessionKey> {
        self.clients.keys().copied()
    }

    /// All, in no order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Client> {
        self.clients.values().map(|client| &**client)
    }

    /// The accepted ones, in no order.
    pub(super) fn accepted(&self) -> impl Iterator<Item = &Client> {
        self.all().filter(|client| client.is_accepted())
    }

    /// Whether one of them comes by this lane.
    pub(super) fn has_lane(&self, lane: LaneKey) -> bool {
        self.all().any(|client| client.lane().key() == lane)
    }

    pub(super) fn may_read(&self, key: SessionKey, name: &str) -> bool {
        self.get(key).is_some_and(|client| client.may_read(name))
    }

    pub(super) fn may_write(&self, key: SessionKey, name: &str) -> bool {
        self.get(key).is_some_and(|client| client.may_write(name))
    }

    /// Notes that the client does more than an encoder.
    pub(super) fn is_no_encoder(&mut self, key: SessionKey) {
        if let Some(client) = self.get_mut(key) {
            client.encoder.is_more();
        }
    }
}

/// Message streams.
impl Clients {
    pub(super) fn stream(&mut self, slot: StreamSlot) -> Option<&mut MessageStream> {
        self.get_mut(slot.session)?.streams.get_mut(slot.stream)
    }

    pub(super) fn has_stream(&mut self, slot: StreamSlot) -> bool {
        self.stream(slot).is_some()
    }

    /// The play of a message stream, if it plays.
    pub(super) fn playing(&mut self, slot: StreamSlot) -> Option<&mut Playing> {
        self.stream(slot)?.playing()
    }

    pub(super) fn take_playlist(&mut self, slot: StreamSlot) -> Option<Box<Playlist>> {
        self.stream(slot)?.playlist.take()
    }

    /// Ends the use of a message stream, and drops the plays that wait on it.
    pub(super) fn take_role(&mut self, slot: StreamSlot) -> Option<Role> {
        let stream = self.stream(slot)?;
        stream.playlist = None;
        Some(std::mem::replace(&mut stream.role, Role::Idle))
    }

    /// Has the client's edge remember a message stream as it is now.
    pub(super) fn remember_stream(&self, slot: StreamSlot, now: Instant) {
        if let Some(client) = self.get(slot.session) {
            client.remember_stream(slot.stream, now);
        }
    }

    /// Notes that a message stream waits for the application's decision.
    pub(super) fn ask(
        &mut self,
        slot: StreamSlot,
        name: StreamName<'_>,
        what: Asked,
        relay: Option<Box<RelayUrl>>,
    ) -> Option<StreamRequest> {
        let StreamSlot { session, stream } = slot;
        let StreamName { name, query } = name;
        let streams = &mut self.get_mut(session)?.streams;
        let serial = streams.ask(stream, name, query, what, relay)?;
        Some(StreamRequest {
            id: RequestId {
                client: ClientId(session),
                stream,
                serial,
            },
            name: name.to_owned(),
            query: query.to_owned(),
            kind: String::new(),
        })
    }

    /// The request, unless it was withdrawn or decided.
    pub(super) fn take_asking(&mut self, request: RequestId) -> Option<Asking> {
        self.stream(slot_of(request))?.take_asking(request.serial)
    }

    /// Puts a request back: a decision of the wrong kind changes nothing.
    pub(super) fn put_back(&mut self, request: RequestId, asking: Asking) {
        if let Some(stream) = self.stream(slot_of(request)) {
            stream.role = Role::Asking(Box::new(asking));
        }
    }

    /// Sends an onStatus on a message stream, about a name as the client wrote it.
    pub(super) fn stream_status(
        &mut self,
        slot: StreamSlot,
        status: Status,
        description: &str,
        name: &str,
    ) {
        if let Some(client) = self.get_mut(slot.session) {
            let command = answer::status(status, description, without_query(name));
            client.command_on(slot.stream, &command);
        }
    }
}

/// Calls.
impl Clients {
    /// Sends a command to every accepted client, encoded once for each encoding.
    pub(super) fn broadcast(&mut self, command: &Command) {
        let mut encoded: [Option<_>; 2] = [None, None];
        let clients = self.clients.values_mut();
        for client in clients.filter(|client| client.is_accepted()) {
            let encoding = client.encoding();
            let form = &mut encoded[usize::from(encoding == ObjectEncoding::Amf3)];
            let message = form.get_or_insert_with(|| answer::on_connection(command, encoding));
            client.send(message.clone());
        }
    }

    /// The application gets a call.
    pub(super) fn begin_call(&mut self, responder: Responder) {
        self.in_call = Some(responder);
    }

    /// The application answers its call later, unless it has done so already.
    pub(super) fn defer(&mut self) {
        if let Some(responder) = self.in_call.take()
            && responder.transaction.expects_answer()
            && let Some(client) = self.get_mut(responder.client.0)
        {
            client.calls.defer(responder.transaction);
        }
    }

    /// A call is answered.
    fn is_answered(&mut self, responder: Responder) {
        if self.in_call.take_if(|call| *call == responder).is_some() {
            return;
        }
        if let Some(client) = self.that_waits(responder) {
            client.calls.answered(responder.transaction);
        }
    }

    /// The client that waits for the answer to a call.
    fn that_waits(&mut self, responder: Responder) -> Option<&mut Client> {
        let client = self.get_mut(responder.client.0)?;
        (client.returns() == responder.returns).then_some(client)
    }

    /// A call that comes from a client now.
    pub(super) fn responder(&self, key: SessionKey, transaction: TransactionId) -> Responder {
        Responder {
            client: ClientId(key),
            transaction,
            // Without a token nobody has come back.
            returns: match &self.tokens {
                Some(_) => self.get(key).map_or(0, Client::returns),
                None => 0,
            },
        }
    }

    /// Answers a call, if its caller is still there and waits.
    pub(super) fn respond(&mut self, responder: Responder, answer: Result<Value, Value>) {
        self.is_answered(responder);
        if !responder.transaction.expects_answer() {
            return;
        }
        let Some(client) = self.that_waits(responder) else {
            return;
        };
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

    /// Answers a call that failed: `_error` if the client waits for an answer, else onStatus.
    pub(super) fn fail_call(&mut self, responder: Responder, info: Object) {
        self.is_answered(responder);
        let Some(client) = self.that_waits(responder) else {
            return;
        };
        if responder.transaction.expects_answer() {
            client.command(&command::error(responder.transaction, info));
        } else {
            client.command(&command::on_status(info));
        }
    }
}

/// The message stream that a request is about.
pub(super) fn slot_of(request: RequestId) -> StreamSlot {
    StreamSlot {
        session: request.client.0,
        stream: request.stream,
    }
}
