//! Connections to a server on a real socket, whose part the test plays.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::timeout,
};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::{Object, Value},
    command::{
        self, Command, DataMessage, ObjectEncoding, Status, connect,
        stream::{NetStreamCommand, PublishKind},
    },
    handshake,
    link::LiveId,
    ring::Start,
    session::{ConnectionLimits, ServerConnection, ServerEvent},
    shared_object::{self, Flags, SharedObjectMessage},
};

use super::{
    BACKLOG, Connect, Happening, Outgoing, OutgoingOrder, Told, open,
    reach::Roots,
    rtmp::{self, Dial},
    socket::Meter,
    target::Target,
};
use crate::{
    app::{CallToken, NetStreamId},
    live::{LiveStream, Writing},
};

mod failing;

/// The server's end of one connection.
struct Server {
    socket: TcpStream,
    connection: ServerConnection,
}

/// The reports of a connection, kept until the test reads them.
struct Client {
    outgoing: Outgoing,
    told: mpsc::Receiver<Told>,
}

/// The longest time that any step may take.
const PATIENCE: Duration = Duration::from_secs(20);

fn run<F: Future<Output = ()>>(scenario: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { timeout(PATIENCE, scenario).await.expect("in time") });
}

/// A connection that a server has accepted.
async fn dial(room: usize) -> (Client, Server) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = dial_to(listener.local_addr().unwrap().port(), room);
    let (socket, _) = listener.accept().await.unwrap();
    let random = [7; handshake::RANDOM];
    let connection = ServerConnection::new(random, Instant::now(), ConnectionLimits::default());
    (client, Server { socket, connection })
}

fn dial_to(port: u16, room: usize) -> Client {
    dial_uri(&format!("rtmp://127.0.0.1:{port}/live/room?key=1"), room)
}

fn dial_uri(uri: &str, room: usize) -> Client {
    let target = Target::parse(uri).unwrap();
    let connect = Connect::new(&target.app, uri, &Object::new(), vec!["ticket".into()]);
    let (tell, told) = mpsc::channel(room);
    let (outgoing, inbox) = open(Box::new(move |told, _| tell.try_send(told).is_ok()));
    tokio::spawn(rtmp::run(
        Dial {
            target,
            connect,
            random: [9; handshake::RANDOM],
            roots: Roots::default(),
            live_ids: Arc::new(AtomicU64::new(1)),
            meter: Meter::default(),
        },
        inbox,
    ));
    Client { outgoing, told }
}

impl Client {
    async fn told(&mut self) -> Happening {
        self.told.recv().await.expect("the connection lives").what
    }

    /// The code of the next status of any kind.
    async fn code(&mut self) -> String {
        let info = match self.told().await {
            Happening::Connected(info)
            | Happening::Closed(info)
            | Happening::Status(info)
            | Happening::StreamStatus { info, .. } => info,
            other => panic!("{other:?}"),
        };
        let code = info.get("code").and_then(Value::as_str);
        code.unwrap_or_default().to_owned()
    }
}

impl Server {
    /// The next message that is not about the connection itself.
    async fn message(&mut self) -> Option<Message> {
        loop {
            while let Some(event) = self.connection.poll_event() {
                if let ServerEvent::Message(message) = event {
                    return Some(message);
                }
            }
            self.flush().await;
            let mut buffer = [0; 4_096];
            let bytes = self.socket.read(&mut buffer).await.ok()?;
            if bytes == 0 {
                return None;
            }
            let input = &buffer[..bytes];
            self.connection.handle_input(Instant::now(), input).unwrap();
        }
    }

    async fn command(&mut self) -> (MessageStreamId, Command) {
        loop {
            let message = self.message().await.expect("a command");
            if message.kind.is_command() {
                let command = Command::decode(message.kind, &message.payload).unwrap();
                return (message.stream, command);
            }
        }
    }

    async fn say(&mut self, stream: u32, command: &Command) {
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        self.send(stream, kind, 0, payload).await;
    }

    async fn status(&mut self, stream: u32, status: Status) {
        self.say(stream, &command::on_status(status.info(None, None)))
            .await;
    }

    async fn send(&mut self, stream: u32, kind: MessageType, at: u32, payload: Bytes) {
        let message = Message {
            kind,
            stream: MessageStreamId(stream),
            timestamp: RtmpTimestamp(at),
            payload,
        };
        self.connection.send(ChunkStreamId::COMMAND, &message);
        self.flush().await;
    }

