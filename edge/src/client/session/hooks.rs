//! The session's side of hooks: services that decide after the gate.

use std::time::Instant;

use tributary_gate::{Action, Debt, HookEvent, HookRefused, HookVerdict, Refusal, Told};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, SessionId,
    amf::Value,
    command::{Command, Connect, NetStreamCommand, ObjectEncoding, Status},
    link::{Generation, RelayAddress, lane_frame::MAX_CONNECT},
};

use super::{Session, at_gate::Awaited, gate::moment};
use crate::{
    client::{act::Act, end::End, route::Route},
    hooks::{Asked, Card, Conversation, Farewell, HookNews},
};

impl Session {
    /// The conversation with the services of the session's application, if it has some.
    pub(super) fn conversation(&self, connect: &Connect) -> Option<Conversation> {
        let of = self.worker.policy(self.name().0)?.hooks.clone()?;
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let epoch = self.began.saturating_duration_since(self.worker.began());
        let card = Card {
            app: connect.app.clone(),
            flash_ver: text(&connect.flash_ver),
            swf_url: text(&connect.swf_url),
            tc_url: text(&connect.tc_url),
            page_url: text(&connect.page_url),
            address: self.peer.ip(),
            transport: self.protocol,
            session: self.worker.upstream.number().0,
            epoch: epoch.as_millis() as u32,
            user: None,
        };
        Some(Conversation::new(self.worker.hooks().clone(), of, card))
    }

    fn hooked(&mut self) -> Option<&mut Conversation> {
        self.gate.as_deref_mut()?.hooked.as_deref_mut()
    }

    /// The number by which services know the session.
    pub(super) fn hooks_number(&self) -> Option<SessionId> {
        let hooked = self.gate.as_deref()?.hooked.as_deref()?;
        Some(hooked.session())
    }

    /// Opens the session, if its services let it.
    pub(super) fn ask_connect(
        &mut self,
        now: Instant,
        route: Route,
        connect: Message,
    ) -> Result<(), End> {
        let user = self.gate.as_ref().and_then(|gate| gate.proved());
        let user = user.map(str::to_owned);
        let Some(hooked) = self.hooked() else {
            self.open(route, &connect);
            return Ok(());
        };
        if let Some(user) = user {
            hooked.set_user(&user);
        }
        let debt = Debt {
            stream: None,
            action: Action::Connect,
            name: String::new(),
            query: String::new(),
        };
        match hooked.ask(now, &HookEvent::Connect, debt) {
            Asked::Allowed => self.open(route, &connect),
            Asked::Waits => {
                if let Some(at_gate) = &mut self.gate {
                    at_gate.await_service(Awaited::Connect { route, connect });
                }
            }
            Asked::Refused(refused) => {
                return Err(self.refuse_connect(&refused.refusal(Action::Connect)));
            }
        }
        Ok(())
    }

    /// Asks the services about a publish or play.
    pub(super) fn ask_about(&mut self, now: Instant, act: &Act, stream: MessageStreamId) -> Asked {
        let Some(hooked) = self.hooked().filter(|_| !act.is_beside()) else {
            return Asked::Allowed;
        };
        let (name, query) = act.name();
        let said = Told { name, query };
        let event = match act.action {
            Action::Play => {
                let (start, duration, reset) = act.range();
                HookEvent::Play {
                    stream: said,
                    start,
                    duration,
                    reset,
                }
            }
            _ => HookEvent::Publish {
                stream: said,
                kind: act.kind(),
            },
        };
        hooked.ask(now, &event, debt_of(act, stream))
    }

    /// Notes an act that was granted in a session that this one goes on with: its services hear of it and of its
    /// end from here on.
    pub(super) fn note_granted(&mut self, now: Instant, act: &Act, stream: MessageStreamId) {
        if let Some(hooked) = self.hooked() {
            hooked.goes_on(now, debt_of(act, stream));
        }
        match (self.gate.as_deref_mut(), act.action) {
            (Some(at_gate), Action::Play) => at_gate.note_more(),
            (Some(at_gate), _) => at_gate.encoder.publish_goes_on(),
            _ => {}
        }
    }

    /// Handles news of the services.
    pub(in crate::client) fn on_hook(&mut self, now: Instant, news: HookNews) -> Result<(), End> {
        let answer = match news {
            HookNews::Answer(answer) => answer,
            HookNews::Stop { stream, action } => return self.stop_act(now, stream, action),
        };
        let Some(at_gate) = &mut self.gate else {
            return Ok(());
        };
        let awaited = at_gate.take_awaited();
        let verdict = match &mut at_gate.hooked {
            Some(hooked) => hooked.answered(now, answer),
            None => answer.verdict,
        };
        if let HookVerdict::Refuse(refused) = &verdict
            && refused.is_of_service()
        {
            let memory = self.worker.gate_memory();
            self.ask_gate(|gate, client| gate.note_refused(memory, client, moment(now)));
        }
        match awaited {
            Some(Awaited::Connect { route, connect }) => {
                self.connect_decided(verdict, route, connect)?;
            }
            Some(Awaited::Act { act, message }) => self.act_decided(now, verdict, act, message)?,
            None => {}
        }
        self.handle_events(now)
    }

