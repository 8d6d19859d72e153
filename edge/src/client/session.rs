//! A client's session: what its messages lead to, and what is due when.

use std::{
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tributary_protocol::{
    Message, MessageStreamId, MessageType, TransactionId,
    chunk::ReadLimits,
    command::{self, Command, Connect, NetStreamCommand, ObjectEncoding, Status, connect::caps_ex},
    link::{CloseReason, Generation, OpenSession, lane_frame::MAX_CONNECT as MAX_OPEN},
    message::{aggregate, user_control::UserControl},
    ring::WantedTracks,
    session::{self, ErrorKind, Event},
};

use super::{
    pace::Pace,
    playing::Playing,
    publishing::Publishing,
    route::{Route, RouteError},
    timers::{NO_PROGRESS, STALL, Stall, Timers, UNDECIDED},
};
use crate::{
    admission::Permit,
    link::{OpenRequest, SessionLink},
    metrics::Counted,
    objects::Seated,
    wire::Wire,
    worker::Worker,
};

mod from_origin;
mod objects;
mod watched;

use watched::Watched;

/// A client's session, without its socket's waiting.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) wire: Rc<Wire>,
    pub(super) peer: SocketAddr,
    pub(super) link: Option<SessionLink>,
    pub(super) timers: Timers,
    pub(super) received: u64,
    pace: Pace,
    phase: Phase,
    /// From the connect command on.
    who: Option<Box<Who>>,
    publishing: Publishing,
    playing: Playing,
    /// Once the client has said something of a shared object.
    seat: Option<Seated>,
    messages_in: u64,
    /// One of its aggregates was: it has its line in the log.
    was_cut_off: bool,
    /// [`frames`](tributary_protocol::link::frames) of messages from the origin.
    frames: u64,
    /// How long the client took to answer the last ping it answered, in milliseconds.
    round_trip: Option<u32>,
    watched: Option<Box<Watched>>,
    permit: Permit,
    began: Instant,
    /// Bytes of output that may wait: what the origin made wait, and a margin for our own answers.
    ceiling: usize,
}

#[derive(Debug)]
enum Phase {
    Handshake,
    AwaitConnect,
    /// The origin decides.
    Pending {
        /// It has said no: its close follows.
        refused: bool,
    },
    Accepted {
        _counted: Counted,
    },
}

/// What the client said of itself.
#[derive(Debug)]
struct Who {
    application: String,
    instance: String,
    transaction: TransactionId,
    encoding: ObjectEncoding,
    tracks: WantedTracks,
}

/// A session is over. What is in the output is still sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: CloseReason,
    /// What the client did, if it is to blame.
    pub(super) fault: Option<&'static str>,
}

/// Bytes of the session's own output that may wait for the client, one message of any permitted
/// size not counted.
pub(super) const MAX_OUTPUT: usize = 64 * 1024;

/// Before the connect command no message is longer than this: it holds an `app` of 64 KiB, which
/// is refused by name. What is sent to an origin is far shorter: [`MAX_OPEN`].
const MAX_CONNECT: u32 = 256 * 1024;

/// What the reader may hold before the connect command.
pub(super) const READ_LIMITS: ReadLimits = ReadLimits {
    message: MAX_CONNECT,
    partial: MAX_CONNECT as usize,
    chunk_streams: ReadLimits::CHUNK_STREAMS,
};

impl End {
    pub(super) fn because(reason: CloseReason) -> Self {
        Self {
            reason,
            fault: None,
        }
    }

    fn fault(reason: CloseReason, fault: &'static str) -> Self {
        Self {
            reason,
            fault: Some(fault),
        }
    }
}

impl From<session::Error> for End {
    fn from(error: session::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::Protocol | ErrorKind::Unsupported => CloseReason::Protocol,
            ErrorKind::Limit => CloseReason::Limit,
            ErrorKind::Timeout => CloseReason::Timeout,
        };
        Self::fault(reason, error.reason())
    }
}

