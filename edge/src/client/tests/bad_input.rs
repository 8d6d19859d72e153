//! Rows 1, 2, 5, 6, 10 and 11 of bad input (docs/testing.md), on client connections.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tributary_protocol::{
    ChunkStreamId, MessageStreamId, MessageType, TransactionId, command::Command,
    link::CloseReason, session::ClientEvent,
};

use super::support::{Client, Edge, LONG, code, config, media, own_address, raw};
use crate::Config;

/// Whether the edge closes within this time.
async fn closes(socket: &mut TcpStream, within: Duration) -> bool {
    let mut buffer = [0; 4096];
    let end = tokio::time::timeout(within, async {
        while socket.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {}
    });
    end.await.is_ok()
}

#[tokio::test]
async fn a_handshake_that_is_not_done_in_five_seconds_is_closed() {
    let edge = Edge::start();
    let begun = Instant::now();
    let mut silent = raw(edge.address(), own_address()).await;
    let mut slow = raw(edge.address(), own_address()).await;
    let mut half = raw(edge.address(), own_address()).await;
    half.write_all(&[3; 1537]).await.unwrap();
    slow.write_all(&[3]).await.unwrap();
    let drip = async {
        // One byte per second does not move the deadline.
        while slow.write_all(&[0]).await.is_ok() && begun.elapsed() < LONG {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let silent = closes(&mut silent, LONG);
    let half = closes(&mut half, LONG);
    let ((), silent, half) = tokio::join!(drip, silent, half);
    assert!(silent && half);
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    edge.until("all three are counted", |_| {
        edge.count_fault("handshake_timeout") == 3
    })
    .await;
    assert_eq!(edge.running.admission().half_open(), 0);
}

#[tokio::test]
async fn half_open_connections_are_limited_by_address_and_honest_ones_pass() {
    let config = Config {
        max_half_open_per_address: 3,
        ..config()
    };
    let edge = Edge::start_with(&config);
    let attacker = own_address();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(raw(edge.address(), attacker).await);
    }
    for _ in 0..5 {
        let mut refused = raw(edge.address(), attacker).await;
        assert!(closes(&mut refused, LONG).await);
    }
    let honest = Client::connect(edge.address(), own_address()).await;
    assert!(honest.connection.is_connected());
    let refused = edge.metrics.refused.get_or_create(&crate::metrics::Reason {
        reason: "too_many_half_open_per_address",
    });
    assert_eq!(refused.get(), 5);
    // A connection that leaves makes room.
    held.pop();
    edge.until("there is room", |_| {
        edge.running.admission().half_open() == 2
    })
    .await;
    Client::connect(edge.address(), attacker).await;
}

#[tokio::test]
async fn connections_are_limited_in_all() {
    let edge = Edge::start_with(&Config {
        max_connections: 2,
        ..config()
    });
    let one = edge.client().await;
    let _two = edge.client().await;
    let mut third = raw(edge.address(), own_address()).await;
    assert!(closes(&mut third, LONG).await);
    drop(one);
    edge.until("there is room", |_| {
        edge.running.admission().connections() == 1
    })
    .await;
    edge.client().await;
}

#[tokio::test]
async fn what_is_no_rtmp_is_closed() {
    let edge = Edge::start();
    let tls = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for first in [&tls[..], b"GET / HTTP/1.1\r\n\r\n", &[0], &[0xff]] {
        let mut socket = raw(edge.address(), own_address()).await;
        socket.write_all(first).await.unwrap();
        assert!(
            closes(&mut socket, Duration::from_secs(3)).await,
            "{first:?}"
        );
    }
    edge.until("all are counted", |_| edge.metrics.connections.get() == 0)
        .await;
    assert_eq!(edge.count_closed(CloseReason::Protocol), 4);
}

/// Bytes of a chunk that break the chunk stream, after a handshake and a connect.
#[tokio::test]
async fn chunks_that_break_the_stream_close_that_client_alone() {
    let mut edge = Edge::start();
    let (mut other, peer) = edge.session().await;
    let begun = b"\x03\x00\x00\x00\x00\x01\x00\x14\x00\x00\x00\x00";
    let partial = [&begun[..], &[0; 128]].concat();
    for bytes in [
        // Another header while a message is partial (CVE-2016-10191).
        [&partial[..], &begun[..]].concat(),
        // Formats 2 and 3 on a chunk stream without an earlier message.
        b"\x8a\x00\x00\x00".to_vec(),
        b"\xca".to_vec(),
        // Set Chunk Size with 0, and with the high bit.
        b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00".to_vec(),
        b"\x02\x00\x00\x00\x00\x00\x04\x01\x00\x00\x00\x00\x80\x00\x00\x00".to_vec(),
    ] {
        let (mut client, _peer) = edge.session().await;
        client.socket.write_all(&bytes).await.unwrap();
        assert!(closes(&mut client.socket, LONG).await, "{bytes:x?}");
        assert_eq!(edge.closed().await, CloseReason::Protocol, "{bytes:x?}");
    }
    other.connection.notify("still here", Vec::new());
    other.send().await;
    assert_eq!(edge.command(&peer).await.0.name, "still here");
}

#[tokio::test]
async fn a_format_1_header_on_chunk_stream_2_is_accepted() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    // The ping response of librtmp.
    let bytes = b"\x42\x00\x00\x00\x00\x00\x06\x04\x00\x06\x00\x00\x0d\x0f";
    client.socket.write_all(bytes).await.unwrap();
    client.connection.notify("still here", Vec::new());
    client.send().await;
    assert_eq!(edge.command(&peer).await.0.name, "still here");
}

