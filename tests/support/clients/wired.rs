//! A client that uses [`wire`] alone: it shares no code with the product, sends exactly the bytes
//! that a test gives it, and returns every message.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use super::super::{
    media::Recording,
    wire::{self, Amf, Assembler, Header, Message, Parser},
};

/// A connection after the handshake.
#[derive(Debug)]
pub(crate) struct Wired {
    stream: TcpStream,
    parser: Parser,
    inbox: Assembler,
    transaction: f64,
    chunk_size: usize,
    patience: Duration,
}

/// The reason why no message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nothing {
    Late,
    /// The server closed the connection.
    Closed,
}

impl Wired {
    /// Connects from a loopback address that no other client has, and shakes hands.
    pub(crate) fn open(server: SocketAddr) -> io::Result<Self> {
        Self::open_with(server, |stream, bytes| stream.write_all(bytes))
    }

    /// As [`Self::open`], with a small receive buffer: the server soon notices a client that does
    /// not read.
    pub(crate) fn open_narrow(server: SocketAddr) -> io::Result<Self> {
        Self::shake(narrow_tcp(server)?, |stream, bytes| stream.write_all(bytes))
    }

    /// As [`Self::open`], in segments of one byte.
    pub(crate) fn open_slowly(server: SocketAddr) -> Self {
        let byte_by_byte = |stream: &mut TcpStream, bytes: &[u8]| {
            bytes.iter().try_for_each(|byte| stream.write_all(&[*byte]))
        };
        Self::open_with(server, byte_by_byte).expect("a handshake")
    }

