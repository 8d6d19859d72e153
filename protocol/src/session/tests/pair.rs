//! Both ends connected to each other, without a socket.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::*;
use crate::{
    TransactionId,
    amf::{Object, Value},
    command::{self, Command, Connect, DataMessage, ObjectEncoding, Status, stream::PublishKind},
};

/// A client and a server whose application accepts everything.
struct Ends {
    now: Instant,
    client: ClientConnection,
    server: ServerConnection,
    /// Messages at the server other than the commands that it answers.
    arrived: Vec<Message>,
    events: Vec<ClientEvent>,
}

impl Ends {
    fn new(kind: HandshakeKind) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some instant to start from"
        )]
        let now = Instant::now();
        let limits = ConnectionLimits::default();
        Self {
            now,
            client: ClientConnection::new(kind, [1; RANDOM], now, limits),
            server: ServerConnection::new([2; RANDOM], now, limits),
            arrived: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Carries bytes both ways, `step` at a time, until none are left.
    fn settle(&mut self, step: usize) {
        while self.client.output_len() + self.server.output_len() > 0 {
            for piece in self.client.take_output().chunks(step) {
                self.server
                    .handle_input(self.now, piece)
                    .expect("valid bytes");
                while let Some(event) = self.server.poll_event() {
                    if let ServerEvent::Message(message) = event {
                        self.serve(message);
                    }
                }
            }
            for piece in self.server.take_output().chunks(step) {
                self.client
                    .handle_input(self.now, piece)
                    .expect("valid bytes");
                while let Some(event) = self.client.poll_event() {
                    self.events.push(event);
                }
            }
        }
    }

    /// Answers as the application does.
    fn serve(&mut self, message: Message) {
        let Ok(command) = Command::decode(message.kind, &message.payload) else {
            self.arrived.push(message);
            return;
        };
        let stream = MessageStreamId(1);
        let info = |status: Status| status.info(None, None);
        match command.name.as_str() {
            "connect" => {
                self.server
                    .begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
                let connect = Connect::parse(command).expect("a connect");
                let answer = match connect.app.as_str() {
                    "live" => command::connect::success(&connect, "FMS/3,5,7,7009"),
                    _ => command::connect::failure(&connect, info(Status::ConnectInvalidApp)),
                };
                self.answer(MessageStreamId::CONNECTION, &answer);
            }
            "createStream" => {
                let answer = command::result(command.transaction, 1.0);
                self.answer(MessageStreamId::CONNECTION, &answer);
            }
            "publish" => {
                self.server.stream_begin(stream);
                self.answer(stream, &command::on_status(info(Status::PublishStart)));
            }
            "echo" => {
                let answer = command::result(command.transaction, command.arguments[0].clone());
                self.answer(MessageStreamId::CONNECTION, &answer);
            }
            _ => {
                let answer = command::error(command.transaction, info(Status::CallFailed));
                self.answer(MessageStreamId::CONNECTION, &answer);
            }
        }
    }

    fn answer(&mut self, stream: MessageStreamId, command: &Command) {
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream,
            timestamp: RtmpTimestamp(0),
            payload,
        };
        self.server.send(ChunkStreamId::COMMAND, &message);
    }
}

fn code(info: &Value) -> &str {
    info.get("code").and_then(Value::as_str).unwrap_or_default()
}