    fn connect_decided(
        &mut self,
        verdict: HookVerdict,
        route: Route,
        connect: Message,
    ) -> Result<(), End> {
        let refused = match verdict {
            HookVerdict::Allow => {
                self.open(route, &connect);
                return Ok(());
            }
            HookVerdict::Rename(app) => match self.rename_connect(&app, route, connect) {
                Some((route, connect)) => {
                    self.open(route, &connect);
                    return Ok(());
                }
                None => HookRefused::unusable_name(),
            },
            HookVerdict::Relay(_) => HookRefused::relay_not_permitted(),
            HookVerdict::Refuse(refused) => refused,
        };
        Err(self.refuse_connect(&refused.refusal(Action::Connect)))
    }

    /// Gives a connect another `app`; without a query of its own, that keeps the client's. The gate
    /// and the delivery are those of the new application from now on, the hooks stay.
    fn rename_connect(
        &mut self,
        app: &str,
        route: Route,
        connect: Message,
    ) -> Option<(Route, Message)> {
        let at_gate = self.gate.as_deref_mut()?;
        let app = match (app.contains('?'), at_gate.app.split_once('?')) {
            (false, Some((_, query))) => format!("{app}?{query}"),
            _ => app.to_owned(),
        };
        let renamed = Route::from_app(&app).ok()?;
        let mut command = Command::decode(connect.kind, &connect.payload).ok()?;
        let Value::Object(object) = &mut command.object else {
            return None;
        };
        // The last property of a name is the one that counts.
        let mut properties = object.properties.iter_mut().rev();
        let (_, value) = properties.find(|(name, _)| name == "app")?;
        *value = Value::from(app.as_str());
        let message = encoded(&command, &connect);
        if message.payload.len() > MAX_CONNECT {
            return None;
        }
        at_gate.app = app;
        let who = self.who.as_mut()?;
        who.application = renamed.group.application().to_owned();
        who.instance = renamed.group.instance().to_owned();
        if let Some(policy) = self.worker.policy(renamed.group.application()) {
            self.timers.connected(policy.stall_time);
        }
        let origin = renamed.origin.or(route.origin);
        Some((Route { origin, ..renamed }, message))
    }

    fn act_decided(
        &mut self,
        now: Instant,
        verdict: HookVerdict,
        mut act: Act,
        message: Message,
    ) -> Result<(), End> {
        let mut is_new = false;
        let is_allowed = !matches!(verdict, HookVerdict::Refuse(_));
        let refused = match verdict {
            HookVerdict::Allow => None,
            HookVerdict::Rename(name) => {
                let said = act.name().0.to_owned();
                is_new = act.rename(&name);
                if let Some(hooked) = self.hooked().filter(|_| is_new) {
                    hooked.rename(message.stream.0, &said, act.name().0);
                }
                (!is_new).then(HookRefused::unusable_name)
            }
            HookVerdict::Relay(address) => self.relay(&act, message.stream, &address)?,
            HookVerdict::Refuse(refused) => Some(refused),
        };
        let Some(refused) = refused else {
            let message = self.passed(act, message, is_new);
            return self.forward_command(now, message);
        };
        let refusal = refused.refusal(act.action);
        if let Some(hooked) = self.hooked().filter(|_| is_allowed) {
            hooked.end(message.stream.0, refusal.label);
        }
        self.refuse(now, &message, &act, &refusal)
    }

    /// Notes that the session's origin relays streams for services.
    pub(super) fn takes_relays(&mut self) {
        if let Some(at_gate) = &mut self.gate {
            at_gate.takes_relays = true;
        }
    }

    /// Sends the origin the address by which an act is relayed; the origin decides whether it permits
    /// that. Returns the refusal if the origin takes none.
    fn relay(
        &self,
        act: &Act,
        stream: MessageStreamId,
        address: &str,
    ) -> Result<Option<HookRefused>, End> {
        let takes = self.gate.as_ref().is_some_and(|it| it.takes_relays);
        match RelayAddress::new(address).filter(|_| takes) {
            Some(address) => {
                self.forwarding.relay(stream, address)?;
                Ok(None)
            }
            None => {
                self.note_no_relay(act);
                Ok(Some(HookRefused::relay_not_permitted()))
            }
        }
    }

    fn note_no_relay(&self, act: &Act) {
        let (application, instance) = self.name();
        let command = act.command();
        tracing::warn!(
            address = %self.peer,
            application,
            instance,
            command,
            "a hook asks for a relay to or from another server, which the session's origin does not take: refused"
        );
    }

    /// Stops an act that its service does not let go on.
    fn stop_act(&mut self, now: Instant, stream: u32, action: Action) -> Result<(), End> {
        let refusal: Refusal = HookRefused::of_update().refusal(action);
        let said = self.hooked().and_then(|hooked| hooked.said(stream));
        let said = said.unwrap_or_default();
        self.note_refused("on_update", &refusal);
        let stream = MessageStreamId(stream);
        self.stop_stream(now, stream, action, refusal.label)?;
        self.say_refusal(stream, &refusal, &said);
        Ok(())
    }

