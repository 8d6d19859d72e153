//! One RTMP client of the generator. It does as little as a client can.

use std::{
    cell::RefCell,
    io,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, TcpStream as StdTcpStream},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    transport::{Layer, Transport},
    wire::{self, Amf, Assembler, Header, Message, Parser, Sink},
};

/// A connected client.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
    layer: Layer,
    parser: Parser,
    inbox: Assembler,
    received: Received,
}

impl Client {
    /// Opens a TCP connection from the address of the generator's n-th client and shakes hands.
    pub(crate) async fn open(server: SocketAddr, number: usize) -> io::Result<Self> {
        Self::open_over(Transport::Tcp, server, number).await
    }

    /// As [`Self::open`], over a transport.
    pub(crate) async fn open_over(
        transport: Transport,
        server: SocketAddr,
        number: usize,
    ) -> io::Result<Self> {
        within("handshake", async {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            socket.bind(&SocketAddr::from((source(server, number), 0)).into())?;
            let socket = TcpSocket::from_std_stream(socket.into());
            let mut stream = socket.connect(server).await?;
            stream.set_nodelay(true)?;
            let layer = Layer::open(transport, &mut stream).await?;
            let mut client = Self {
                stream,
                layer,
                parser: Parser::new(),
                inbox: Assembler::default(),
                received: Received::default(),
            };
            client.send(&wire::c0c1()).await?;
            let mut answer = Vec::with_capacity(1 + 2 * wire::HANDSHAKE);
            while answer.len() < 1 + 2 * wire::HANDSHAKE {
                let mut buffer = [0; 4096];
                match client.stream.read(&mut buffer).await? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => client.layer.unwrap(&buffer[..count], &mut answer)?,
                }
            }
            client.send(&answer[1..][..wire::HANDSHAKE]).await?;
            Ok(client)
        })
        .await
    }

    /// Sends connect and waits until it is accepted.
    pub(crate) async fn connect(&mut self, app: &str) -> io::Result<()> {
        let tc_url = format!("rtmp://{}/{app}", self.stream.peer_addr()?);
        self.call_raw(&wire::connect(app, &tc_url), 1.0).await?;
        Ok(())
    }

    /// Creates a message stream.
    pub(crate) async fn create_stream(&mut self) -> io::Result<u32> {
        let command = ["createStream".into(), 2.0.into(), Amf::Null];
        let answer = self.call_raw(&command, 2.0).await?;
        let id = answer.values().get(3).and_then(Amf::number);
        id.map(|id| id as u32)
            .ok_or_else(|| io::Error::other("createStream without a number"))
    }

    /// Sends play and does not wait for an answer: the media is the answer.
    pub(crate) async fn play(&mut self, stream: u32, name: &str) -> io::Result<()> {
        let values = ["play".into(), 0.0.into(), Amf::Null, name.into()];
        self.send(&wire::command_on(stream, &values)).await
    }

    /// Publishes; returns once the server accepted it.
    pub(crate) async fn publish(&mut self, stream: u32, name: &str) -> io::Result<()> {
        let values = [
            "publish".into(),
            0.0.into(),
            Amf::Null,
            name.into(),
            "live".into(),
        ];
        self.send(&wire::command_on(stream, &values)).await?;
        within(
            "answer to publish",
            self.until(|message| {
                let code = message.code().unwrap_or_default();
                match code.as_str() {
                    "NetStream.Publish.Start" => Some(Ok(())),
                    "NetStream.Publish.BadName" => Some(Err(io::Error::other(code))),
                    _ => None,
                }
            }),
        )
        .await?
    }

    /// Sends a command and returns its `_result` or `_error`.
    pub(crate) async fn call(&mut self, values: &[Amf], transaction: f64) -> io::Result<Message> {
        self.send(&wire::command(values)).await?;
        self.answer(transaction).await
    }

    /// Waits for the answer to an earlier command.
    pub(crate) async fn answer(&mut self, transaction: f64) -> io::Result<Message> {
        let what = format!("answer to {transaction}");
        let answer = self.until(|message| answers(message, transaction).then(|| message.clone()));
        within(&what, answer).await
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.layer {
            Layer::Tcp => self.stream.write_all(bytes).await,
            layer => {
                let wrapped = layer.wrap(bytes)?;
                self.stream.write_all(&wrapped).await
            }
        }
    }

    /// Hands everything that arrives to `sink` until the connection ends.
    pub(crate) async fn receive(&mut self, sink: &mut impl Sink) -> io::Result<()> {
        loop {
            self.receive_once(sink).await?;
        }
    }

    /// Hands the bytes of one read to `sink`, after messages that came earlier. Returns whether the
    /// read found bytes.
    pub(crate) async fn receive_once(&mut self, sink: &mut impl Sink) -> io::Result<bool> {
        for message in std::mem::take(&mut self.inbox.messages) {
            let prefix = &message.payload[..message.payload.len().min(wire::PREFIX)];
            sink.piece(&message.header, &message.payload);
            sink.complete(&message.header, prefix);
        }
        self.stream.readable().await?;
        let found = self.read_ready(sink)?;
        self.acknowledge();
        Ok(found)
    }

    /// Reads the socket's bytes into the buffer that all clients of a thread share. Returns whether
    /// there were any.
    fn read_ready(&mut self, sink: &mut impl Sink) -> io::Result<bool> {
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                buffer.resize(READ_SIZE, 0);
            }
            match self.stream.try_read(buffer) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    let mut pinged = Pinged { sink, answer: None };
                    if matches!(self.layer, Layer::Tcp) {
                        self.received.add(count);
                        self.parser.feed(&buffer[..count], &mut pinged);
                    } else {
                        let mut plain = Vec::with_capacity(count);
                        self.layer.unwrap(&buffer[..count], &mut plain)?;
                        self.received.add(plain.len());
                        self.parser.feed(&plain, &mut pinged);
                    }
                    if let Some(answer) = pinged.answer {
                        // A full send buffer would lose it; the server pings only a silent client.
                        let _ = self.stream.try_write(&self.layer.wrap(&answer)?);
                    }
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            }
        })
    }

    /// Acknowledges the received bytes at intervals, as players do.
    fn acknowledge(&mut self) {
        if let Some(message) = self.received.acknowledgement() {
            // A full send buffer would lose it; nothing waits for an acknowledgement here.
            if let Ok(wrapped) = self.layer.wrap(&message) {
                let _ = self.stream.try_write(&wrapped);
            }
        }
    }

    /// Leaves the bytes that arrive from now on to the kernel, which throws them away.
    pub(crate) fn discard(self) -> io::Result<Discard> {
        Ok(Discard {
            stream: self.stream.into_std()?,
            layer: self.layer,
            received: self.received,
        })
    }

    async fn call_raw(&mut self, values: &[Amf], transaction: f64) -> io::Result<Message> {
        let answer = self.call(values, transaction).await?;
        match answer.name().as_deref() {
            Some("_result") => Ok(answer),
            _ => Err(io::Error::other(answer.code().unwrap_or_default())),
        }
    }

    /// Reads until `found` returns a value for a message.
    async fn until<T>(&mut self, mut found: impl FnMut(&Message) -> Option<T>) -> io::Result<T> {
        loop {
            while let Some(message) = self.inbox.messages.pop_front() {
                if let Some(value) = found(&message) {
                    return Ok(value);
                }
            }
            self.stream.readable().await?;
            let mut inbox = std::mem::take(&mut self.inbox);
            let read = self.read_ready(&mut inbox);
            self.inbox = inbox;
            read?;
        }
    }
}

