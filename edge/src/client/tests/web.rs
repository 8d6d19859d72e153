//! Clients in WebSockets: the request, its refusals, and the sessions behind it.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tributary_protocol::{
    amf::Object,
    link::{CloseReason, ToSession},
    session::ClientEvent,
};

use super::support::{Client, Edge, LONG, Peer, config, own_address, raw};
use crate::{
    Config,
    config::{Listen, Protocol},
    departure::Departure,
};

/// The address of a proxy that the edge trusts.
const PROXY: [u8; 4] = [127, 9, 254, 1];

/// A request that is accepted, with its last, empty line left out.
const REQUEST: &str = "GET /any HTTP/1.1\r\nHost: edge\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The answer to it.
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

pub(super) fn serving(protocols: &[Protocol]) -> Config {
    let mut listen = Listen::rtmp("127.0.0.1:0".parse().expect("an address"));
    listen.protocols = protocols.to_vec();
    Config {
        rtmp: None,
        listen: vec![listen],
        ..config()
    }
}

/// As [`serving`], behind a proxy of HTTP.
fn forwarded(protocols: &[Protocol]) -> Config {
    let mut config = serving(protocols);
    config.listen[0].forwarded = true;
    let trusted = ["127.9.254.0/24".parse().expect("a network")];
    config.listen[0].trusted = trusted.into_iter().collect();
    config
}

/// A frame of a client.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | 126];
    match u16::try_from(payload.len()) {
        Ok(short @ 0..=125) => frame[1] = 0x80 | short as u8,
        Ok(length) => frame.extend(length.to_be_bytes()),
        Err(_) => panic!("a long frame"),
    }
    let mask = [9, 8, 7, 6];
    frame.extend(mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    frame.extend(masked.map(|(byte, key)| byte ^ key));
    frame
}

/// The head of the edge's answer.
async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = timeout(LONG, socket.read_u8()).await.expect("in time");
        head.push(byte.expect("the head goes on"));
    }
    String::from_utf8(head).expect("text")
}

/// The edge's next frame: its first byte and its payload.
pub(super) async fn next(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    timeout(LONG, async {
        let first = socket.read_u8().await.expect("a frame");
        let length = match socket.read_u8().await.expect("a length") {
            126 => socket.read_u16().await.expect("a length").into(),
            short @ 0..=125 => usize::from(short),
            other => panic!("a length of {other}"),
        };
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await.expect("a payload");
        (first, payload)
    })
    .await
    .expect("a frame in time")
}

/// Sends the output of the client's connection in a frame.
pub(super) async fn send(client: &mut Client) {
    let output = client.connection.take_output();
    if !output.is_empty() {
        let frame = frame(0x82, &output);
        client.socket.write_all(&frame).await.expect("it is read");
    }
}

/// Goes on until an event.
pub(super) async fn event(client: &mut Client) -> ClientEvent {
    loop {
        if let Some(event) = client.connection.poll_event() {
            return event;
        }
        send(client).await;
        let (first, payload) = next(&mut client.socket).await;
        assert_eq!(first, 0x82, "a binary message");
        let now = Instant::now();
        let taken = client.connection.handle_input(now, &payload);
        taken.expect("sound bytes");
    }
}

/// Opens a WebSocket with these fields, and a session in it. The request comes in pieces of so many
/// bytes, with the first bytes of RTMP right behind it.
pub(super) async fn session(
    edge: &mut Edge,
    from: IpAddr,
    fields: &str,
    piece: usize,
) -> (Client, Peer) {
    let mut client = Client::begin(edge.address(), from).await;
    let rtmp = frame(0x82, &client.connection.take_output());
    let sent = [format!("{REQUEST}{fields}\r\n").as_bytes(), &rtmp].concat();
    for piece in sent.chunks(piece) {
        client.socket.write_all(piece).await.expect("it is read");
        tokio::task::yield_now().await;
    }
    assert_eq!(head(&mut client.socket).await, format!("{ACCEPTED}\r\n"));
    assert_eq!(event(&mut client).await, ClientEvent::Connected);
    let properties = Object::new()
        .with("app", "live/room")
        .with("tcUrl", "rtmp://edge/live/room");
    client.connection.connect(properties, Vec::new());
    send(&mut client).await;
    let peer = edge.opened().await;
    peer.accept();
    assert!(matches!(event(&mut client).await, ClientEvent::Accepted(_)));
    (client, peer)
}

