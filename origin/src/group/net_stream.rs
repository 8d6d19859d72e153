//! NetStream commands: publish, play and what follows from them.

use std::rc::Rc;

use tributary_protocol::{
    MessageStreamId, TransactionId,
    amf::{Object, Value},
    command::{
        self, ArgumentError, Command, Status,
        stream::{NetStreamCommand, PlayOptions, PlayStart, PublishKind},
    },
    link::{Generation, ToSession},
};

use super::{
    answer,
    client::{Announce, Asked, Asking, MAX_STREAMS, PlayHow, Role},
    core::Core,
    name::StreamName,
    streams::Place,
    timers::Timer,
    turn::Turn,
};
use crate::{
    app::{ClientId, DECISION_TIME, Decision, PublishGrant, RequestId, StreamRequest},
    metrics::PublishResult,
    session::SessionKey,
};

impl Turn<'_> {
    pub(super) fn publish(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        generation: Generation,
        name: &str,
        kind: PublishKind,
    ) {
        self.core.close_role(key, stream, Farewell::Silent);
        let refused = match (self.core.has_stream(key, stream), StreamName::parse(name)) {
            (false, _) => (Status::StreamFailed, NO_STREAM),
            (true, _) if kind != PublishKind::Live => (Status::RecordNoAccess, NO_RECORDING),
            (true, None) => (Status::PublishBadName, BAD_NAME),
            (true, Some(parsed)) if !self.core.may_write(key, parsed.name) => {
                (Status::PublishBadName, NO_WRITE_ACCESS)
            }
            (true, Some(parsed)) => {
                let what = Asked::Publish(generation);
                if let Some(mut request) = self.core.ask_for(key, stream, parsed, what) {
                    kind.as_str().clone_into(&mut request.kind);
                    let decision = self.ask(|app, context| app.publish(context, &request));
                    self.core.decide_publish(request.id, decision);
                }
                return;
            }
        };
        self.core
            .refuse_publish(key, stream, generation, refused.0, refused.1, name);
    }

    pub(super) fn play2(&mut self, key: SessionKey, stream: MessageStreamId, play: &PlayOptions) {
        let announce = match play.transition.as_deref() {
            Some("append" | "appendAndWait") => {
                let how = PlayHow::new(Announce::Start, play.length);
                return self.play_behind(key, stream, play.name.clone(), play.start, how);
            }
            Some("switch" | "swap" | "resume") => Announce::Transition,
            _ => Announce::Reset,
        };
        let how = PlayHow::new(announce, play.length);
        self.play(key, stream, &play.name, play.start, how);
    }

    /// Whether a play from a place gets the live stream of its name.
    fn plays_live(&self, name: Option<StreamName<'_>>) -> bool {
        let is_published = |name: StreamName<'_>| self.core.streams.is_published(name.name);
        self.app.plays_live_from_any_start() && name.is_some_and(is_published)
    }

    pub(super) fn play(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        name: &str,
        start: PlayStart,
        how: PlayHow,
    ) {
        self.core.is_no_encoder(key);
        self.core.close_role(key, stream, Farewell::Silent);
        let refused = match (self.core.has_stream(key, stream), StreamName::parse(name)) {
            (false, _) => (Status::StreamFailed, NO_STREAM),
            (true, parsed)
                if matches!(start, PlayStart::Recorded(_)) && !self.plays_live(parsed) =>
            {
                (Status::PlayStreamNotFound, NOT_FOUND)
            }
            (true, None) => (Status::PlayFailed, BAD_NAME),
            (true, Some(parsed)) if !self.core.may_read(key, parsed.name) => {
                (Status::PlayFailed, NO_READ_ACCESS)
            }
            (true, Some(parsed)) => {
                let what = Asked::Play(how);
                if let Some(request) = self.core.ask_for(key, stream, parsed, what) {
                    let decision = self.ask(|app, context| app.play(context, &request));
                    self.core.decide_play(request.id, decision);
                }
                return;
            }
        };
        self.core
            .stream_status(key, stream, refused.0, refused.1, name);
    }
}