    async fn flush(&mut self) {
        let output = self.connection.take_output();
        // A client that has gone is noticed at the read.
        let _ = self.socket.write_all(&output).await;
    }

    /// Accepts the connect.
    async fn accept(&mut self) -> connect::Connect {
        let (_, command) = self.command().await;
        let connect = connect::Connect::parse(command).unwrap();
        let success = connect::success(&connect, "FMS/3,5,7,7009");
        self.say(0, &success).await;
        connect
    }

    /// Makes message stream `stream`.
    async fn create_stream(&mut self, stream: u32) {
        let (_, create) = self.command().await;
        assert_eq!(create.name, "createStream");
        let made = command::result(create.transaction, f64::from(stream));
        self.say(0, &made).await;
    }
}

/// A stream of the group that is published, with its writer.
fn source() -> Writing {
    Writing::begin(LiveStream::new(LiveId(77), "s"))
}

fn video(source: &Writing, at: u32, body: &'static [u8]) {
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(at),
        payload: Bytes::from_static(body),
    };
    source.push(message, crate::live::now());
}

const KEY: &[u8] = b"\x17\x01\0\0\0K";
const STREAM: NetStreamId = NetStreamId(5);

fn publish(name: &str) -> OutgoingOrder {
    OutgoingOrder::Publish {
        stream: STREAM,
        name: name.to_owned(),
        kind: PublishKind::Live,
    }
}

#[test]
fn connect_says_who_it_is_and_calls_wait_for_the_answer() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        let call = OutgoingOrder::Call {
            name: "sum".to_owned(),
            arguments: vec![1.0.into()],
            token: Some(CallToken(3)),
        };
        assert!(client.outgoing.order(call));
        let connect = server.accept().await;
        let property = |name| connect.properties.get(name).and_then(Value::as_str);
        assert_eq!(property("app"), Some("live/room?key=1"));
        assert!(property("flashVer").unwrap().starts_with("FlashCom/"));
        assert_eq!(connect.arguments, ["ticket".into()]);
        assert_eq!(client.code().await, "NetConnection.Connect.Success");
        let (_, call) = server.command().await;
        assert_eq!(call.name, "sum");
        server.say(0, &command::result(call.transaction, 6.0)).await;
        let Happening::Answered { token, answer } = client.told().await else {
            panic!("no answer");
        };
        assert_eq!((token, answer), (CallToken(3), Ok(6.0.into())));
        server
            .say(0, &Command::new("ping", TransactionId(4.0)).with("x"))
            .await;
        let Happening::Called { name, .. } = client.told().await else {
            panic!("no call");
        };
        assert_eq!(name, "ping");
        client.outgoing.order(OutgoingOrder::Respond {
            transaction: TransactionId(4.0),
            answer: Ok("y".into()),
        });
        let (_, answer) = server.command().await;
        assert_eq!(
            (answer.name.as_str(), answer.transaction.0),
            ("_result", 4.0)
        );
        // Orders from before the end are carried out.
        client.outgoing.order(OutgoingOrder::Call {
            name: "last".to_owned(),
            arguments: Vec::new(),
            token: None,
        });
        let Client { outgoing, mut told } = client;
        drop(outgoing);
        assert_eq!(server.command().await.1.name, "last");
        assert!(server.message().await.is_none(), "it has closed");
        assert!(told.recv().await.unwrap().is_last());
    });
}

#[test]
fn servers_that_refuse_vanish_or_speak_nonsense_end_the_connection() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        let (_, connect) = server.command().await;
        let info = Status::ConnectRejected.info(None, None);
        server
            .say(0, &command::error(connect.transaction, info))
            .await;
        assert_eq!(client.code().await, "NetConnection.Connect.Rejected");

        let (mut client, server) = dial(100).await;
        drop(server);
        assert_eq!(client.code().await, "NetConnection.Connect.Failed");

        let (mut client, mut server) = dial(100).await;
        server.socket.write_all(&[0x42; 4_000]).await.unwrap();
        assert_eq!(client.code().await, "NetConnection.Connect.Failed");

        let (mut client, mut server) = dial(100).await;
        server.accept().await;
        assert_eq!(client.code().await, "NetConnection.Connect.Success");
        server.say(0, &command::close()).await;
        assert_eq!(client.code().await, "NetConnection.Connect.Closed");

        // The address has no listener.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let mut client = dial_to(port, 100);
        assert_eq!(client.code().await, "NetConnection.Connect.Failed");

        // The application changes its mind before there is an answer.
        let (client, mut server) = dial(100).await;
        let Client { outgoing, mut told } = client;
        drop(outgoing);
        assert!(told.recv().await.unwrap().is_last());
        while server.message().await.is_some() {}
    });
}