#[tokio::test]
async fn a_session_in_a_websocket_is_one_as_others_on_a_port_of_both() {
    let mut edge = Edge::start_with(&serving(&[Protocol::Rtmp, Protocol::Ws]));
    for piece in [1, 100, usize::MAX] {
        let from = own_address();
        let (mut client, peer) = session(&mut edge, from, "", piece).await;
        assert_eq!(peer.request.open.protocol, "ws");
        assert_eq!(peer.request.open.peer.ip(), Some(from));
        let ping = frame(0x89, b"are you there");
        client.socket.write_all(&ping).await.expect("it is read");
        let pong = next(&mut client.socket).await;
        assert_eq!(pong, (0x8a, b"are you there".to_vec()));
        let close = frame(0x88, &1001_u16.to_be_bytes());
        client.socket.write_all(&close).await.expect("it is read");
        let answer = next(&mut client.socket).await;
        assert_eq!(answer, (0x88, 1001_u16.to_be_bytes().to_vec()));
        assert_eq!(edge.closed().await, CloseReason::Client);
    }
    let (_client, peer) = edge.session().await;
    assert_eq!(peer.request.open.protocol, "rtmp");
}

#[tokio::test]
async fn an_end_by_the_edge_closes_the_websocket_too() {
    let mut edge = Edge::start_with(&serving(&[Protocol::Ws]));
    let (mut client, peer) = session(&mut edge, own_address(), "", 100).await;
    peer.say(ToSession::Close(CloseReason::Application));
    let close = loop {
        match next(&mut client.socket).await {
            (0x82, _) => {}
            other => break other,
        }
    };
    assert_eq!(close, (0x88, 1000_u16.to_be_bytes().to_vec()));
    let end = timeout(LONG, client.socket.read_u8()).await;
    assert!(end.expect("in time").is_err());
}

#[tokio::test]
async fn frames_that_break_the_protocol_end_the_session_with_a_code() {
    let mut edge = Edge::start_with(&serving(&[Protocol::Ws]));
    for (bytes, fault, code) in [
        (frame(0x81, b"text"), "websocket_text", 1003_u16),
        (vec![0x82, 3, 1, 2, 3], "websocket_unmasked", 1002),
        // Compressed, though no extension was accepted.
        (frame(0xc2, b"\x2a\x86"), "websocket_frame", 1002),
    ] {
        let (mut client, _peer) = session(&mut edge, own_address(), "", 100).await;
        client.socket.write_all(&bytes).await.expect("it is read");
        let close = next(&mut client.socket).await;
        assert_eq!(close, (0x88, code.to_be_bytes().to_vec()), "{fault}");
        assert_eq!(edge.closed().await, CloseReason::Protocol, "{fault}");
        edge.until("it is counted", |_| edge.count_fault(fault) == 1)
            .await;
    }
}

#[tokio::test]
async fn an_offer_gets_a_subprotocol_and_no_compression() {
    let edge = Edge::start_with(&serving(&[Protocol::Ws]));
    for (offer, expected) in [
        ("binary, rtmp", "Sec-WebSocket-Protocol: rtmp\r\n"),
        ("base64, binary", "Sec-WebSocket-Protocol: binary\r\n"),
        ("chat", ""),
    ] {
        let mut socket = raw(edge.address(), own_address()).await;
        let request = format!(
            "{REQUEST}Sec-WebSocket-Protocol: {offer}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
        );
        let sent = socket.write_all(request.as_bytes()).await;
        sent.expect("it is read");
        let answer = head(&mut socket).await;
        assert_eq!(answer, format!("{ACCEPTED}{expected}\r\n"), "{offer}");
    }
}

