//! A client's session: it handles messages and deadlines.

use std::{collections::VecDeque, rc::Rc, time::Instant};

use tributary_protocol::{
    Message, MessageStreamId, MessageType, SessionId, TransactionId,
    chunk::ReadLimits,
    command::{self, Command, Connect, NetStreamCommand, ObjectEncoding, Status, connect::caps_ex},
    link::{CloseReason, OpenSession, PeerAddress, lane_frame::MAX_CONNECT as MAX_OPEN},
    message::{aggregate, user_control::UserControl},
    ring::WantedTracks,
    session::ServerEvent,
};

use super::{
    act::Act,
    end::End,
    figures::Figures,
    forwarding::Forwarding,
    outcome::Freeze,
    playing::Playing,
    read_times::ReadTimes,
    route::{Route, RouteError},
    timers::{STALL, Timers},
};
use crate::{
    admission::Permit,
    config::Protocol,
    departure::Parting,
    link::{OpenRequest, SessionLink},
    metrics::Counted,
    moving::Stage,
    objects::Seated,
    wire::Wire,
    worker::{Linked, Worker},
};

mod at_gate;
mod deadlines;
mod from_origin;
mod gate;
mod hooks;
mod moving;
mod objects;
mod parcel;
mod parting;
mod report;

use at_gate::AtGate;

/// A client's session. [`super::driver`] waits for its socket.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) wire: Rc<Wire>,
    pub(super) peer: PeerAddress,
    /// The protocol that the client speaks, as far as the edge can know.
    pub(super) protocol: Protocol,
    pub(super) forwarding: Forwarding,
    pub(super) timers: Timers,
    pub(super) figures: Figures,
    phase: Phase,
    /// Set by the connect command.
    who: Option<Box<Who>>,
    playing: Playing,
    /// Set while the client may be read at times, and not as its bytes arrive.
    read_times: Option<Box<ReadTimes>>,
    /// Set by the connect command if the application has a gate.
    pub(super) gate: Option<Box<AtGate>>,
    /// Set by the client's first message of a shared object.
    seat: Option<Seated>,
    /// Whether the log has a line about a cut-off aggregate of the client.
    was_cut_off: bool,
    permit: Permit,
    began: Instant,
    /// Bytes of output that may wait: the output that the origin's messages left, and
    /// [`MAX_OUTPUT`] for answers of the session.
    ceiling: usize,
    /// The session's moments in a departure.
    parting: Option<Box<Parting>>,
    /// Messages that came before those of the connection, and wait behind a decision.
    behind: Option<Box<KeptEvents>>,
    /// The connect of a client that another process opens.
    opening: Option<Box<(Route, Message)>>,
    /// The count of the session in its worker once it has a lane; of one in requests, from the begin.
    linked: Option<Linked>,
    /// Its part in a replacement of the edge's program.
    pub(super) freeze: Freeze,
}

/// Messages that wait behind a decision.
#[derive(Debug, Default)]
struct KeptEvents(VecDeque<ServerEvent>);

#[derive(Debug)]
enum Phase {
    Handshake,
    AwaitConnect,
    /// The connect command is sent to the origin.
    Pending {
        /// The origin has sent its refusal; its close follows.
        refused: bool,
    },
    Accepted {
        _counted: Counted,
    },
}

/// The properties of the client, from its connect command.
#[derive(Debug)]
struct Who {
    application: String,
    instance: String,
    transaction: TransactionId,
    encoding: ObjectEncoding,
    tracks: WantedTracks,
    /// Whether the client follows requests to reconnect.
    reconnects: bool,
    /// The URL that it connected to, if it follows them.
    tc_url: Option<Box<str>>,
}

/// Bytes of a session's output that may wait for the client, one message of any permitted size not
/// counted.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;

/// Longest message before the connect command. An `app` of 64 KiB fits, and is refused by name. A
/// link carries far less: [`MAX_OPEN`].
const MAX_CONNECT: u32 = 256 * 1024;

/// Limits of the reader before the connect command.
pub(super) const READ_LIMITS: ReadLimits = ReadLimits {
    message: MAX_CONNECT,
    partial: MAX_CONNECT as usize,
    chunk_streams: ReadLimits::CHUNK_STREAMS,
};

