//! A server connection on a virtual clock, driven by a handshake and a chunk writer.

mod long;
mod pair;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::*;
use crate::{
    ChunkStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadLimits, Reader, Writer},
    handshake::{ClientHandshake, HandshakeKind, RANDOM},
    message::control::{BandwidthLimit, ControlMessage},
};

/// A peer made of single parts, and its server.
struct Pair {
    now: Instant,
    server: ServerConnection,
    reader: Reader,
    writer: Writer,
}

impl Pair {
    /// Both ends after the handshake.
    fn connected(limits: ConnectionLimits) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test needs some instant to start from"
        )]
        let now = Instant::now();
        let mut server = ServerConnection::new([1; RANDOM], now, limits);
        let mut out = BytesMut::new();
        let mut client = ClientHandshake::new(HandshakeKind::Simple, &[2; RANDOM], &mut out);
        server.handle_input(now, &out.split()).expect("C0 and C1");
        assert_eq!(server.poll_event(), None);
        let done = client.read(&mut &server.take_output()[..], &mut out);
        assert_eq!(done, Ok(true));
        server.handle_input(now, &out).expect("C2");
        assert_eq!(server.poll_event(), Some(ServerEvent::Connected));
        assert!(server.is_connected());
        Self {
            now,
            server,
            reader: Reader::new(ReadLimits::default()),
            writer: Writer::new(),
        }
    }

    fn encode(&mut self, message: &Message) -> BytesMut {
        let mut out = BytesMut::new();
        self.writer.write(ChunkStreamId(3), message, &mut out);
        out
    }

    /// Sends a message to the server in one piece.
    fn send(&mut self, message: &Message) -> Result<(), Error> {
        let bytes = self.encode(message);
        self.server.handle_input(self.now, &bytes)
    }

    /// The messages that the server has sent.
    fn receive(&mut self) -> Vec<Message> {
        let output = self.server.take_output();
        let mut input = &output[..];
        std::iter::from_fn(|| self.reader.read(&mut input).expect("valid chunks")).collect()
    }

    fn wait(&mut self, time: Duration) -> Result<(), Error> {
        self.now += time;
        self.server.handle_timeout(self.now)
    }
}

fn command(length: usize) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        payload: vec![7; length].into(),
    }
}

#[test]
fn messages_arrive_and_leave() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    pair.send(&command(300)).expect("a message");
    assert_eq!(
        pair.server.poll_event(),
        Some(ServerEvent::Message(command(300)))
    );
    assert_eq!(pair.server.poll_event(), None);

    pair.server
        .begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
    pair.server.send(ChunkStreamId::COMMAND, &command(100_000));
    pair.server.stream_begin(MessageStreamId(1));
    let window = ServerConnection::WINDOW;
    let expected = [
        ControlMessage::WindowAckSize(window).to_message(),
        ControlMessage::SetPeerBandwidth {
            window,
            limit: BandwidthLimit::Dynamic,
        }
        .to_message(),
        command(100_000),
        UserControl::StreamBegin(MessageStreamId(1)).to_message(),
    ];
    assert_eq!(pair.receive(), expected);
    assert_eq!(pair.reader.chunk_size(), 65_536);
    assert_eq!(pair.server.chunk_size(), 65_536);
    assert_eq!(pair.server.output_len(), 0);
}

#[test]
fn a_handshake_has_five_seconds_however_it_trickles() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let start = Instant::now();
    let mut server = ServerConnection::new([1; RANDOM], start, ConnectionLimits::default());
    assert_eq!(server.poll_timeout(), Some(start + Duration::from_secs(5)));
    for second in 0..5 {
        let now = start + Duration::from_secs(second);
        assert_eq!(server.handle_input(now, &[3]), Ok(()));
        assert_eq!(server.handle_timeout(now), Ok(()));
    }
    let late = start + Duration::from_secs(5);
    assert_eq!(server.handle_timeout(late), Err(Error::HandshakeTimeout));
    assert_eq!(
        server.handle_input(late, &[3]),
        Err(Error::HandshakeTimeout)
    );
    assert_eq!(server.poll_timeout(), None);
}

#[test]
fn errors_say_who_is_to_blame() {
    let table: &[(&[u8], &str, ErrorKind)] = &[
        (&[0xc5], "chunk_unknown_stream", ErrorKind::Protocol),
        (
            &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            "chunk_size_invalid",
            ErrorKind::Protocol,
        ),
        (
            &[2, 0, 0, 0, 0, 0, 2, 5, 0, 0, 0, 0, 0, 0],
            "control_short",
            ErrorKind::Protocol,
        ),
    ];
    for &(bytes, reason, kind) in table {
        let mut pair = Pair::connected(ConnectionLimits::default());
        pair.send(&command(1)).expect("a message");
        let error = pair.server.handle_input(pair.now, bytes).expect_err(reason);
        assert_eq!((error.reason(), error.kind()), (reason, kind));
        // Messages before the fault are delivered, later ones are not.
        assert_eq!(
            pair.server.poll_event(),
            Some(ServerEvent::Message(command(1)))
        );
        assert_eq!(pair.server.poll_event(), None);
        assert_eq!(pair.server.handle_input(pair.now, &[]), Err(error));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let now = Instant::now();
    for (byte, kind) in [
        (6, ErrorKind::Unsupported),
        (0x16, ErrorKind::Unsupported),
        (1, ErrorKind::Protocol),
    ] {
        let mut server = ServerConnection::new([1; RANDOM], now, ConnectionLimits::default());
        let error = server
            .handle_input(now, &[byte])
            .expect_err("not version 3");
        assert_eq!(error.kind(), kind);
    }
}

#[test]
fn a_silent_peer_is_pinged_then_given_up() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    let due = pair.server.poll_timeout().expect("a deadline");
    assert_eq!(due, pair.now + Duration::from_secs(60));
    pair.wait(Duration::from_secs(60)).expect("a ping");
    let sent = pair.receive();
    let UserControl::PingRequest(stamp) = UserControl::decode(&sent[0].payload).expect("an event")
    else {
        panic!("{sent:?}");
    };
    pair.wait(Duration::from_millis(80)).expect("nothing due");
    pair.send(&UserControl::PingResponse(stamp).to_message())
        .expect("a pong");
    let round_trip = Duration::from_millis(80);
    assert_eq!(
        pair.server.poll_event(),
        Some(ServerEvent::Pong { round_trip })
    );

    pair.wait(Duration::from_secs(60)).expect("a ping");
    assert_eq!(pair.receive().len(), 1);
    assert_eq!(pair.wait(Duration::from_secs(20)), Err(Error::PingTimeout));
}

