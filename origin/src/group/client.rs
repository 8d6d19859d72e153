//! One session as its group knows it.

use std::{
    collections::VecDeque,
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, TransactionId,
    amf::Value,
    command::{Command, Connect, ObjectEncoding, connect, stream::PlayStart},
    link::{FeedPlace, Filter, Generation, OpenSession, ToSession},
};

pub(super) mod limits;

use limits::PENDING_BYTES;

use super::{
    access::{Access, SampleAccess},
    answer,
    bandwidth::Measurement,
    shared_objects::Uses,
    streams::Place,
    watched::{Traffic, Watched},
};
use crate::{
    app::{CallToken, ClientId, ClientStream, Identity},
    live::LiveStream,
    session::{LaneOut, Order, SessionKey},
};

/// A client of a group.
///
/// What the client said of itself in its connect command is kept as the bytes it came in:
/// thousands of idle clients cost little more than that.
pub struct Client {
    pub(super) key: SessionKey,
    lane: LaneOut,
    peer: SocketAddr,
    protocol: &'static str,
    connect: Bytes,
    encoding: ObjectEncoding,
    /// An encoder that has done nothing but publish.
    pub(super) is_encoder: bool,
    /// When an encoder whose publish was refused or lost is parted with.
    pub(super) parting_at: Option<Instant>,
    state: State,
    pub(super) streams: Vec<NetStream>,
    calls: Option<Box<Calls>>,
    pub(super) identity: Option<Box<Identity>>,
    pub(super) opened: Instant,
    pub(super) traffic: Traffic,
    next_serial: u32,
    pub(super) bandwidth_checked: bool,
    pub(super) read_access: Access,
    pub(super) write_access: Access,
    pub(super) samples: Option<Box<SampleAccess>>,
    uses: Option<Box<Uses>>,
    pub(super) watched: Option<Box<Watched>>,
}

/// ```text
/// Pending ──► Accepted
/// ```
/// Either ends with the session.
enum State {
    Pending(Box<Pending>),
    Accepted,
}

/// A session whose connect is undecided.
struct Pending {
    connect: Rc<Connect>,
    /// What the client has sent since, in order.
    held: VecDeque<(Generation, Message)>,
    held_bytes: usize,
    /// Calls of the application that leave after the `_result`.
    calls: Vec<Message>,
    call_bytes: usize,
}

/// Calls to the client that it has not answered.
struct Calls {
    last: u32,
    open: Vec<(u32, CallToken)>,
    measurement: Option<Box<Measurement>>,
}

/// A message stream of a client, made by createStream.
pub(super) struct NetStream {
    pub(super) id: MessageStreamId,
    pub(super) filter: Filter,
    pub(super) role: Role,
    /// What it plays next; never empty, and hardly ever there.
    pub(super) playlist: Option<Box<Playlist>>,
}

/// Plays that wait on one message stream.
#[derive(Default)]
pub(super) struct Playlist {
    pub(super) waiting: VecDeque<Queued>,
}

/// A play that waits for the end of those before it.
pub(super) struct Queued {
    pub(super) name: String,
    pub(super) start: PlayStart,
    pub(super) how: PlayHow,
}

/// What a message stream is used for.
pub(super) enum Role {
    Idle,
    /// The application has not decided yet.
    Asking(Box<Asking>),
    Publishing {
        name: Rc<str>,
        generation: Generation,
    },
    Playing(Playing),
}

/// A publish or play request that waits for the application.
pub(super) struct Asking {
    pub(super) serial: u32,
    pub(super) name: String,
    pub(super) query: String,
    pub(super) what: Asked,
}

#[derive(Clone, Copy)]
pub(super) enum Asked {
    Publish(Generation),
    Play(PlayHow),
}

/// How a player wants to play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlayHow {
    pub(super) announce: Announce,
    /// For how long, from its first media on; to its end if there is none.
    pub(super) length: Option<Duration>,
}

/// What a player is told when its play begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announce {
    /// Play.Reset, Play.Start.
    Reset,
    /// Play.Start.
    Start,
    /// Play.Transition, and onPlayStatus Play.TransitionComplete once it gets the new stream.
    Transition,
}

/// What a player watches.
pub(super) struct Playing {
    pub(super) name: Rc<str>,
    /// The stream it is attached to.
    pub(super) live: Option<Arc<LiveStream>>,
    /// The stream's end has been announced and no new beginning since.
    pub(super) ended: bool,
    pub(super) length: PlayLength,
}