/// Sends a request and closes that side. Returns the edge's whole answer.
async fn ask(edge: &Edge, from: IpAddr, request: &[u8]) -> String {
    let mut socket = raw(edge.address(), from).await;
    socket.write_all(request).await.expect("it is read");
    socket.shutdown().await.expect("a connection");
    let mut answer = String::new();
    let read = timeout(LONG, socket.read_to_string(&mut answer)).await;
    read.expect("in time").expect("all of the answer");
    answer
}

#[tokio::test]
async fn requests_that_are_refused_get_a_status() {
    let mut config = serving(&[Protocol::Ws]);
    config.web_origins = ["https://site.example".to_owned()].into_iter().collect();
    let edge = Edge::start_with(&config);
    let request = |from: &str, to: &str| format!("{REQUEST}\r\n").replace(from, to);
    let long = format!("{REQUEST}Cookie: {}\r\n\r\n", "c".repeat(9000));
    let get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    let tunnel = "POST /open/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\0".to_owned();
    let other = format!("{REQUEST}Origin: https://other.example\r\n\r\n");
    for (number, (request, status, fault)) in [
        (get, 426, "http_no_websocket"),
        (request("13", "8"), 426, "http_no_websocket"),
        (
            request("dGhlIHNhbXBsZSBub25jZQ==", "abc"),
            400,
            "http_request",
        ),
        (request("HTTP/1.1", "HTTP/2.0"), 505, "http_request"),
        (request("Host", " Host"), 400, "http_request"),
        ("\x03nonsense\r\n\r\n".to_owned(), 400, "http_request"),
        (request("GET", "PUT"), 405, "http_request"),
        (long, 431, "http_head_too_long"),
        (tunnel, 404, "protocol_not_here"),
        (other, 403, "web_origin"),
    ]
    .into_iter()
    .enumerate()
    {
        let before = edge.count_fault(fault);
        let answer = ask(&edge, own_address(), request.as_bytes()).await;
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{number}: {answer}");
        assert!(answer.ends_with("Content-Length: 0\r\n\r\n"), "{answer}");
        edge.until("it is counted", |_| edge.count_fault(fault) == before + 1)
            .await;
    }
    let site = format!("{REQUEST}Origin: https://site.example\r\n\r\n");
    let answer = ask(&edge, own_address(), site.as_bytes()).await;
    assert!(answer.starts_with(ACCEPTED), "{answer}");
    // The connection ends within the request.
    let before = edge.count_fault("http_request");
    assert_eq!(ask(&edge, own_address(), b"GET / HT").await, "");
    edge.until("it is counted", |_| {
        edge.count_fault("http_request") == before + 1
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_names_its_clients_and_nobody_else_does() {
    let mut edge = Edge::start_with(&forwarded(&[Protocol::Rtmp, Protocol::Ws]));
    let stranger = own_address();
    let named_client: IpAddr = "192.0.2.7".parse().expect("an address");
    let mut sessions = Vec::new();
    let named = "X-Forwarded-For: 127.0.0.1, 192.0.2.7, 127.9.254.9\r\n";
    let over_tls = format!("{named}X-Forwarded-Proto: https\r\n");
    for (from, fields, expected, protocol) in [
        (PROXY.into(), named, Some(Some(named_client)), "ws"),
        (PROXY.into(), &over_tls, Some(Some(named_client)), "wss"),
        (PROXY.into(), "", Some(None), "ws"),
        (
            PROXY.into(),
            "X-Forwarded-For: unknown\r\n",
            Some(None),
            "ws",
        ),
        (stranger, &over_tls, None, "ws"),
    ] {
        let (client, peer) = session(&mut edge, from, fields, 100).await;
        let open = &peer.request.open;
        let expected = expected.unwrap_or(Some(stranger));
        assert_eq!(open.peer.ip(), expected, "{fields}");
        assert_eq!(open.protocol, protocol, "{fields}");
        sessions.push((client, peer));
    }
    // RTMP has no such fields.
    let mut rtmp = Client::connect(edge.address(), PROXY.into()).await;
    let properties = Object::new()
        .with("app", "live")
        .with("tcUrl", "rtmp://edge/live");
    rtmp.connection.connect(properties, Vec::new());
    rtmp.send().await;
    let peer = edge.opened().await;
    assert_eq!(peer.request.open.peer.ip(), Some(PROXY.into()));
}

#[tokio::test]
async fn half_open_websockets_count_for_the_client_that_the_proxy_names() {
    let mut config = forwarded(&[Protocol::Ws]);
    config.max_half_open_per_address = 2;
    let edge = Edge::start_with(&config);
    let mut sockets = Vec::new();
    for last in [1, 1, 2, 3, 3] {
        let mut socket = raw(edge.address(), PROXY.into()).await;
        let request = format!("{REQUEST}X-Forwarded-For: 192.0.2.{last}\r\n\r\n");
        let sent = socket.write_all(request.as_bytes()).await;
        sent.expect("it is read");
        assert!(head(&mut socket).await.starts_with(ACCEPTED));
        sockets.push(socket);
    }
    let third = format!("{REQUEST}X-Forwarded-For: 192.0.2.1\r\n\r\n");
    let answer = ask(&edge, PROXY.into(), third.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    drop(sockets);
    edge.until("all are gone", |_| {
        edge.running.admission().half_open() == 0
    })
    .await;
}

/// The code of the edge's close frame; frames before it are skipped.
async fn close_code(client: &mut Client) -> u16 {
    loop {
        let (first, payload) = next(&mut client.socket).await;
        if first == 0x88 {
            return u16::from_be_bytes([payload[0], payload[1]]);
        }
    }
}

#[tokio::test]
async fn a_close_frame_says_whether_the_edge_leaves() {
    let mut edge = Edge::start_with(&serving(&[Protocol::Ws]));
    let (mut kicked, peer) = session(&mut edge, own_address(), "", usize::MAX).await;
    peer.say(ToSession::Close(CloseReason::Application));
    assert_eq!(close_code(&mut kicked).await, 1000);
    assert_eq!(edge.closed().await, CloseReason::Application);
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(session(&mut edge, own_address(), "", usize::MAX).await);
    }
    let deadline = Duration::from_millis(500);
    let departure = Departure::new(Instant::now(), Duration::ZERO, deadline);
    edge.depart.begin(departure);
    for (client, _peer) in &mut clients {
        assert_eq!(close_code(client).await, 1001);
    }
}

#[tokio::test]
async fn a_close_frame_of_the_drain_says_that_the_edge_leaves() {
    let mut edge = Edge::start_with(&serving(&[Protocol::Ws]));
    let (mut client, _peer) = session(&mut edge, own_address(), "", usize::MAX).await;
    edge.drain.begin();
    assert_eq!(close_code(&mut client).await, 1001);
}

#[tokio::test]
async fn the_bytes_on_the_wire_count_what_is_around_rtmp_too() {
    let figures = |edge: &Edge| {
        let metrics = &edge.metrics;
        (metrics.bytes_out.get(), metrics.wire_bytes_out.get())
    };
    let mut plain = Edge::start();
    let _session = plain.session().await;
    let (rtmp, wire) = figures(&plain);
    assert!(rtmp > 3_000, "the handshake and the answers: {rtmp}");
    assert_eq!(wire, rtmp);
    let mut web = Edge::start_with(&serving(&[Protocol::Ws]));
    let _session = session(&mut web, own_address(), "", usize::MAX).await;
    let (rtmp, wire) = figures(&web);
    let answer = ACCEPTED.len() as u64 + 2;
    assert!(
        wire > rtmp + answer && wire < rtmp + answer + 100,
        "{wire} of {rtmp}"
    );
}
