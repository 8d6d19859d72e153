//! The client's end of a connection.

use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::{ConnectionLimits, Error, ServerEvent, connection::Connection};
use crate::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::{Object, Value},
    chunk::ReadLimits,
    command::{self, Command, DataMessage, ObjectEncoding},
    handshake::{self, ClientHandshake},
    message::user_control::UserControl,
};

/// An event of a client connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ClientEvent {
    /// The handshake is done: the driver sends connect next.
    Connected,
    /// The connect was accepted; the info object of its answer.
    Accepted(Value),
    /// The connect was refused; the info object of its answer. The server closes.
    Rejected(Value),
    /// A createStream was answered.
    StreamCreated {
        /// The result of [`ClientConnection::create_stream`].
        transaction: TransactionId,
        stream: MessageStreamId,
    },
    /// The answer to any other call, or to a createStream that failed.
    Answer {
        /// The result of [`ClientConnection::call`].
        transaction: TransactionId,
        /// The value of a `_result`, or the info object of an `_error`.
        result: Result<Value, Value>,
    },
    /// An `onStatus`.
    Status {
        stream: MessageStreamId,
        info: Value,
    },
    /// The server calls a method.
    Command {
        stream: MessageStreamId,
        command: Command,
    },
    /// Audio, video, data, shared objects, and malformed commands. The reader owns the payload: it
    /// is copied once, from the input.
    Message(Message),
    /// An event without a message: [`ServerEvent::Pong`] and [`ServerEvent::UserControl`].
    Control(ServerEvent),
}

/// The client's end of one RTMP connection, without I/O or clock: the mirror of
/// [`ServerConnection`](super::ServerConnection), with the commands of a publisher and a player.
#[derive(Debug)]
pub struct ClientConnection {
    /// None once it is done.
    handshake: Option<ClientHandshake>,
    deadline: Instant,
    failed: Option<Error>,
    connection: Connection,
    encoding: ObjectEncoding,
    next_transaction: u32,
    /// Calls to createStream without an answer.
    creating: Vec<TransactionId>,
}

impl ClientConnection {
    /// A connection right after its TCP connect; C0 and C1 are in the output. `random` goes into
    /// C1. [`ConnectionLimits::chunks_per_second`] does not apply.
    pub fn new(
        kind: handshake::HandshakeKind,
        random: [u8; handshake::RANDOM],
        now: Instant,
        limits: ConnectionLimits,
    ) -> Self {
        // A client has chosen its server: a fast server is no attack.
        let limits = ConnectionLimits {
            chunks_per_second: u32::MAX,
            ..limits
        };
        let mut connection = Connection::new(now, limits);
        let handshake = ClientHandshake::new(kind, &random, connection.output());
        Self {
            handshake: Some(handshake),
            deadline: now + limits.handshake,
            failed: None,
            connection,
            encoding: ObjectEncoding::Amf0,
            next_transaction: CONNECT + 1,
            creating: Vec::new(),
        }
    }

    /// Reads all bytes of `input`.
    pub fn handle_input(&mut self, now: Instant, mut input: &[u8]) -> Result<(), Error> {
        self.check()?;
        let result = self.read(now, &mut input);
        self.keep(result)
    }

