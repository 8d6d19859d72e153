//! A connection to another server, over TCP.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{net::TcpStream, sync::Notify, time::timeout};
use tributary_node::feed::MAX_LAG;
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::Value,
    command::{DataMessage, ObjectEncoding, Status, data},
    handshake,
    link::LiveId,
    media::{Class, Kind},
    ring::{Cursor, Start},
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use super::{CONNECT, Connect, Happening, Inbox, OutgoingOrder, info, peer::Peer, target::Target};
use crate::{
    app::NetStreamId,
    live::{LiveStream, Writing, relay::Relay},
};

/// The parts of a connection to another server.
pub(crate) struct Dial {
    pub(crate) target: Target,
    pub(crate) connect: Connect,
    /// The random bytes of the handshake.
    pub(crate) random: [u8; handshake::RANDOM],
    /// Numbers the streams of this process.
    pub(crate) live_ids: Arc<AtomicU64>,
}

/// A connection at work.
struct Session {
    socket: TcpStream,
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
    /// Bytes to be written.
    output: BytesMut,
    /// A published ring may have new messages.
    wake: Arc<Notify>,
    /// The server has accepted the connect.
    accepted: bool,
    deadline: Instant,
}

/// The publication of a NetStream: one stream across its sources.
struct Feed {
    stream: NetStreamId,
    out: Writing,
    relay: Relay,
    /// There is one once the other side has accepted the publish.
    cursor: Option<Cursor>,
    /// Rings the session's bell.
    bell: tokio::task::JoinHandle<()>,
}

/// The event that woke a session.
enum Wake {
    Read(io::Result<usize>),
    Written(io::Result<usize>),
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

/// Messages of one NetStream before the others get their turn.
const BATCH: usize = 32;

/// The chunk size towards other servers. Reason: encoders use it, so every server takes it.
const CHUNK: u32 = 60_000;

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
            let _ = timeout(FLUSH, session.flush()).await;
            end
        }
        Err(error) => info(Status::ConnectFailed, Some(&error.to_string())),
    };
    inbox.close(end);
}

