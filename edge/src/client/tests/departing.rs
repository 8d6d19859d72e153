//! Clients of an edge that leaves.

use std::time::{Duration, Instant};

use tributary_protocol::{
    amf::Object,
    link::{CloseReason, FromSession, TakeoverKey, ToSession},
    session::ClientEvent,
};

use super::support::{Client, Edge, LONG, Peer, STREAM, code, own_address, raw};
use crate::{departure::Departure, link::publish::PublishFeed};

/// A session whose client states these bits of `capsEx`.
async fn session(edge: &mut Edge, caps: f64) -> (Client, Peer) {
    let mut client = edge.client().await;
    let properties = Object::new()
        .with("app", "live")
        .with("tcUrl", "rtmp://edge/live")
        .with("capsEx", caps);
    client.connection.connect(properties, Vec::new());
    client.send().await;
    let peer = edge.opened().await;
    peer.accept();
    assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
    (client, peer)
}

#[tokio::test]
async fn clients_that_follow_are_asked_to_reconnect_and_the_rest_lives_until_the_deadline() {
    let mut edge = Edge::start();
    let address = edge.address();
    let (mut follows, _follows_peer) = session(&mut edge, 15.0).await;
    let (mut stays, _stays_peer) = session(&mut edge, 14.0).await;
    let begun = Instant::now();
    let (linger, deadline) = (Duration::from_secs(1), Duration::from_secs(4));
    edge.depart.begin(Departure::new(begun, linger, deadline));

    // New clients are served while the edge lingers, also with the departure in sight.
    let (mut late, _late_peer) = session(&mut edge, 1.0).await;
    for client in [&mut follows, &mut late] {
        let request = client.status().await;
        assert_eq!(request, "NetConnection.Connect.ReconnectRequest");
    }
    assert!(begun.elapsed() >= linger);
    assert_eq!(edge.metrics.reconnect_requests.get(), 2);
    edge.until("the listener is closed", |_| {
        std::net::TcpStream::connect(address).is_err()
    })
    .await;
    drop(follows);
    assert_eq!(edge.closed().await, CloseReason::Client);

    assert_eq!(stays.status().await, "NetConnection.Connect.AppShutdown");
    assert!(begun.elapsed() >= deadline * 9 / 10);
    assert_eq!(edge.closed().await, CloseReason::Shutdown);
}

#[tokio::test]
async fn the_drain_ends_a_departure_at_once() {
    let mut edge = Edge::start();
    let (mut client, _peer) = session(&mut edge, 1.0).await;
    edge.depart
        .begin(Departure::new(Instant::now(), LONG, LONG * 2));
    let _half_open = raw(edge.address(), own_address()).await;
    edge.drain.begin();
    assert_eq!(client.status().await, "NetConnection.Connect.AppShutdown");
}

#[tokio::test]
async fn a_publisher_that_is_asked_to_reconnect_gets_a_key_for_its_names() {
    let mut edge = Edge::start();
    let (mut client, peer) = session(&mut edge, 1.0).await;
    client
        .connection
        .stream_command(STREAM, "publish", vec!["cam".into(), "live".into()]);
    client.send().await;
    let (publish, generation) = edge.command(&peer).await;
    assert_eq!(publish.name, "publish");
    let (target, _source) = PublishFeed::new();
    peer.say(ToSession::AcceptPublish {
        stream: STREAM,
        generation,
        target,
    });
    edge.until("one publisher", |metrics| metrics.publishers.get() == 1)
        .await;
    let departure = Departure::new(Instant::now(), Duration::ZERO, LONG);
    edge.depart.begin(departure);
    let (_, told) = edge.told().await;
    let FromSession::Reconnects(key) = told else {
        panic!("the origin is told of the key: {told:?}");
    };
    let ClientEvent::Status { info, .. } = client.event().await else {
        panic!("the client is asked to reconnect");
    };
    assert_eq!(code(&info), "NetConnection.Connect.ReconnectRequest");
    let url = info
        .get("tcUrl")
        .and_then(|url| url.as_str().map(str::to_owned));
    let url = url.expect("a tcUrl");
    assert!(url.starts_with("rtmp://edge/live?resume="), "{url}");
    assert_eq!(TakeoverKey::of(&url), Some(key));
}
