//! Connecting, calling, parting.

use tributary_protocol::{
    ChunkStreamId, MessageStreamId, MessageType,
    amf::{Object, Value},
    command,
    link::{CloseReason, ToSession},
    session::ClientEvent,
};

use super::support::{Edge, code, config, media};
use crate::link::handle::{FromOrigin, Park};

#[tokio::test]
async fn a_connect_reaches_the_origin_byte_for_byte_and_its_answer_the_client() {
    let mut edge = Edge::start();
    let mut client = edge.client().await;
    let properties = Object::new()
        .with("app", "chat/a/b?token=secret")
        .with("tcUrl", "rtmp://edge/chat/a/b")
        .with("pageUrl", "http://page")
        .with("strange", Value::Null);
    client
        .connection
        .connect(properties.clone(), vec![Value::from("argument")]);
    client.send().await;
    let peer = edge.opened().await;
    assert_eq!(peer.request.group.to_string(), "chat/a/b");
    assert_eq!(peer.request.origin, None);
    assert_eq!(
        peer.request.open.peer,
        client.socket.local_addr().unwrap().into()
    );
    assert_eq!(peer.request.open.protocol, "rtmp");
    let command =
        command::Command::decode(MessageType::COMMAND_AMF0, &peer.request.open.connect).unwrap();
    assert_eq!(command.object, Value::Object(properties));
    assert_eq!(command.arguments, [Value::from("argument")]);
    peer.accept();
    let ClientEvent::Accepted(info) = client.event().await else {
        panic!("not accepted");
    };
    assert_eq!(code(&info), "NetConnection.Connect.Success");
    edge.until("one session", |metrics| metrics.sessions.get() == 1)
        .await;

    drop(client);
    assert_eq!(edge.closed().await, CloseReason::Client);
    edge.until("no session", |metrics| metrics.sessions.get() == 0)
        .await;
    edge.until("no connection", |metrics| metrics.connections.get() == 0)
        .await;
    assert_eq!(edge.running.admission().connections(), 0);
}

#[tokio::test]
async fn what_a_client_sends_passes_untouched_in_order() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    client.connection.call("method", vec![Value::from(1.5)]);
    let shared = tributary_protocol::Message {
        stream: MessageStreamId::CONNECTION,
        ..media(MessageType::SHARED_OBJECT_AMF0, 9, &b"\x00\x01xopaque"[..])
    };
    client.connection.send(ChunkStreamId(3), &shared);
    let data = tributary_protocol::Message {
        kind: MessageType::DATA_AMF0,
        ..shared.clone()
    };
    client.connection.send(ChunkStreamId(3), &data);
    client
        .connection
        .set_buffer_length(MessageStreamId(1), 3000);
    client.send().await;
    let (command, _) = edge.command(&peer).await;
    assert_eq!(
        (&*command.name, &command.arguments[..]),
        ("method", &[Value::from(1.5)][..])
    );
    assert_eq!(edge.message(&peer).await.0, shared);
    assert_eq!(edge.message(&peer).await.0, data);
    let (buffer, _) = edge.message(&peer).await;
    assert_eq!(buffer.kind, MessageType::USER_CONTROL);
    assert_eq!(
        &buffer.payload[..],
        b"\x00\x03\x00\x00\x00\x01\x00\x00\x0b\xb8"
    );

    for number in 0..3 {
        peer.command(&command::Command::new("hello", command_id(number)));
    }
    for number in 0..3 {
        let ClientEvent::Command { command, .. } = client.event().await else {
            panic!("not a command");
        };
        assert_eq!(command.transaction, command_id(number));
    }
}

fn command_id(number: u8) -> tributary_protocol::TransactionId {
    tributary_protocol::TransactionId(f64::from(number))
}

#[tokio::test]
async fn a_ping_is_answered_at_the_edge() {
    let mut edge = Edge::start();
    let (mut client, _peer) = edge.session().await;
    client.connection.send_ping(std::time::Instant::now());
    client.send().await;
    let event = client.event().await;
    assert!(matches!(event, ClientEvent::Control(_)), "{event:?}");
    assert!(
        edge.told_soon().await.is_none(),
        "the origin hears nothing of it"
    );
}

#[tokio::test]
async fn every_way_to_part_has_its_words() {
    let failed = "NetConnection.Connect.Failed";
    let closed = "NetConnection.Connect.Closed";
    let rejected = "NetConnection.Connect.Rejected";
    let close = |reason| FromOrigin::Order(ToSession::Close(reason));
    for (accepted, what, words, reason) in [
        (false, FromOrigin::NoOrigin, failed, CloseReason::OriginLost),
        (
            false,
            FromOrigin::UnknownOrigin,
            rejected,
            CloseReason::Rejected,
        ),
        (
            false,
            close(CloseReason::OriginLost),
            failed,
            CloseReason::OriginLost,
        ),
        (
            true,
            close(CloseReason::OriginLost),
            closed,
            CloseReason::OriginLost,
        ),
        (true, close(CloseReason::Moved), closed, CloseReason::Moved),
        (
            true,
            close(CloseReason::Retention),
            closed,
            CloseReason::Retention,
        ),
        (false, close(CloseReason::Limit), failed, CloseReason::Limit),
        (
            false,
            close(CloseReason::InvalidApp),
            "NetConnection.Connect.InvalidApp",
            CloseReason::InvalidApp,
        ),
        (
            false,
            close(CloseReason::Shutdown),
            "NetConnection.Connect.AppShutdown",
            CloseReason::Shutdown,
        ),
        (
            true,
            close(CloseReason::Application),
            "",
            CloseReason::Application,
        ),
    ] {
        let mut edge = Edge::start();
        let mut client = edge.client().await;
        client.connection.connect_to("live", "rtmp://edge/live");
        client.send().await;
        let peer = edge.opened().await;
        if accepted {
            peer.accept();
            assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
        }
        let case = format!("{what:?}");
        peer.say(what);
        let heard: Vec<_> = client.rest().await.iter().map(describe).collect();
        let expected: &[&str] = if words.is_empty() {
            &[]
        } else {
            &[words, "close"]
        };
        assert_eq!(heard, expected, "{case}");
        assert_eq!(edge.closed().await, reason, "{case}");
        edge.until("it is counted", |_| edge.count_closed(reason) == 1)
            .await;
    }
}