    fn open_with(
        server: SocketAddr,
        write: impl Fn(&mut TcpStream, &[u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        Self::shake(tcp(server)?, write)
    }

    fn shake(
        mut stream: TcpStream,
        write: impl Fn(&mut TcpStream, &[u8]) -> io::Result<()>,
    ) -> io::Result<Self> {
        write(&mut stream, &wire::c0c1())?;
        let mut answer = vec![0; 1 + 2 * wire::HANDSHAKE];
        stream.read_exact(&mut answer)?;
        write(&mut stream, &answer[1..][..wire::HANDSHAKE])?;
        Ok(Self {
            stream,
            parser: Parser::new(),
            inbox: Assembler::default(),
            transaction: 1.0,
            chunk_size: 128,
            patience: PATIENCE,
        })
    }

    /// An accepted session of an application.
    pub(crate) fn session(server: SocketAddr, app: &str) -> Self {
        let mut client = Self::open(server).expect("a handshake");
        let answer = client.connect(app);
        assert_eq!(
            answer.code().as_deref(),
            Some("NetConnection.Connect.Success"),
            "{app}"
        );
        client
    }

    /// An accepted session whose connect has arguments for the application.
    pub(crate) fn session_with(server: SocketAddr, app: &str, arguments: &[Amf]) -> Self {
        let mut client = Self::open(server).expect("a handshake");
        let answer = client.connect_with(app, Vec::new(), arguments);
        assert_eq!(answer.name().as_deref(), Some("_result"), "{app}");
        client
    }

    /// A session that may come back, or that has: `resume` is true or a token. The answer's info object.
    pub(crate) fn resumable(server: SocketAddr, app: &str, resume: Amf) -> (Self, Amf) {
        let mut client = Self::open(server).expect("a handshake");
        let answer = client.connect_with(app, vec![("resume".into(), resume)], &[]);
        assert_eq!(
            answer.code().as_deref(),
            Some("NetConnection.Connect.Success")
        );
        let info = answer.values().swap_remove(3);
        (client, info)
    }

    /// An accepted session with a small receive buffer.
    pub(crate) fn narrow_session(server: SocketAddr, app: &str) -> Self {
        let mut client = Self::open_narrow(server).expect("a handshake");
        let answer = client.connect(app);
        assert_eq!(answer.name().as_deref(), Some("_result"), "{app}");
        client
    }

    /// Sends connect and waits for its answer.
    pub(crate) fn connect(&mut self, app: &str) -> Message {
        self.connect_with(app, Vec::new(), &[])
    }

    /// As [`Self::connect`], with further properties and arguments.
    fn connect_with(&mut self, app: &str, more: Vec<(String, Amf)>, arguments: &[Amf]) -> Message {
        let host = self.stream.peer_addr().expect("a connected socket");
        let mut values = wire::connect_with(app, &format!("rtmp://{host}/{app}"), more);
        values.extend_from_slice(arguments);
        self.send(&wire::command(&values))
            .expect("an open connection");
        self.answer(1.0)
    }

    /// Calls a method and waits for its answer.
    pub(crate) fn call(&mut self, name: &str, arguments: &[Amf]) -> Message {
        let transaction = self.send_call(name, arguments).expect("an open connection");
        self.answer(transaction)
    }

    /// Calls a method; returns the transaction id.
    pub(crate) fn send_call(&mut self, name: &str, arguments: &[Amf]) -> io::Result<f64> {
        self.transaction += 1.0;
        let mut values = vec![name.into(), self.transaction.into(), Amf::Null];
        values.extend_from_slice(arguments);
        self.command(0, &values)?;
        Ok(self.transaction)
    }

    pub(crate) fn create_stream(&mut self) -> u32 {
        let answer = self.call("createStream", &[]);
        let id = answer.values().get(3).and_then(Amf::number);
        id.expect("createStream answers a number") as u32
    }

    /// Sends play.
    pub(crate) fn play(&mut self, stream: u32, name: &str) {
        let values = ["play".into(), 0.0.into(), Amf::Null, name.into()];
        self.command(stream, &values).expect("an open connection");
    }

    /// Sends publish and returns the code of the answer.
    pub(crate) fn publish(&mut self, stream: u32, name: &str) -> String {
        let values = [
            "publish".into(),
            0.0.into(),
            Amf::Null,
            name.into(),
            "live".into(),
        ];
        self.command(stream, &values).expect("an open connection");
        let answer = self.wait(PATIENCE, |message| {
            message
                .code()
                .is_some_and(|code| code.starts_with("NetStream.Publish."))
        });
        answer
            .expect("publish is answered")
            .code()
            .unwrap_or_default()
    }

    /// Sends publish, which must be refused; returns the code of the answer.
    pub(crate) fn publish_refused(mut self, name: &str) -> String {
        let stream = self.create_stream();
        self.publish(stream, name)
    }

    /// A session that publishes a name.
    pub(crate) fn publisher(server: SocketAddr, app: &str, name: &str) -> (Self, u32) {
        let mut client = Self::session(server, app);
        client.set_chunk_size(4096);
        let stream = client.create_stream();
        assert_eq!(
            client.publish(stream, name),
            "NetStream.Publish.Start",
            "{app}/{name}"
        );
        (client, stream)
    }

    /// A session that has sent play.
    pub(crate) fn viewer(server: SocketAddr, app: &str, name: &str) -> (Self, u32) {
        let mut client = Self::session(server, app);
        let stream = client.create_stream();
        client.play(stream, name);
        (client, stream)
    }

    /// A session that takes several tracks and has sent play.
    pub(crate) fn multitrack_viewer(server: SocketAddr, app: &str, name: &str) -> Self {
        let mut client = Self::open(server).expect("a handshake");
        client.connect_with(app, vec![("capsEx".into(), 2.0.into())], &[]);
        let stream = client.create_stream();
        client.play(stream, name);
        client
    }

    /// A session that follows requests to reconnect and publishes a name.
    pub(crate) fn following_publisher(server: SocketAddr, app: &str, name: &str) -> Self {
        let mut client = Self::open(server).expect("a handshake");
        client.connect_with(app, vec![("capsEx".into(), 1.0.into())], &[]);
        let stream = client.create_stream();
        let answer = client.publish(stream, name);
        assert_eq!(answer, "NetStream.Publish.Start", "{app}/{name}");
        client
    }

    /// Records messages until `done` accepts one, or the time is over.
    pub(crate) fn record(
        &mut self,
        at_most: Duration,
        mut done: impl FnMut(&Message, &Recording) -> bool,
    ) -> Recording {
        let mut recording = Recording::default();
        // The caller checks the recording.
        let _ = self.wait(at_most, |message| {
            let header = &message.header;
            recording.push(header.kind, header.timestamp, &message.payload);
            done(message, &recording)
        });
        recording
    }

    pub(crate) fn set_chunk_size(&mut self, size: u32) {
        self.message(2, wire::SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes())
            .expect("an open connection");
        self.chunk_size = size as usize;
    }

    pub(crate) fn command(&mut self, stream: u32, values: &[Amf]) -> io::Result<()> {
        let csid = if stream == 0 { 3 } else { 8 };
        self.message(
            csid,
            wire::COMMAND_AMF0,
            stream,
            0,
            &Amf::encode_all(values),
        )
    }

    /// Sends one audio, video or data message.
    pub(crate) fn media(
        &mut self,
        stream: u32,
        kind: u8,
        timestamp: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let csid = if kind == wire::AUDIO { 4 } else { 6 };
        self.message(csid, kind, stream, timestamp, payload)
    }

    /// Answers a ping request; the edge closes a client that does not.
    pub(crate) fn answer_ping(&mut self, message: &Message) -> io::Result<()> {
        match message.payload.split_first_chunk() {
            Some((&PING_REQUEST, time)) if message.header.kind == wire::USER_CONTROL => {
                let answer = [&PING_RESPONSE[..], time].concat();
                self.message(2, wire::USER_CONTROL, 0, 0, &answer)
            }
            _ => Ok(()),
        }
    }

    /// Sends a message of a shared object.
    pub(crate) fn shared_object(&mut self, payload: &[u8]) -> io::Result<()> {
        self.message(3, wire::SHARED_OBJECT_AMF0, 0, 0, payload)
    }

    fn message(
        &mut self,
        csid: u32,
        kind: u8,
        stream: u32,
        timestamp: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        let header = Header {
            csid,
            kind,
            stream,
            timestamp,
            length: 0,
        };
        let mut out = Vec::new();
        wire::write_message(&mut out, &header, payload, self.chunk_size);
        self.send(&out)
    }

    /// Sends bytes unchanged.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Makes the connection end by a TCP reset when it is dropped.
    pub(crate) fn reset_when_dropped(&self) {
        let socket = SockRef::from(&self.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("a socket");
    }

    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.local_addr().expect("a connected socket")
    }

    /// The time for an answer.
    pub(crate) fn set_read_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The next message.
    pub(crate) fn next(&mut self, at_most: Duration) -> Result<Message, Nothing> {
        let deadline = Instant::now() + at_most;
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(message) = self.inbox.messages.pop_front() {
                return Ok(message);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Nothing::Late);
            }
            self.stream
                .set_read_timeout(Some(left))
                .expect("a timeout above zero");
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Nothing::Closed),
                Ok(count) => self.parser.feed(&buffer[..count], &mut self.inbox),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => {}
                Err(_) => return Err(Nothing::Closed),
            }
        }
    }

    /// The next message that `wanted` accepts; others are skipped.
    pub(crate) fn wait(
        &mut self,
        at_most: Duration,
        mut wanted: impl FnMut(&Message) -> bool,
    ) -> Result<Message, Nothing> {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.next(left)?;
            if wanted(&message) {
                return Ok(message);
            }
        }
    }

    /// The messages until it has had so many pictures.
    pub(crate) fn pictures(&mut self, count: usize) -> Vec<Message> {
        let (mut messages, mut seen) = (Vec::new(), 0);
        let taken = self.wait(PATIENCE, |message| {
            seen += usize::from(message.header.kind == wire::VIDEO);
            messages.push(message.clone());
            seen == count
        });
        taken.expect("pictures");
        messages
    }

    /// Waits for a status or an answer with this code.
    pub(crate) fn wait_code(&mut self, code: &str) -> Message {
        self.wait(PATIENCE, |message| message.code().as_deref() == Some(code))
            .unwrap_or_else(|nothing| panic!("no {code}: {nothing:?}"))
    }

    /// Waits until the server closes the connection.
    pub(crate) fn wait_closed(&mut self, at_most: Duration) -> bool {
        self.wait(at_most, |_| false) == Err(Nothing::Closed)
    }

    fn answer(&mut self, transaction: f64) -> Message {
        self.wait(self.patience, |message| {
            answers(message) == Some(transaction)
        })
        .unwrap_or_else(|nothing| panic!("no answer: {nothing:?}"))
    }
}

