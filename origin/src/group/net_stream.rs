//! NetStream commands: publish, play and the commands that follow them.

use tributary_protocol::{
    amf::Value,
    command::{
        self, ArgumentError, Command, Status,
        stream::{NetStreamCommand, PlayOptions, PlayStart, PublishKind},
    },
    link::{CloseReason, Generation, ToSession},
};

use super::{
    core::Core,
    message_stream::{Announce, Asked, MAX_STREAMS, PlayHow, Role},
    name::{StreamName, without_query},
    playing::Farewell,
    streams::StreamSlot,
    turn::Turn,
};
use crate::{
    app::{ClientId, RequestId, Responder},
    session::SessionKey,
};

impl Turn<'_> {
    pub(super) fn publish(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        name: &str,
        kind: PublishKind,
    ) {
        if self.publish_again(slot, generation, name) {
            return;
        }
        self.core.close_role(slot, Farewell::Silent);
        let relay = self.core.publish_acts().take_relay(slot);
        let clients = &mut self.core.clients;
        let refused = match (clients.has_stream(slot), StreamName::parse(name)) {
            (false, _) => (Status::StreamFailed, NO_STREAM),
            (true, _) if kind != PublishKind::Live => (Status::RecordNoAccess, NO_RECORDING),
            (true, None) => (Status::PublishBadName, BAD_NAME),
            (true, Some(parsed)) if !clients.may_write(slot.session, parsed.name) => {
                (Status::PublishBadName, NO_WRITE_ACCESS)
            }
            (true, Some(_)) if relay.is_err() => (Status::PublishDenied, NO_RELAY),
            (true, Some(parsed)) => {
                let what = Asked::Publish(generation);
                let relay = relay.unwrap_or_default();
                if let Some(mut request) = clients.ask(slot, parsed, what, relay) {
                    kind.as_str().clone_into(&mut request.kind);
                    let decision = self.ask(|app, context| app.publish(context, &request));
                    self.core.publish_acts().decide(request.id, decision);
                }
                return;
            }
        };
        let (status, why) = refused;
        let mut publishers = self.core.publish_acts();
        publishers.refuse(slot, generation, status, why, name);
    }

    pub(super) fn play2(&mut self, slot: StreamSlot, play: &PlayOptions) {
        let announce = match play.transition.as_deref() {
            Some("append" | "appendAndWait") => {
                let how = PlayHow::new(Announce::Start, play.length);
                return self.play_behind(slot, play.name.clone(), play.start, how);
            }
            Some("switch" | "swap" | "resume") => Announce::Transition,
            _ => Announce::Reset,
        };
        let how = PlayHow::new(announce, play.length);
        self.play(slot, &play.name, play.start, how);
    }

    /// Whether a play from a place gets the live stream of its name.
    fn plays_live(&self, name: Option<StreamName<'_>>) -> bool {
        let is_published = |name: StreamName<'_>| self.core.streams.is_published(name.name);
        self.app.plays_live_from_any_start() && name.is_some_and(is_published)
    }

    pub(super) fn play(&mut self, slot: StreamSlot, name: &str, start: PlayStart, how: PlayHow) {
        self.core.clients.is_no_encoder(slot.session);
        if self.play_again(slot, name) {
            return;
        }
        self.core.close_role(slot, Farewell::Silent);
        let relay = self.core.publish_acts().take_relay(slot);
        let has_stream = self.core.clients.has_stream(slot);
        let refused = match (has_stream, StreamName::parse(name)) {
            (false, _) => (Status::StreamFailed, NO_STREAM),
            (true, parsed)
                if matches!(start, PlayStart::Recorded(_)) && !self.plays_live(parsed) =>
            {
                (Status::PlayStreamNotFound, NOT_FOUND)
            }
            (true, None) => (Status::PlayFailed, BAD_NAME),
            (true, Some(parsed)) if !self.core.clients.may_read(slot.session, parsed.name) => {
                (Status::PlayFailed, NO_READ_ACCESS)
            }
            (true, Some(_)) if relay.is_err() => (Status::PlayFailed, NO_RELAY),
            (true, Some(parsed)) => {
                let what = Asked::Play(how);
                let relay = relay.unwrap_or_default();
                if let Some(request) = self.core.clients.ask(slot, parsed, what, relay) {
                    let decision = self.ask(|app, context| app.play(context, &request));
                    self.core.play_acts().decide(request.id, decision);
                }
                return;
            }
        };
        let (status, why) = refused;
        self.core.clients.stream_status(slot, status, why, name);
    }
}

impl Core {
    /// The NetStream and NetConnection commands that no application decides.
    pub(super) fn stream_command(
        &mut self,
        slot: StreamSlot,
        responder: Responder,
        command: NetStreamCommand,
    ) {
        match command {
            NetStreamCommand::CreateStream => self.create_stream(responder),
            NetStreamCommand::DeleteStream(stream) => {
                let slot = StreamSlot { stream, ..slot };
                self.close_role(slot, Farewell::Silent);
                if let Some(client) = self.clients.get_mut(slot.session) {
                    client.streams.delete(stream);
                    client.remember_stream(stream, self.room.now);
                }
            }
            NetStreamCommand::CloseStream
            | NetStreamCommand::StopPublish
            | NetStreamCommand::StopPlay => self.close_role(slot, Farewell::Full),
            NetStreamCommand::Pause { paused, .. } => self.play_acts().pause(slot, paused),
            NetStreamCommand::Seek { .. } => {
                let clients = &mut self.clients;
                clients.stream_status(slot, Status::SeekFailed, NO_SEEK, "");
            }
            NetStreamCommand::ReceiveAudio(on) => self.play_acts().receive(slot, Some(on), None),
            NetStreamCommand::ReceiveVideo(on) => self.play_acts().receive(slot, None, Some(on)),
            // A live stream needs no buffer length; other commands never come here.
            _ => {}
        }
    }