#[tokio::test]
async fn the_first_message_is_the_connect_command_and_there_is_one() {
    let command = |name: &str| Command::new(name, TransactionId(1.0));
    for (first, fault) in [
        (
            super::support::to_message(&command("createStream"), STREAM_0),
            "command_before_connect",
        ),
        (
            media(MessageType::AUDIO, 0, &b"x"[..]),
            "message_before_connect",
        ),
        (
            media(MessageType::SHARED_OBJECT_AMF0, 0, &b"x"[..]),
            "message_before_connect",
        ),
        (
            media(MessageType::COMMAND_AMF0, 0, &b""[..]),
            "message_before_connect",
        ),
        (
            super::support::to_message(&command("connect"), STREAM_0),
            "connect_malformed",
        ),
    ] {
        let edge = Edge::start();
        let mut client = edge.client().await;
        client.connection.send(ChunkStreamId(3), &first);
        client.send().await;
        assert!(client.rest().await.is_empty());
        edge.until(fault, |_| edge.count_fault(fault) == 1).await;
    }
    let mut edge = Edge::start();
    let (mut client, _peer) = edge.session().await;
    client.connection.connect_to("live", "rtmp://edge/live");
    client.send().await;
    assert_eq!(edge.closed().await, CloseReason::Protocol);
    assert_eq!(edge.count_fault("second_connect"), 1);
}

#[tokio::test]
async fn names_that_are_no_application_are_refused_by_name() {
    let long = "x".repeat(65_536);
    // The appended `/_definst_` makes it one byte too long.
    let too_long = "x".repeat(503);
    let long_query = format!("live?{}", "x".repeat(16_384));
    for (app, status) in [
        ("", "NetConnection.Connect.InvalidApp"),
        ("../live", "NetConnection.Connect.InvalidApp"),
        ("live\0", "NetConnection.Connect.InvalidApp"),
        (&*long, "NetConnection.Connect.InvalidApp"),
        (&*too_long, "NetConnection.Connect.InvalidApp"),
        ("?rtmp://", "NetConnection.Connect.Rejected"),
        // It fits no frame of the link: it would close the link for all sessions.
        (&*long_query, "NetConnection.Connect.Rejected"),
    ] {
        let mut edge = Edge::start();
        let mut client = edge.client().await;
        client.connection.connect_to(app, "rtmp://edge/");
        client.send().await;
        let events = client.rest().await;
        let ClientEvent::Rejected(info) = &events[0] else {
            panic!("{app:.20}: {events:?}");
        };
        assert_eq!(code(info), status, "{app:.20}");
        assert!(
            edge.told_soon().await.is_none(),
            "no origin hears of {app:.20}"
        );
    }
}