    /// Handles the timers that are due at `now`: a ping, or an error for a server that is late.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.check()?;
        let result = match self.handshake {
            Some(_) if now >= self.deadline => Err(Error::HandshakeTimeout),
            Some(_) => Ok(()),
            None => self.connection.handle_timeout(now),
        };
        self.keep(result)
    }

    /// Sends connect. Later commands have the encoding that the properties ask for. The answer is
    /// [`ClientEvent::Accepted`] or [`ClientEvent::Rejected`].
    pub fn connect(&mut self, properties: Object, arguments: Vec<Value>) {
        let encoding = properties.get("objectEncoding").and_then(Value::as_number);
        let mut connect = command::connect::command(properties);
        connect.transaction = TransactionId(f64::from(CONNECT));
        connect.arguments = arguments;
        self.send_command(MessageStreamId::CONNECTION, &connect);
        if encoding == Some(ObjectEncoding::Amf3.number()) {
            self.encoding = ObjectEncoding::Amf3;
        }
    }

    /// Sends connect with the properties that every server needs: `app` with its instance, and the
    /// URL up to it.
    pub fn connect_to(&mut self, app: &str, tc_url: &str) {
        let properties = Object::new()
            .with("app", app)
            .with("type", "nonprivate")
            .with("flashVer", "FMLE/3.0 (compatible; Tributary)")
            .with("tcUrl", tc_url);
        self.connect(properties, Vec::new());
    }

    /// Asks for a message stream; the answer is [`ClientEvent::StreamCreated`].
    pub fn create_stream(&mut self) -> TransactionId {
        let transaction = self.call("createStream", Vec::new());
        self.creating.push(transaction);
        transaction
    }

    /// Calls a method; the answer is [`ClientEvent::Answer`].
    pub fn call(&mut self, name: &str, arguments: Vec<Value>) -> TransactionId {
        let transaction = TransactionId(f64::from(self.next_transaction));
        self.next_transaction += 1;
        self.command(MessageStreamId::CONNECTION, name, transaction, arguments);
        transaction
    }

    /// Calls a method without an answer.
    pub fn notify(&mut self, name: &str, arguments: Vec<Value>) {
        self.command(
            MessageStreamId::CONNECTION,
            name,
            TransactionId::NONE,
            arguments,
        );
    }

    /// Sends releaseStream and FCPublish, as encoders do before a publish.
    pub fn announce(&mut self, name: &str) {
        self.call("releaseStream", vec![name.into()]);
        self.call("FCPublish", vec![name.into()]);
    }

    /// Publishes on a message stream; the answer is a [`ClientEvent::Status`].
    pub fn publish(
        &mut self,
        stream: MessageStreamId,
        name: &str,
        kind: command::stream::PublishKind,
    ) {
        let arguments = vec![name.into(), kind.as_str().into()];
        self.command(stream, "publish", TransactionId::NONE, arguments);
    }

    /// Plays on a message stream: live, else recorded, else once the stream exists. The answers are
    /// [`ClientEvent::Status`].
    pub fn play(&mut self, stream: MessageStreamId, name: &str) {
        self.command(stream, "play", TransactionId::NONE, vec![name.into()]);
    }

    /// Sends any NetStream command: play with all its arguments, pause, seek, receiveVideo.
    pub fn stream_command(&mut self, stream: MessageStreamId, name: &str, arguments: Vec<Value>) {
        self.command(stream, name, TransactionId::NONE, arguments);
    }

    /// Ends the publish or play of a message stream, which can be used again.
    pub fn close_stream(&mut self, stream: MessageStreamId) {
        self.stream_command(stream, "closeStream", Vec::new());
    }

    /// Deletes a message stream.
    pub fn delete_stream(&mut self, stream: MessageStreamId) {
        self.notify("deleteStream", vec![f64::from(stream.0).into()]);
    }

    /// Sends the length of a player's buffer.
    pub fn set_buffer_length(&mut self, stream: MessageStreamId, milliseconds: u32) {
        self.connection
            .send_user_control(&UserControl::SetBufferLength {
                stream,
                milliseconds,
            });
    }

    /// Sends audio, video, or an encoded data message on a publishing message stream.
    pub fn send_media(
        &mut self,
        stream: MessageStreamId,
        kind: MessageType,
        timestamp: RtmpTimestamp,
        payload: Bytes,
    ) {
        let csid = match kind {
            MessageType::AUDIO => ChunkStreamId::AUDIO,
            MessageType::VIDEO => ChunkStreamId::VIDEO,
            _ => ChunkStreamId::DATA,
        };
        self.send(
            csid,
            &Message {
                kind,
                stream,
                timestamp,
                payload,
            },
        );
    }

    /// Sends a data message: metadata with `@setDataFrame`, or a message of NetStream.send.
    pub fn send_data(
        &mut self,
        stream: MessageStreamId,
        timestamp: RtmpTimestamp,
        data: &DataMessage,
    ) {
        let (kind, payload) = data.encode(self.encoding);
        self.send_media(stream, kind, timestamp, payload);
    }

    /// Sends a command unchanged.
    pub fn send_command(&mut self, stream: MessageStreamId, command: &Command) {
        let (kind, payload) = command.encode(self.encoding);
        let timestamp = RtmpTimestamp(0);
        self.send(
            ChunkStreamId::COMMAND,
            &Message {
                kind,
                stream,
                timestamp,
                payload,
            },
        );
    }

    /// Sends any message on a chunk stream of the caller's choice.
    pub fn send(&mut self, csid: ChunkStreamId, message: &Message) {
        self.connection.send(csid, message);
    }

    /// Sends Set Chunk Size, and uses the new size from here on.
    pub fn set_chunk_size(&mut self, chunk_size: u32) {
        self.connection.set_chunk_size(chunk_size);
    }

    /// Pings the server, unless a ping is under way.
    pub fn send_ping(&mut self, now: Instant) {
        self.connection.send_ping(now);
    }

    /// Sets the limits of incomplete messages from the server.
    pub fn set_read_limits(&mut self, limits: ReadLimits) {
        self.connection.reader().set_limits(limits);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        Some(match self.connection.poll_event()? {
            ServerEvent::Connected => ClientEvent::Connected,
            ServerEvent::Message(message) => self.take(message),
            event => ClientEvent::Control(event),
        })
    }

    /// Takes all bytes to be sent, as one buffer.
    pub fn take_output(&mut self) -> BytesMut {
        self.connection.take_output()
    }

    /// The bytes that [`Self::take_output`] would return.
    pub fn output_len(&self) -> usize {
        self.connection.output_len()
    }

    /// The next time for [`Self::handle_timeout`]; `None` after an error.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.failed, &self.handshake) {
            (Some(_), _) => None,
            (None, Some(_)) => Some(self.deadline),
            (None, None) => Some(self.connection.poll_timeout()),
        }
    }

    /// Whether the handshake is done.
    pub fn is_connected(&self) -> bool {
        self.handshake.is_none()
    }

    fn command(
        &mut self,
        stream: MessageStreamId,
        name: &str,
        transaction: TransactionId,
        arguments: Vec<Value>,
    ) {
        let mut command = Command::new(name, transaction);
        command.arguments = arguments;
        self.send_command(stream, &command);
    }

    fn read(&mut self, now: Instant, input: &mut &[u8]) -> Result<(), Error> {
        if let Some(handshake) = &mut self.handshake {
            if now >= self.deadline {
                return Err(Error::HandshakeTimeout);
            }
            if !handshake.read(input, self.connection.output())? {
                return Ok(());
            }
            self.handshake = None;
            self.connection.push_event(ServerEvent::Connected);
        }
        self.connection.read(now, input)
    }

    /// The event of a message from the server.
    fn take(&mut self, message: Message) -> ClientEvent {
        if !message.kind.is_command() {
            return ClientEvent::Message(message);
        }
        let Ok(command) = Command::decode(message.kind, &message.payload) else {
            return ClientEvent::Message(message);
        };
        let stream = message.stream;
        match command.name.as_str() {
            "_result" => self.take_answer(command, true),
            "_error" => self.take_answer(command, false),
            "onStatus" => ClientEvent::Status {
                stream,
                info: last(command),
            },
            _ => ClientEvent::Command { stream, command },
        }
    }

    fn take_answer(&mut self, command: Command, accepted: bool) -> ClientEvent {
        let transaction = command.transaction;
        let value = last(command);
        if transaction == TransactionId(f64::from(CONNECT)) {
            return match accepted {
                true => ClientEvent::Accepted(value),
                false => ClientEvent::Rejected(value),
            };
        }
        let creating = self.creating.iter().position(|&id| id == transaction);
        if let Some(place) = creating {
            self.creating.swap_remove(place);
            if let (true, Some(stream)) = (accepted, stream_id(&value)) {
                return ClientEvent::StreamCreated {
                    transaction,
                    stream,
                };
            }
        }
        let result = if accepted { Ok(value) } else { Err(value) };
        ClientEvent::Answer {
            transaction,
            result,
        }
    }

    fn check(&self) -> Result<(), Error> {
        self.failed.map_or(Ok(()), Err)
    }

    fn keep(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        self.failed = result.err();
        result
    }
}

/// The transaction id of connect.
const CONNECT: u32 = 1;

/// The value of an answer or a status: the last argument.
fn last(mut command: Command) -> Value {
    command.arguments.pop().unwrap_or(Value::Undefined)
}

/// The message stream that a createStream made. 0 is the connection itself.
fn stream_id(value: &Value) -> Option<MessageStreamId> {
    let id = value.as_number()?;
    let valid = id.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&id);
    valid.then_some(MessageStreamId(id as u32))
}
