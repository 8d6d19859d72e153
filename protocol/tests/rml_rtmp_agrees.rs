//! rml_rtmp, written by others, as the peer: same bytes, same messages; same handshake; a session.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    handshake::{Handshake, HandshakeProcessResult, PeerType},
    messages::MessagePayload,
    sessions::{ServerSession, ServerSessionConfig, ServerSessionEvent, ServerSessionResult},
    time::RtmpTimestamp as RmlTimestamp,
};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadLimits, Reader, Writer},
    command::stream::PublishKind,
    handshake::{ClientHandshake, HandshakeKind, RANDOM, ServerHandshake},
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

fn to_rml(message: &Message) -> MessagePayload {
    MessagePayload {
        timestamp: RmlTimestamp::new(message.timestamp.0),
        type_id: message.kind.0,
        message_stream_id: message.stream.0,
        data: message.payload.clone(),
    }
}

fn from_rml(payload: MessagePayload) -> Message {
    Message {
        kind: MessageType(payload.type_id),
        stream: MessageStreamId(payload.message_stream_id),
        timestamp: RtmpTimestamp(payload.timestamp.value),
        payload: payload.data,
    }
}

/// Messages on a clock that moves forward and crosses the limit of 24 bits at times. Empty ones
/// are left out: rml_rtmp writes nothing for them.
fn messages() -> impl Strategy<Value = Vec<Message>> {
    let kind = prop::sample::select(vec![8, 9, 18, 20]);
    let length = prop_oneof![1..10_usize, 100..300_usize, 4000..5000_usize];
    let message = (
        kind,
        length,
        prop_oneof![Just(40), 1..100_000_u32],
        any::<u8>(),
    );
    let start = prop_oneof![
        Just(0),
        Just(0x00ff_0000),
        Just(0x00ff_ffff),
        0..0x1000_0000_u32
    ];
    (start, prop::collection::vec(message, 1..40)).prop_map(|(start, messages)| {
        let mut timestamp = RtmpTimestamp(start);
        let messages = messages.into_iter().map(|(kind, length, delta, fill)| {
            timestamp = timestamp.advanced(delta);
            Message {
                kind: MessageType(kind),
                stream: MessageStreamId(1),
                timestamp,
                payload: Bytes::from(vec![fill; length]),
            }
        });
        messages.collect()
    })
}

fn read_ours(bytes: &[u8], step: usize) -> Vec<Message> {
    let mut reader = Reader::new(ReadLimits::default());
    let mut messages = Vec::new();
    for mut piece in bytes.chunks(step) {
        while let Some(message) = reader.read(&mut piece).expect("valid chunks") {
            messages.push(message);
        }
    }
    messages
}

fn read_rml(bytes: &[u8], step: usize) -> Vec<Message> {
    let mut deserializer = ChunkDeserializer::new();
    let mut messages = Vec::new();
    for piece in bytes.chunks(step) {
        let mut next = deserializer.get_next_message(piece).expect("valid chunks");
        while let Some(payload) = next {
            if payload.type_id == 1 {
                let size = u32::from_be_bytes(payload.data[..4].try_into().expect("four bytes"));
                deserializer
                    .set_max_chunk_size(size as usize)
                    .expect("a sound size");
            } else {
                messages.push(from_rml(payload));
            }
            next = deserializer.get_next_message(&[]).expect("valid chunks");
        }
    }
    messages
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_read_what_rml_rtmp_writes(
        messages in messages(),
        chunk_size in prop::sample::select(vec![128, 1000, 65_536_u32]),
        step in 1..5000_usize,
    ) {
        let mut serializer = ChunkSerializer::new();
        let change = serializer.set_max_chunk_size(chunk_size, RmlTimestamp::new(0));
        let mut bytes = change.expect("a sound size").bytes;
        for message in &messages {
            let packet = serializer.serialize(&to_rml(message), false, false);
            bytes.extend(packet.expect("a sound message").bytes);
        }
        prop_assert_eq!(&read_ours(&bytes, step), &messages);
        prop_assert_eq!(read_rml(&bytes, step), messages);
    }

    #[test]
    fn both_read_what_we_write(
        messages in messages(),
        chunk_size in prop::sample::select(vec![128, 1000, 65_536_u32]),
        step in 1..5000_usize,
    ) {
        let mut writer = Writer::new();
        let mut bytes = BytesMut::new();
        writer.set_chunk_size(chunk_size, &mut bytes);
        for message in &messages {
            writer.write(ChunkStreamId(u32::from(message.kind.0)), message, &mut bytes);
        }
        prop_assert_eq!(&read_ours(&bytes, step), &messages);
        prop_assert_eq!(read_rml(&bytes, step), messages);
    }
}