impl Session {
    pub(super) fn new(
        worker: Rc<Worker>,
        wire: Rc<Wire>,
        peer: SocketAddr,
        permit: Permit,
        now: Instant,
    ) -> Self {
        Self {
            pace: Pace::new(worker.message_rate(), now),
            worker,
            wire,
            peer,
            link: None,
            timers: Timers::new(now),
            received: 0,
            phase: Phase::Handshake,
            who: None,
            publishing: Publishing::default(),
            playing: Playing::default(),
            seat: None,
            messages_in: 0,
            frames: 0,
            was_cut_off: false,
            round_trip: None,
            watched: None,
            permit,
            began: now,
            ceiling: MAX_OUTPUT,
        }
    }

    /// Takes in bytes from the client.
    pub(super) fn on_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), End> {
        self.received += bytes.len() as u64;
        self.worker.metrics.bytes_in.inc_by(bytes.len() as u64);
        if self.timers.heard(now) {
            self.tell_stalled(false);
        }
        self.count_read(now, bytes.len());
        let result = self.wire.session().handle_input(now, bytes);
        // What came before an error counts.
        loop {
            let event = self.wire.session().poll_event();
            let Some(event) = event else { break };
            self.on_event(now, event)?;
        }
        Ok(result?)
    }

    /// Whether the client is to be read.
    pub(super) fn may_read(&self) -> bool {
        !self.is_parked() && self.publishing.full_since().is_none()
    }

    /// Until when the client is not to be read, because it makes more work, or sends more, than it may.
    pub(super) fn throttled_until(&self, now: Instant) -> Option<Instant> {
        let chunks = self.wire.session().throttled_until();
        let until = chunks
            .max(self.pace.shut_until(now))
            .max(self.read_again_at(now));
        until.filter(|&until| until > now)
    }

    /// Whether as much waits for the origin's credit as may.
    pub(super) fn is_parked(&self) -> bool {
        self.link.as_ref().is_some_and(SessionLink::is_full)
    }

    fn on_event(&mut self, now: Instant, event: Event) -> Result<(), End> {
        self.messages_in += u64::from(matches!(event, Event::Message(_)));
        match event {
            Event::Connected => {
                self.permit.established();
                self.phase = Phase::AwaitConnect;
                Ok(())
            }
            Event::Message(message) if matches!(self.phase, Phase::AwaitConnect) => {
                self.on_first(message)
            }
            Event::Message(message) => self.on_message(now, message),
            Event::SetBufferLength {
                stream,
                milliseconds,
            } => {
                // The origin paces recordings by it.
                let event = UserControl::SetBufferLength {
                    stream,
                    milliseconds,
                };
                self.forward(now, event.to_message())
            }
            Event::Pong { round_trip } => {
                let milliseconds = u32::try_from(round_trip.as_millis());
                self.round_trip = milliseconds.ok();
                Ok(())
            }
            // Nobody waits for these.
            Event::UserControl(_) | _ => Ok(()),
        }
    }

    /// The first message has to be the connect command.
    fn on_first(&mut self, message: Message) -> Result<(), End> {
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
        let stall = self.worker.stall_time(application).unwrap_or(STALL);
        self.timers.connected(stall);
        self.who = Some(Box::new(Who {
            application: application.to_owned(),
            instance: route
                .as_ref()
                .map_or("", |route| route.group.instance())
                .to_owned(),
            transaction: connect.transaction,
            encoding: connect.object_encoding,
            tracks: match connect.caps_ex {
                Some(caps) if caps & caps_ex::MULTITRACK != 0 => WantedTracks::All,
                _ => WantedTracks::First,
            },
        }));
        match route {
            Ok(_) if message.payload.len() > MAX_OPEN => {
                self.part(Status::ConnectRejected, CloseReason::Limit);
                return Err(End::fault(CloseReason::Limit, "connect_too_long"));
            }
            Ok(route) => self.open(route, &message),
            Err(error) => return Err(self.refuse_route(error)),
        }
        Ok(())
    }

    fn open(&mut self, route: Route, connect: &Message) {
        let mut body = connect.payload.clone();
        if connect.kind == MessageType::COMMAND_AMF3 {
            // The 0 that says that AMF0 values follow.
            body = body.slice(1..);
        }
        let request = OpenRequest {
            group: route.group,
            origin: route.origin,
            open: OpenSession {
                peer: self.peer,
                protocol: self.wire.transport().protocol().to_owned(),
                connect: body,
            },
        };
        let link = self.worker.upstream.open(request);
        let (application, instance) = self.name();
        tracing::info!(address = %self.peer, application, instance, session = %link.id(), "session begins");
        self.link = Some(link);
    }

    fn refuse_route(&mut self, error: RouteError) -> End {
        let (status, reason) = match error {
            RouteError::Group(_) => (Status::ConnectInvalidApp, CloseReason::InvalidApp),
            RouteError::Proxy => (Status::ConnectRejected, CloseReason::Rejected),
        };
        self.part(status, reason);
        End::fault(reason, error.label())
    }

    fn on_message(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let kind = message.kind;
        if kind.is_command() {
            return self.on_command(now, message);
        }
        if kind.is_shared_object() {
            self.use_objects(message.stream);
        }
        if kind.is_shared_object() || (kind.is_data() && message.stream == CONNECTION) {
            // An empty one says nothing to anybody.
            if message.payload.is_empty() {
                return Ok(());
            }
            return self.forward(now, message);
        }
        if kind == MessageType::AGGREGATE {
            self.on_aggregate(&message);
        } else {
            self.on_media(message);
        }
        Ok(())
    }

    /// Takes in the whole parts of an aggregate; the rest of one that is cut off is counted.
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
            self.publishing.push(message);
        }
    }

    fn on_command(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let name = Command::peek(message.kind, &message.payload).map(|(name, _)| name);
        match name {
            None if message.payload.is_empty() => return Ok(()),
            Some(command::connect::NAME) => {
                return Err(End::fault(CloseReason::Protocol, "second_connect"));
            }
            Some("publish" | "deleteStream" | "closeStream") => {
                return self.on_stream_command(now, message);
            }
            _ => {}
        }
        self.forward(now, message)
    }

    /// Forwards a command that begins a generation of a message stream, if it does.
    fn on_stream_command(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let stream = message.stream;
        let command = Command::decode(message.kind, &message.payload).ok();
        let parsed = command.as_ref().map(NetStreamCommand::parse);
        let generation = match (parsed, command) {
            (Some(Ok(NetStreamCommand::DeleteStream(stream))), _) => self.publishing.end(stream),
            (Some(Ok(NetStreamCommand::CloseStream | NetStreamCommand::StopPublish)), _) => {
                self.publishing.end(stream)
            }
            // Also with arguments that cannot be read: the origin refuses it by its generation.
            (_, Some(command)) if command.name == "publish" => {
                let begun = self.publishing.begin(stream, now);
                begun.map_err(|_| End::fault(CloseReason::Limit, "too_many_publishes"))?
            }
            _ => self.publishing.generation(stream),
        };
        self.send(now, message, generation)
    }

    /// Forwards a message that changes nothing here.
    fn forward(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let generation = self.publishing.generation(message.stream);
        self.send(now, message, generation)
    }

    fn send(&mut self, now: Instant, message: Message, generation: Generation) -> Result<(), End> {
        if let Some(link) = &self.link {
            let queued = link.send(message, generation);
            queued.map_err(|_| End::fault(CloseReason::Limit, "link_behind"))?;
        }
        let counted = self.pace.spend(now);
        counted.map_err(|_| End::fault(CloseReason::Limit, "message_rate"))
    }

    fn pending(&self) -> usize {
        self.wire.pending() + self.playing.held_bytes()
    }

    /// Whether what the origin says next has to wait for messages of objects.
    pub(super) fn awaits_objects(&self) -> bool {
        self.seat
            .as_ref()
            .is_some_and(|seat| seat.after().is_some())
    }

    /// Sends what can be sent now, after anything that changed.
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
            // Pings and the like: it asks without reading the answers.
            return Err(End::fault(CloseReason::SlowReader, "answers_unread"));
        }
        Ok(())
    }

    /// When [`Self::on_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let publishes = self.publishing.feeding().next().is_some();
        let stuck = self.wire.stuck_since().filter(|_| !self.timers.lost);
        [
            self.wire.session().poll_timeout(),
            self.timers.connect_by(),
            self.timers.stall_at().filter(|_| publishes),
            self.playing.deadline(),
            stuck.map(|since| since + NO_PROGRESS),
            self.wire.paced_until(),
            self.report_at(),
            self.publishing.full_since().map(|since| since + UNDECIDED),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Does what is due.
    pub(super) fn on_timeout(&mut self, now: Instant) -> Result<(), End> {
        self.report(now);
        if !self.may_read() || self.throttled_until(now).is_some() {
            // A client that is not heard is not silent.
            self.wire.session().note_unread(now);
            self.timers.excuse(now);
        }
        self.wire.session().handle_timeout(now)?;
        if self.timers.is_connect_late(now) {
            return Err(End::fault(CloseReason::Timeout, "connect_timeout"));
        }
        let stuck = self.wire.stuck_since().filter(|_| !self.timers.lost);
        if stuck.is_some_and(|since| now >= since + NO_PROGRESS) {
            return Err(End::fault(CloseReason::SlowReader, "no_progress"));
        }
        let undecided = self.publishing.full_since();
        if undecided.is_some_and(|since| now >= since + UNDECIDED) {
            return Err(End::fault(CloseReason::Timeout, "publish_undecided"));
        }
        if self.publishing.feeding().next().is_some() {
            match self.timers.stall(now) {
                Some(Stall::Ping) => self.wire.session().send_ping(now),
                Some(Stall::Tell) => self.tell_stalled(true),
                None => {}
            }
        }
        Ok(())
    }

    /// The process was stopped for this long: nobody else is to blame for it.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.wire.session().postpone(by);
        self.wire.postpone(by);
        self.timers.postpone(by);
        self.pace.postpone(by);
    }

    /// Tells the origin whether this publisher is silent.
    fn tell_stalled(&self, stalled: bool) {
        if let Some(link) = &self.link {
            for stream in self.publishing.feeding() {
                link.stalled(stream, stalled);
            }
        }
    }

    /// Lets go of everything but the socket, and tells the origin.
    pub(super) fn end(&mut self, now: Instant, end: End) {
        let metrics = &self.worker.metrics;
        metrics.count_closed(end.reason);
        if let Some(fault) = end.fault {
            metrics.count_fault(fault);
        }
        self.permit.established();
        self.wire.set_limit(None);
        self.playing = Playing::default();
        self.publishing = Publishing::default();
        self.seat = None;
        if let Some(link) = self.link.take() {
            link.close(end.reason);
        }
        let (application, instance) = self.name();
        tracing::info!(
            address = %self.peer,
            application,
            instance,
            bytes_in = self.received,
            bytes_out = self.wire.sent(),
            duration_ms = now.duration_since(self.began).as_millis() as u64,
            reason = end.reason.label(),
            fault = end.fault,
            "session ends"
        );
    }

    /// Track 0 alone for a client that has not said that it takes several.
    fn wanted_tracks(&self) -> WantedTracks {
        let who = self.who.as_ref();
        who.map_or(WantedTracks::First, |who| who.tracks)
    }

    /// What the client asked to be written to in.
    fn encoding(&self) -> ObjectEncoding {
        let who = self.who.as_deref();
        who.map_or(ObjectEncoding::Amf0, |who| who.encoding)
    }

    /// Application and instance, as far as they are known.
    fn name(&self) -> (&str, &str) {
        let who = self.who.as_deref();
        who.map_or(("", ""), |who| (&who.application, &who.instance))
    }
}

const CONNECTION: MessageStreamId = MessageStreamId::CONNECTION;
