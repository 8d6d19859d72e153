//! The gate: whether a client may connect, publish and play, before its origin hears of it.
//!
//! ```text
//! connect ─► delay? ─► (waits, is not read) ─► judged ─► opened
//!                                                └─► _error, the connection ends
//! act ─► judged ─► forwarded
//!          └─► status; an encoder is parted with after 1 s
//! ```

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::RngCore;
use tributary_gate::{
    Action, Client, Gate, Named, Now, Passed, RANDOM, Refusal, RefusedStatus, Stopped,
};
use tributary_node::encoder::Encoder;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, TransactionId,
    amf::Value,
    command::{self, Command, Connect, NetStreamCommand, ObjectEncoding, Status},
    link::CloseReason,
};

use super::{CONNECTION, Session, from_origin::send};
use crate::client::{act::Act, end::End, route::Route};

/// A client of an application that has a gate.
#[derive(Debug)]
pub(super) struct AtGate {
    /// `app` of its connect, with the query.
    app: String,
    tc_url: String,
    /// The user that its connect has proved.
    user: Option<String>,
    encoder: Encoder,
    /// Set while the connect waits.
    waiting: Option<SlowedConnect>,
    /// Whether the log has a line about a refused act.
    was_refused: bool,
}

/// A connect of an address that has failed too often: it is judged when its time has come.
#[derive(Debug)]
struct SlowedConnect {
    until: Instant,
    route: Route,
    connect: Message,
}

/// Messages behind a connect that waits. Reason: they are kept for as long, up to a minute; a client
/// that does not wait for the answer sends a handful.
const MAX_BEHIND: usize = 256;

impl AtGate {
    pub(super) fn new(connect: &Connect) -> Self {
        Self {
            app: connect.app.clone(),
            tc_url: connect.tc_url.clone().unwrap_or_default(),
            user: None,
            encoder: Encoder::of(connect),
            waiting: None,
            was_refused: false,
        }
    }

    /// Notes that the client calls a method of the application, plays or uses a shared object.
    pub(super) fn note_more(&mut self) {
        self.encoder.is_more();
    }

    /// The next time for [`Session::pass_time`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.as_ref().map(|waiting| waiting.until);
        waiting.or_else(|| self.encoder.parting_at())
    }

    pub(super) fn postpone(&mut self, by: Duration) {
        self.encoder.postpone(by);
        if let Some(waiting) = &mut self.waiting {
            waiting.until += by;
        }
    }
}

impl Session {
    /// Whether the connect waits: the client is not read, and its messages are not handled.
    pub(in crate::client) fn awaits_gate(&self) -> bool {
        self.gate.as_ref().is_some_and(|it| it.waiting.is_some())
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
        let delay = Gate::delay(self.worker.gate_memory(), self.peer.ip(), moment(now));
        if delay.is_zero() {
            self.gate = Some(at_gate);
            return self.judge(now, route, &connect);
        }
        self.worker.metrics.slowed_connects.inc();
        let (application, instance) = self.name();
        tracing::info!(address = %self.peer, application, instance, seconds = delay.as_secs(), "connect waits");
        at_gate.waiting = Some(SlowedConnect {
            until: now + delay,
            route,
            connect,
        });
        self.gate = Some(at_gate);
        Ok(())
    }