/// What a client hears when its message stream stops publishing or playing at its own word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    /// Unpublish.Success, Play.Stop.
    Full,
    /// Unpublish.Success: the message stream is gone, or is to be used anew.
    Silent,
}

impl Core {
    /// The NetStream and NetConnection commands that no application decides.
    pub(super) fn stream_command(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        transaction: TransactionId,
        command: NetStreamCommand,
    ) {
        match command {
            NetStreamCommand::CreateStream => self.create_stream(key, transaction),
            NetStreamCommand::DeleteStream(id) => {
                self.close_role(key, id, Farewell::Silent);
                if let Some(client) = self.clients.get_mut(&key) {
                    client.delete_stream(id);
                }
            }
            NetStreamCommand::CloseStream
            | NetStreamCommand::StopPublish
            | NetStreamCommand::StopPlay => self.close_role(key, stream, Farewell::Full),
            NetStreamCommand::Pause { paused, .. } => self.pause(key, stream, paused),
            NetStreamCommand::Seek { .. } => {
                self.stream_status(key, stream, Status::SeekFailed, NO_SEEK, "");
            }
            NetStreamCommand::ReceiveAudio(on) => self.receive(key, stream, Some(on), None),
            NetStreamCommand::ReceiveVideo(on) => self.receive(key, stream, None, Some(on)),
            // A live stream needs no buffer length; the rest never comes here.
            _ => {}
        }
    }

    /// What encoders and players call and the application does not answer.
    pub(super) fn default_method(
        &mut self,
        key: SessionKey,
        transaction: TransactionId,
        command: NetStreamCommand,
    ) {
        let mut result = Value::Undefined;
        let mut notice = None;
        match command {
            NetStreamCommand::ReleaseStream { name } => self.release_stream(key, &name),
            NetStreamCommand::FcPublish { name } => {
                notice = Some(command::on_fc_publish(without_query(&name)));
            }
            NetStreamCommand::FcUnpublish { name } => {
                notice = Some(command::on_fc_unpublish(without_query(&name)));
            }
            NetStreamCommand::FcSubscribe { name } => {
                notice = Some(command::on_fc_subscribe(without_query(&name)));
            }
            NetStreamCommand::GetStreamLength { .. } => result = Value::Number(0.0),
            NetStreamCommand::CheckBw => notice = self.check_bandwidth(key),
            _ => return,
        }
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if let Some(notice) = notice {
            client.command(&notice);
        }
        if transaction.expects_answer() {
            client.command(&command::result(transaction, result));
        }
    }

    /// Once for each client: ffmpeg and librtmp answer onBWDone with another `_checkbw`.
    fn check_bandwidth(&mut self, key: SessionKey) -> Option<Command> {
        let client = self.clients.get_mut(&key)?;
        let first = !std::mem::replace(&mut client.bandwidth_checked, true);
        first.then(|| command::on_bw_done(&[]))
    }

