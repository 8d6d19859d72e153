//! Clients behind a proxy that names them.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tributary_protocol::{amf::Object, link::PeerAddress};

use super::support::{Client, Edge, LONG, Peer, config, raw};
use crate::{Config, config::Listen};

/// The address of the proxy that the edge trusts.
const PROXY: [u8; 4] = [127, 9, 255, 1];

/// Version 1, as HAProxy 2.6 sends it.
const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 192.0.2.1 42038 1935\r\n";

/// Version 2 with a TLV that names TLS between client and proxy.
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14\
    \xc0\x00\x02\x07\xc0\x00\x02\x01\xa4\x36\x07\x8f\
    \x20\x00\x05\x01\x00\x00\x00\x00";

/// Version 2, a health check.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn proxied() -> Config {
    let mut listen = Listen::rtmp("127.0.0.1:0".parse().expect("an address"));
    listen.proxy_protocol = true;
    listen.trusted = ["127.9.255.0/24".parse().expect("a network")]
        .into_iter()
        .collect();
    Config {
        rtmp: None,
        listen: vec![listen],
        ..config()
    }
}

/// A client that the proxy has announced with this header, in pieces of so many bytes.
async fn announced(edge: &Edge, header: &[u8], piece: usize) -> Client {
    let mut client = Client::begin(edge.address(), PROXY.into()).await;
    for piece in header.chunks(piece) {
        client
            .socket
            .write_all(piece)
            .await
            .expect("the edge reads");
        if piece.len() < header.len() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    client
}

/// Connects to the application; the session lives as long as both ends that it returns.
async fn connect(edge: &mut Edge, mut client: Client) -> (Client, Peer) {
    client.send().await;
    client.event().await;
    let properties = Object::new()
        .with("app", "live")
        .with("tcUrl", "rtmp://edge/live");
    client.connection.connect(properties, Vec::new());
    client.send().await;
    let peer = edge.opened().await;
    (client, peer)
}

#[tokio::test]
async fn a_client_has_the_address_that_its_proxy_names() {
    let mut edge = Edge::start_with(&proxied());
    let named = PeerAddress::from("192.0.2.7:42038".parse::<SocketAddr>().expect("an address"));
    let unknown = PeerAddress::UNKNOWN;
    let mut sessions = Vec::new();
    for (header, expected, protocol) in [
        (TEXT, named, "rtmp"),
        (BINARY, named, "rtmps"),
        (LOCAL, unknown, "rtmp"),
        (b"PROXY UNKNOWN\r\n", unknown, "rtmp"),
        (
            b"PROXY TCP6 ::ffff:192.0.2.7 ::1 42038 1935\r\n",
            named,
            "rtmp",
        ),
    ] {
        for piece in [1, 7, header.len()] {
            let client = announced(&edge, header, piece).await;
            let session = connect(&mut edge, client).await;
            let open = &session.1.request.open;
            let seen = (open.peer, &*open.protocol);
            assert_eq!(seen, (expected, protocol), "{header:?} by {piece}");
            sessions.push(session);
        }
    }
    // The header and the first bytes of RTMP in one segment.
    let mut client = Client::begin(edge.address(), PROXY.into()).await;
    let both = [TEXT, &client.connection.take_output()].concat();
    client
        .socket
        .write_all(&both)
        .await
        .expect("the edge reads");
    let (_client, peer) = connect(&mut edge, client).await;
    assert_eq!(peer.request.open.peer, named);
}

/// Sends bytes to the edge, closes that side, and waits for the edge to close its own.
async fn send(edge: &Edge, from: IpAddr, bytes: &[u8]) {
    let mut socket: TcpStream = raw(edge.address(), from).await;
    // The edge may have closed already.
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(LONG, socket.read_to_end(&mut answer))
        .await
        .expect("an end");
    assert!(
        answer.is_empty(),
        "a proxied listener says nothing to {bytes:?}"
    );
}

#[tokio::test]
async fn a_header_is_believed_from_trusted_proxies_alone() {
    let edge = Edge::start_with(&proxied());
    // The client writes its header itself.
    send(&edge, [127, 9, 254, 1].into(), TEXT).await;
    let untrusted = || edge.count_fault("proxy_untrusted") == 1;
    edge.until("it is counted", |_| untrusted()).await;
    let garbage = [&[3][..], &[0; 1536]].concat();
    let long = [b"PROXY TCP4 ", &[b'1'; 200][..]].concat();
    let faults: [&[u8]; 5] = [
        &garbage,
        b"GET / HTTP/1.1\r\n",
        &long,
        &TEXT[..20],
        &BINARY[..19],
    ];
    for (index, bytes) in faults.into_iter().enumerate() {
        send(&edge, PROXY.into(), bytes).await;
        let counted = || edge.count_fault("proxy_header") == index as u64 + 1;
        edge.until("it is counted", |_| counted()).await;
    }
}

#[tokio::test]
async fn a_health_check_leaves_no_trace() {
    let edge = Edge::start_with(&proxied());
    for bytes in [LOCAL, b""] {
        send(&edge, PROXY.into(), bytes).await;
    }
    edge.until("all places are free", |_| {
        edge.running.admission().connections() == 0
    })
    .await;
    for fault in ["proxy_header", "door_timeout", "handshake_timeout"] {
        assert_eq!(edge.count_fault(fault), 0);
    }
    assert_eq!(
        edge.count_closed(tributary_protocol::link::CloseReason::Client),
        0
    );
}

#[tokio::test]
async fn half_open_connections_count_for_the_named_client_and_not_for_the_proxy() {
    let config = Config {
        max_half_open_per_address: 2,
        ..proxied()
    };
    let edge = Edge::start_with(&config);
    let header = |last: u8| format!("PROXY TCP4 192.0.2.{last} 192.0.2.1 1 1\r\n").into_bytes();
    let mut clients = Vec::new();
    for last in [1, 1, 2, 2, 3] {
        clients.push(announced(&edge, &[&header(last)[..], &[3]].concat(), 100).await);
    }
    edge.until("all are there", |_| {
        edge.running.admission().half_open() == 5
    })
    .await;
    let mut third = announced(&edge, &[&header(1)[..], &[3]].concat(), 100).await;
    let read = timeout(LONG, third.socket.read(&mut [0; 1]))
        .await
        .expect("an end");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let reason = "too_many_half_open_per_address";
    let refused = |metrics: &crate::Metrics| {
        metrics
            .refused
            .get_or_create(&crate::metrics::Reason { reason })
            .get()
    };
    edge.until("it is counted", |metrics| refused(metrics) == 1)
        .await;
}
