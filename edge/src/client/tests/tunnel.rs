//! Clients in requests of HTTP: sessions on several connections, repeated and misplaced requests.

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
    handshake,
    link::{CloseReason, ToSession},
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use super::support::{Edge, LONG, Peer, config, own_address, raw};
use crate::{
    Config,
    config::{Listen, Protocol},
};

pub(super) fn serving() -> Config {
    let mut listen = Listen::rtmp("127.0.0.1:0".parse().expect("an address"));
    listen.protocols = vec![Protocol::Rtmp, Protocol::Rtmpt];
    Config {
        rtmp: None,
        listen: vec![listen],
        workers: 2,
        ..config()
    }
}

/// A connection for requests, and fields that a proxy adds to each.
pub(super) struct Http(TcpStream, &'static str);

impl Http {
    pub(super) async fn connect(edge: &Edge, from: IpAddr) -> Self {
        Self(raw(edge.address(), from).await, "")
    }

    /// Sends a request as ffmpeg does, without waiting for the answer.
    pub(super) async fn send(&mut self, path: &str, body: &[u8]) {
        let head = format!(
            "POST {path} HTTP/1.1\r\nContent-type: application/x-fcs\r\nUser-Agent: Shockwave \
             Flash\r\nHost: edge\r\nConnection: Keep-Alive\r\n{}Content-Length: {}\r\n\r\n",
            self.1,
            body.len()
        );
        let sent = self.0.write_all(&[head.as_bytes(), body].concat()).await;
        sent.expect("it is read");
    }

    /// The next answer: its status and its body; `None` if the edge closes.
    pub(super) async fn answer(&mut self) -> Option<(u16, Vec<u8>)> {
        timeout(LONG, async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(self.0.read_u8().await.ok()?);
            }
            let head = String::from_utf8(head).expect("text");
            let status = head["HTTP/1.1 ".len()..][..3].parse().expect("a number");
            let (_, length) = head.split_once("Content-Length: ").expect("a length");
            let mut body = vec![0; length.trim_end().parse().expect("a number")];
            self.0.read_exact(&mut body).await.ok()?;
            Some((status, body))
        })
        .await
        .expect("an answer in time")
    }

    pub(super) async fn ask(&mut self, path: &str, body: &[u8]) -> (u16, Vec<u8>) {
        self.send(path, body).await;
        self.answer().await.expect("an answer")
    }

    /// Opens a session. Returns its id.
    async fn open(&mut self) -> String {
        let (status, body) = self.ask("/open/1", &[0]).await;
        assert_eq!(status, 200);
        let text = String::from_utf8(body).expect("text");
        text.trim_end().to_owned()
    }
}

/// A client with connections that it uses in turn.
pub(super) struct Tunnelled {
    pub(super) connections: Vec<Http>,
    pub(super) id: String,
    pub(super) sequence: usize,
    pub(super) rtmp: ClientConnection,
}

impl Tunnelled {
    pub(super) async fn open(edge: &Edge, from: IpAddr, connections: usize) -> Self {
        let mut all = Vec::new();
        for _ in 0..connections {
            all.push(Http::connect(edge, from).await);
        }
        Self::open_on(all).await
    }

    async fn open_on(mut all: Vec<Http>) -> Self {
        let id = all[0].open().await;
        let random = [7; handshake::RANDOM];
        let kind = handshake::HandshakeKind::Simple;
        let limits = ConnectionLimits::default();
        Self {
            connections: all,
            id,
            sequence: 0,
            rtmp: ClientConnection::new(kind, random, Instant::now(), limits),
        }
    }

    /// One request on the next connection. Returns the polling byte.
    pub(super) async fn turn(&mut self) -> u8 {
        let output = self.rtmp.take_output();
        let (command, body) = match output.is_empty() {
            true => ("idle", &[0][..]),
            false => ("send", &output[..]),
        };
        let path = format!("/{command}/{}/{}", self.id, self.sequence);
        let next = self.sequence % self.connections.len();
        let (status, answer) = self.connections[next].ask(&path, body).await;
        assert_eq!(status, 200);
        self.sequence += 1;
        let taken = self.rtmp.handle_input(Instant::now(), &answer[1..]);
        taken.expect("sound bytes");
        answer[0]
    }

    pub(super) async fn event(&mut self) -> ClientEvent {
        loop {
            if let Some(event) = self.rtmp.poll_event() {
                return event;
            }
            assert_ne!(self.turn().await, 0, "the session has ended");
        }
    }

    /// Connects to the application.
    pub(super) async fn connect(&mut self, edge: &mut Edge) -> Peer {
        assert_eq!(self.event().await, ClientEvent::Connected);
        let properties = Object::new()
            .with("app", "live")
            .with("tcUrl", "rtmpt://edge/live");
        self.rtmp.connect(properties, Vec::new());
        self.turn().await;
        let peer = edge.opened().await;
        peer.accept();
        assert!(matches!(self.event().await, ClientEvent::Accepted(_)));
        peer
    }
}