fn describe(event: &ClientEvent) -> String {
    match event {
        ClientEvent::Status { info, .. } | ClientEvent::Rejected(info) => code(info),
        ClientEvent::Command { command, .. } => command.name.clone(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_lane_that_is_gone_closes_its_sessions() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    drop(peer);
    assert_eq!(client.status().await, "NetConnection.Connect.Closed");
    assert_eq!(edge.closed().await, CloseReason::OriginLost);
}

#[tokio::test]
async fn what_is_queued_is_flushed_before_a_close() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let big = command::Command::new("last", command_id(0)).with("x".repeat(1_000_000));
    peer.command(&big);
    peer.say(ToSession::Close(CloseReason::Application));
    let rest = client.rest().await;
    assert_eq!(rest.len(), 1);
    assert!(matches!(&rest[0], ClientEvent::Command { command, .. } if *command == big));
}

#[tokio::test]
async fn a_drain_says_goodbye_and_ends_the_edge() {
    let mut edge = Edge::start();
    let (mut client, _peer) = edge.session().await;
    let address = edge.address();
    let begun = std::time::Instant::now();
    edge.drain.begin();
    assert_eq!(client.status().await, "NetConnection.Connect.AppShutdown");
    assert_eq!(edge.closed().await, CloseReason::Shutdown);
    drop(client);
    edge.running.finished().await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "the listener is closed"
    );
}

#[tokio::test]
async fn a_full_park_leaves_the_client_unread_until_there_is_room() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    let text = "x".repeat(40_000);
    for _ in 0..200 {
        client
            .connection
            .notify("flood", vec![Value::from(text.as_str())]);
    }
    let output = client.connection.take_output();
    let (_read, mut write) = client.socket.into_split();
    let writer = tokio::spawn(async move {
        tokio::io::AsyncWriteExt::write_all(&mut write, &output)
            .await
            .unwrap();
        write
    });
    // No message leaves the park: the client is read no more after a little over 64 KiB.
    let mut waiting = Vec::new();
    while let Some(told) = edge.told_soon().await {
        waiting.push(told);
    }
    assert!(
        (2..8).contains(&waiting.len()),
        "{} messages in the park",
        waiting.len()
    );
    assert!(!writer.is_finished());
    // Once there is room, the client is read to the end.
    for _ in &waiting {
        peer.park.remove(40_000 + Park::MESSAGE);
    }
    let mut count = waiting.len();
    while count < 200 {
        edge.command(&peer).await;
        count += 1;
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn messages_of_next_to_nothing_fill_the_park_as_well() {
    const COUNT: usize = 200_000;
    let mut edge = Edge::start_with(&crate::Config {
        session_messages_per_second: 1_000_000,
        ..config()
    });
    let (mut client, peer) = edge.session().await;
    let small = tributary_protocol::Message {
        stream: MessageStreamId::CONNECTION,
        ..media(MessageType::SHARED_OBJECT_AMF0, 0, &b"x"[..])
    };
    for _ in 0..COUNT {
        client.connection.send(ChunkStreamId(3), &small);
    }
    client.connection.notify("last", Vec::new());
    let output = client.connection.take_output();
    let (_read, mut write) = client.socket.into_split();
    let writer = tokio::spawn(async move {
        let written = tokio::io::AsyncWriteExt::write_all(&mut write, &output).await;
        written.unwrap();
        write
    });
    let mut waiting = 0;
    while edge.told_soon().await.is_some() {
        waiting += 1;
    }
    let room = Park::LIMIT / Park::cost(&small);
    // All messages of one read of 64 KiB, two bytes each, are parked.
    assert!(
        (room..room + 33_000).contains(&waiting),
        "{waiting} messages"
    );
    peer.park.remove(waiting * Park::cost(&small));
    for _ in waiting..COUNT {
        edge.message(&peer).await;
    }
    assert_eq!(edge.command(&peer).await.0.name, "last");
    writer.await.unwrap();
}

#[tokio::test]
async fn what_a_session_itself_sends_is_counted() {
    let edge = Edge::start();
    let _client = edge.client().await;
    // S0, S1 and S2.
    edge.until("the handshake is sent", |_| {
        edge.metrics.bytes_out.get() == 3073
    })
    .await;
}

#[tokio::test]
async fn a_refusal_of_the_origin_is_flushed_once_and_then_the_connection_closes() {
    for status in [
        command::Status::ConnectRejected,
        command::Status::ConnectInvalidApp,
        command::Status::ConnectAppShutdown,
    ] {
        let mut edge = Edge::start();
        let mut client = edge.client().await;
        client.connection.connect_to("live", "rtmp://edge/live");
        client.send().await;
        let peer = edge.opened().await;
        peer.command(&command::error(command_id(1), status.info(None, None)));
        peer.command(&command::close());
        peer.say(ToSession::Close(CloseReason::Rejected));
        let heard: Vec<_> = client.rest().await.iter().map(describe).collect();
        assert_eq!(heard, [status.code(), "close"]);
    }
}