/// How long a play lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlayLength {
    /// As long as there is something.
    Unlimited,
    /// So long from its first media on.
    Asked(Duration),
    /// Until then.
    Until(Instant),
}

/// How much an application may send to a client that it has not accepted yet. Reason: it is kept
/// in memory until then.
pub(super) const PENDING_CALLS: usize = 64 * 1024;

/// The most calls to one client that may be without an answer. Reason: a client need not answer,
/// and each is remembered.
pub(super) const OPEN_CALLS: usize = 1_024;

/// Calls to a client are numbered from here. Reason: npm `rtmp-client` takes any command whose
/// transaction id is that of a call it waits for as the answer; clients count from 1.
const BEFORE_FIRST_CALL: u32 = 1 << 24;

/// The most plays that wait on one message stream. Reason: each keeps a name as its client wrote
/// it.
pub(super) const MAX_PLAYLIST: usize = 16;

/// The most message streams of one client. Reason: each is kept until the client deletes it.
pub(super) const MAX_STREAMS: usize = 64;

impl Client {
    pub(super) fn new(
        key: SessionKey,
        lane: LaneOut,
        open: &OpenSession,
        connect: Rc<Connect>,
        now: Instant,
    ) -> Self {
        Self {
            key,
            lane,
            peer: open.peer,
            protocol: known_protocol(&open.protocol),
            // The bytes may be part of a larger buffer; a session keeps its own alone.
            connect: Bytes::copy_from_slice(&open.connect),
            encoding: connect.object_encoding,
            is_encoder: is_encoder(&connect),
            parting_at: None,
            state: State::Pending(Box::new(Pending::new(connect))),
            streams: Vec::new(),
            calls: None,
            identity: None,
            opened: now,
            traffic: Traffic::default(),
            next_serial: 0,
            bandwidth_checked: false,
            read_access: Access::default(),
            write_access: Access::default(),
            samples: None,
            uses: None,
            watched: None,
        }
    }

    /// The client, for [`Context`](super::Context).
    pub fn id(&self) -> ClientId {
        ClientId(self.key)
    }

    /// Its real address, as its edge saw it.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How it is connected: `rtmp`, `rtmps`, `rtmpt` and so on.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The name of its edge.
    pub fn edge(&self) -> &str {
        self.lane.edge()
    }

    /// Its AMF encoding.
    pub fn encoding(&self) -> ObjectEncoding {
        self.encoding
    }

    /// Its connect command with every property, read anew.
    pub fn connect(&self) -> Option<Connect> {
        read_connect(&self.connect)
    }

    /// Its connect command as it came, for [`read_connect`](crate::app::embed::read_connect).
    pub fn connect_bytes(&self) -> Bytes {
        self.connect.clone()
    }

    /// Payload bytes of what it has sent in its lane.
    pub fn bytes_in(&self) -> u64 {
        self.traffic.bytes_in
    }