#[tokio::test]
async fn a_session_is_spread_over_connections_and_threads() {
    let mut edge = Edge::start_with(&serving());
    for connections in [1, 2, 5] {
        let from = own_address();
        let mut client = Tunnelled::open(&edge, from, connections).await;
        let peer = client.connect(&mut edge).await;
        assert_eq!(peer.request.open.protocol, "rtmpt");
        assert_eq!(peer.request.open.peer.ip(), Some(from));
        // The connection on which it began is gone; it goes on.
        client.connections.push(Http::connect(&edge, from).await);
        client.connections.remove(0);
        for _ in 0..3 {
            client.turn().await;
        }
        let path = format!("/close/{}/{}", client.id, client.sequence);
        for _ in 0..2 {
            let answer = client.connections[0].ask(&path, &[0]).await;
            assert_eq!(answer, (200, vec![0]));
        }
        assert_eq!(edge.closed().await, CloseReason::Client);
    }
    let (_client, peer) = edge.session().await;
    assert_eq!(peer.request.open.protocol, "rtmp", "on the same port");
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_of_each_session() {
    let mut config = serving();
    config.listen[0].forwarded = true;
    let trusted = ["127.9.253.1".parse().expect("a network")];
    config.listen[0].trusted = trusted.into_iter().collect();
    let mut edge = Edge::start_with(&config);
    let fields = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n";
    let stranger = own_address();
    let named: IpAddr = [192, 0, 2, 7].into();
    let proxy: IpAddr = [127, 9, 253, 1].into();
    for (from, fields, expected, protocol) in [
        (proxy, fields, Some(named), "rtmpts"),
        (proxy, "", None, "rtmpt"),
        (stranger, fields, Some(stranger), "rtmpt"),
    ] {
        let mut http = Http::connect(&edge, from).await;
        http.1 = fields;
        let mut client = Tunnelled::open_on(vec![http]).await;
        let peer = client.connect(&mut edge).await;
        let open = &peer.request.open;
        let seen = (open.peer.ip(), &*open.protocol);
        assert_eq!(seen, (expected, protocol), "{fields}");
        let path = format!("/close/{}/{}", client.id, client.sequence);
        client.connections[0].ask(&path, &[0]).await;
        assert_eq!(edge.closed().await, CloseReason::Client);
    }
}

#[tokio::test]
async fn an_end_by_the_edge_reaches_the_client_in_an_answer() {
    let mut edge = Edge::start_with(&serving());
    let mut client = Tunnelled::open(&edge, own_address(), 1).await;
    let peer = client.connect(&mut edge).await;
    peer.say(ToSession::Close(CloseReason::Application));
    let by = Instant::now() + LONG;
    while client.turn().await != 0 {
        assert!(Instant::now() < by, "the polling byte tells the end");
    }
    assert_eq!(client.turn().await, 0);
}

#[tokio::test]
async fn an_edge_that_stops_lets_clients_fetch_the_last_bytes_and_waits_for_no_other() {
    let mut edge = Edge::start_with(&serving());
    let mut client = Tunnelled::open(&edge, own_address(), 2).await;
    let _peer = client.connect(&mut edge).await;
    let _silent = Tunnelled::open(&edge, own_address(), 1).await;
    edge.drain.begin();
    let by = Instant::now() + LONG;
    while client.turn().await != 0 {
        assert!(Instant::now() < by, "the polling byte tells the end");
    }
    let status = client.rtmp.poll_event();
    assert!(
        matches!(status, Some(ClientEvent::Status { .. })),
        "{status:?}"
    );
    timeout(LONG, edge.running.finished())
        .await
        .expect("an end");
}

#[tokio::test]
async fn an_idle_request_is_held_until_there_are_bytes() {
    let mut edge = Edge::start_with(&serving());
    let mut client = Tunnelled::open(&edge, own_address(), 1).await;
    let peer = client.connect(&mut edge).await;
    while client.turn().await != 3 {}
    let began = Instant::now();
    for _ in 0..5 {
        client.turn().await;
    }
    assert!(began.elapsed() >= Duration::from_millis(490));
    peer.say(ToSession::Close(CloseReason::Application));
    let path = format!("/idle/{}/{}", client.id, client.sequence);
    let (_, body) = client.connections[0].ask(&path, &[0]).await;
    assert!(body == [0] || body.len() > 1, "at once: {body:?}");
}

#[tokio::test]
async fn requests_are_applied_once_and_in_order() {
    let mut edge = Edge::start_with(&serving());
    let mut client = Tunnelled::open(&edge, own_address(), 2).await;
    let hello = client.rtmp.take_output();
    let path = format!("/send/{}/0", client.id);
    let mut answers = vec![client.connections[0].ask(&path, &hello).await];
    for connection in [1, 0] {
        answers.push(client.connections[connection].ask(&path, &hello).await);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let mut rest = answers[0].1[1..].to_vec();
    client.sequence = 1;
    while rest.len() < 1 + 2 * 1536 {
        let path = format!("/idle/{}/{}", client.id, client.sequence);
        rest.extend_from_slice(&client.connections[1].ask(&path, &[0]).await.1[1..]);
        client.sequence += 1;
    }
    let taken = client.rtmp.handle_input(Instant::now(), &rest);
    taken.expect("one handshake");
    // An older one has a polling byte alone.
    let old = client.connections[0].ask(&path, &hello).await;
    assert_eq!((old.0, old.1.len()), (200, 1));
    let _peer = client.connect(&mut edge).await;
    // A number is left out: bytes are missing.
    let path = format!("/send/{}/{}", client.id, client.sequence + 1);
    let answer = client.connections[0].ask(&path, b"x").await;
    assert_eq!(answer, (400, Vec::new()));
    assert_eq!(edge.closed().await, CloseReason::Protocol);
    edge.until("it is counted", |_| {
        edge.count_fault("tunnel_sequence") == 1
    })
    .await;
}

#[tokio::test]
async fn a_request_that_comes_again_takes_the_answer_over() {
    let mut edge = Edge::start_with(&serving());
    let mut client = Tunnelled::open(&edge, own_address(), 2).await;
    let _peer = client.connect(&mut edge).await;
    while client.turn().await != 3 {}
    let path = format!("/idle/{}/{}", client.id, client.sequence);
    client.connections[0].send(&path, &[0]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let again = client.connections[1].ask(&path, &[0]).await;
    assert_eq!(again.0, 200);
    assert_eq!(client.connections[0].answer().await, None, "it is closed");
}

#[tokio::test]
async fn guessed_sessions_and_hostile_requests_get_a_status() {
    let edge = Edge::start_with(&serving());
    let id = "0000".to_owned() + &"a".repeat(32);
    let known = Http::connect(&edge, own_address()).await.open().await;
    let idle = |id: &str| format!("POST /idle/{id}/0 HTTP/1.1\r\nHost: a\r\n");
    let one = "Content-Length: 1\r\n\r\n\0";
    for (number, (request, status, fault)) in [
        (idle(&id) + one, 404, "tunnel_unknown"),
        (idle(&known[..35]) + one, 404, "protocol_not_here"),
        (idle(&known.to_uppercase()) + one, 404, "protocol_not_here"),
        (
            "POST /open/2 HTTP/1.1\r\nHost: a\r\n".to_owned() + one,
            404,
            "protocol_not_here",
        ),
        (
            idle(&known) + "Content-Length: 1048577\r\n\r\n",
            413,
            "http_body_too_long",
        ),
        (
            idle(&known) + "Content-Length: -1\r\n\r\n",
            400,
            "http_request",
        ),
        (
            idle(&known) + "Transfer-Encoding: chunked\r\n\r\n",
            411,
            "http_request",
        ),
        (
            idle(&known) + "Content-Length: 1\r\n" + one,
            400,
            "http_request",
        ),
        (idle(&known) + "\r\n", 411, "http_request"),
        (
            idle(&known) + "X: " + &"x".repeat(9000),
            431,
            "http_head_too_long",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let before = edge.count_fault(fault);
        let mut http = Http::connect(&edge, own_address()).await;
        let sent = http.0.write_all(request.as_bytes()).await;
        sent.expect("it is read");
        let answer = http.answer().await;
        assert_eq!(answer, Some((status, Vec::new())), "{number}");
        assert_eq!(http.answer().await, None, "{number}: it is closed");
        edge.until("it is counted", |_| edge.count_fault(fault) == before + 1)
            .await;
    }
    // Flash Player asks for another address first; requests may come together.
    let mut http = Http::connect(&edge, own_address()).await;
    http.send("/fcs/ident2", &[0]).await;
    http.send("/open/1", &[0]).await;
    assert_eq!(http.answer().await, Some((404, Vec::new())));
    let (status, id) = http.answer().await.expect("an answer");
    assert_eq!((status, id.len()), (200, 37));
}

#[tokio::test]
async fn a_proxy_that_asks_for_a_websocket_behind_requests_has_to_ask_anew() {
    let mut config = serving();
    config.listen[0].protocols = vec![Protocol::Ws, Protocol::Rtmpt];
    let edge = Edge::start_with(&config);
    let upgrade = b"GET / HTTP/1.1\r\nHost: edge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for (is_kept, expected) in [(true, ""), (false, "HTTP/1.1 101 ")] {
        let mut http = Http::connect(&edge, own_address()).await;
        if is_kept {
            assert_eq!(http.ask("/fcs/ident2", &[0]).await.0, 404);
        }
        http.0.write_all(upgrade).await.expect("it is read");
        let mut answer = vec![0; expected.len().max(1)];
        let read = timeout(LONG, http.0.read(&mut answer)).await;
        let read = read.expect("an answer or the end").expect("no reset");
        assert_eq!(String::from_utf8_lossy(&answer[..read]), expected);
    }
}
