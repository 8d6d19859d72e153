//! The gate: whether a client may connect, publish and play, before its origin hears of it.
//!
//! ```text
//! connect ─► delay? ─► (waits, is not read) ─► judged ─► hook? ─► (waits, is not read) ─► opened
//!                                                └─────────┴─► _error, the connection ends
//! act ─► judged ─► hook? ─► (waits, is not read) ─► forwarded
//!          └─────────┴─► status; an encoder is parted with after 1 s
//! ```

use std::{
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use rand::RngCore;
use tributary_gate::{
    Action, Client, Gate, Named, Now, Passed, RANDOM, Refusal, RefusedStatus, Stopped,
};
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, TransactionId,
    amf::Value,
    command::{self, Command, Connect, NetStreamCommand, ObjectEncoding, Status},
    link::{ClientClaims, CloseReason},
};

use super::{
    CONNECTION, Session,
    at_gate::{AtGate, Awaited, SlowedConnect},
    from_origin::send,
};
use crate::{
    client::{act::Act, end::End, route::Route},
    hooks::Asked,
};

impl Session {
    /// Whether a decision waits: the client is not read, and its messages are not handled.
    pub(in crate::client) fn awaits_gate(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.awaits())
    }

    /// Opens the session, if the gate lets it; the answer to a slowed client waits.
    pub(super) fn enter(
        &mut self,
        now: Instant,
        route: Route,
        connect: Message,
        parsed: &Connect,
    ) -> Result<(), End> {
        let policy = self.worker.policy(self.name().0);
        if policy.is_none_or(|policy| policy.gate.is_none()) {
            self.open(route, &connect);
            return Ok(());
        }
        let mut at_gate = Box::new(AtGate::new(parsed));
        at_gate.hooked = self.conversation(parsed).map(Box::new);
        let delay = Gate::delay(self.worker.gate_memory(), self.peer.ip(), moment(now));
        if delay.is_zero() {
            self.gate = Some(at_gate);
            return self.judge(now, route, connect);
        }
        self.worker.metrics.slowed_connects.inc();
        let (application, instance) = self.name();
        tracing::info!(address = %self.peer, application, instance, seconds = delay.as_secs(), "connect waits");
        at_gate.slow(SlowedConnect {
            until: now + delay,
            route,
            connect,
        });
        self.gate = Some(at_gate);
        Ok(())
    }

    /// Ends a client with too many messages behind one that waits.
    pub(super) fn check_behind(&mut self) -> Result<(), End> {
        let most = self.gate.as_ref().map_or(0, |gate| gate.most_behind());
        let kept = self.behind.as_ref().map_or(0, |behind| behind.0.len());
        if self.wire.session().events() + kept <= most {
            return Ok(());
        }
        self.part(Status::ConnectRejected, CloseReason::Limit);
        Err(End::fault(CloseReason::Limit, "message_rate"))
    }

    /// Handles the deadlines of the gate that have come.
    pub(super) fn pass_time(&mut self, now: Instant) -> Result<(), End> {
        let Some(at_gate) = &mut self.gate else {
            return Ok(());
        };
        if !at_gate.awaits() && at_gate.encoder.parts(now) {
            return Err(End::because(CloseReason::PublishOver));
        }
        if let Some(hooked) = &mut at_gate.hooked {
            let publishing = &self.forwarding.publishing;
            hooked.update(now, |stream| {
                publishing.timestamp(MessageStreamId(stream)).0
            });
        }
        if let Some(SlowedConnect { route, connect, .. }) = at_gate.take_slowed(now) {
            self.judge(now, route, connect)?;
            self.handle_events(now)?;
        }
        Ok(())
    }

    fn judge(&mut self, now: Instant, route: Route, connect: Message) -> Result<(), End> {
        let mut random = [0; RANDOM];
        rand::rng().fill_bytes(&mut random);
        let memory = self.worker.gate_memory();
        let passed =
            self.ask_gate(|gate, client| gate.connect(memory, client, moment(now), random));
        let Some(passed) = passed else {
            // The settings have changed while the client waited: nothing refuses it now.
            self.gate = None;
            self.open(route, &connect);
            return Ok(());
        };
        match passed {
            Err(Stopped::Asked(text)) => {
                tracing::debug!(address = %self.peer, "an encoder is asked for its user");
                self.part_saying(Status::ConnectRejected, Some(&text), false);
                Err(End::because(CloseReason::Rejected))
            }
            Err(Stopped::Refused(refusal)) => Err(self.refuse_connect(&refusal)),
            Ok(Passed { user, claims }) => {
                if let Some(at_gate) = &mut self.gate {
                    at_gate.user = user;
                    at_gate.claims = claims;
                }
                self.ask_connect(now, route, connect)
            }
        }
    }

    /// The facts about the client that its gate and its services have verified, for the application.
    /// A text that is too long is left out.
    pub(super) fn client_claims(&self) -> Option<Arc<ClientClaims>> {
        let at_gate = self.gate.as_deref()?;
        let stated = at_gate.hooked.as_deref().and_then(|hooked| hooked.user());
        let user = stated.or_else(|| at_gate.proved());
        let json = at_gate
            .claims
            .as_ref()
            .and_then(|claims| claims.json.as_deref());
        let claims = ClientClaims {
            user: self.within(user, ClientClaims::MAX_USER),
            json: self.within(json, ClientClaims::MAX_JSON),
        };
        (claims != ClientClaims::default()).then(|| Arc::new(claims))
    }

    fn within(&self, text: Option<&str>, most: usize) -> Option<String> {
        let text = text.filter(|text| !text.is_empty())?;
        if text.len() > most {
            let bytes = text.len();
            tracing::debug!(address = %self.peer, bytes, "claims are left out: too long");
            return None;
        }
        Some(text.to_owned())
    }

    /// Encoders get no `close`: older ones connect anew on it, for ever.
    pub(super) fn refuse_connect(&mut self, refusal: &Refusal) -> End {
        let is_encoder = |at_gate: &AtGate| at_gate.encoder.is_one();
        let is_encoder = self.gate.as_deref().is_some_and(is_encoder);
        let says_close = !is_encoder && refusal.label != tributary_gate::LOGIN_LABEL;
        self.part_saying(status(refusal.status), Some(&refusal.text), says_close);
        End::fault(CloseReason::Rejected, refusal.label)
    }

    /// Asks the gate about a command. Returns the message for the origin; `None` if the client has
    /// its answer already, or a service is asked.
    pub(super) fn pass(&mut self, now: Instant, message: Message) -> Result<Option<Message>, End> {
        if self.gate.is_none() {
            return Ok(Some(message));
        }
        let Some(act) = Act::of(&message) else {
            self.note_call(&message);
            self.note_over(&message);
            return Ok(Some(message));
        };
        let memory = self.worker.gate_memory();
        let (name, query) = act.name();
        let named = Named {
            action: act.action,
            name,
            query,
            is_beside: act.is_beside(),
        };
        let passed = self.ask_gate(|gate, client| gate.act(memory, client, &named, moment(now)));
        let refusal = match passed {
            Some(Err(refusal)) => Some(refusal),
            _ => match self.ask_about(now, &act, message.stream) {
                Asked::Allowed => None,
                Asked::Waits => {
                    if let Some(at_gate) = &mut self.gate {
                        at_gate.await_service(Awaited::Act { act, message });
                    }
                    return Ok(None);
                }
                Asked::Refused(refused) => Some(refused.refusal(act.action)),
            },
        };
        match refusal {
            None => Ok(Some(self.passed(act, message, false))),
            Some(refusal) => {
                self.refuse(now, &message, &act, &refusal)?;
                Ok(None)
            }
        }
    }

    /// The message of an act that has passed, as its origin gets it. `is_new` says that the act has
    /// another name than the message.
    pub(super) fn passed(&mut self, mut act: Act, message: Message, is_new: bool) -> Message {
        let strips = self.ask_gate(|gate, _| gate.strips()).unwrap_or_default();
        match (self.gate.as_deref_mut(), act.action) {
            (Some(at_gate), Action::Play) => at_gate.note_more(),
            (Some(at_gate), _) if act.is_publish() => at_gate.encoder.publish_goes_on(),
            _ => {}
        }
        let is_stripped = strips && act.strip();
        match is_stripped || is_new {
            true => act.into_message(&message),
            false => message,
        }
    }

    fn note_call(&mut self, message: &Message) {
        let name = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
        if let Some(at_gate) = &mut self.gate
            && name.is_some_and(NetStreamCommand::is_call)
        {
            at_gate.note_more();
        }
    }

    /// Answers a refused act. The origin hears of it only what it needs: a message stream that
    /// publishes stops before another publish on it.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        message: &Message,
        act: &Act,
        refusal: &Refusal,
    ) -> Result<(), End> {
        self.note_refused(act.command(), refusal);
        if act.is_beside() {
            self.forwarding.count(now)?;
            if act.transaction().expects_answer() {
                let result = command::result(act.transaction(), Value::Undefined);
                self.say(CONNECTION, &result);
            }
            return Ok(());
        }
        if act.is_publish() {
            self.stop_stream(now, message.stream, Action::Publish, refusal.label)?;
        } else {
            self.forwarding.count(now)?;
        }
        let (name, _) = act.name();
        self.say_refusal(message.stream, refusal, name);
        Ok(())
    }

    /// Stops the publish or play of a message stream, at its origin too.
    pub(super) fn stop_stream(
        &mut self,
        now: Instant,
        stream: MessageStreamId,
        action: Action,
        why: &'static str,
    ) -> Result<(), End> {
        let close = self.stream_command(stream, "closeStream");
        self.forwarding.forward_stream_command(now, close)?;
        if let Some(at_gate) = &mut self.gate {
            if action == Action::Publish {
                at_gate.encoder.publish_is_over(now);
            }
            if let Some(hooked) = &mut at_gate.hooked {
                hooked.end(stream.0, why);
            }
        }
        Ok(())
    }

    pub(super) fn say_refusal(&self, stream: MessageStreamId, refusal: &Refusal, name: &str) {
        let info = status(refusal.status).info(Some(&refusal.text), Some(name));
        self.say(stream, &command::on_status(info));
    }

    pub(super) fn note_refused(&mut self, command: &str, refusal: &Refusal) {
        self.worker.metrics.count_fault(refusal.label);
        let is_first = match &mut self.gate {
            Some(at_gate) => !std::mem::replace(&mut at_gate.was_refused, true),
            None => false,
        };
        if is_first {
            let (application, instance) = self.name();
            let why = refusal.label;
            tracing::info!(address = %self.peer, application, instance, command, why, "refused");
        }
    }

    /// Asks the gate of the session's application; `None` if it has none.
    pub(super) fn ask_gate<T>(&self, ask: impl FnOnce(&Gate, &Client<'_>) -> T) -> Option<T> {
        let at_gate = self.gate.as_deref()?;
        let (application, instance) = self.name();
        let policy = self.worker.policy(application)?;
        let gate = policy.gate.as_ref()?;
        let client = Client {
            address: self.peer.ip(),
            transport: self.protocol,
            is_encoder: at_gate.encoder.is_one(),
            app: &at_gate.app,
            instance,
            tc_url: &at_gate.tc_url,
            user: at_gate.user.as_deref(),
        };
        Some(ask(gate, &client))
    }

    fn stream_command(&self, stream: MessageStreamId, name: &str) -> Message {
        let command = Command::new(name, TransactionId::NONE);
        to_message(&command, stream, ObjectEncoding::Amf0)
    }

    /// Sends an answer of the edge itself.
    fn say(&self, stream: MessageStreamId, command: &Command) {
        let message = to_message(command, stream, self.encoding());
        send(&mut self.wire.session(), &message);
    }
}

fn to_message(command: &Command, stream: MessageStreamId, encoding: ObjectEncoding) -> Message {
    let (kind, payload) = command.encode(encoding);
    Message {
        kind,
        stream,
        timestamp: RtmpTimestamp(0),
        payload,
    }
}

fn status(refused: RefusedStatus) -> Status {
    match refused {
        RefusedStatus::ConnectRejected => Status::ConnectRejected,
        RefusedStatus::PublishDenied => Status::PublishDenied,
        RefusedStatus::PlayFailed => Status::PlayFailed,
    }
}

/// The moment by both clocks.
pub(super) fn moment(instant: Instant) -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant,
        unix: since.map_or(0, |since| since.as_secs()),
    }
}