    /// Notes a command that ends a publish or play.
    pub(super) fn note_over(&mut self, message: &Message) {
        let Some(hooked) = self.hooked() else { return };
        let name = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
        if name.is_some_and(|name| !ENDS.contains(&name)) {
            return;
        }
        let command = Command::decode(message.kind, &message.payload).ok();
        let command = command.and_then(|command| NetStreamCommand::parse(&command).ok());
        let stream = match command {
            Some(NetStreamCommand::DeleteStream(stream)) => stream,
            Some(
                NetStreamCommand::CloseStream
                | NetStreamCommand::StopPublish
                | NetStreamCommand::StopPlay,
            ) => message.stream,
            _ => return,
        };
        hooked.end(stream.0, "client_closed");
    }

    /// Notes that the origin has refused a publish, or ended it.
    pub(super) fn note_stopped(&mut self, stream: MessageStreamId, generation: Generation) {
        let is_now = self.forwarding.publishing.generation(stream) == generation;
        if let Some(hooked) = self.hooked().filter(|_| is_now)
            && hooked.act(stream.0) == Some(Action::Publish)
        {
            hooked.end(stream.0, "origin_ended");
        }
    }

    /// Reads a status of the origin: a refusal ends a play, and a renamed stream has the name that the
    /// client knows.
    pub(super) fn note_status(&mut self, message: Message) -> Message {
        let stream = message.stream.0;
        let Some(hooked) = self.hooked() else {
            return message;
        };
        let Some(action) = hooked.act(stream) else {
            return message;
        };
        let peeked = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
        if peeked != Some("onStatus") {
            return message;
        }
        let Ok(mut command) = Command::decode(message.kind, &message.payload) else {
            return message;
        };
        let renamed = hooked.renamed(stream);
        let renamed = renamed.map(|(said, name)| (said.to_owned(), name.to_owned()));
        let info = command.arguments.first();
        let code = info.and_then(|info| info.get("code")?.as_str());
        let status = code.and_then(Status::from_code);
        if action == Action::Play && status.is_some_and(ends_play) {
            hooked.end(stream, "origin_ended");
        }
        match (renamed, command.arguments.first_mut()) {
            (Some((said, name)), Some(Value::Object(info))) => {
                for (key, value) in &mut info.properties {
                    if let (true, Value::String(text)) = (NAMING.contains(&key.as_str()), value) {
                        *text = replaced(text, &name, &said);
                    }
                }
                encoded(&command, &message)
            }
            _ => message,
        }
    }

    /// Ends the conversation: the services learn of all that was allowed.
    pub(super) fn leave_hooks(&mut self, end: End) {
        let farewell = Farewell {
            reason: end.fault.unwrap_or_else(|| end.reason.label()),
            sent: self.wire.sent(),
            received: self.figures.received,
        };
        if let Some(hooked) = self.hooked() {
            hooked.leave(farewell);
        }
    }
}

/// Commands that may end a publish or play.
const ENDS: [&str; 4] = ["publish", "play", "closeStream", "deleteStream"];

/// Properties of a status that name its stream.
const NAMING: [&str; 2] = ["details", "description"];

/// Whether the origin has refused a play.
fn ends_play(status: Status) -> bool {
    matches!(status, Status::PlayFailed | Status::PlayStreamNotFound)
}

/// The command in the encoding of the message that it was read from.
fn encoded(command: &Command, read: &Message) -> Message {
    let encoding = match read.kind {
        MessageType::COMMAND_AMF3 => ObjectEncoding::Amf3,
        _ => ObjectEncoding::Amf0,
    };
    let (kind, payload) = command.encode(encoding);
    Message {
        kind,
        payload,
        ..read.clone()
    }
}

/// A text with another name in place of one that stands alone in it.
fn replaced(text: &str, name: &str, by: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(name).filter(|_| !name.is_empty()) {
        let (before, behind) = (&rest[..at], &rest[at + name.len()..]);
        out.push_str(before);
        let is_part = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
        let stands_alone = !is_part(out.chars().next_back()) && !is_part(behind.chars().next());
        out.push_str(if stands_alone { by } else { name });
        rest = behind;
    }
    out + rest
}

/// The end that services hear of an act, once it is over.
fn debt_of(act: &Act, stream: MessageStreamId) -> Debt {
    let (name, query) = act.name();
    Debt {
        stream: Some(stream.0),
        action: act.action,
        name: name.to_owned(),
        query: query.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_replaced_where_it_stands_alone() {
        for (text, expected) in [
            ("a", "cam"),
            ("a is now published.", "cam is now published."),
            ("Started playing a.", "Started playing cam."),
            ("a/b", "cam/b"),
            ("what", "what"),
            ("", ""),
        ] {
            assert_eq!(replaced(text, "a", "cam"), expected);
        }
        assert_eq!(replaced("a b", "", "cam"), "a b");
    }
}