    /// For how long it has been here.
    pub fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.opened)
    }

    /// Whether the application has accepted it.
    pub fn is_accepted(&self) -> bool {
        matches!(self.state, State::Accepted)
    }

    /// Names it for publishing: whoever comes with the same identity may take over from it.
    pub fn identify(&mut self, identity: Identity) {
        self.identity = Some(Box::new(identity));
    }

    /// Its message streams, and what each of them does.
    pub fn streams(&self) -> impl Iterator<Item = ClientStream<'_>> {
        self.streams.iter().map(|net_stream| ClientStream {
            stream: net_stream.id,
            publishes: match &net_stream.role {
                Role::Publishing { name, .. } => Some(&**name),
                _ => None,
            },
            plays: match &net_stream.role {
                Role::Playing(playing) => Some(&*playing.name),
                _ => None,
            },
        })
    }

    pub(super) fn lane(&self) -> &LaneOut {
        &self.lane
    }

    /// What it has to do with shared objects.
    pub(super) fn uses(&mut self) -> &mut Uses {
        self.uses.get_or_insert_with(|| Box::new(Uses::new()))
    }

    pub(super) fn has_uses(&self) -> bool {
        self.uses.is_some()
    }

    /// Payload bytes of what it was sent in its lane.
    pub fn bytes_out(&self) -> u64 {
        self.traffic.bytes_out
    }

    pub(super) fn place(&self, stream: MessageStreamId) -> Place {
        Place {
            session: self.key,
            stream,
        }
    }

    pub(super) fn tell(&self, order: Order) {
        self.lane.send(self.key.session, order);
    }

    /// Gives back the credit of so many handled messages: each costs something beside its bytes.
    pub(super) fn consumed_many(&self, messages: usize, bytes: usize) {
        for number in 0..messages {
            self.consumed(if number == 0 { bytes } else { 0 });
        }
    }

    /// Gives back the credit of a handled message.
    pub(super) fn consumed(&self, bytes: usize) {
        self.lane.consumed(self.key.session, bytes);
    }

    pub(super) fn send(&mut self, message: Message) {
        self.send_after(message, None);
    }

    /// Sends a message tied to a place in its message stream's feed. One that is longer than RTMP
    /// can say is not sent.
    pub(super) fn send_after(&mut self, message: Message, after: Option<FeedPlace>) {
        if !answer::fits(&message) {
            tracing::debug!(client = %self.id(), bytes = message.payload.len(), "message too long");
            return;
        }
        self.traffic.send(message.payload.len());
        if let Some(watched) = &mut self.watched {
            watched.note_sent(self.traffic);
        }
        self.tell(ToSession::Message { message, after });
    }

    /// A command on the connection.
    pub(super) fn command(&mut self, command: &Command) {
        let message = answer::on_connection(command, self.encoding);
        self.send(message);
    }

    /// A command on a message stream.
    pub(super) fn command_on(&mut self, stream: MessageStreamId, command: &Command) {
        let message = answer::on_stream(stream, command, self.encoding);
        self.send(message);
    }

    /// A call of the application: held back while the connect is pending. `false` if it does not
    /// fit there.
    pub(super) fn app_message(&mut self, message: Message) -> bool {
        if !answer::fits(&message) {
            return false;
        }
        let State::Pending(pending) = &mut self.state else {
            self.send(message);
            return true;
        };
        pending.call_bytes += message.payload.len();
        if pending.call_bytes > PENDING_CALLS {
            return false;
        }
        pending.calls.push(message);
        true
    }

    /// Ends the pending state: the answer to connect, then what was held back for the client.
    /// Returns what the client has sent since.
    pub(super) fn accept(&mut self, fms_version: &str) -> VecDeque<(Generation, Message)> {
        let State::Pending(pending) = std::mem::replace(&mut self.state, State::Accepted) else {
            return VecDeque::new();
        };
        let answer = connect::success(&pending.connect, fms_version);
        self.tell(ToSession::Accept);
        self.send(answer::on_connection(&answer, ObjectEncoding::Amf0));
        for call in pending.calls {
            self.send(call);
        }
        pending.held
    }

    /// The transaction of a connect that is undecided.
    pub(super) fn undecided(&self) -> Option<TransactionId> {
        match &self.state {
            State::Pending(pending) => Some(pending.connect.transaction),
            State::Accepted => None,
        }
    }

    /// Holds a message until the connect is decided; `false` if it is too much.
    pub(super) fn hold(&mut self, generation: Generation, message: Message) -> bool {
        let State::Pending(pending) = &mut self.state else {
            return false;
        };
        pending.held_bytes += message.payload.len();
        pending.held.push_back((generation, message));
        pending.held_bytes <= PENDING_BYTES
    }

    /// Notes a call with an answer to come, and gives its transaction id; `None` if too many wait.
    pub(super) fn begin_call(&mut self, token: CallToken) -> Option<TransactionId> {
        if self.calls().open.len() >= OPEN_CALLS {
            return None;
        }
        let transaction = self.next_transaction();
        let calls = self.calls();
        calls.open.push((calls.last, token));
        Some(transaction)
    }

    /// A transaction id for a call to the client.
    pub(super) fn next_transaction(&mut self) -> TransactionId {
        let calls = self.calls();
        calls.last = calls.last.checked_add(1).unwrap_or(BEFORE_FIRST_CALL + 1);
        TransactionId(f64::from(calls.last))
    }

    /// What is known of how fast the client is.
    pub(super) fn measurement(&mut self) -> &mut Option<Box<Measurement>> {
        &mut self.calls().measurement
    }

    /// The measurement that waits for the answer to this call.
    pub(super) fn take_measurement(&mut self, open: TransactionId) -> Option<Box<Measurement>> {
        let measurement = &mut self.calls.as_mut()?.measurement;
        measurement.take_if(|running| running.waits_for(open))
    }

    fn calls(&mut self) -> &mut Calls {
        self.calls.get_or_insert_with(|| {
            Box::new(Calls {
                last: BEFORE_FIRST_CALL,
                open: Vec::new(),
                measurement: None,
            })
        })
    }

    /// The call that an answer with this transaction id belongs to.
    pub(super) fn end_call(&mut self, transaction: TransactionId) -> Option<CallToken> {
        let calls = self.calls.as_mut()?;
        let at = calls
            .open
            .iter()
            .position(|(id, _)| f64::from(*id) == transaction.0)?;
        Some(calls.open.remove(at).1)
    }

    /// All calls without an answer.
    pub(super) fn take_calls(&mut self) -> Vec<CallToken> {
        let calls = self
            .calls
            .take()
            .map(|calls| calls.open)
            .unwrap_or_default();
        calls.into_iter().map(|(_, token)| token).collect()
    }

    /// Makes a message stream with the lowest free number; `None` if there are too many.
    pub(super) fn create_stream(&mut self) -> Option<MessageStreamId> {
        if self.streams.len() >= MAX_STREAMS {
            return None;
        }
        let free = |id: &u32| self.streams.iter().all(|stream| stream.id.0 != *id);
        let id = MessageStreamId((1..).find(free)?);
        if self.streams.capacity() == 0 {
            // Most clients have one.
            self.streams.reserve_exact(1);
        }
        self.streams.push(NetStream {
            id,
            filter: Filter::default(),
            role: Role::Idle,
            playlist: None,
        });
        Some(id)
    }

    pub(super) fn stream(&mut self, id: MessageStreamId) -> Option<&mut NetStream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    pub(super) fn delete_stream(&mut self, id: MessageStreamId) {
        self.streams.retain(|stream| stream.id != id);
    }

    pub(super) fn next_serial(&mut self) -> u32 {
        self.next_serial = self.next_serial.wrapping_add(1);
        self.next_serial
    }
}