impl Session {
    async fn dial(dial: Dial) -> io::Result<Self> {
        let deadline = crate::live::now() + CONNECT;
        let address = (dial.target.host(), dial.target.port());
        let socket = match timeout(CONNECT, TcpStream::connect(address)).await {
            Ok(socket) => socket?,
            Err(_) => return Err(io::ErrorKind::TimedOut.into()),
        };
        socket.set_nodelay(true)?;
        let now = crate::live::now();
        let kind = handshake::HandshakeKind::Simple;
        let connection = ClientConnection::new(kind, dial.random, now, ConnectionLimits::default());
        Ok(Self {
            socket,
            connection,
            encoding: dial.connect.encoding(),
            connect: Some(dial.connect),
            peer: Peer::new(),
            feeds: Vec::new(),
            plays: HashMap::new(),
            ended: HashSet::new(),
            live_ids: dial.live_ids,
            output: BytesMut::new(),
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
                Wake::Read(Ok(0)) => Some(info(self.lost(), None)),
                Wake::Read(Ok(bytes)) => self.read(&buffer[..bytes]),
                Wake::Written(Ok(bytes)) => {
                    self.output.advance(bytes);
                    None
                }
                Wake::Read(Err(error)) | Wake::Written(Err(error)) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => None,
                    _ => Some(info(self.lost(), Some(&error.to_string()))),
                },
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
        let has_room = self.output.len() < HIGH;
        let takes_orders = self.accepted && has_room;
        let backlog = Arc::clone(&inbox.backlog);
        let behind = inbox.is_behind();
        let due = self.connection.poll_timeout().unwrap_or(self.deadline);
        let due = if self.accepted {
            due
        } else {
            due.min(self.deadline)
        };
        tokio::select! {
            ready = self.socket.writable(), if !self.output.is_empty() => {
                Wake::Written(ready.and_then(|()| self.socket.try_write(&self.output)))
            }
            ready = self.socket.readable(), if !behind => {
                Wake::Read(ready.and_then(|()| self.socket.try_read(buffer)))
            }
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
            let why = "The server does not answer.";
            return Some(info(Status::ConnectFailed, Some(why)));
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
            OutgoingOrder::Publish { stream, .. } => self.feed(*stream).cursor = None,
            OutgoingOrder::Feed { stream, live } => {
                let live = live.clone();
                self.feed(*stream).relay.play(live);
            }
            OutgoingOrder::Data {
                stream,
                handler,
                values,
            } => {
                let message = data_message(handler, values);
                let out = &self.feed(*stream).out;
                out.live().insert(message, crate::live::now());
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
            let out = self.new_stream();
            let (relay, task) = Relay::new(Arc::clone(out.live()), out.writer());
            tokio::spawn(task);
            let bell = tokio::spawn(ring_on_change(
                Arc::clone(out.live()),
                Arc::clone(&self.wake),
            ));
            self.feeds.push(Feed {
                stream,
                out,
                relay,
                cursor: None,
                bell,
            });
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
            if self.output.len() >= HIGH || self.feed_all() == 0 {
                return None;
            }
        }
    }

    fn gather(&mut self) {
        let more = self.connection.take_output();
        if self.output.is_empty() {
            self.output = more;
        } else {
            self.output.extend_from_slice(&more);
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

    async fn flush(&mut self) -> io::Result<()> {
        while !self.output.is_empty() {
            self.socket.writable().await?;
            match self.socket.try_write(&self.output) {
                Ok(bytes) => self.output.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Feed {
    fn gather(&mut self) -> Vec<(Class, Message)> {
        let ring = self.out.live().ring();
        let cursor = self
            .cursor
            .get_or_insert_with(|| ring.join(Start::KeyFrame));
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(delivery) = ring.next(cursor, MAX_LAG)
        {
            batch.push((delivery.class, delivery.item.into_owned()));
        }
        batch
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.bell.abort();
    }
}

/// Rings whenever a message comes into a stream.
async fn ring_on_change(live: Arc<LiveStream>, bell: Arc<Notify>) {
    loop {
        // The future is made before the ring: a message that comes while the bell's owner looks
        // rings again.
        let changed = live.changed();
        bell.notify_one();
        changed.await;
    }
}

/// Sends a message of a publish as encoders do.
fn send(
    connection: &mut ClientConnection,
    encoding: ObjectEncoding,
    stream: MessageStreamId,
    class: Class,
    message: Message,
) {
    let Message {
        kind,
        timestamp,
        payload,
        ..
    } = message;
    if !kind.is_data() {
        return connection.send_media(stream, kind, timestamp, payload);
    }
    let (kind, body) = match data::forms(kind, &payload) {
        Ok(forms) => match forms.amf3 {
            Some(amf3) if encoding == ObjectEncoding::Amf3 => (MessageType::DATA_AMF3, amf3),
            _ => (MessageType::DATA_AMF0, forms.amf0),
        },
        // The message cannot be read as AMF3, so it has no AMF0 form.
        Err(_) if kind == MessageType::DATA_AMF3 && encoding == ObjectEncoding::Amf0 => return,
        Err(_) => (kind, payload),
    };
    let payload = match class.kind {
        Kind::Metadata => set_data_frame(kind, &body),
        _ => body,
    };
    connection.send_media(stream, kind, timestamp, payload);
}

/// Metadata in the wrapping that makes servers keep it.
fn set_data_frame(kind: MessageType, body: &Bytes) -> Bytes {
    let lead = usize::from(kind == MessageType::DATA_AMF3).min(body.len());
    [&body[..lead], SET_DATA_FRAME, &body[lead..]]
        .concat()
        .into()
}

/// The AMF0 string `@setDataFrame`.
const SET_DATA_FRAME: &[u8] = b"\x02\x00\x0d@setDataFrame";

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
