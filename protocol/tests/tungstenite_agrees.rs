//! WebSocket against `tungstenite`, an independent client: the opening, frames of both directions in
//! any split, ping, close.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
};

use bytes::Bytes;
use proptest::prelude::*;
use tributary_protocol::{
    http::HttpRequest,
    websocket::{
        ServerFrameHead, WebSocketClose, WebSocketEvent, WebSocketReader, write_accept,
        write_close, write_pong,
    },
};
use tungstenite::{
    ClientRequestBuilder, Error, HandshakeError, Message, WebSocket, client,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

/// The client's end of a connection.
#[derive(Debug, Default)]
struct Pipe {
    sent: Vec<u8>,
    inbox: VecDeque<u8>,
    /// The bytes of one read at most.
    step: usize,
}

impl Read for Pipe {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.inbox.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = out.len().min(self.step);
        self.inbox.read(&mut out[..count])
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sent.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens a WebSocket of a client that offers these subprotocols, and returns it with the
/// chosen one; the client reads `step` bytes at once.
fn open(offered: &[&str], step: usize) -> (WebSocket<Pipe>, Option<String>) {
    let uri = "ws://edge.test:1935/live".parse().expect("an address");
    let request = ClientRequestBuilder::new(uri).with_header("Origin", "http://page.test");
    let add = |request: ClientRequestBuilder, name: &&str| request.with_sub_protocol(*name);
    let request = offered.iter().fold(request, add);
    // The client gives up if an answer comes in many small pieces.
    let pipe = Pipe {
        step: usize::MAX,
        ..Pipe::default()
    };
    let Err(HandshakeError::Interrupted(mut waiting)) = client(request, pipe) else {
        panic!("the client waits for the answer");
    };
    let pipe = waiting.get_mut().get_mut();
    let head = std::mem::take(&mut pipe.sent);
    let (request, length) = HttpRequest::read(&head)
        .expect("a request")
        .expect("all of it");
    assert_eq!((request.path, length), ("/live", head.len()));
    assert_eq!(request.origin, Some("http://page.test"));
    let mut answer = Vec::new();
    write_accept(&request.upgrade.expect("a WebSocket"), &mut answer);
    pipe.inbox.extend(answer);
    let (mut socket, response) = waiting.handshake().expect("the client accepts the answer");
    socket.get_mut().step = step;
    let chosen = response.headers().get("Sec-WebSocket-Protocol");
    let chosen = chosen.map(|name| name.to_str().expect("text").to_owned());
    (socket, chosen)
}

#[test]
fn the_opening_is_accepted() {
    for (offered, expected) in [
        (&[][..], None),
        (&["rtmp"], Some("rtmp")),
        (&["base64", "binary"], Some("binary")),
        (&["binary", "rtmp"], Some("rtmp")),
    ] {
        let (_, chosen) = open(offered, usize::MAX);
        assert_eq!(chosen.as_deref(), expected, "{offered:?}");
    }
}

/// A step of the client.
#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    /// A message in two frames.
    SendParts(Vec<u8>, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// The server sends this many bytes.
    Receive(usize),
}

fn any_step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..400);
    let control = || prop::collection::vec(any::<u8>(), 0..=125);
    let length = prop_oneof![
        0..200_usize,
        Just(65_535),
        Just(65_536),
        60_000..80_000_usize
    ];
    prop_oneof![
        bytes().prop_map(Step::Send),
        (bytes(), bytes()).prop_map(|(one, two)| Step::SendParts(one, two)),
        Just(Step::Send(vec![7; 70_000])),
        control().prop_map(Step::Ping),
        control().prop_map(Step::Pong),
        length.prop_map(Step::Receive),
    ]
}

/// The server's end, as a driver would have it.
#[derive(Default)]
struct Server {
    reader: WebSocketReader,
    received: Vec<u8>,
    closed: Option<Option<WebSocketClose>>,
}

impl Server {
    /// Reads all that the client has sent, in pieces, and answers it.
    fn read(&mut self, pipe: &mut Pipe, step: usize) {
        let mut sent = std::mem::take(&mut pipe.sent);
        let mut answers = Vec::new();
        for mut piece in sent.chunks_mut(step) {
            while let Some(event) = self.reader.read(&mut piece).expect("frames in order") {
                match event {
                    WebSocketEvent::Payload(bytes) => self.received.extend_from_slice(bytes),
                    WebSocketEvent::Ping(payload) => write_pong(payload.as_ref(), &mut answers),
                    WebSocketEvent::Close(code) => {
                        write_close(code, &mut answers);
                        self.closed = Some(code);
                    }
                }
            }
        }
        pipe.inbox.extend(answers);
    }
}

/// The messages that the client has got: all bytes, and the payloads of pongs.
fn read_all(socket: &mut WebSocket<Pipe>, bytes: &mut Vec<u8>, pongs: &mut Vec<Vec<u8>>) {
    loop {
        match socket.read() {
            Ok(Message::Binary(payload)) => bytes.extend_from_slice(&payload),
            Ok(Message::Pong(payload)) => pongs.push(payload.to_vec()),
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
            other => panic!("{other:?}"),
        }
    }
}

fn send(socket: &mut WebSocket<Pipe>, payload: &[u8], opcode: Data, is_final: bool) {
    let payload = Bytes::copy_from_slice(payload);
    let frame = Frame::message(payload, OpCode::Data(opcode), is_final);
    socket.send(Message::Frame(frame)).expect("it is sent");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bytes_cross_in_both_directions(
        steps in prop::collection::vec(any_step(), 0..10),
        client_step in prop_oneof![1..20_usize, Just(4096)],
        server_step in prop_oneof![1..20_usize, Just(65_536)],
    ) {
        let (mut socket, _) = open(&["rtmp"], client_step);
        let mut server = Server::default();
        let (mut upward, mut downward, mut pings) = (Vec::new(), Vec::new(), Vec::new());
        let (mut read, mut pongs) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Send(bytes) => {
                    upward.extend_from_slice(&bytes);
                    socket.send(Message::binary(bytes)).expect("it is sent");
                }
                Step::SendParts(one, two) => {
                    send(&mut socket, &one, Data::Binary, false);
                    send(&mut socket, &two, Data::Continue, true);
                    upward.extend(one);
                    upward.extend(two);
                }
                Step::Ping(bytes) => {
                    pings.push(bytes.clone());
                    socket.send(Message::Ping(bytes.into())).expect("it is sent");
                }
                Step::Pong(bytes) => {
                    socket.send(Message::Pong(bytes.into())).expect("it is sent");
                }
                Step::Receive(length) => {
                    let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
                    let pipe = socket.get_mut();
                    pipe.inbox.extend(ServerFrameHead::binary(length).as_ref());
                    pipe.inbox.extend(&payload);
                    downward.extend(payload);
                }
            }
            server.read(socket.get_mut(), server_step);
            read_all(&mut socket, &mut read, &mut pongs);
        }
        prop_assert!(server.received == upward);
        prop_assert!(read == downward);
        prop_assert_eq!(pongs, pings);

        let reason = "the end".into();
        let code = CloseCode::Normal;
        socket.close(Some(CloseFrame { code, reason })).expect("it is sent");
        server.read(socket.get_mut(), server_step);
        prop_assert_eq!(server.closed, Some(Some(WebSocketClose::NORMAL)));
        let answer = socket.read().expect("the server's close");
        let Message::Close(Some(frame)) = answer else {
            panic!("{answer:?}");
        };
        prop_assert_eq!(frame.code, code);
    }
}