    /// Ends a client with too many messages behind a connect that waits.
    pub(super) fn check_behind(&mut self) -> Result<(), End> {
        if self.wire.session().events() <= MAX_BEHIND {
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
        if at_gate.encoder.parts(now) {
            return Err(End::because(CloseReason::PublishOver));
        }
        let waiting = at_gate.waiting.take_if(|waiting| waiting.until <= now);
        if let Some(SlowedConnect { route, connect, .. }) = waiting {
            self.judge(now, route, &connect)?;
            self.handle_events(now)?;
        }
        Ok(())
    }

    fn judge(&mut self, now: Instant, route: Route, connect: &Message) -> Result<(), End> {
        let mut random = [0; RANDOM];
        rand::rng().fill_bytes(&mut random);
        let memory = self.worker.gate_memory();
        let passed =
            self.ask_gate(|gate, client| gate.connect(memory, client, moment(now), random));
        let Some(passed) = passed else {
            return Err(self.part(Status::ConnectRejected, CloseReason::Rejected));
        };
        match passed {
            Err(Stopped::Asked(text)) => {
                tracing::debug!(address = %self.peer, "an encoder is asked for its user");
                self.part_saying(Status::ConnectRejected, Some(&text), false);
                Err(End::because(CloseReason::Rejected))
            }
            Err(Stopped::Refused(refusal)) => Err(self.refuse_connect(&refusal)),
            Ok(Passed { user, .. }) => {
                if let Some(at_gate) = &mut self.gate {
                    at_gate.user = user;
                }
                self.open(route, connect);
                Ok(())
            }
        }
    }

    /// Encoders get no `close`: older ones connect anew on it, for ever.
    fn refuse_connect(&mut self, refusal: &Refusal) -> End {
        let is_encoder = |at_gate: &AtGate| at_gate.encoder.is_one();
        let is_encoder = self.gate.as_deref().is_some_and(is_encoder);
        let says_close = !is_encoder && refusal.label != tributary_gate::LOGIN_LABEL;
        self.part_saying(status(refusal.status), Some(&refusal.text), says_close);
        End::fault(CloseReason::Rejected, refusal.label)
    }

    /// Asks the gate about a command. Returns the message for the origin; `None` if the client has
    /// its answer already.
    pub(super) fn pass(&mut self, now: Instant, message: Message) -> Result<Option<Message>, End> {
        if self.gate.is_none() {
            return Ok(Some(message));
        }
        let Some(mut act) = Act::of(&message) else {
            self.note_call(&message);
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
        let passed = self.ask_gate(|gate, client| {
            let passed = gate.act(memory, client, &named, moment(now));
            passed.map(|_| gate.strips())
        });
        let strips = match passed {
            None => return Ok(Some(message)),
            Some(Err(refusal)) => {
                self.refuse(now, &message, &act, &refusal)?;
                return Ok(None);
            }
            Some(Ok(strips)) => strips,
        };
        match (self.gate.as_deref_mut(), act.action) {
            (Some(at_gate), Action::Play) => at_gate.note_more(),
            (Some(at_gate), _) if act.is_publish() => at_gate.encoder.publish_goes_on(),
            _ => {}
        }
        Ok(Some(match strips && act.strip() {
            true => act.into_message(&message),
            false => message,
        }))
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
    fn refuse(
        &mut self,
        now: Instant,
        message: &Message,
        act: &Act,
        refusal: &Refusal,
    ) -> Result<(), End> {
        self.note_refused(act, refusal);
        if act.is_beside() {
            self.forwarding.count(now)?;
            if act.transaction().expects_answer() {
                let result = command::result(act.transaction(), Value::Undefined);
                self.say(CONNECTION, &result);
            }
            return Ok(());
        }
        if act.is_publish() {
            let close = self.stream_command(message.stream, "closeStream");
            self.forwarding.forward_stream_command(now, close)?;
            if let Some(at_gate) = &mut self.gate {
                at_gate.encoder.publish_is_over(now);
            }
        } else {
            self.forwarding.count(now)?;
        }
        let (name, _) = act.name();
        let info = status(refusal.status).info(Some(&refusal.text), Some(name));
        self.say(message.stream, &command::on_status(info));
        Ok(())
    }

    fn note_refused(&mut self, act: &Act, refusal: &Refusal) {
        self.worker.metrics.count_fault(refusal.label);
        let is_first = match &mut self.gate {
            Some(at_gate) => !std::mem::replace(&mut at_gate.was_refused, true),
            None => false,
        };
        if is_first {
            let (application, instance) = self.name();
            let (command, why) = (act.command(), refusal.label);
            tracing::info!(address = %self.peer, application, instance, command, why, "refused");
        }
    }

    /// Asks the gate of the session's application; `None` if it has none.
    fn ask_gate<T>(&self, ask: impl FnOnce(&Gate, &Client<'_>) -> T) -> Option<T> {
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
fn moment(instant: Instant) -> Now {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Now {
        instant,
        unix: since.map_or(0, |since| since.as_secs()),
    }
}