impl Session {
    pub(super) fn new(
        worker: Rc<Worker>,
        wire: Rc<Wire>,
        peer: PeerAddress,
        protocol: Protocol,
        permit: Permit,
        now: Instant,
    ) -> Self {
        // Its requests go to another process without it.
        let is_in_requests = wire.transport().is_in_requests() && !worker.is_moving();
        Self {
            linked: is_in_requests.then(|| Linked::new(&worker)),
            forwarding: Forwarding::new(worker.message_rate(), now),
            worker,
            wire,
            peer,
            protocol,
            timers: Timers::new(now),
            figures: Figures::default(),
            phase: Phase::Handshake,
            who: None,
            playing: Playing::default(),
            read_times: None,
            gate: None,
            seat: None,
            was_cut_off: false,
            permit,
            began: now,
            ceiling: MAX_OUTPUT,
            parting: None,
            behind: None,
            opening: None,
            freeze: Freeze::default(),
        }
    }

    /// Handles bytes from the client.
    pub(super) fn on_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), End> {
        self.figures.count_read(now, bytes.len());
        self.worker.metrics.bytes_in.inc_by(bytes.len() as u64);
        if let Some(times) = &mut self.read_times {
            times.count(bytes.len());
        }
        if self.timers.heard(now) {
            self.forwarding.notify_stalled(false);
        }
        let result = self.wire.session().handle_input(now, bytes);
        // The messages before an error are handled.
        self.handle_events(now)?;
        Ok(result?)
    }

    /// Handles the client's messages, up to one that waits for a decision.
    fn handle_events(&mut self, now: Instant) -> Result<(), End> {
        while !self.awaits_gate() && self.opening.is_none() {
            let event = self.next_event();
            let Some(event) = event else { return Ok(()) };
            self.on_event(now, event)?;
        }
        self.check_behind()
    }

    fn next_event(&mut self) -> Option<ServerEvent> {
        let kept = self.behind.as_mut().and_then(|behind| behind.0.pop_front());
        if kept.is_none() {
            self.behind = None;
            return self.wire.session().poll_event();
        }
        kept
    }

    /// Whether the client may be read: there is room for its messages, and no decision waits.
    pub(super) fn may_read(&self) -> bool {
        self.forwarding.has_room() && !self.awaits_gate() && self.opening.is_none()
    }

    /// The time until which the client is not read, because its chunks, messages or bytes exceed a
    /// rate.
    pub(super) fn throttled_until(&self, now: Instant) -> Option<Instant> {
        let chunks = self.wire.session().throttled_until();
        let until = chunks
            .max(self.forwarding.shut_until(now))
            .max(self.figures.read_again_at(now));
        until.filter(|&until| until > now)
    }

    /// Returns the time of the next read, if the client's socket needs not be watched until then.
    pub(super) fn plan_read(&mut self, now: Instant, may_read: bool) -> Option<Instant> {
        if !may_read || !self.may_read_at_times() {
            self.read_times = None;
            return None;
        }
        let times = self
            .read_times
            .get_or_insert_with(|| Box::new(ReadTimes::new(now)));
        times.plan(now, self.worker.began())
    }

    /// Whether the client has to be read now.
    pub(super) fn is_read_due(&self, now: Instant) -> bool {
        self.read_times
            .as_ref()
            .is_some_and(|times| times.is_due(now))
    }

    /// Whether no reader and no call waits for the client's bytes: it publishes alone, and its
    /// streams have no readers.
    fn may_read_at_times(&self) -> bool {
        self.forwarding.publishing.is_unread()
            && self.wire.may_merge()
            && self.playing.is_empty()
            && !self.timers.lost
            && !self.wire.session().awaits_pong()
    }

    fn on_event(&mut self, now: Instant, event: ServerEvent) -> Result<(), End> {
        self.figures.messages_in += u64::from(matches!(event, ServerEvent::Message(_)));
        match event {
            ServerEvent::Connected => {
                self.permit.established();
                self.phase = Phase::AwaitConnect;
                Ok(())
            }
            ServerEvent::Message(message) if matches!(self.phase, Phase::AwaitConnect) => {
                self.on_first(now, message)
            }
            ServerEvent::Message(message) => self.on_message(now, message),
            ServerEvent::SetBufferLength {
                stream,
                milliseconds,
            } => {
                // The origin paces recordings by this value.
                let event = UserControl::SetBufferLength {
                    stream,
                    milliseconds,
                };
                self.forwarding.forward(now, event.to_message())
            }
            ServerEvent::Pong { round_trip } => {
                let milliseconds = u32::try_from(round_trip.as_millis());
                self.figures.round_trip = milliseconds.ok();
                Ok(())
            }
            // The session has no use for these events.
            ServerEvent::UserControl(_) => Ok(()),
        }
    }

    /// Handles the first message, which has to be the connect command.
    fn on_first(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let fault = |fault| End::fault(CloseReason::Protocol, fault);
        let (name, _) = Command::peek(message.kind, &message.payload)
            .ok_or_else(|| fault("message_before_connect"))?;
        if name != command::connect::NAME {
            return Err(fault("command_before_connect"));
        }
        let connect = Command::decode(message.kind, &message.payload)
            .ok()
            .and_then(Connect::parse)
            .ok_or_else(|| fault("connect_malformed"))?;
        self.wire.session().set_read_limits(ReadLimits::default());
        self.phase = Phase::Pending { refused: false };
        let route = Route::from_app(&connect.app);
        let application = route.as_ref().map_or("", |route| route.group.application());
        let policy = self.worker.policy(application);
        self.timers
            .connected(policy.map_or(STALL, |policy| policy.stall_time));
        let has = |bit| connect.caps_ex.is_some_and(|caps| caps & bit != 0);
        self.who = Some(Box::new(Who {
            application: application.to_owned(),
            instance: route
                .as_ref()
                .map_or("", |route| route.group.instance())
                .to_owned(),
            transaction: connect.transaction,
            encoding: connect.object_encoding,
            reconnects: has(caps_ex::RECONNECT),
            tc_url: (connect.tc_url.clone())
                .filter(|_| has(caps_ex::RECONNECT))
                .map(String::into_boxed_str),
            tracks: match has(caps_ex::MULTITRACK) {
                true => WantedTracks::All,
                false => WantedTracks::First,
            },
        }));
        match route {
            Ok(_) if message.payload.len() > MAX_OPEN => {
                self.part(Status::ConnectRejected, CloseReason::Limit);
                Err(End::fault(CloseReason::Limit, "connect_too_long"))
            }
            Ok(route) => self.enter(now, route, message, &connect),
            Err(error) => Err(self.refuse_route(error)),
        }
    }

    /// Opens the session at its origin; another process does it if it has the edge's lanes.
    fn open(&mut self, route: Route, connect: &Message) {
        if matches!(*self.worker.stage(), Stage::Freezes(_) | Stage::Left(_)) {
            self.opening = Some(Box::new((route, connect.clone())));
            return;
        }
        let mut body = connect.payload.clone();
        if connect.kind == MessageType::COMMAND_AMF3 {
            // The leading 0 announces AMF0 values.
            body = body.slice(1..);
        }
        let request = OpenRequest {
            group: route.group,
            origin: route.origin,
            open: OpenSession {
                peer: self.peer,
                protocol: self.protocol.name().to_owned(),
                connect: body,
                claims: self.client_claims(),
            },
        };
        let upstream = &self.worker.upstream;
        let number = self.hooks_number().unwrap_or_else(|| upstream.number());
        let link = upstream.open_as(number, request);
        let (application, instance) = self.name();
        tracing::info!(address = %self.peer, application, instance, session = %link.id(), "session begins");
        self.forwarding.open(link);
        self.linked.get_or_insert_with(|| Linked::new(&self.worker));
    }

    fn refuse_route(&mut self, error: RouteError) -> End {
        let (status, reason) = match error {
            RouteError::Group(_) => (Status::ConnectInvalidApp, CloseReason::InvalidApp),
            RouteError::Proxy => (Status::ConnectRejected, CloseReason::Rejected),
        };
        self.part(status, reason);
        End::fault(reason, error.label())
    }

    /// Passes a message on that the client has sent in a session that this one goes on with. Its request was
    /// granted there: neither the gate nor a service is asked about it.
    fn pass_on(&mut self, now: Instant, message: Message) -> Result<(), End> {
        if !message.kind.is_command() {
            return self.on_message(now, message);
        }
        if let Some(act) = Act::of(&message).filter(|_| self.gate.is_some()) {
            self.note_granted(now, &act, message.stream);
        }
        self.forward_command(now, message)
    }

    fn on_message(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let kind = message.kind;
        if kind.is_command() {
            return self.on_command(now, message);
        }
        if kind.is_shared_object() {
            self.wire.refuse_merging();
            if let Some(gate) = &mut self.gate {
                gate.note_more();
            }
            self.use_objects(message.stream);
        }
        if kind.is_shared_object() || (kind.is_data() && message.stream == CONNECTION) {
            // An empty message is dropped.
            if message.payload.is_empty() {
                return Ok(());
            }
            return self.forwarding.forward(now, message);
        }
        if kind == MessageType::AGGREGATE {
            self.on_aggregate(&message);
        } else {
            self.on_media(message);
        }
        Ok(())
    }

    /// Handles the whole parts of an aggregate. The rest of a cut-off aggregate is dropped and
    /// counted.
    fn on_aggregate(&mut self, message: &Message) {
        let mut parts = aggregate::split(message);
        for part in parts.by_ref() {
            if part.kind != MessageType::AGGREGATE {
                self.on_media(part);
            }
        }
        if let Some(fault) = parts.fault() {
            self.worker.metrics.aggregates_cut_off.inc();
            if !std::mem::replace(&mut self.was_cut_off, true) {
                tracing::info!(address = %self.peer, why = fault.reason(), "the rest of an aggregate is dropped");
            }
        }
    }

    fn on_media(&mut self, message: Message) {
        if message.kind.is_media() {
            self.forwarding.publishing.push(message);
        }
    }

    fn on_command(&mut self, now: Instant, message: Message) -> Result<(), End> {
        match self.pass(now, message)? {
            Some(message) => self.forward_command(now, message),
            None => Ok(()),
        }
    }

    /// Forwards a command that has passed the gate.
    fn forward_command(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let name = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
        match name {
            None if message.payload.is_empty() => return Ok(()),
            Some(command::connect::NAME) => {
                return Err(End::fault(CloseReason::Protocol, "second_connect"));
            }
            Some("publish" | "deleteStream" | "closeStream") => {
                return self.forwarding.forward_stream_command(now, message);
            }
            Some(name) if self.wire.may_merge() && NetStreamCommand::is_call(name) => {
                self.wire.refuse_merging();
            }
            _ => {}
        }
        self.forwarding.forward(now, message)
    }

    fn pending(&self) -> usize {
        self.wire.pending() + self.playing.held_bytes()
    }

    /// Whether the next item of the inbox has to wait for messages of objects.
    pub(super) fn awaits_objects(&self) -> bool {
        self.seat
            .as_ref()
            .is_some_and(|seat| seat.after().is_some())
    }

    /// Sends everything that can be sent now. Called after every event.
    pub(super) fn settle(&mut self, now: Instant) -> Result<(), End> {
        while let Some(message) = self.playing.release(now) {
            self.tell(&message)?;
        }
        self.settle_objects()?;
        let was_blocked = self.wire.is_blocked();
        if self.wire.flush() {
            self.ceiling = MAX_OUTPUT;
            self.release_objects()?;
            if was_blocked && !self.wire.is_blocked() {
                self.playing.go_on();
            }
        }
        if self.wire.has_failed() {
            return Err(End::because(CloseReason::Transport));
        }
        if self.wire.pending() > self.ceiling {
            // The client sends pings, for example, and does not read the answers.
            return Err(End::fault(CloseReason::SlowReader, "answers_unread"));
        }
        Ok(())
    }

    /// Releases everything but the socket, and sends the end to the origin.
    pub(super) fn end(&mut self, now: Instant, end: End) {
        let metrics = &self.worker.metrics;
        metrics.count_closed(end.reason);
        if let Some(fault) = end.fault {
            metrics.count_fault(fault);
        }
        self.permit.established();
        self.wire.set_limit(None);
        self.playing = Playing::default();
        self.seat = None;
        self.leave_hooks(end);
        self.forwarding.close(end.reason);
        self.linked = None;
        let (application, instance) = self.name();
        if self.figures.received == 0 && end.fault.is_none() {
            // A balancer looks whether the port is open.
            tracing::debug!(address = %self.peer, "connection ends without a byte");
            return;
        }
        tracing::info!(
            address = %self.peer,
            application,
            instance,
            bytes_in = self.figures.received,
            bytes_out = self.wire.sent(),
            duration_ms = now.duration_since(self.began).as_millis() as u64,
            reason = end.reason.label(),
            fault = end.fault,
            "session ends"
        );
    }

    /// The number of the session, once it has a lane.
    pub(super) fn number(&self) -> Option<SessionId> {
        self.forwarding.link().map(SessionLink::id)
    }

    /// The encoding that the client's connect command asks for.
    fn encoding(&self) -> ObjectEncoding {
        let who = self.who.as_deref();
        who.map_or(ObjectEncoding::Amf0, |who| who.encoding)
    }

    /// Application and instance; empty before the connect command.
    fn name(&self) -> (&str, &str) {
        let who = self.who.as_deref();
        who.map_or(("", ""), |who| (&who.application, &who.instance))
    }
}

const CONNECTION: MessageStreamId = MessageStreamId::CONNECTION;