#[tokio::test]
async fn strange_numbers_pass_or_are_ignored() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let number = |id: f64| Command::new("createStream", TransactionId(id));
    for id in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
        client.connection.send_command(STREAM_0, &number(id));
    }
    for argument in [f64::NAN, -5.0, 1e300] {
        let delete = Command::new("deleteStream", TransactionId(0.0)).with(argument);
        client.connection.send_command(STREAM_0, &delete);
    }
    // Empty messages of each type are dropped.
    for kind in [15, 16, 17, 18, 19, 20] {
        let empty = media(MessageType(kind), 0, &b""[..]);
        let empty = tributary_protocol::Message {
            stream: STREAM_0,
            ..empty
        };
        client.connection.send(ChunkStreamId(3), &empty);
    }
    client
        .connection
        .send(ChunkStreamId(3), &media(MessageType(99), 0, &b"?"[..]));
    client.connection.notify("still here", Vec::new());
    client.send().await;
    for _ in 0..7 {
        edge.command(&peer).await;
    }
    assert_eq!(edge.command(&peer).await.0.name, "still here");
}

const STREAM_0: MessageStreamId = MessageStreamId::CONNECTION;

#[tokio::test]
async fn a_flood_of_tiny_chunks_is_read_at_its_rate_and_others_do_not_wait() {
    let mut edge = Edge::start();
    let (mut honest, peer) = edge.session().await;
    let (mut client, _peer) = edge.session().await;
    // The first bytes are an empty message of an unknown type. Each further byte is one more.
    let first = b"\x03\0\0\0\0\0\0\x63\0\0\0\0";
    client.socket.write_all(first).await.unwrap();
    let before = edge.metrics.bytes_in.get();
    let begun = Instant::now();
    // One second's worth passes at once, the rest at 500,000 a second.
    const CHUNKS: usize = 1_500_000;
    let flood = vec![0xc3; CHUNKS];
    let (_read, mut write) = client.socket.split();
    let flood = async { write.write_all(&flood).await.unwrap() };
    let calls = async {
        for _ in 0..10 {
            honest.connection.notify("call", Vec::new());
            honest.send().await;
            assert_eq!(edge.command(&peer).await.0.name, "call");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::join!(flood, calls);
    edge.until("all of it is read", |metrics| {
        metrics.bytes_in.get() >= before + CHUNKS as u64
    })
    .await;
    assert!(
        begun.elapsed() > Duration::from_millis(1800),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(edge.metrics.connections.get(), 2, "and nobody is closed");
}

#[tokio::test]
async fn a_flood_of_calls_is_read_at_its_rate_and_closed_when_it_never_leaves_off() {
    let mut edge = Edge::start_with(&Config {
        session_messages_per_second: 100,
        ..config()
    });
    let (mut client, peer) = edge.session().await;
    // The client sends two bursts in all; messages beyond the first burst wait.
    for _ in 0..50 {
        client.connection.notify("call", Vec::new());
    }
    client.send().await;
    for _ in 0..50 {
        edge.command(&peer).await;
    }
    let begun = Instant::now();
    for _ in 0..150 {
        client.connection.notify("call", Vec::new());
    }
    client.send().await;
    for _ in 0..150 {
        edge.command(&peer).await;
    }
    client.connection.notify("last", Vec::new());
    client.send().await;
    assert_eq!(edge.command(&peer).await.0.name, "last");
    assert!(begun.elapsed() > Duration::from_millis(700));
    // The client sends without a pause.
    for _ in 0..1_000 {
        client.connection.notify("call", Vec::new());
    }
    client.send().await;
    assert_eq!(edge.closed().await, CloseReason::Limit);
    assert_eq!(edge.count_fault("message_rate"), 1);
}
