//! One session as its group knows it.

use std::{
    cell::Cell,
    collections::VecDeque,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_node::encoder::Encoder;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, SessionId, TransactionId,
    amf::Value,
    command::{Command, Connect, ObjectEncoding, connect},
    link::{
        ClientClaims, FeedPlace, Generation, OpenSession, PeerAddress, RelayAddress,
        RestoredSession, ToSession,
    },
};

pub(super) mod calls;
pub(super) mod limits;

use calls::Calls;
use limits::PENDING_BYTES;

use super::{
    access::{Access, SampleAccess},
    answer,
    message_stream::{MessageStreams, Role},
    resume_token::Resumable,
    shared_objects::Uses,
    watched::{Traffic, Watched},
};
use crate::{
    app::{ClientId, ClientStream, Identity},
    session::{LaneOut, Order, SessionKey},
};

/// A client of a group.
///
/// The connect command is kept as the bytes it came in: thousands of idle clients cost little more
/// than that.
pub struct Client {
    pub(super) key: SessionKey,
    lane: LaneOut,
    /// The number of its session in the lane.
    session: SessionId,
    peer: PeerAddress,
    protocol: &'static str,
    connect: Bytes,
    encoding: ObjectEncoding,
    pub(super) encoder: Encoder,
    state: State,
    pub(super) streams: MessageStreams,
    pub(super) calls: Calls,
    pub(super) identity: Option<Box<Identity>>,
    claims: Option<Arc<ClientClaims>>,
    pub(super) opened: Instant,
    pub(super) traffic: Traffic,
    pub(super) bandwidth_checked: bool,
    pub(super) read_access: Access,
    pub(super) write_access: Access,
    pub(super) samples: Option<Box<SampleAccess>>,
    uses: Option<Box<Uses>>,
    pub(super) watched: Option<Box<Watched>>,
    /// The message stream whose next publish or play is relayed, and by which address.
    pub(super) relay: Option<Box<(MessageStreamId, RelayAddress)>>,
    /// Set if it may come back in another session.
    pub(super) resumable: Option<Box<Resumable>>,
    progress: Cell<Progress>,
}

/// The client's messages in its lane.
#[derive(Clone, Copy, Default)]
struct Progress {
    /// Those that were taken up.
    taken: u64,
    /// Those of them that are not done with.
    open: u32,
}

/// The outcome of an accept.
#[derive(Default)]
pub(super) struct AcceptedClient {
    /// The messages that the client has sent before it.
    pub(super) held: VecDeque<(Generation, Message)>,
    /// Set if the process before had accepted the client.
    pub(super) restored: Option<Box<RestoredSession>>,
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
    connect: Arc<Connect>,
    /// Messages that the client has sent since, in order.
    held: VecDeque<(Generation, Message)>,
    held_bytes: usize,
    /// Calls of the application that leave after the `_result`.
    calls: Vec<Message>,
    call_bytes: usize,
    /// Set if the process before had accepted it: what its edge has of it.
    restored: Option<Box<RestoredSession>>,
}

/// The most bytes of calls to a client that is not accepted yet. Reason: they are kept in memory
/// until then.
pub(super) const PENDING_CALLS: usize = 64 * 1024;

impl Client {
    pub(super) fn new(
        key: SessionKey,
        lane: LaneOut,
        open: &OpenSession,
        connect: Arc<Connect>,
        now: Instant,
    ) -> Self {
        Self {
            key,
            lane,
            session: key.session,
            peer: open.peer,
            protocol: known_protocol(&open.protocol),
            // The bytes may be part of a larger buffer; a session keeps its own alone.
            connect: Bytes::copy_from_slice(&open.connect),
            encoding: connect.object_encoding,
            encoder: Encoder::of(&connect),
            state: State::Pending(Box::new(Pending::new(connect))),
            streams: MessageStreams::default(),
            calls: Calls::default(),
            identity: None,
            claims: open.claims.clone(),
            opened: now,
            traffic: Traffic::default(),
            bandwidth_checked: false,
            read_access: Access::default(),
            write_access: Access::default(),
            samples: None,
            uses: None,
            watched: None,
            relay: None,
            resumable: None,
            progress: Cell::default(),
        }
    }