#[test]
fn a_peer_that_sends_but_answers_no_ping_lives() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    pair.server.send_ping(pair.now);
    for _ in 0..100 {
        pair.wait(Duration::from_secs(15)).expect("it lives");
        pair.send(&command(1)).expect("a message");
    }
}

#[test]
fn a_peer_that_is_not_read_is_not_silent() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    for _ in 0..10 {
        pair.server.note_unread(pair.now);
        pair.wait(Duration::from_secs(50)).expect("nothing due");
    }
    assert_eq!(pair.server.output_len(), 0);
    pair.server.postpone(Duration::from_secs(100));
    pair.wait(Duration::from_secs(100)).expect("nothing due");
    assert_eq!(pair.server.output_len(), 0);
}

#[test]
fn pings_are_answered_and_buffers_reported() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    let stream = MessageStreamId(1);
    pair.send(&UserControl::PingRequest(9).to_message())
        .expect("a ping");
    pair.send(
        &UserControl::SetBufferLength {
            stream,
            milliseconds: 3000,
        }
        .to_message(),
    )
    .expect("an event");
    let other = UserControl::Other {
        event: 8,
        data: Bytes::from_static(b"\0\0\0\x01x"),
    };
    pair.send(&other.to_message()).expect("an event");
    assert_eq!(pair.receive(), [UserControl::PingResponse(9).to_message()]);
    let expected = ServerEvent::SetBufferLength {
        stream,
        milliseconds: 3000,
    };
    assert_eq!(pair.server.poll_event(), Some(expected));
    assert_eq!(
        pair.server.poll_event(),
        Some(ServerEvent::UserControl(other))
    );
}

#[test]
fn one_acknowledgement_leaves_per_batch() {
    let mut pair = Pair::connected(ConnectionLimits::default());
    pair.send(&ControlMessage::WindowAckSize(1).to_message())
        .expect("a window");
    assert_eq!(pair.receive().len(), 1, "the read of the window itself");
    let mut bytes = BytesMut::new();
    for _ in 0..100 {
        bytes.unsplit(pair.encode(&command(10_000)));
    }
    pair.server
        .handle_input(pair.now, &bytes)
        .expect("messages");
    let sent = pair.receive();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].kind, MessageType::ACKNOWLEDGEMENT);
}

/// A client with a small window sends no more than the window, then waits.
#[test]
fn a_small_window_is_acknowledged_within_it() {
    for window in [5_000, 8_192, 30_000] {
        let mut pair = Pair::connected(ConnectionLimits::default());
        pair.send(&ControlMessage::WindowAckSize(window).to_message())
            .expect("a window");
        pair.receive();
        let mut bytes = BytesMut::new();
        while bytes.len() < 20 * window as usize {
            bytes.unsplit(pair.encode(&command(700)));
        }
        for part in bytes.chunks(window as usize).take(20) {
            // It arrives in reads of 1,448 bytes. The server acknowledges one of them at the latest
            // when the whole window has arrived.
            for read in part.chunks(1_448) {
                pair.server.handle_input(pair.now, read).expect("messages");
            }
            let sent = pair.receive();
            assert!(!sent.is_empty(), "window {window}");
            assert!(sent.iter().all(|m| m.kind == MessageType::ACKNOWLEDGEMENT));
        }
    }
}

#[test]
fn a_peer_that_makes_too_much_work_is_throttled_then_closed() {
    let mut pair = Pair::connected(ConnectionLimits {
        chunks_per_second: 1000,
        ..ConnectionLimits::default()
    });
    let mut bytes = pair.encode(&command(0));
    for _ in 0..999 {
        bytes.extend_from_slice(&[0xc3]);
    }
    pair.server
        .handle_input(pair.now, &bytes)
        .expect("a second's worth");
    assert_eq!(pair.server.throttled_until(), None);
    pair.server
        .handle_input(pair.now, &[0xc3; 500])
        .expect("half a second ahead");
    let wait = pair.server.throttled_until().expect("throttled") - pair.now;
    assert_eq!(wait, Duration::from_millis(500));

    // A driver that waits as asked can read for ever.
    for _ in 0..50 {
        pair.now += Duration::from_millis(500);
        assert_eq!(pair.server.handle_input(pair.now, &[0xc3; 500]), Ok(()));
    }
    let error = pair.server.handle_input(pair.now, &[0xc3; 4000]);
    assert_eq!(error, Err(Error::ChunkRate));
}

#[test]
fn an_idle_connection_is_small() {
    assert!(
        size_of::<ServerConnection>() <= 640,
        "{}",
        size_of::<ServerConnection>()
    );
}
