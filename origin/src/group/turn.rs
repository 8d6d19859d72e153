//! The turns of a group: each handles one piece of mail, or the deadlines that are due.

use std::{collections::VecDeque, sync::Arc};

use tributary_protocol::{
    Message, MessageStreamId,
    amf::Value,
    command::{self, Command, NetStreamCommand, Status},
    link::{CloseReason, FromSession, Generation, WriterId},
};

use super::{
    Context, answer,
    bandwidth::Measurement,
    client::{Client, read_connect},
    core::Core,
    freeing::Freeing,
    message_stream::{Announce, PlayHow},
    notice::Notice,
    pull_id::PullId,
    refusal::Refusal,
    resume_token::{Resumable, ResumeWish},
    shared_objects::{ObjectNotice, handler},
    streams::{News, StreamSlot},
    timers::Timer,
};
use crate::{
    app::{
        Admission, Answer, Application, Call, ClientId, Event, ObjectId, Rejection, Responder,
        StopReason, StreamId, StreamStatus,
    },
    exchange::pull::PullReport,
    session::{Mail, Opening, SessionKey},
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
            Mail::Outage { lane, lost: true } => self.core.publish_acts().lane_lost(lane),
            Mail::Outage { lane, lost: false } => self.core.publish_acts().lane_back(lane),
            Mail::Silence { lane, silent } => self.core.publish_acts().lane_silent(lane, silent),
            Mail::SnapshotWanted { audience } => self.core.object_acts().snapshot_wanted(audience),
            // The actor takes them.
            Mail::Restore { .. } | Mail::Gathered => {}
        }
        self.settle();
    }

    fn session(&mut self, session: SessionKey, event: FromSession<Opening>) {
        let Some(session) = self.core.clients.in_session(session) else {
            return;
        };
        match event {
            FromSession::Open(opening) => self.open(session, opening),
            FromSession::Message {
                generation,
                message,
            } => self.message(session, generation, message),
            FromSession::Stalled { stream, stalled } => {
                let slot = StreamSlot { session, stream };
                self.core.publish_acts().stalled(slot, stalled);
            }
            FromSession::Statistics(statistics) => {
                if let Some(client) = self.core.clients.get_mut(session) {
                    client.report(statistics, self.core.room.now);
                }
            }
            FromSession::Reconnects(key) => self.core.publish_acts().reconnects(session, key),
            FromSession::Relay { stream, address } => {
                if let Some(client) = self.core.clients.get_mut(session) {
                    client.relay = Some(Box::new((stream, address)));
                }
            }
            FromSession::Close(reason) => self.core.forget(session, reason),
        }
    }

    /// Closes a session that sends faster than the group works and does not heed its credit.
    pub(super) fn overflow(&mut self, session: SessionKey) {
        if let Some(client) = self.core.clients.in_session(session) {
            self.core
                .end(client, &[command::close()], CloseReason::Limit);
        }
        self.settle();
    }

    pub(super) fn event(&mut self, event: Event) {
        self.ask(|app, context| app.event(context, event));
        self.settle();
    }

    pub(super) fn pulled(&mut self, pull: PullId, run: u64, report: PullReport) {
        self.core.publish_acts().pulled(pull, run, report);
        self.settle();
    }

    pub(super) fn relays_changed(&mut self) {
        self.core.publish_acts().relays_changed();
        self.settle();
    }

    pub(super) fn stream_status(&mut self, stream: StreamId, status: &StreamStatus) {
        if self.core.own_streams.get(stream).is_some() {
            self.ask(|app, context| app.stream_status(context, stream, status));
        }
        self.settle();
    }

    /// Handles every deadline that is due.
    pub(super) fn expire(&mut self) {
        let now = self.core.room.now;
        while let Some(timer) = self.core.room.agenda.timers.take_due(now) {
            match timer {
                Timer::Connect(key) => self.connect_timed_out(key),
                Timer::Request(slot, serial) => self.core.request_timed_out(slot, serial),
                Timer::Play(slot, until) => self.core.play_acts().may_be_over(slot, until),
                Timer::Source(stream, serial) => {
                    let mut publishers = self.core.publish_acts();
                    let air = publishers.source_acts().may_be_over(stream, serial);
                    publishers.follow(stream, air);
                }
                Timer::Stream(name) => self.core.publish_acts().expire(&name),
                Timer::Objects(key) => self.core.object_acts().messages_due(key),
                Timer::Encoder(key) => self.core.part_with_encoder(key),
                Timer::Offset(slot) => self.core.publish_acts().remember_publish(slot),
                Timer::Unwatched(pull) => self.core.publish_acts().may_be_unwatched(pull),
                Timer::Lock(object, lock) => self.core.object_acts().lock_expired(object, lock),
            }
        }
        let app_deadline = &mut self.core.room.agenda.app_deadline;
        if app_deadline.take_if(|at| *at <= now).is_some() {
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

    /// Delivers the notices that calls of the application have caused, until none is left.
    pub(super) fn settle(&mut self) {
        while self.core.room.agenda.ending.is_none()
            && let Some(notice) = self.core.room.agenda.notices.pop_front()
        {
            match notice {
                Notice::Ready(key, held) => self.handle_held(key, held),
                Notice::Restored(key, restored) => self.go_on_with(key, restored),
                Notice::Left(key, reason) => {
                    self.ask(|app, context| app.disconnect(context, ClientId(key), reason));
                }
                Notice::Published(slot, name, writer) => self.published(slot, &name, writer),
                Notice::Unpublished(key, name, query) => {
                    self.core.room.agenda.unpublished = Some(Box::new((Arc::clone(&name), query)));
                    self.ask(|app, context| app.unpublished(context, ClientId(key), &name));
                    self.core.room.agenda.unpublished = None;
                }
                Notice::PlayNext(slot) => self.play_next(slot),
                Notice::Pull(name, url) => self.core.publish_acts().pull_for(&name, *url),
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
        if self.core.streams.take_changed() {
            self.core.publish_acts().look_at_viewers();
        }
    }

    /// Puts a publisher on air once the application has its notice, unless the application has
    /// disconnected it.
    fn published(&mut self, slot: StreamSlot, name: &Arc<str>, writer: WriterId) {
        match self.core.streams.tell(name, writer) {
            News::Gone => return,
            News::Known => {}
            News::New => {
                let client = ClientId(slot.session);
                self.ask(|app, context| app.published(context, client, name));
            }
        }
        self.core.publish_acts().accept(name, writer);
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

    fn open(&mut self, key: SessionKey, opening: Opening) {
        let Opening {
            lane,
            open,
            repeats,
        } = opening;
        if self.core.clients.contains(key) {
            tracing::warn!(group = %self.core.room.name, session = %key.session, "session opened twice");
            return;
        }
        let Some(connect) = read_connect(&open.connect) else {
            let refusal = Refusal {
                status: Status::ConnectFailed,
                reason: CloseReason::Protocol,
                description: None,
            };
            let process = &self.core.room.process;
            process.refuse(&self.core.room.name, &lane, key, &open, refusal);
            return;
        };
        let connect = Arc::new(connect);
        // An edge of an older version cannot pass the client's streams on.
        if repeats && self.resume(key, &lane, &open, &connect) {
            return;
        }
        let mut client = Client::new(key, lane, &open, Arc::clone(&connect), self.core.room.now);
        if ResumeWish::of(&connect) != ResumeWish::None {
            client.resumable = Some(Resumable::new());
        }
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

    /// Handles messages that a client had sent before it was accepted, up to the first one that
    /// causes a notice for the application.
    fn handle_held(&mut self, key: SessionKey, mut held: VecDeque<(Generation, Message)>) {
        while self.core.clients.contains(key)
            && let Some((generation, message)) = held.pop_front()
        {
            self.handle(key, generation, message);
            if !self.core.room.agenda.notices.is_empty() && !held.is_empty() {
                return self.core.room.notify(Notice::Ready(key, held));
            }
        }
    }

    fn message(&mut self, key: SessionKey, generation: Generation, message: Message) {
        self.core.clients.heard(key);
        let Some(client) = self.core.clients.get_mut(key) else {
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
        if let Some(client) = self.core.clients.get(key) {
            client.begin_message();
        }
        if message.kind.is_command() {
            match Command::decode(message.kind, &message.payload) {
                Ok(command) => self.command(key, message.stream, generation, command),
                Err(error) => self.core.unreadable(key, message.kind, &error),
            }
        } else if message.kind.is_shared_object() {
            // The message may have to wait, and its credit with it.
            let verdict = self.core.object_acts().message(key, &message);
            return self.core.obey(key, verdict);
        }
        // Data messages on the connection have no meaning of their own, nor have user control
        // messages: a live stream needs no buffer length.
        if let Some(client) = self.core.clients.get(key) {
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
        let slot = StreamSlot {
            session: key,
            stream,
        };
        let responder = self.core.clients.responder(key, command.transaction);
        match NetStreamCommand::parse(&command) {
            Ok(NetStreamCommand::Call) => self.call(responder, command),
            Ok(parsed) if may_be_overridden(&parsed) => {
                self.core.room.agenda.freeing = Freeing::of(key, &parsed).map(Box::new);
                let offered = self.offer(responder, command);
                self.core.room.agenda.freeing = None;
                if offered.is_some() {
                    self.core.default_method(responder, parsed);
                }
            }
            Ok(NetStreamCommand::Publish { name, kind }) => {
                self.publish(slot, generation, &name, kind);
            }
            Ok(NetStreamCommand::Play {
                name,
                start,
                length,
                reset,
            }) => {
                if reset.replaces() {
                    let how = PlayHow::new(Announce::Reset, length);
                    self.play(slot, &name, start, how);
                } else {
                    let how = PlayHow::new(Announce::Start, length);
                    self.play_behind(slot, name, start, how);
                }
            }
            Ok(NetStreamCommand::Play2(options)) => self.play2(slot, &options),
            Ok(parsed) => self.core.stream_command(slot, responder, parsed),
            Err(error) => self.core.bad_arguments(slot, generation, &command, &error),
        }
    }

    /// Handles a call of the application's own method.
    fn call(&mut self, responder: Responder, command: Command) {
        let key = responder.client.0;
        let Some(name) = self.offer(responder, command) else {
            return self.core.clients.is_no_encoder(key);
        };
        if name != CHECK_BANDWIDTH {
            let failed = answer::call_failed(&name);
            return self.core.clients.fail_call(responder, failed);
        }
        self.core.clients.respond(responder, Ok(Value::Undefined));
        if let Some(client) = self.core.clients.get_mut(key) {
            Measurement::begin(client, self.core.room.now);
        }
    }

    /// Lets the application answer a call; returns the method's name if it has none.
    fn offer(&mut self, responder: Responder, command: Command) -> Option<String> {
        let call = Call {
            responder,
            name: command.name,
            arguments: command.arguments,
        };
        self.core.clients.begin_call(responder);
        let answer = self.ask(|app, context| app.call(context, &call));
        self.core.room.process.metrics.calls.inc();
        let clients = &mut self.core.clients;
        match answer {
            Answer::Unknown => return Some(call.name),
            Answer::Result(value) => clients.respond(responder, Ok(value)),
            Answer::Error(value) if responder.transaction.expects_answer() => {
                clients.respond(responder, Err(value));
            }
            Answer::Error(_) => clients.fail_call(responder, answer::call_failed(&call.name)),
            Answer::Deferred if self.core.room.process.settings.restores => clients.defer(),
            Answer::Deferred => {}
        }
        None
    }
}

/// The method by which a client asks for a measurement of its bandwidth.
const CHECK_BANDWIDTH: &str = "checkBandwidth";

/// Whether this is a command of encoders and players that an application may answer, and that has a
/// default if it does not.
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