#[test]
fn a_publish_carries_media_and_metadata_once_it_is_accepted() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        server.accept().await;
        assert_eq!(client.code().await, "NetConnection.Connect.Success");
        let source = source();
        let metadata = DataMessage::new("onMetaData").with(Object::new().with("width", 4.0));
        let (kind, payload) = metadata.encode(ObjectEncoding::Amf0);
        source.live().insert(
            Message {
                kind,
                stream: MessageStreamId(1),
                timestamp: RtmpTimestamp(0),
                payload,
            },
            crate::live::now(),
        );
        video(&source, 900, KEY);
        client.outgoing.order(publish("cam?key=2"));
        client.outgoing.order(OutgoingOrder::Feed {
            stream: STREAM,
            live: Some(Arc::clone(source.live())),
        });
        server.create_stream(4).await;
        let (on, command) = server.command().await;
        assert_eq!(on, MessageStreamId(4));
        let parsed = NetStreamCommand::parse(&command).unwrap();
        let expected = NetStreamCommand::Publish {
            name: "cam?key=2".to_owned(),
            kind: PublishKind::Live,
        };
        assert_eq!(parsed, expected);
        server.status(4, Status::PublishStart).await;
        assert_eq!(client.code().await, "NetStream.Publish.Start");
        let message = server.message().await.unwrap();
        let data = DataMessage::decode(message.kind, &message.payload).unwrap();
        assert_eq!((data.name.as_str(), message.stream.0), ("@setDataFrame", 4));
        assert_eq!(data.values[0], "onMetaData".into());
        let message = server.message().await.unwrap();
        assert_eq!(
            (message.kind, message.timestamp.0),
            (MessageType::VIDEO, 900)
        );
        client.outgoing.order(OutgoingOrder::Data {
            stream: STREAM,
            handler: "cue".to_owned(),
            values: vec![1.0.into()],
        });
        let message = server.message().await.unwrap();
        let data = DataMessage::decode(message.kind, &message.payload).unwrap();
        assert_eq!(data.name, "cue");
        assert!(message.timestamp.0 >= 900, "{}", message.timestamp.0);
        client
            .outgoing
            .order_final(OutgoingOrder::Close { stream: STREAM });
        let (_, delete) = server.command().await;
        assert_eq!(delete.name, "deleteStream");
    });
}

#[test]
fn what_a_server_plays_comes_as_a_stream() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        server.accept().await;
        assert_eq!(client.code().await, "NetConnection.Connect.Success");
        client.outgoing.order(OutgoingOrder::Play {
            stream: STREAM,
            name: "cam".to_owned(),
            start: -1.0,
        });
        let Happening::Media {
            live: Some(live), ..
        } = client.told().await
        else {
            panic!("no media");
        };
        server.create_stream(1).await;
        let (_, play) = server.command().await;
        assert_eq!(play.arguments, ["cam".into(), (-1.0).into()]);
        server.status(1, Status::PlayStart).await;
        assert_eq!(client.code().await, "NetStream.Play.Start");
        let access = DataMessage::sample_access(false, false);
        let (kind, payload) = access.encode(ObjectEncoding::Amf0);
        server.send(1, kind, 0, payload).await;
        // A status on a message stream that plays nothing is ignored.
        server
            .send(2, MessageType::VIDEO, 0, Bytes::from_static(KEY))
            .await;
        server
            .send(1, MessageType::VIDEO, 50, Bytes::from_static(KEY))
            .await;
        server.status(1, Status::PlayUnpublishNotify).await;
        assert_eq!(client.code().await, "NetStream.Play.UnpublishNotify");
        {
            let ring = live.ring();
            let mut cursor = ring.join(Start::KeyFrame);
            let first = ring.next(&mut cursor, Duration::from_secs(2)).unwrap();
            assert_eq!((first.timestamp.0, ring.len()), (50, 1));
        }
        // The next publication has no message of the one before.
        let sound = Bytes::from_static(b"\xaf\x01s");
        server.send(1, MessageType::AUDIO, 0, sound).await;
        server.status(1, Status::PlayUnpublishNotify).await;
        assert_eq!(client.code().await, "NetStream.Play.UnpublishNotify");
        let ring = live.ring();
        let mut cursor = ring.join(Start::KeyFrame);
        let first = ring.next(&mut cursor, Duration::from_secs(2)).unwrap();
        assert!(first.class.is_audio() && first.timestamp.0 > 50);
    });
}