#[test]
fn handshakes_finish_either_way_round() {
    let mut client = Handshake::new(PeerType::Client);
    let c0_c1 = client.generate_outbound_p0_and_p1().expect("C0 and C1");
    let mut server = ServerHandshake::new(&[5; RANDOM]);
    let mut out = BytesMut::new();
    assert_eq!(server.read(&mut &c0_c1[..], &mut out), Ok(false));
    assert_eq!(server.kind(), HandshakeKind::Digest);
    let HandshakeProcessResult::Completed {
        response_bytes,
        remaining_bytes,
    } = client.process_bytes(&out).expect("S0, S1 and S2")
    else {
        panic!("the client waits for more");
    };
    assert_eq!(remaining_bytes, []);
    assert_eq!(server.read(&mut &response_bytes[..], &mut out), Ok(true));

    for (kind, verified) in [
        (HandshakeKind::Digest, true),
        (HandshakeKind::Simple, false),
    ] {
        let mut out = BytesMut::new();
        let mut client = ClientHandshake::new(kind, &[6; RANDOM], &mut out);
        let mut server = Handshake::new(PeerType::Server);
        let answer = server.process_bytes(&out.split()).expect("C0 and C1");
        let HandshakeProcessResult::InProgress { response_bytes } = answer else {
            panic!("the server is done too early");
        };
        assert_eq!(client.read(&mut &response_bytes[..], &mut out), Ok(true));
        assert_eq!(client.is_verified(), verified);
        let answer = server.process_bytes(&out).expect("C2");
        assert!(matches!(answer, HandshakeProcessResult::Completed { .. }));
    }
}

/// rml_rtmp's server with the handshake in front of it; it accepts every request.
struct Server {
    handshake: Option<Handshake>,
    session: ServerSession,
    to_client: Vec<u8>,
    events: Vec<ServerSessionEvent>,
}

impl Server {
    fn new() -> Self {
        let (session, results) = ServerSession::new(ServerSessionConfig::new()).expect("a session");
        let mut server = Self {
            handshake: Some(Handshake::new(PeerType::Server)),
            session,
            to_client: Vec::new(),
            events: Vec::new(),
        };
        // They belong after the handshake.
        server.to_client = server.take(results);
        server
    }

    /// Carries out what the session wants; the bytes it sends.
    fn take(&mut self, results: Vec<ServerSessionResult>) -> Vec<u8> {
        let mut out = Vec::new();
        for result in results {
            match result {
                ServerSessionResult::OutboundResponse(packet) => out.extend(packet.bytes),
                ServerSessionResult::RaisedEvent(event) => {
                    if let Some(id) = request(&event) {
                        let more = self.session.accept_request(id).expect("a request");
                        out.extend(self.take(more));
                    }
                    self.events.push(event);
                }
                ServerSessionResult::UnhandleableMessageReceived(payload) => panic!("{payload:?}"),
            }
        }
        out
    }

    fn input(&mut self, bytes: &[u8]) -> Vec<u8> {
        let Some(handshake) = &mut self.handshake else {
            let results = self.session.handle_input(bytes).expect("a valid session");
            return self.take(results);
        };
        match handshake.process_bytes(bytes).expect("a valid handshake") {
            HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
            HandshakeProcessResult::Completed {
                mut response_bytes,
                remaining_bytes,
            } => {
                self.handshake = None;
                response_bytes.append(&mut self.to_client);
                response_bytes.extend(self.input(&remaining_bytes));
                response_bytes
            }
        }
    }
}

fn request(event: &ServerSessionEvent) -> Option<u32> {
    match event {
        ServerSessionEvent::ConnectionRequested { request_id, .. }
        | ServerSessionEvent::ReleaseStreamRequested { request_id, .. }
        | ServerSessionEvent::PublishStreamRequested { request_id, .. } => Some(*request_id),
        _ => None,
    }
}

#[test]
fn our_client_publishes_to_its_server() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let now = Instant::now();
    let mut server = Server::new();
    let mut client = ClientConnection::new(
        HandshakeKind::Digest,
        [3; RANDOM],
        now,
        ConnectionLimits::default(),
    );
    let mut events = Vec::new();
    let mut settle = |client: &mut ClientConnection, server: &mut Server| {
        while client.output_len() > 0 {
            let answer = server.input(&client.take_output());
            client.handle_input(now, &answer).expect("valid bytes");
            while let Some(event) = client.poll_event() {
                match event {
                    ClientEvent::Connected => client.connect_to("live", "rtmp://localhost/live"),
                    ClientEvent::Accepted(_) => {
                        client.create_stream();
                    }
                    ClientEvent::StreamCreated { stream, .. } => {
                        client.set_chunk_size(4096);
                        client.publish(stream, "name", PublishKind::Live);
                    }
                    _ => {}
                }
                events.push(event);
            }
        }
    };
    settle(&mut client, &mut server);
    let stream = MessageStreamId(1);
    let (time, video) = (RtmpTimestamp(1234), Bytes::from(vec![0x17; 10_000]));
    client.send_media(stream, MessageType::VIDEO, time, video.clone());
    let audio = Bytes::from_static(&[0xaf, 1, 2, 3]);
    client.send_media(stream, MessageType::AUDIO, time, audio.clone());
    settle(&mut client, &mut server);
    client.delete_stream(stream);
    settle(&mut client, &mut server);

    let started = events.iter().any(|event| match event {
        ClientEvent::Status { info, .. } => {
            info.get("code").and_then(|code| code.as_str()) == Some("NetStream.Publish.Start")
        }
        _ => false,
    });
    assert!(started, "{events:?}");
    let media: Vec<_> = server
        .events
        .iter()
        .filter_map(|event| match event {
            ServerSessionEvent::VideoDataReceived {
                data, timestamp, ..
            }
            | ServerSessionEvent::AudioDataReceived {
                data, timestamp, ..
            } => Some((timestamp.value, data.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(media, [(1234, video), (1234, audio)]);
    let finished = |event| matches!(event, &ServerSessionEvent::PublishStreamFinished { .. });
    assert!(server.events.iter().any(finished));
}