impl Pending {
    fn new(connect: Rc<Connect>) -> Self {
        Self {
            connect,
            held: VecDeque::new(),
            held_bytes: 0,
            calls: Vec::new(),
            call_bytes: 0,
        }
    }
}

impl PlayHow {
    /// `length` is in milliseconds. 0 asks for a single frame of a recording; a live stream has
    /// none to begin with, so that it means no limit there.
    pub(super) fn new(announce: Announce, length: Option<u32>) -> Self {
        let length = length.filter(|&length| length > 0);
        Self {
            announce,
            length: length.map(|length| Duration::from_millis(length.into())),
        }
    }
}

impl NetStream {
    pub(super) fn playing(&mut self) -> Option<&mut Playing> {
        match &mut self.role {
            Role::Playing(playing) => Some(playing),
            _ => None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

/// One of the names that edges give to transports; a session keeps no text of its own for it.
fn known_protocol(name: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["rtmp", "rtmps", "rtmpt", "rtmpts", "ws", "wss"];
    KNOWN
        .iter()
        .find(|known| **known == name)
        .copied()
        .unwrap_or(KNOWN[0])
}

/// Reads a connect command. `None` if the bytes are none.
pub fn read_connect(bytes: &[u8]) -> Option<Connect> {
    Command::decode(MessageType::COMMAND_AMF0, bytes)
        .ok()
        .and_then(Connect::parse)
}

/// A call of the application as a command.
pub(super) fn call(name: &str, transaction: TransactionId, arguments: &[Value]) -> Command {
    let mut command = Command::new(name, transaction);
    command.arguments = arguments.to_vec();
    command
}

/// Whether a client that connects so is an encoder: it says `type: nonprivate`, or goes by the name of
/// Flash Media Live Encoder, as nearly all of them do.
fn is_encoder(connect: &Connect) -> bool {
    let kind = connect.properties.get("type");
    let is_named = |agent: &str| agent.starts_with("FMLE/");
    kind.is_some_and(|kind| kind.as_str() == Some("nonprivate"))
        || connect.flash_ver.as_deref().is_some_and(is_named)
}
