//! Clients without a heap of their own, and an edge whose origin is the test.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{Arc, mpsc::sync_channel},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::runtime::{self, Runtime};
use tributary_edge::{
    Config, Metrics, Policies,
    link::{
        Upstream,
        handle::{FromOrigin, Opening, Park, ToLane},
    },
    tls::Certificates,
};
use tributary_node::{drain, queue};
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, TransactionId,
    command::{self, Command, ObjectEncoding},
    handshake::{HandshakeKind, RANDOM},
    link::{FromSession, ToSession},
    session::{ClientConnection, ConnectionLimits},
};

/// A bound that no step of these tests reaches.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) struct Edge {
    pub(crate) metrics: Arc<Metrics>,
    runtime: Runtime,
    address: SocketAddr,
    lanes: queue::Receiver<ToLane>,
    script: Script,
    _drain: drain::Signal,
}

/// The bytes that every client sends, and the answer to them.
struct Script {
    hello: BytesMut,
    connect: BytesMut,
    answer: Message,
}

/// A session: the client's socket, and the origin's side.
pub(crate) struct Session {
    pub(crate) socket: TcpStream,
    pub(crate) inbox: queue::Sender<FromOrigin>,
    pub(crate) _park: Arc<Park>,
}

impl Edge {
    pub(crate) fn start() -> Self {
        let (upstream, lanes) = Upstream::new();
        let (drain, watch) = drain::channel();
        let metrics = Arc::new(Metrics::default());
        let config = Config {
            rtmp: Some("127.0.0.1:0".parse().expect("an address")),
            workers: 1,
            ..Config::default()
        };
        let (bound, address) = sync_channel(1);
        let counted = Arc::clone(&metrics);
        thread::spawn(move || {
            runtime().block_on(async move {
                let running = tributary_edge::run::run(
                    &config,
                    Policies::load(&BTreeMap::new()).expect("there is nothing to load"),
                    &Certificates::none(),
                    upstream,
                    None,
                    counted,
                    watch.into(),
                )
                .expect("port 0 is always free");
                bound
                    .send(running.listening()[0].1)
                    .expect("the test waits");
                running.finished().await;
            });
        });
        Self {
            metrics,
            runtime: runtime(),
            address: address.recv().expect("the edge has started"),
            lanes,
            script: Script::new(),
            _drain: drain,
        }
    }

    /// A client that has connected and created a stream.
    pub(crate) fn session(&mut self) -> Session {
        let mut socket = TcpStream::connect(self.address).expect("the edge listens");
        socket.set_read_timeout(Some(LONG)).expect("a socket");
        socket
            .write_all(&self.script.hello)
            .expect("the edge reads");
        read_exactly(&mut socket, 1 + 1536 + 1536);
        socket
            .write_all(&self.script.connect)
            .expect("the edge reads");
        let next = self.lanes.next();
        let told = self.runtime.block_on(next).expect("the edge runs");
        let ToLane::Session {
            event: FromSession::Open(opening),
            ..
        } = told
        else {
            panic!("not an open: {told:?}");
        };
        let Opening { inbox, park, .. } = *opening;
        inbox
            .push_final(ToSession::Accept.into())
            .expect("the session is there");
        let told = self
            .runtime
            .block_on(self.lanes.next())
            .expect("the edge runs");
        let ToLane::Session {
            event: FromSession::Message { message, .. },
            ..
        } = told
        else {
            panic!("not createStream: {told:?}");
        };
        park.remove(message.payload.len());
        let answer = ToSession::Message {
            message: self.script.answer.clone(),
            after: None,
        };
        inbox
            .push_final(answer.into())
            .expect("the session is there");
        // Window, bandwidth, chunk size, then the answer.
        let control = 16 + 17 + 16;
        read_exactly(&mut socket, control + 12 + self.script.answer.payload.len());
        Session {
            socket,
            inbox,
            _park: park,
        }
    }

    /// Waits until a figure is what it should be.
    pub(crate) fn until(&self, what: &str, mut is: impl FnMut(&Metrics) -> bool) {
        let by = Instant::now() + LONG;
        while !is(&self.metrics) {
            assert!(Instant::now() < by, "never: {what}");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Script {
    fn new() -> Self {
        let now = Instant::now();
        let random = [7; RANDOM];
        let mut client = ClientConnection::new(
            HandshakeKind::Simple,
            random,
            now,
            ConnectionLimits::default(),
        );
        let hello = client.take_output();
        // The answer of a server, for a client that checks little.
        client
            .handle_input(now, &[&[3][..], &[0; 1536], &hello[1..]].concat())
            .expect("S0 to S2");
        client.connect_to("live/room", "rtmp://127.0.0.1/live/room");
        client.create_stream();
        let answer = command::result(TransactionId(2.0), 1.0);
        let (kind, payload) = Command::encode(&answer, ObjectEncoding::Amf0);
        Self {
            hello,
            connect: client.take_output(),
            answer: Message {
                kind,
                stream: MessageStreamId::CONNECTION,
                timestamp: RtmpTimestamp(0),
                payload,
            },
        }
    }
}

fn runtime() -> Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

pub(crate) fn read_exactly(socket: &mut TcpStream, mut bytes: usize) {
    let mut buffer = [0; 16 * 1024];
    while bytes > 0 {
        let most = bytes.min(buffer.len());
        let read = socket.read(&mut buffer[..most]).expect("the edge sends");
        assert!(read > 0, "closed {bytes} bytes early");
        bytes -= read;
    }
}