/// The transaction id of an answer.
pub(crate) fn answers(message: &Message) -> Option<f64> {
    match message.name()?.as_str() {
        "_result" | "_error" => message.values().get(1)?.number(),
        _ => None,
    }
}

/// A TCP connection from an address of its own; limits per address apply to it alone.
pub(crate) fn tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(server)?;
    connect(socket, server)
}

/// As [`tcp`], with the smallest receive buffer that the kernel allows.
fn narrow_tcp(server: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(server)?;
    socket.set_recv_buffer_size(1)?;
    connect(socket, server)
}

fn socket(server: SocketAddr) -> io::Result<Socket> {
    let number = NEXT_SOURCE.fetch_add(1, Ordering::Relaxed);
    // Tests in other processes use other addresses.
    let process = std::process::id() % 64;
    let source = match server.ip() == tributary_path::FAR {
        true => tributary_path::source(number),
        false => Ipv4Addr::from(0x7f40_0001 + (process << 16) + number % 0xffff),
    };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    Ok(socket)
}

fn connect(socket: Socket, server: SocketAddr) -> io::Result<TcpStream> {
    socket.connect_timeout(&server.into(), PATIENCE)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

const PING_REQUEST: [u8; 2] = [0, 6];
const PING_RESPONSE: [u8; 2] = [0, 7];

static NEXT_SOURCE: AtomicU32 = AtomicU32::new(0);

/// The time for an answer on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