    /// Does the default for a call of encoders and players that the application does not answer.
    pub(super) fn default_method(&mut self, responder: Responder, command: NetStreamCommand) {
        let key = responder.client.0;
        let mut result = Value::Undefined;
        let mut notice = None;
        match command {
            NetStreamCommand::ReleaseStream { name } => self.publish_acts().release(key, &name),
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
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if let Some(notice) = notice {
            client.command(&notice);
        }
        if responder.transaction.expects_answer() {
            client.command(&command::result(responder.transaction, result));
        }
    }

    /// Answers once for each client: ffmpeg and librtmp answer onBWDone with another `_checkbw`.
    fn check_bandwidth(&mut self, key: SessionKey) -> Option<Command> {
        let client = self.clients.get_mut(key)?;
        let first = !std::mem::replace(&mut client.bandwidth_checked, true);
        first.then(|| command::on_bw_done(&[]))
    }

    fn create_stream(&mut self, responder: Responder) {
        let Some(client) = self.clients.get_mut(responder.client.0) else {
            return;
        };
        let Some(id) = client.streams.create() else {
            let description = format!("A connection has at most {MAX_STREAMS} message streams.");
            let info = Status::CallFailed.info(Some(&description), None);
            return self.clients.fail_call(responder, info);
        };
        client.remember_stream(id, self.room.now);
        if responder.transaction.expects_answer() {
            client.command(&command::result(responder.transaction, f64::from(id.0)));
        }
    }

    /// Refuses arguments that a command cannot have.
    pub(super) fn bad_arguments(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        command: &Command,
        error: &ArgumentError,
    ) {
        let StreamSlot { session, stream } = slot;
        let info = error.info();
        if command.name == "publish"
            && let Some(client) = self.clients.get(session)
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
            let responder = self.clients.responder(session, command.transaction);
            return self.clients.fail_call(responder, info);
        }
        if let Some(client) = self.clients.get_mut(session) {
            client.command_on(stream, &command::on_status(info));
        }
        if command.name == "publish" {
            self.publish_acts().is_over(session);
        }
    }

    pub(super) fn request_timed_out(&mut self, slot: StreamSlot, serial: u32) {
        let id = RequestId {
            client: ClientId(slot.session),
            stream: slot.stream,
            serial,
        };
        let Some(asking) = self.clients.take_asking(id) else {
            return;
        };
        match asking.what {
            Asked::Publish(generation) => {
                let status = Status::PublishBadName;
                let mut publishers = self.publish_acts();
                publishers.refuse(slot, generation, status, UNDECIDED, &asking.name);
            }
            Asked::Play(_) => self.play_acts().refuse(slot, UNDECIDED, &asking.name),
        }
    }

    /// Ends the use of a message stream at its client's command.
    pub(super) fn close_role(&mut self, slot: StreamSlot, farewell: Farewell) {
        let role = self.clients.take_role(slot);
        if !matches!(role, None | Some(Role::Idle)) {
            self.clients.remember_stream(slot, self.room.now);
        }
        match role {
            None | Some(Role::Idle) => {}
            Some(Role::Asking(asking)) => {
                if let Asked::Publish(generation) = asking.what
                    && let Some(client) = self.clients.get(slot.session)
                {
                    let stream = slot.stream;
                    client.tell(ToSession::StopPublish { stream, generation });
                }
            }
            Some(Role::Publishing {
                name, generation, ..
            }) => {
                self.publish_acts().close(slot, &name, generation);
            }
            Some(Role::Playing(playing)) => self.play_acts().close(slot, &playing, farewell),
        }
    }

    /// Ends the streams of a session that is over. Its publishes wait for its return, unless the
    /// end is final.
    pub(super) fn leave_streams(&mut self, key: SessionKey, reason: CloseReason) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        for message_stream in client.streams.take_all() {
            let slot = StreamSlot {
                session: key,
                stream: message_stream.id,
            };
            match message_stream.role {
                Role::Idle | Role::Asking(_) => {}
                Role::Publishing { name, .. } if is_final(reason) => {
                    self.publish_acts().unpublish(&name, slot);
                }
                Role::Publishing { name, .. } => self.publish_acts().lose(&name, slot),
                Role::Playing(playing) => self.play_acts().unwatch(&playing.name, slot),
            }
        }
    }
}

/// Whether a session that ended for this reason does not come back.
fn is_final(reason: CloseReason) -> bool {
    matches!(
        reason,
        CloseReason::Application | CloseReason::Shutdown | CloseReason::Moved
    )
}

const NO_STREAM: &str = "There is no such message stream; createStream makes one.";
const NO_RECORDING: &str = "This server does not record.";
const NO_READ_ACCESS: &str = "The client has no read access to the stream.";
const NO_WRITE_ACCESS: &str = "The client has no write access to the stream.";
const NO_RELAY: &str = "The service asks for a relay that is not permitted here.";
const BAD_NAME: &str = "The stream's name is not allowed.";
const NOT_FOUND: &str = "There is no such recorded stream.";
const NO_SEEK: &str = "A live stream cannot be sought in.";
const UNDECIDED: &str = "The application did not decide in time.";