/// Takes pings out of the messages for a sink: a server closes a client that answers none.
struct Pinged<'s, S> {
    sink: &'s mut S,
    answer: Option<Vec<u8>>,
}

impl<S: Sink> Sink for Pinged<'_, S> {
    fn piece(&mut self, header: &Header, bytes: &[u8]) {
        self.sink.piece(header, bytes);
    }

    fn complete(&mut self, header: &Header, prefix: &[u8]) {
        self.sink.complete(header, prefix);
        let ping = prefix.strip_prefix(&PING_REQUEST);
        if let Some(time) = ping.filter(|_| header.kind == wire::USER_CONTROL) {
            let header = Header {
                csid: 2,
                kind: wire::USER_CONTROL,
                ..Header::default()
            };
            let mut out = Vec::new();
            wire::write_message(&mut out, &header, &[&PING_RESPONSE, time].concat(), 128);
            self.answer = Some(out);
        }
    }
}

/// A connection whose bytes the kernel throws away. It wakes nothing when bytes arrive, so that the
/// processor is the server's.
#[derive(Debug)]
pub(crate) struct Discard {
    stream: StdTcpStream,
    layer: Layer,
    received: Received,
}

impl Discard {
    /// Throws away the bytes that have arrived, and returns their number.
    pub(crate) fn take(&mut self) -> io::Result<u64> {
        let mut taken = 0;
        loop {
            let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
            let read = BUFFER.with_borrow_mut(|buffer| {
                buffer.resize(buffer.len().max(DISCARD_SIZE), 0);
                recv(&self.stream, buffer.as_mut_slice(), flags)
            });
            match read {
                Ok((_, 0)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((_, count)) => {
                    self.received.add(count);
                    taken += count as u64;
                    if count < DISCARD_SIZE {
                        // The socket is empty.
                        break;
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        if let Some(message) = self.received.acknowledgement() {
            // As above.
            let _ = self.stream.write(&self.layer.wrap(&message)?);
        }
        Ok(taken)
    }
}

/// The bytes that a client has received, and how many of them it has acknowledged.
#[derive(Debug, Default)]
struct Received {
    bytes: u64,
    acknowledged: u64,
}

impl Received {
    fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// The acknowledgement, if one is due.
    fn acknowledgement(&mut self) -> Option<Vec<u8>> {
        if self.bytes - self.acknowledged < ACKNOWLEDGE_EVERY {
            return None;
        }
        self.acknowledged = self.bytes;
        let header = Header {
            csid: 2,
            kind: wire::ACKNOWLEDGEMENT,
            ..Header::default()
        };
        let mut out = Vec::new();
        let sequence = (self.bytes as u32).to_be_bytes();
        wire::write_message(&mut out, &header, &sequence, 128);
        Some(out)
    }
}

/// The address of the generator's n-th client; no two clients share one.
fn source(server: SocketAddr, number: usize) -> Ipv4Addr {
    if server.ip() == tributary_path::FAR {
        return tributary_path::source(number as u32);
    }
    Ipv4Addr::from(0x7f10_0001 + number as u32)
}

fn answers(message: &Message, transaction: f64) -> bool {
    let values = message.values();
    matches!(message.name().as_deref(), Some("_result" | "_error"))
        && values.get(1).and_then(Amf::number) == Some(transaction)
}

async fn within<T>(what: &str, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(ANSWER_WITHIN, work).await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("no {what}"),
        ))
    })
}

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The types of user control messages.
const PING_REQUEST: [u8; 2] = [0, 6];
const PING_RESPONSE: [u8; 2] = [0, 7];
const READ_SIZE: usize = 64 * 1024;
/// The bytes that are thrown away at once. The kernel writes none of them.
const DISCARD_SIZE: usize = 1024 * 1024;
const ACKNOWLEDGE_EVERY: u64 = 2_500_000;
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
