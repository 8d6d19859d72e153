//! A connection to another server, over TCP or TLS.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use tokio::{
    sync::Notify,
    time::{timeout, timeout_at},
};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::Value,
    command::{DataMessage, ObjectEncoding, Status, data},
    handshake,
    link::LiveId,
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use super::{
    CONNECT, Connect, Happening, Inbox, OutgoingOrder,
    feeding::{Feed, send},
    info,
    peer::Peer,
    reach::{Roots, reach},
    socket::{Meter, Socket, Step},
    target::Target,
};
use crate::{
    app::NetStreamId,
    live::{LiveStream, Writing},
};

/// The parts of a connection to another server.
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) connect: Connect,
    /// The random bytes of the handshake.
    pub(crate) random: [u8; handshake::RANDOM],
    pub(crate) roots: Roots,
    /// Numbers the streams of this process.
    pub(crate) live_ids: Arc<AtomicU64>,
    pub(crate) meter: Meter,
}

/// A connection at work.
struct Session {
    socket: Socket,
    connection: ClientConnection,
    encoding: ObjectEncoding,
    /// Until the handshake is done.
    connect: Option<Connect>,
    peer: Peer,
    feeds: Vec<Feed>,
    plays: HashMap<NetStreamId, Writing>,
    /// Those of `plays` whose publication has ended: the next media belongs to another.
    ended: HashSet<NetStreamId>,
    live_ids: Arc<AtomicU64>,
    /// A published ring may have new messages.
    wake: Arc<Notify>,
    /// The server has accepted the connect.
    accepted: bool,
    deadline: Instant,
}

/// The event that woke a session.
enum Wake {
    Socket(io::Result<Step>),
    Order(Option<OutgoingOrder>),
    /// There may be media, or the group has caught up.
    Again,
    Due,
}

/// The bytes of output beyond which no more is added. Reason: output that waits here cannot be
/// skipped when the other side is slow; a ring's reader can skip.
const HIGH: usize = 256 * 1024;

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// The chunk size towards other servers. Reason: encoders use it, so every server takes it.
const CHUNK: u32 = 60_000;

/// The description of an end by [`CONNECT`].
const NO_ANSWER: &str = "The server does not answer.";

/// How long the last output of a closed connection may take.
const FLUSH: std::time::Duration = std::time::Duration::from_secs(2);

/// Connects, and carries out orders until either side ends the connection.
pub(crate) async fn run(dial: Dial, mut inbox: Inbox) {
    let dialled = tokio::select! {
        dialled = Session::dial(dial) => dialled,
        _ = &mut inbox.gone => Err(io::ErrorKind::Interrupted.into()),
    };
    let end = match dialled {
        Ok(mut session) => {
            let end = session.run(&mut inbox).await;
            session.settle(&inbox);
            let _ = timeout(FLUSH, session.socket.flush()).await;
            end
        }
        Err(error) => info(Status::ConnectFailed, Some(&error.to_string())),
    };
    inbox.close(end);
}

