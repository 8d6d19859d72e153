//! SIGTERM to an edge: not ready at once, then no listener, then no session.

use std::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tungstenite::{Message, protocol::frame::coding::CloseCode};

use crate::support::{
    clients::{Player, endless_publisher, wired::Wired},
    cluster::{Cluster, TRIBUTARY},
    http,
    media::clip,
    program::Program,
    wait,
    wire::{self, Amf},
};

/// An edge of the cluster's origin that leaves with these times.
fn edge(cluster: &Cluster, linger: &str, deadline: &str) -> Program {
    let variables = [
        ("TRIBUTARY_EDGE_DRAIN_LINGER", linger),
        ("TRIBUTARY_EDGE_DRAIN_DEADLINE", deadline),
        ("TRIBUTARY_ADMIN_TOKEN_FILE", TOKEN),
    ];
    cluster.write_token(TOKEN, "0123456789abcdef0123456789abcdef\n");
    cluster.edge_with("leaving", &[], &variables)
}

#[test]
fn an_edge_that_leaves_is_not_ready_then_closed_then_empty() {
    let cluster = Cluster::start(1, 1);
    let mut edge = edge(&cluster, "2 s", "6 s");
    let (rtmp, admin) = (edge.address("rtmp"), edge.address("admin"));
    let _publisher =
        endless_publisher(&cluster.url(0, "live", "clip"), clip(), cluster.directory());
    let url = format!("rtmp://{rtmp}/live/clip");
    let mut playing = Player::Ffmpeg.start(&url, cluster.directory());
    wait::until("the clip is played", WITHIN, || {
        http::Metrics::scrape(admin).sum("tributary_edge_viewers") == 1.0
    });

    let begun = Instant::now();
    edge.signal(Signal::TERM);
    wait::until("the edge is not ready", WITHIN, || {
        matches!(http::get(admin, "/readyz"), Some((503, _)))
    });
    assert!(TcpStream::connect(rtmp).is_ok(), "it still accepts clients");
    wait::until("the listener is closed", WITHIN, || {
        TcpStream::connect(rtmp).is_err()
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert!(playing.is_running(), "sessions live on");
    let status = edge.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    let lasted = begun.elapsed();
    assert!(
        lasted >= Duration::from_millis(5400),
        "the last tenth begins: {lasted:?}"
    );
    let got = playing.finish(WITHIN);
    assert!(got.frames().count() > 0);
}

#[test]
fn an_edge_without_clients_ends_after_its_linger_and_a_second_signal_ends_it_at_once() {
    let cluster = Cluster::start(1, 1);
    let mut alone = edge(&cluster, "1 s", "1 h");
    alone.signal(Signal::TERM);
    let status = alone.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");

    let mut edge = edge(&cluster, "1 h", "1 h");
    edge.signal(Signal::TERM);
    let admin = edge.address("admin");
    wait::until("the edge is not ready", WITHIN, || {
        matches!(http::get(admin, "/readyz"), Some((503, _)))
    });
    assert!(edge.is_running());
    edge.signal(Signal::TERM);
    let status = edge.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

/// The application rejects second publishers, which is the default: the key in the request decides.
#[test]
fn a_publisher_that_follows_takes_its_name_along_to_another_edge() {
    let cluster = Cluster::start(1, 1);
    let mut edge = edge(&cluster, "0 s", "1 h");
    let mut old = Wired::following_publisher(edge.address("rtmp"), "live", "cam");
    let other = cluster.rtmp(0);
    let publish = |app: &str| Wired::session(other, app).publish_refused("cam");
    assert_eq!(publish("live"), "NetStream.Publish.BadName");

    edge.signal(Signal::TERM);
    let asks = |message: &wire::Message| {
        message.code().as_deref() == Some("NetConnection.Connect.ReconnectRequest")
    };
    let request = old.wait(WITHIN, asks).expect("the edge asks");
    let values = request.values();
    let url = match values.last().and_then(|info| info.field("tcUrl")) {
        Some(Amf::String(url)) => url.clone(),
        other => panic!("no URL for the publisher: {other:?}"),
    };
    let (_, app) = url.rsplit_once('/').expect("an application");
    assert_eq!(publish("live"), "NetStream.Publish.BadName");
    assert_eq!(publish(app), "NetStream.Publish.Start", "{url}");
    drop(old);
    let status = edge.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn a_websocket_gets_a_close_frame_that_says_so() {
    let mut cluster = Cluster::with_certificates("\"ws\", \"wss\"");
    let server = cluster.edges[0].address("ws");
    let tcp = TcpStream::connect(server).expect("a connection");
    tcp.set_read_timeout(Some(WITHIN)).expect("a socket");
    let opened = tungstenite::client(format!("ws://{server}/"), tcp);
    let (mut socket, _) = opened.expect("the edge opens a WebSocket");
    cluster.edges[0].signal(Signal::TERM);
    let code = loop {
        if let Message::Close(frame) = socket.read().expect("a message") {
            break frame.map(|frame| frame.code);
        }
    };
    assert_eq!(code, Some(CloseCode::Away));
    let status = cluster.edges[0].wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn a_command_with_the_token_lets_an_edge_leave() {
    let cluster = Cluster::start(1, 1);
    let mut edge = edge(&cluster, "1 s", "1 h");
    let drain = |token: &str| {
        let mut command = Command::new(TRIBUTARY);
        command.args(["drain", "--deadline", "2 s", "--admin"]);
        command.arg(edge.address("admin").to_string());
        command.arg("--token").arg(cluster.directory().join(token));
        command.output().expect("the program runs")
    };
    cluster.write_token("other-token", &"0".repeat(32));
    let refused = drain("other-token");
    assert!(!refused.status.success());
    let reason = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        reason.contains("Bearer TOKEN is missing or wrong"),
        "{reason}"
    );
    let left = drain(TOKEN);
    let said = String::from_utf8_lossy(&left.stdout).into_owned();
    assert!(
        said.contains("its last sessions end in 2 s"),
        "{said} {left:?}"
    );
    let status = edge.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

/// The file with the edge's token, in the cluster's directory.
const TOKEN: &str = "edge-token";
/// A bound that no step reaches.
const WITHIN: Duration = Duration::from_secs(30);