    fn create_stream(&mut self, key: SessionKey, transaction: TransactionId) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let Some(id) = client.create_stream() else {
            let description = format!("A connection has at most {MAX_STREAMS} message streams.");
            let info = Status::CallFailed.info(Some(&description), None);
            return self.fail_call(key, transaction, info);
        };
        if transaction.expects_answer() {
            client.command(&command::result(transaction, f64::from(id.0)));
        }
    }

    /// Arguments that a command cannot have.
    pub(super) fn bad_arguments(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        generation: Generation,
        command: &Command,
        error: &ArgumentError,
    ) {
        let info = error.info();
        if command.name == "publish"
            && let Some(client) = self.clients.get(&key)
        {
            client.tell(ToSession::StopPublish { stream, generation });
        }
        let on_stream = matches!(
            command.name.as_str(),
            "publish"
                | "play"
                | "play2"
                | "seek"
                | "pause"
                | "pauseRaw"
                | "receiveAudio"
                | "receiveVideo"
        );
        if !on_stream {
            return self.fail_call(key, command.transaction, info);
        }
        if let Some(client) = self.clients.get_mut(&key) {
            client.command_on(stream, &command::on_status(info));
        }
        if command.name == "publish" {
            self.publish_is_over(key);
        }
    }

    /// A call that failed: `_error` if the client waits for an answer, else onStatus.
    pub(super) fn fail_call(&mut self, key: SessionKey, transaction: TransactionId, info: Object) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if transaction.expects_answer() {
            client.command(&command::error(transaction, info));
        } else {
            client.command(&command::on_status(info));
        }
    }

    /// An onStatus on a message stream, about a name as the client wrote it.
    pub(super) fn stream_status(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        status: Status,
        description: &str,
        name: &str,
    ) {
        if let Some(client) = self.clients.get_mut(&key) {
            let command = answer::status(status, description, without_query(name));
            client.command_on(stream, &command);
        }
    }

    fn may_read(&self, key: SessionKey, name: &str) -> bool {
        let client = self.clients.get(&key);
        client.is_some_and(|client| client.may_read(name))
    }

    fn may_write(&self, key: SessionKey, name: &str) -> bool {
        let client = self.clients.get(&key);
        client.is_some_and(|client| client.may_write(name))
    }

    fn has_stream(&mut self, key: SessionKey, stream: MessageStreamId) -> bool {
        self.clients
            .get_mut(&key)
            .is_some_and(|client| client.stream(stream).is_some())
    }

    /// Notes that a message stream waits for the application's word.
    fn ask_for(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        name: StreamName<'_>,
        what: Asked,
    ) -> Option<StreamRequest> {
        let client = self.clients.get_mut(&key)?;
        let serial = client.next_serial();
        let request = StreamRequest {
            id: RequestId {
                client: ClientId(key),
                stream,
                serial,
            },
            name: name.name.to_owned(),
            query: name.query.to_owned(),
            kind: String::new(),
        };
        client.stream(stream)?.role = Role::Asking(Box::new(Asking {
            serial,
            name: request.name.clone(),
            query: request.query.clone(),
            what,
        }));
        Some(request)
    }

    /// The request, unless it was withdrawn or decided.
    fn take_asking(&mut self, request: RequestId) -> Option<Asking> {
        let stream = self
            .clients
            .get_mut(&request.client.0)?
            .stream(request.stream)?;
        match std::mem::replace(&mut stream.role, Role::Idle) {
            Role::Asking(asking) if asking.serial == request.serial => Some(*asking),
            other => {
                stream.role = other;
                None
            }
        }
    }

    pub(super) fn decide_publish(&mut self, request: RequestId, decision: Decision<PublishGrant>) {
        let grant = match decision {
            Decision::Pending => return self.wait_for_word(request),
            Decision::Accept(grant) => Ok(grant),
            Decision::Refuse(why) => Err(why),
        };
        let Some(asking) = self.take_asking(request) else {
            return;
        };
        let Asked::Publish(generation) = asking.what else {
            return self.put_back(request, asking);
        };
        let (key, stream) = (request.client.0, request.stream);
        match grant {
            Ok(grant) => self.start_publish(key, stream, generation, &asking, grant),
            Err(why) => {
                let status = Status::PublishBadName;
                self.refuse_publish(key, stream, generation, status, &why, &asking.name);
            }
        }
    }

    pub(super) fn decide_play(&mut self, request: RequestId, decision: Decision<()>) {
        let refused = match decision {
            Decision::Pending => return self.wait_for_word(request),
            Decision::Accept(()) => None,
            Decision::Refuse(why) => Some(why),
        };
        let Some(asking) = self.take_asking(request) else {
            return;
        };
        let Asked::Play(how) = asking.what else {
            return self.put_back(request, asking);
        };
        let (key, stream) = (request.client.0, request.stream);
        match refused {
            None => self.start_play(key, stream, &asking.name, how),
            Some(why) => {
                self.stream_status(key, stream, Status::PlayFailed, &why, &asking.name);
                self.play_next_later(Place {
                    session: key,
                    stream,
                });
            }
        }
    }

    /// A decision of the wrong kind changes nothing.
    fn put_back(&mut self, request: RequestId, asking: Asking) {
        let client = self.clients.get_mut(&request.client.0);
        if let Some(stream) = client.and_then(|client| client.stream(request.stream)) {
            stream.role = Role::Asking(Box::new(asking));
        }
    }

    fn wait_for_word(&mut self, request: RequestId) {
        let Some(client) = self.clients.get(&request.client.0) else {
            return;
        };
        let timer = Timer::Request(client.place(request.stream), request.serial);
        self.timers.add(self.now + DECISION_TIME, timer);
    }

    pub(super) fn request_timed_out(&mut self, place: Place, serial: u32) {
        let id = RequestId {
            client: ClientId(place.session),
            stream: place.stream,
            serial,
        };
        let Some(asking) = self.take_asking(id) else {
            return;
        };
        let (key, stream) = (place.session, place.stream);
        match asking.what {
            Asked::Publish(generation) => {
                let status = Status::PublishBadName;
                self.refuse_publish(key, stream, generation, status, UNDECIDED, &asking.name);
            }
            Asked::Play(_) => {
                self.stream_status(key, stream, Status::PlayFailed, UNDECIDED, &asking.name);
                self.play_next_later(place);
            }
        }
    }

    pub(super) fn refuse_publish(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        generation: Generation,
        status: Status,
        description: &str,
        name: &str,
    ) {
        if let Some(client) = self.clients.get(&key) {
            client.tell(ToSession::StopPublish { stream, generation });
        }
        self.process.metrics.published(PublishResult::Refused);
        self.stream_status(key, stream, status, description, name);
        self.publish_is_over(key);
    }

    fn pause(&mut self, key: SessionKey, stream: MessageStreamId, paused: Option<bool>) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let Some(net_stream) = client.stream(stream) else {
            return;
        };
        let paused = paused.unwrap_or(!net_stream.filter.paused);
        let Role::Playing(playing) = &net_stream.role else {
            return;
        };
        let name = Rc::clone(&playing.name);
        let attached = playing.live.is_some();
        net_stream.filter.paused = paused;
        let filter = net_stream.filter;
        if attached {
            client.tell(ToSession::Filter { stream, filter });
        }
        let status = if paused {
            Status::PauseNotify
        } else {
            Status::UnpauseNotify
        };
        let verb = if paused { "Pausing" } else { "Unpausing" };
        self.stream_status(key, stream, status, &format!("{verb} {name}."), &name);
    }

    fn receive(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        audio: Option<bool>,
        video: Option<bool>,
    ) {
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        let Some(net_stream) = client.stream(stream) else {
            return;
        };
        let before = net_stream.filter;
        let filter = &mut net_stream.filter;
        filter.audio = audio.unwrap_or(filter.audio);
        filter.video = video.unwrap_or(filter.video);
        let filter = *filter;
        let Some(playing) = net_stream.playing().filter(|_| filter != before) else {
            return;
        };
        let name = Rc::clone(&playing.name);
        if playing.live.is_some() {
            client.tell(ToSession::Filter { stream, filter });
        }
        if audio.or(video) == Some(true) {
            // RTMP 1.0, 7.2.2.4 and 7.2.2.5: turning one on is announced like a seek.
            let description = format!("Seeking in {name}.");
            self.stream_status(key, stream, Status::SeekNotify, &description, &name);
            let description = format!("Started playing {name}.");
            self.stream_status(key, stream, Status::PlayStart, &description, &name);
        }
    }
}

/// A name as the client wrote it, without what may be a key.
fn without_query(name: &str) -> &str {
    name.split('?').next().unwrap_or_default()
}

const NO_STREAM: &str = "There is no such message stream; createStream makes one.";
const NO_RECORDING: &str = "This server does not record.";
const NO_READ_ACCESS: &str = "The client has no read access to the stream.";
const NO_WRITE_ACCESS: &str = "The client has no write access to the stream.";
const BAD_NAME: &str = "The stream's name is not allowed.";
const NOT_FOUND: &str = "There is no such recorded stream.";
const NO_SEEK: &str = "A live stream cannot be sought in.";
const UNDECIDED: &str = "The application did not decide in time.";