    /// A client that was accepted by the process before. The application is asked about it again; the
    /// client itself gets no answer.
    pub(super) fn restored(
        key: SessionKey,
        lane: LaneOut,
        restored: Box<RestoredSession>,
        connect: Arc<Connect>,
        now: Instant,
    ) -> Self {
        let mut client = Self::new(key, lane, &restored.open, connect, now);
        if let State::Pending(pending) = &mut client.state {
            pending.restored = Some(restored);
        }
        client.calls = Calls::after_others();
        client
    }

    /// The client's name in [`Context`](super::Context).
    pub fn id(&self) -> ClientId {
        ClientId(self.key)
    }

    /// Its real address, as its edge saw it.
    pub fn peer(&self) -> PeerAddress {
        self.peer
    }

    /// How it is connected: `rtmp`, `rtmps`, `rtmpt` and so on.
    pub fn protocol(&self) -> &'static str {
        self.protocol
    }

    /// The person or program that it is, if its edge has verified that: the subject of a token, the
    /// user of an encoder, or the user that a service of hooks has stated.
    pub fn user(&self) -> Option<&str> {
        self.claims.as_ref()?.user.as_deref()
    }

    /// A JSON object of at most 4 KiB with the claims of the token by which its edge has let it
    /// connect.
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_ref()?.json.as_deref()
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

    /// Payload bytes of the messages it has sent in its lane.
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

    /// Sets its identity for publishing: a publisher with the same identity may take over from it.
    pub fn identify(&mut self, identity: Identity) {
        self.identity = Some(Box::new(identity));
    }

    /// Its message streams, with the use of each.
    pub fn streams(&self) -> impl Iterator<Item = ClientStream<'_>> {
        self.streams.iter().map(|message_stream| ClientStream {
            stream: message_stream.id,
            publishes: match &message_stream.role {
                Role::Publishing { name, .. } => Some(&**name),
                _ => None,
            },
            plays: match &message_stream.role {
                Role::Playing(playing) => Some(&*playing.name),
                _ => None,
            },
        })
    }

    pub(super) fn lane(&self) -> &LaneOut {
        &self.lane
    }

    /// Its session in the lane of its edge: another one than its key after it has come back.
    pub(super) fn place(&self) -> SessionKey {
        SessionKey {
            lane: self.lane.key(),
            session: self.session,
        }
    }

    /// How often it has come back in another session.
    pub(super) fn returns(&self) -> u32 {
        let resumable = self.resumable.as_ref();
        resumable.map_or(0, |resumable| resumable.returns)
    }

    /// Takes another session for that in which it was.
    pub(super) fn go_on_in(
        &mut self,
        place: SessionKey,
        lane: LaneOut,
        open: &OpenSession,
        connect: &Connect,
    ) {
        self.lane = lane;
        self.session = place.session;
        self.peer = open.peer;
        self.protocol = known_protocol(&open.protocol);
        self.connect = Bytes::copy_from_slice(&open.connect);
        self.claims = open.claims.clone();
        self.encoding = connect.object_encoding;
        self.traffic = Traffic::default();
        self.bandwidth_checked = false;
        self.relay = None;
        self.progress.take();
    }

    /// Its use of shared objects.
    pub(super) fn uses(&mut self) -> &mut Uses {
        self.uses.get_or_insert_with(|| Box::new(Uses::new()))
    }

    pub(super) fn has_uses(&self) -> bool {
        self.uses.is_some()
    }

    /// Payload bytes of the messages sent to it in its lane.
    pub fn bytes_out(&self) -> u64 {
        self.traffic.bytes_out
    }

    pub(super) fn tell(&self, order: Order) {
        self.lane.send(self.session, order);
    }

    /// Gives back the credit of so many handled messages: each costs credit beside its bytes.
    pub(super) fn consumed_many(&self, messages: usize, bytes: usize) {
        for number in 0..messages {
            self.consumed(if number == 0 { bytes } else { 0 });
        }
    }

    /// Whether all of its messages that were taken up are done with.
    pub(super) fn has_done_all(&self) -> bool {
        self.progress.get().open == 0
    }

    /// A message of the client is taken up.
    pub(super) fn begin_message(&self) {
        let Progress { taken, open } = self.progress.get();
        self.progress.set(Progress {
            taken: taken + 1,
            open: open.saturating_add(1),
        });
    }

    /// Gives back the credit of a handled message.
    pub(super) fn consumed(&self, bytes: usize) {
        let Progress { taken, open } = self.progress.get();
        let open = open.saturating_sub(1);
        self.progress.set(Progress { taken, open });
        let handled = (open == 0).then_some(taken);
        self.lane.consumed(self.session, bytes, handled);
    }

    pub(super) fn send(&mut self, message: Message) {
        self.send_after(message, None);
    }

    /// Sends a message tied to a place in its message stream's feed. A message that is too long for
    /// RTMP is dropped.
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

    /// Sends a call of the application, or holds it back while the connect is pending. `false` if
    /// it does not fit there.
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

    /// Takes the address by which the next publish or play of a message stream is relayed.
    pub(super) fn take_relay(&mut self, stream: MessageStreamId) -> Option<RelayAddress> {
        let relay = self.relay.take_if(|relay| relay.0 == stream)?;
        Some(relay.1)
    }

    /// Ends the pending state: sends the answer to connect, then the calls that were held back.
    /// Returns the messages that the client has sent since, and what its edge has of a client that was
    /// accepted before: that one gets no answer.
    pub(super) fn accept(&mut self, fms_version: &str) -> AcceptedClient {
        let State::Pending(pending) = std::mem::replace(&mut self.state, State::Accepted) else {
            return AcceptedClient::default();
        };
        if let Some(restored) = pending.restored {
            self.tell(ToSession::Restored);
            for call in pending.calls {
                self.send(call);
            }
            return AcceptedClient {
                held: pending.held,
                restored: Some(restored),
            };
        }
        self.remember_settings();
        self.tell(ToSession::Accept);
        self.answer_connect(&pending.connect, fms_version, false);
        for call in pending.calls {
            self.send(call);
        }
        AcceptedClient {
            held: pending.held,
            restored: None,
        }
    }

    /// Answers the connect of an accepted client; `resumed` says that it has come back.
    pub(super) fn answer_connect(&mut self, connect: &Connect, fms_version: &str, resumed: bool) {
        let mut answer = connect::success(connect, fms_version);
        if let Some(resumable) = &self.resumable {
            resumable.add_to(&mut answer, resumed);
        }
        self.send(answer::on_connection(&answer, ObjectEncoding::Amf0));
    }

    /// Whether it was accepted by the process before, and the application has not decided about it here.
    pub(super) fn is_restored(&self) -> bool {
        matches!(&self.state, State::Pending(pending) if pending.restored.is_some())
    }

    /// The transaction of a connect that is undecided.
    pub(super) fn undecided(&self) -> Option<TransactionId> {
        match &self.state {
            State::Pending(pending) => Some(pending.connect.transaction),
            State::Accepted => None,
        }
    }

    /// Holds a message until the connect is decided; `false` if there is no room.
    pub(super) fn hold(&mut self, generation: Generation, message: Message) -> bool {
        let State::Pending(pending) = &mut self.state else {
            return false;
        };
        pending.held_bytes += message.payload.len();
        pending.held.push_back((generation, message));
        pending.held_bytes <= PENDING_BYTES
    }
}

impl Pending {
    fn new(connect: Arc<Connect>) -> Self {
        Self {
            connect,
            held: VecDeque::new(),
            held_bytes: 0,
            calls: Vec::new(),
            call_bytes: 0,
            restored: None,
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

/// A known name of a transport; a session keeps no text of its own for it.
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