#[test]
fn a_server_that_does_not_read_costs_a_bounded_amount() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        server.accept().await;
        client.code().await;
        let big = || OutgoingOrder::Call {
            name: "x".to_owned(),
            arguments: vec!["y".repeat(60_000).into()],
            token: None,
        };
        let mut taken = 0;
        // As long as output leaves there is room again.
        for _ in 0..20 {
            while client.outgoing.order(big()) {
                taken += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(taken < 500, "{taken}");
        let mut read = 0;
        while read < taken {
            let (_, command) = server.command().await;
            assert_eq!(command.name, "x");
            read += 1;
        }
        assert!(client.outgoing.order(big()), "there is room again");
    });
}

#[test]
fn a_group_that_is_behind_is_not_told_more() {
    run(async {
        let (client, mut server) = dial(100_000).await;
        server.accept().await;
        let Client { outgoing, mut told } = client;
        let sent = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&sent);
        tokio::spawn(async move {
            let call = Command::new("flood", TransactionId::NONE).with("z".repeat(10_000));
            loop {
                server.say(0, &call).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        let kept = told.len();
        let most = 2 * BACKLOG / 10_000 + 10;
        assert!(kept <= most, "{kept} of {}", sent.load(Ordering::Relaxed));
        // Once the group handles the reports, more of them come.
        for _ in 0..kept + 100 {
            assert!(told.recv().await.is_some());
        }
        drop(outgoing);
    });
}

#[test]
fn a_group_that_takes_nothing_more_ends_the_connection() {
    run(async {
        let told = Arc::new(Mutex::new(Vec::new()));
        let last = Arc::clone(&told);
        let (outgoing, inbox) = open(Box::new(move |told: Told, _| {
            let is_last = told.is_last();
            last.lock().unwrap().push(is_last);
            is_last
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Target::parse(&format!("rtmp://127.0.0.1:{port}/live")).unwrap();
        let connect = Connect::new("live", "rtmp://x/live", &Object::new(), Vec::new());
        let task = tokio::spawn(rtmp::run(
            Dial {
                target,
                connect,
                random: [9; handshake::RANDOM],
                roots: Roots::default(),
                live_ids: Arc::default(),
                meter: Meter::default(),
            },
            inbox,
        ));
        let (socket, _) = listener.accept().await.unwrap();
        let connection = ServerConnection::new(
            [7; handshake::RANDOM],
            Instant::now(),
            ConnectionLimits::default(),
        );
        let mut server = Server { socket, connection };
        server.accept().await;
        assert!(server.message().await.is_none());
        task.await.unwrap();
        assert_eq!(*told.lock().unwrap(), [false, true]);
        drop(outgoing);
    });
}

#[test]
fn shared_objects_pass_both_ways() {
    run(async {
        let (mut client, mut server) = dial(100).await;
        server.accept().await;
        client.code().await;
        let message = |events| SharedObjectMessage {
            name: "room".to_owned(),
            version: 1,
            flags: Flags::TEMPORARY,
            events,
        };
        client.outgoing.order(OutgoingOrder::Object(message(vec![
            shared_object::Event::Use,
        ])));
        let used = server.message().await.unwrap();
        assert_eq!(
            (used.kind, used.stream.0),
            (MessageType::SHARED_OBJECT_AMF0, 0)
        );
        let read = SharedObjectMessage::decode(used.kind, &used.payload).unwrap();
        assert_eq!(read.events, [shared_object::Event::Use]);
        let change = shared_object::Event::Change(vec![("a".to_owned(), 1.0.into())]);
        let (kind, payload) = message(vec![change.clone()]).encode(ObjectEncoding::Amf0);
        // A message that cannot be read is ignored.
        server
            .send(0, kind, 0, Bytes::from_static(b"\x00\xff?"))
            .await;
        server.send(0, kind, 0, payload).await;
        let Happening::Object(heard) = client.told().await else {
            panic!("no object");
        };
        assert_eq!(heard.events, [change]);
    });
}