#[test]
fn a_client_publishes() {
    for (kind, step) in [
        (HandshakeKind::Simple, 1),
        (HandshakeKind::Digest, 1000),
        (HandshakeKind::Digest, usize::MAX),
    ] {
        let mut ends = Ends::new(kind);
        ends.settle(step);
        assert_eq!(ends.events, [ClientEvent::Connected]);
        ends.events.clear();

        // All commands at once, as impatient encoders send them.
        ends.client.set_chunk_size(4096);
        ends.client.connect_to("live", "rtmp://127.0.0.1/live");
        let transaction = ends.client.create_stream();
        ends.client
            .publish(MessageStreamId(1), "name", PublishKind::Live);
        ends.settle(step);
        let stream = MessageStreamId(1);
        let [
            ClientEvent::Accepted(info),
            ClientEvent::StreamCreated { .. },
            ClientEvent::Control(ServerEvent::UserControl(UserControl::StreamBegin(begun))),
            ClientEvent::Status {
                stream: on,
                info: status,
            },
        ] = &ends.events[..]
        else {
            panic!("{:?}", ends.events);
        };
        assert_eq!(code(info), "NetConnection.Connect.Success");
        assert_eq!(
            ends.events[1],
            ClientEvent::StreamCreated {
                transaction,
                stream
            }
        );
        assert_eq!(
            (*begun, *on, code(status)),
            (stream, stream, "NetStream.Publish.Start")
        );

        let time = RtmpTimestamp;
        let metadata = DataMessage::new("@setDataFrame")
            .with("onMetaData")
            .with(Object::new());
        ends.client.send_data(stream, time(0), &metadata);
        let video = Bytes::from(vec![0x17; 50_000]);
        let audio = Bytes::from_static(&[0xaf, 1, 2]);
        ends.client
            .send_media(stream, MessageType::VIDEO, time(40), video.clone());
        ends.client
            .send_media(stream, MessageType::AUDIO, time(43), audio.clone());
        ends.settle(step);
        let [data, first, second] = &ends.arrived[..] else {
            panic!("{:?}", ends.arrived);
        };
        assert_eq!(data.kind, MessageType::DATA_AMF0);
        assert_eq!((first.timestamp, &first.payload), (time(40), &video));
        assert_eq!((second.timestamp, &second.payload), (time(43), &audio));
        assert_eq!(second.stream, stream);
    }
}

#[test]
fn calls_are_answered_in_either_encoding() {
    for encoding in [0.0, 3.0] {
        let mut ends = Ends::new(HandshakeKind::Simple);
        ends.settle(usize::MAX);
        let properties = Object::new()
            .with("app", "live")
            .with("objectEncoding", encoding);
        ends.client.connect(properties, vec![]);
        let echo = ends.client.call("echo", vec!["hello".into()]);
        let unknown = ends.client.call("unknown", vec![]);
        ends.events.clear();
        ends.settle(usize::MAX);
        let answered = ClientEvent::Answer {
            transaction: echo,
            result: Ok("hello".into()),
        };
        assert_eq!(ends.events[1], answered);
        let ClientEvent::Answer {
            transaction,
            result: Err(info),
        } = &ends.events[2]
        else {
            panic!("{:?}", ends.events);
        };
        assert_eq!(
            (*transaction, code(info)),
            (unknown, "NetConnection.Call.Failed")
        );
    }
}

#[test]
fn a_refused_connect_says_why() {
    let mut ends = Ends::new(HandshakeKind::Simple);
    ends.settle(usize::MAX);
    ends.events.clear();
    ends.client
        .connect_to("elsewhere", "rtmp://127.0.0.1/elsewhere");
    ends.settle(usize::MAX);
    let [ClientEvent::Rejected(info)] = &ends.events[..] else {
        panic!("{:?}", ends.events);
    };
    assert_eq!(code(info), "NetConnection.Connect.InvalidApp");
}

#[test]
fn a_hostile_answer_is_no_stream() {
    let mut ends = Ends::new(HandshakeKind::Simple);
    ends.settle(usize::MAX);
    ends.events.clear();
    for value in [
        f64::NAN.into(),
        f64::INFINITY.into(),
        0.0.into(),
        1.5.into(),
        Value::Null,
    ] {
        let transaction = ends.client.create_stream();
        ends.client.take_output();
        ends.answer(MessageStreamId(0), &command::result(transaction, value));
    }
    let nobody = TransactionId(f64::NAN);
    ends.answer(MessageStreamId(0), &command::result(nobody, 1.0));
    ends.settle(usize::MAX);
    assert_eq!(ends.events.len(), 6);
    for event in &ends.events {
        assert!(matches!(event, ClientEvent::Answer { .. }), "{event:?}");
    }
}

#[test]
fn a_server_that_answers_nothing_is_given_up() {
    let mut ends = Ends::new(HandshakeKind::Simple);
    ends.now += Duration::from_secs(5);
    assert_eq!(
        ends.client.handle_timeout(ends.now),
        Err(Error::HandshakeTimeout)
    );
    assert_eq!(ends.client.poll_timeout(), None);
}