impl Session {
    async fn dial(dial: Dial) -> io::Result<Self> {
        let deadline = crate::live::now() + CONNECT;
        let reached = timeout_at(deadline.into(), reach(&dial.target, &dial.roots)).await;
        let stream = reached.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, NO_ANSWER))??;
        let now = crate::live::now();
        let kind = handshake::HandshakeKind::Simple;
        let connection = ClientConnection::new(kind, dial.random, now, ConnectionLimits::default());
        Ok(Self {
            socket: Socket::new(stream, now, dial.meter),
            connection,
            encoding: dial.connect.encoding(),
            connect: Some(dial.connect),
            peer: Peer::new(),
            feeds: Vec::new(),
            plays: HashMap::new(),
            ended: HashSet::new(),
            live_ids: dial.live_ids,
            wake: Arc::default(),
            accepted: false,
            deadline,
        })
    }

    /// Runs until the end. Returns how it came.
    async fn run(&mut self, inbox: &mut Inbox) -> Value {
        let mut buffer = vec![0; READ];
        loop {
            if let Some(end) = self.settle(inbox) {
                return end;
            }
            let end = match self.wait(inbox, &mut buffer).await {
                Wake::Socket(Ok(Step::Read(0))) => Some(info(self.lost(), None)),
                Wake::Socket(Ok(Step::Read(bytes))) => self.read(&buffer[..bytes]),
                Wake::Socket(Ok(Step::Written)) => None,
                Wake::Socket(Err(error)) => Some(info(self.lost(), Some(&error.to_string()))),
                Wake::Order(Some(order)) => {
                    self.handle_order(order);
                    None
                }
                Wake::Order(None) => Some(info(Status::ConnectClosed, None)),
                Wake::Again => None,
                Wake::Due => self.handle_timeout(),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn wait(&mut self, inbox: &mut Inbox, buffer: &mut [u8]) -> Wake {
        let takes_orders = self.accepted && self.socket.output.len() < HIGH;
        let backlog = Arc::clone(&inbox.backlog);
        let behind = inbox.is_behind();
        let due = self.due();
        tokio::select! {
            step = self.socket.transfer((!behind).then_some(buffer)) => Wake::Socket(step),
            order = inbox.orders.next(), if takes_orders => {
                Wake::Order(order.map(|(order, _)| order))
            }
            // Before the accept, orders that wait are lost.
            _ = &mut inbox.gone, if !self.accepted => Wake::Order(None),
            () = self.wake.notified(), if takes_orders => Wake::Again,
            () = backlog.caught_up(), if behind => Wake::Again,
            () = tokio::time::sleep_until(due.into()) => Wake::Due,
        }
    }

    /// When the session has something to do without any event.
    fn due(&self) -> Instant {
        let answer = (!self.accepted).then_some(self.deadline);
        let rest = self.connection.poll_timeout();
        let due = answer.into_iter().chain(rest).chain(self.socket.deadline());
        // The connection always has a deadline; without one, the session looks again now and then.
        due.min().unwrap_or_else(|| crate::live::now() + CONNECT)
    }

    /// The status of an end that the other side did not announce.
    fn lost(&self) -> Status {
        if self.accepted {
            Status::ConnectClosed
        } else {
            Status::ConnectFailed
        }
    }

    fn read(&mut self, input: &[u8]) -> Option<Value> {
        let read = self.connection.handle_input(crate::live::now(), input);
        // Events from before the fault are handled.
        let end = self.handle_events();
        let failed = |error: tributary_protocol::session::Error| {
            info(Status::ConnectFailed, Some(error.reason()))
        };
        end.or_else(|| read.err().map(failed))
    }

    fn handle_timeout(&mut self) -> Option<Value> {
        let now = crate::live::now();
        if !self.accepted && now >= self.deadline {
            return Some(info(Status::ConnectFailed, Some(NO_ANSWER)));
        }
        if self.socket.deadline().is_some_and(|at| at <= now) {
            let why = "The server takes no data.";
            return Some(info(self.lost(), Some(why)));
        }
        let due = self.connection.handle_timeout(now);
        due.err()
            .map(|error| info(self.lost(), Some(error.reason())))
    }

    fn handle_events(&mut self) -> Option<Value> {
        while let Some(event) = self.connection.poll_event() {
            match event {
                ClientEvent::Connected => {
                    if let Some(connect) = self.connect.take() {
                        self.connection
                            .connect(connect.properties, connect.arguments);
                    }
                }
                ClientEvent::Accepted(info) => {
                    self.accepted = true;
                    self.connection.set_chunk_size(CHUNK);
                    self.peer.happens(Happening::Connected(info), 0);
                }
                ClientEvent::Rejected(info) => return Some(info),
                ClientEvent::Answer {
                    transaction,
                    result,
                } => self.peer.handle_answer(transaction, result),
                ClientEvent::Status { stream, info } => {
                    self.note_end(stream, &info);
                    self.peer.handle_status(stream, info);
                }
                ClientEvent::Command { command, .. } if command.name == "close" => {
                    return Some(info(Status::ConnectClosed, None));
                }
                ClientEvent::Command { command, .. } => self.peer.handle_call(command),
                ClientEvent::Message(message) => self.media(message),
                _ => {}
            }
        }
        None
    }

    /// Notes the end of a NetStream's publication, if a status reports it.
    fn note_end(&mut self, on: MessageStreamId, info: &Value) {
        let code = info.get("code").and_then(Value::as_str);
        let stream = self.peer.plays(on);
        if code == Some(Status::PlayUnpublishNotify.code())
            && let Some(stream) = stream.filter(|stream| self.plays.contains_key(stream))
        {
            self.ended.insert(stream);
        }
    }

    /// Handles a message of a played stream, or about a shared object.
    fn media(&mut self, message: Message) {
        let kind = message.kind;
        if kind.is_shared_object() {
            return self.peer.handle_object(kind, &message.payload);
        }
        let is_media = kind == MessageType::AUDIO || kind == MessageType::VIDEO || kind.is_data();
        if !is_media || (kind.is_data() && is_of_player(&message)) {
            return;
        }
        let Some(stream) = self.peer.plays(message.stream) else {
            return;
        };
        if let Some(play) = self.plays.get(&stream) {
            if self.ended.remove(&stream) {
                play.live().splice(play.writer());
            }
            play.push(message, crate::live::now());
        }
    }

    fn handle_order(&mut self, order: OutgoingOrder) {
        match &order {
            OutgoingOrder::Publish { stream, .. } => self.feed(*stream).restart(),
            OutgoingOrder::Feed { stream, live } => {
                let live = live.clone();
                self.feed(*stream).play(live);
            }
            OutgoingOrder::Carry { stream, live } => {
                let feed = Feed::whole(*stream, Arc::clone(live), &self.wake);
                self.feeds.retain(|feed| feed.stream != *stream);
                self.feeds.push(feed);
            }
            OutgoingOrder::Finish { stream } => self.feed(*stream).finish(),
            OutgoingOrder::Data {
                stream,
                handler,
                values,
            } => {
                let message = data_message(handler, values);
                let live = self.feed(*stream).live();
                live.insert(message, crate::live::now());
            }
            OutgoingOrder::Play { stream, .. } => {
                let play = self.new_stream();
                let live = Some(Arc::clone(play.live()));
                self.plays.insert(*stream, play);
                let stream = *stream;
                self.peer.happens(Happening::Media { stream, live }, 0);
            }
            OutgoingOrder::Close { stream } => {
                self.feeds.retain(|feed| feed.stream != *stream);
                self.plays.remove(stream);
                self.ended.remove(stream);
            }
            OutgoingOrder::Object(message) => {
                let (kind, payload) = message.encode(self.encoding);
                let message = Message {
                    kind,
                    stream: MessageStreamId::CONNECTION,
                    timestamp: RtmpTimestamp::default(),
                    payload,
                };
                self.connection.send(ChunkStreamId::SHARED_OBJECT, &message);
            }
            OutgoingOrder::Call { .. } | OutgoingOrder::Respond { .. } => {}
        }
        self.peer.handle_order(order);
    }

    fn new_stream(&self) -> Writing {
        let id = LiveId(self.live_ids.fetch_add(1, Ordering::Relaxed));
        // No viewer plays it by a name: it goes into streams of the application.
        Writing::begin(LiveStream::new(id, ""))
    }

    /// The publication of a NetStream.
    fn feed(&mut self, stream: NetStreamId) -> &mut Feed {
        let place = self.feeds.iter().position(|feed| feed.stream == stream);
        let place = place.unwrap_or_else(|| {
            let feed = Feed::mixed(stream, self.new_stream(), &self.wake);
            self.feeds.push(feed);
            self.feeds.len() - 1
        });
        &mut self.feeds[place]
    }

    /// Puts out commands, reports, and media as far as there is room. Returns the end, if the group
    /// does not take a report.
    fn settle(&mut self, inbox: &Inbox) -> Option<Value> {
        while let Some((stream, command)) = self.peer.poll_command() {
            self.connection.send_command(stream, &command);
        }
        while let Some((happening, bytes)) = self.peer.poll_happening() {
            if !inbox.tell(happening, bytes) {
                let why = "The application is too far behind.";
                return Some(info(Status::ConnectClosed, Some(why)));
            }
        }
        loop {
            self.gather();
            if self.socket.output.len() >= HIGH || self.feed_all() == 0 {
                break;
            }
        }
        self.finish_feeds();
        None
    }

    /// Closes the NetStreams whose publications are finished. Their commands leave with the
    /// next events.
    fn finish_feeds(&mut self) {
        let over = self.feeds.extract_if(.., |feed| feed.is_finished());
        let over: Vec<_> = over.map(|feed| feed.stream).collect();
        for stream in over {
            self.peer.handle_order(OutgoingOrder::Close { stream });
            self.peer.happens(Happening::Finished { stream }, 0);
            self.wake.notify_one();
        }
    }

    fn gather(&mut self) {
        let more = self.connection.take_output();
        if more.is_empty() {
            return;
        }
        self.socket.begin_output(crate::live::now());
        let output = &mut self.socket.output;
        if output.is_empty() {
            *output = more;
        } else {
            output.extend_from_slice(&more);
        }
    }

    /// Sends some messages of every NetStream's publication. Returns how many.
    fn feed_all(&mut self) -> usize {
        let mut sent = 0;
        for feed in &mut self.feeds {
            let Some(stream) = self.peer.publishes(feed.stream) else {
                continue;
            };
            for (class, message) in feed.gather() {
                send(&mut self.connection, self.encoding, stream, class, message);
                sent += 1;
            }
        }
        sent
    }
}

/// Whether a data message is a server's status of the play, for the player, and no part of the
/// stream.
fn is_of_player(message: &Message) -> bool {
    let name = data::peek(message.kind, &message.payload);
    matches!(
        name,
        Some("|RtmpSampleAccess" | "onStatus" | "onPlayStatus")
    )
}

/// A data message as a ring takes it.
pub(super) fn data_message(handler: &str, values: &[Value]) -> Message {
    let data = DataMessage {
        name: handler.to_owned(),
        values: values.to_vec(),
    };
    let (kind, payload) = data.encode(ObjectEncoding::Amf3);
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp::default(),
        payload,
    }
}
