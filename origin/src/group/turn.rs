//! What a group does in one turn: one piece of mail, or what is due by the clock.

use std::{collections::VecDeque, rc::Rc};

use tributary_protocol::{
    Message, MessageStreamId, TransactionId,
    amf::Value,
    command::{self, Command, NetStreamCommand, Status},
    link::{CloseReason, FromSession, Generation, OpenSession, WriterId},
};

use super::{
    Context, answer,
    client::{Announce, Client, PlayHow, read_connect},
    core::{Core, Notice},
    freeing::Freeing,
    refusal::Refusal,
    shared_objects::{ObjectNotice, handler},
    streams::{News, Place},
    timers::Timer,
};
use crate::{
    app::{
        Admission, Answer, Application, Call, ClientId, Event, ObjectId, Rejection, Responder,
        StopReason, StreamId, StreamStatus,
    },
    session::{LaneOut, Mail, Opening, SessionKey},
};

/// A group whose application runs.
pub(super) struct Turn<'a> {
    pub(super) core: &'a mut Core,
    pub(super) app: &'a mut dyn Application,
}

impl Turn<'_> {
    pub(super) fn mail(&mut self, mail: Mail) {
        match mail {
            Mail::Session { session, event } => self.session(session, event),
            Mail::Outage { lane, lost: true } => self.core.lane_lost(lane),
            Mail::Outage { lane, lost: false } => self.core.lane_back(lane),
            Mail::SnapshotWanted { audience } => self.core.snapshot_wanted(audience),
        }
        self.settle();
    }

    fn session(&mut self, session: SessionKey, event: FromSession<Opening>) {
        match event {
            FromSession::Open(Opening { lane, open }) => self.open(session, lane, &open),
            FromSession::Message {
                generation,
                message,
            } => self.message(session, generation, message),
            FromSession::Stalled { stream, stalled } => {
                self.core.stalled(session, stream, stalled);
            }
            FromSession::Statistics(statistics) => self.core.counted(session, statistics),
            FromSession::Close(reason) => self.core.forget(session, reason),
            _ => {}
        }
    }

    /// The session sends faster than the group works and does not heed its credit.
    pub(super) fn overflow(&mut self, session: SessionKey) {
        self.core
            .end(session, &[command::close()], CloseReason::Limit);
        self.settle();
    }

    pub(super) fn event(&mut self, event: Event) {
        self.ask(|app, context| app.event(context, event));
        self.settle();
    }

    pub(super) fn stream_status(&mut self, stream: StreamId, status: &StreamStatus) {
        if self.core.own_streams.get(stream).is_some() {
            self.ask(|app, context| app.stream_status(context, stream, status));
        }
        self.settle();
    }

    /// Everything that is due.
    pub(super) fn expire(&mut self) {
        while let Some(timer) = self.core.timers.take_due(self.core.now) {
            match timer {
                Timer::Connect(key) => self.connect_timed_out(key),
                Timer::Request(place, serial) => self.core.request_timed_out(place, serial),
                Timer::Play(place, until) => self.core.play_may_be_over(place, until),
                Timer::Source(stream, serial) => self.core.source_may_be_over(stream, serial),
                Timer::Stream(name) => self.core.expire_stream(&name),
                Timer::Objects(key) => self.core.object_messages_due(key),
                Timer::Encoder(key) => self.core.part_with_encoder(key),
                Timer::Lock(object, lock) => self.core.lock_expired(object, lock),
            }
        }
        if self.core.app_deadline.is_some_and(|at| at <= self.core.now) {
            self.core.app_deadline = None;
            self.ask(|app, context| app.deadline(context));
        }
        self.settle();
    }

    pub(super) fn stop(&mut self, reason: StopReason) -> bool {
        let stops = self.ask(|app, context| app.stop(context, reason));
        self.settle();
        stops
    }

    pub(super) fn ask<R>(
        &mut self,
        call: impl FnOnce(&mut dyn Application, &mut Context<'_>) -> R,
    ) -> R {
        self.core.objects.begin_call();
        call(self.app, &mut Context::new(self.core))
    }

    /// Delivers what calls of the application have caused, until there is nothing left.
    pub(super) fn settle(&mut self) {
        while self.core.ending.is_none()
            && let Some(notice) = self.core.notices.pop_front()
        {
            match notice {
                Notice::Ready(key, held) => self.handle_held(key, held),
                Notice::Left(key, reason) => {
                    self.ask(|app, context| app.disconnect(context, ClientId(key), reason));
                }
                Notice::Published(place, name, writer) => self.published(place, &name, writer),
                Notice::Unpublished(key, name, query) => {
                    self.core.unpublished = Some((Rc::clone(&name), query));
                    self.ask(|app, context| app.unpublished(context, ClientId(key), &name));
                    self.core.unpublished = None;
                }
                Notice::PlayNext(place) => self.play_next(place),
                Notice::Answered(key, token, answer) => {
                    self.ask(|app, context| app.answered(context, ClientId(key), token, answer));
                }
                Notice::Object(object, notice) => self.object_notice(object, notice),
                Notice::ObjectsCrowd => {
                    self.core.objects.crowd_told();
                    self.ask(|app, context| app.shared_objects_crowd(context));
                }
            }
        }
    }

    /// A publisher goes on air once the application knows of it, unless that has sent it away.
    fn published(&mut self, place: Place, name: &Rc<str>, writer: WriterId) {
        match self.core.streams.tell(name, writer) {
            News::Gone => return,
            News::Known => {}
            News::New => {
                let client = ClientId(place.session);
                self.ask(|app, context| app.published(context, client, name));
            }
        }
        self.core.accept_publisher(name, writer);
    }

    fn object_notice(&mut self, object: ObjectId, notice: ObjectNotice) {
        self.ask(|app, context| match notice {
            ObjectNotice::Changed(key, changes) => {
                app.shared_object_changed(context, object, ClientId(key), &changes);
            }
            ObjectNotice::Message(key, values) => {
                if let Some((name, arguments)) = handler(&values) {
                    let client = ClientId(key);
                    app.shared_object_message(context, object, client, &name, &arguments);
                }
            }
            ObjectNotice::Status(status) => app.shared_object_status(context, object, status),
        });
    }

    fn open(&mut self, key: SessionKey, lane: LaneOut, open: &OpenSession) {
        if self.core.clients.contains_key(&key) {
            tracing::warn!(group = %self.core.name, session = %key.session, "session opened twice");
            return;
        }
        let Some(connect) = read_connect(&open.connect) else {
            let refusal = Refusal {
                status: Status::ConnectFailed,
                reason: CloseReason::Protocol,
                description: None,
            };
            let process = &self.core.process;
            process.refuse(&self.core.name, &lane, key, open, refusal);
            return;
        };
        let connect = Rc::new(connect);
        let client = Client::new(key, lane, open, Rc::clone(&connect), self.core.now);
        self.core.add(client);
        let client = ClientId(key);
        match self.ask(|app, context| app.connect(context, client, &connect)) {
            Admission::Accept => self.core.accept(key),
            Admission::Reject(rejection) => self.core.reject(key, rejection),
            Admission::Redirect { uri } => self.core.redirect(key, &uri, Rejection::default()),
            Admission::Pending => self.core.wait_for_decision(key),
        }
    }

    fn connect_timed_out(&mut self, key: SessionKey) {
        let description = "The application did not decide in time.".to_owned();
        let rejection = Rejection {
            description: Some(description),
            application: None,
        };
        self.core.reject(key, rejection);
    }

    /// Handles what a client had sent before it was accepted, up to the first message that the
    /// application has to hear of before the next.
    fn handle_held(&mut self, key: SessionKey, mut held: VecDeque<(Generation, Message)>) {
        while self.core.clients.contains_key(&key)
            && let Some((generation, message)) = held.pop_front()
        {
            self.handle(key, generation, message);
            if !self.core.notices.is_empty() && !held.is_empty() {
                return self.core.notices.push_back(Notice::Ready(key, held));
            }
        }
    }

    fn message(&mut self, key: SessionKey, generation: Generation, message: Message) {
        let Some(client) = self.core.clients.get_mut(&key) else {
            return;
        };
        client.traffic.receive(message.payload.len());
        if client.is_accepted() {
            self.handle(key, generation, message);
        } else if !client.hold(generation, message) {
            let info = Status::ConnectRejected.info(None, None);
            self.core.refuse(key, info, CloseReason::Limit);
        }
    }

    fn handle(&mut self, key: SessionKey, generation: Generation, message: Message) {
        let bytes = message.payload.len();
        if message.kind.is_command() {
            match Command::decode(message.kind, &message.payload) {
                Ok(command) => self.command(key, message.stream, generation, command),
                Err(error) => self.core.unreadable(key, message.kind, &error),
            }
        } else if message.kind.is_shared_object() {
            // It may have to wait, and its credit with it.
            return self.core.shared_object_message(key, &message);
        }
        // Data messages on the connection have no meaning of their own, nor have user control
        // messages: a live stream needs no buffer length.
        if let Some(client) = self.core.clients.get(&key) {
            client.consumed(bytes);
        }
    }

    fn command(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        generation: Generation,
        command: Command,
    ) {
        if matches!(command.name.as_str(), "_result" | "_error") {
            return self.core.answered(key, command);
        }
        match NetStreamCommand::parse(&command) {
            Ok(NetStreamCommand::Call) => self.call(key, command),
            Ok(parsed) if may_be_overridden(&parsed) => {
                self.core.freeing = Freeing::of(key, &parsed);
                let offered = self.offer(key, command);
                self.core.freeing = None;
                if let Some(command) = offered {
                    self.core.default_method(key, command.transaction, parsed);
                }
            }
            Ok(NetStreamCommand::Publish { name, kind }) => {
                self.publish(key, stream, generation, &name, kind);
            }
            Ok(NetStreamCommand::Play {
                name,
                start,
                length,
                reset,
            }) => {
                if reset.replaces() {
                    let how = PlayHow::new(Announce::Reset, length);
                    self.play(key, stream, &name, start, how);
                } else {
                    let how = PlayHow::new(Announce::Start, length);
                    self.play_behind(key, stream, name, start, how);
                }
            }
            Ok(NetStreamCommand::Play2(options)) => self.play2(key, stream, &options),
            Ok(parsed) => self
                .core
                .stream_command(key, stream, command.transaction, parsed),
            Err(error) => {
                self.core
                    .bad_arguments(key, stream, generation, &command, &error);
            }
        }
    }

    /// A call of the application's own method.
    fn call(&mut self, key: SessionKey, command: Command) {
        let offered = self.offer(key, command);
        if offered.is_none() {
            self.core.is_no_encoder(key);
        }
        if let Some(command) = offered {
            if command.name == CHECK_BANDWIDTH {
                let client = ClientId(key);
                let transaction = command.transaction;
                let responder = Responder {
                    client,
                    transaction,
                };
                self.core.respond(responder, Ok(Value::Undefined));
                self.core.measure_bandwidth(key);
                return;
            }
            let failed = answer::call_failed(&command.name);
            self.core.fail_call(key, command.transaction, failed);
        }
    }

    /// Lets the application answer a call; gives it back if there is no such method.
    fn offer(&mut self, key: SessionKey, command: Command) -> Option<Command> {
        let responder = Responder {
            client: ClientId(key),
            transaction: command.transaction,
        };
        let Command {
            name,
            transaction,
            object,
            arguments,
        } = command;
        let call = Call {
            responder,
            name,
            arguments,
        };
        let answer = self.ask(|app, context| app.call(context, &call));
        self.core.process.metrics.calls.inc();
        match answer {
            Answer::Unknown => {
                let Call {
                    name, arguments, ..
                } = call;
                return Some(Command {
                    name,
                    transaction,
                    object,
                    arguments,
                });
            }
            Answer::Result(value) => self.core.respond(responder, Ok(value)),
            Answer::Error(value) if transaction.expects_answer() => {
                self.core.respond(responder, Err(value));
            }
            Answer::Error(_) => {
                let failed = answer::call_failed(&call.name);
                self.core.fail_call(key, TransactionId::NONE, failed);
            }
            Answer::Deferred => {}
        }
        None
    }
}

/// What a client calls to be told how fast it is.
const CHECK_BANDWIDTH: &str = "checkBandwidth";

/// What encoders and players call although it belongs to nobody: an application may answer it,
/// and there is a default if it does not.
fn may_be_overridden(command: &NetStreamCommand) -> bool {
    matches!(
        command,
        NetStreamCommand::ReleaseStream { .. }
            | NetStreamCommand::FcPublish { .. }
            | NetStreamCommand::FcUnpublish { .. }
            | NetStreamCommand::FcSubscribe { .. }
            | NetStreamCommand::GetStreamLength { .. }
            | NetStreamCommand::CheckBw
    )
}
