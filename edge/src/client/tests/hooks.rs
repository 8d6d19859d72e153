//! Clients of an application whose services decide by HTTP.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use tributary_gate::{HookSettings, HookStyle, OnFailure, Urls};
use tributary_node::config::Application;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, TransactionId,
    amf::{Object, Value},
    command::{self, Command, ObjectEncoding, Status},
    link::{CloseReason, FromSession, Generation, ToSession},
    session::ClientEvent,
};
use tributary_web::test::{response, serve};

use crate::link::handle::FromOrigin;

use super::support::{Client, Edge, Peer, STREAM, code, config, to_message};

/// A service that answers as the test says, and the requests that it gets: path and body.
struct Service {
    address: SocketAddr,
    requests: mpsc::Receiver<(String, String)>,
    answers: Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>>,
}

const PATIENCE: Duration = Duration::from_secs(20);

impl Service {
    /// Paths without an answer are allowed.
    fn start() -> Self {
        let (sender, requests) = mpsc::sync_channel(100);
        let answers: Arc<Mutex<BTreeMap<&'static str, Vec<u8>>>> = Arc::default();
        let known = Arc::clone(&answers);
        let address = serve(move |head, body| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let answer = known.lock().expect("the test runs").get(&*path).cloned();
            // The test may have ended.
            let _ = sender.send((path, String::from_utf8_lossy(body).into_owned()));
            answer.unwrap_or_else(|| response("200 OK", "", b""))
        });
        Self {
            address,
            requests,
            answers,
        }
    }

    fn answers(&self, path: &'static str, status: &str, headers: &str) {
        let answer = response(status, headers, b"");
        let mut answers = self.answers.lock().expect("the service runs");
        answers.insert(path, answer);
    }

    fn next(&self) -> (String, String) {
        let next = self.requests.recv_timeout(PATIENCE);
        next.expect("a request")
    }

    /// Settings in the style of nginx-rtmp.
    fn settings(&self) -> HookSettings {
        let url = |path: &str| Urls::from([&*format!("http://{}{path}", self.address)]);
        HookSettings {
            style: HookStyle::Nginx,
            on_connect: url("/connect"),
            on_disconnect: url("/disconnect"),
            on_publish: url("/publish"),
            on_publish_done: url("/publish_done"),
            on_play: url("/play"),
            on_play_done: url("/play_done"),
            timeout: tributary_node::config::Duration::from_secs(5),
            ..HookSettings::default()
        }
    }

    fn edge(&self, settings: HookSettings) -> Edge {
        let settings = Application {
            hooks: Some(settings),
            ..Application::default()
        };
        Edge::start_for(&config(), &BTreeMap::from([("live".to_owned(), settings)]))
    }
}

pub(super) fn properties(app: &str) -> Object {
    Object::new()
        .with("app", app)
        .with("flashVer", "FMLE/3.0 (test)")
        .with("tcUrl", "rtmp://edge/live/room")
}

/// A client that has sent its connect.
pub(super) async fn connecting(edge: &Edge, app: &str) -> Client {
    let mut client = edge.client().await;
    client.connection.connect(properties(app), Vec::new());
    client.send().await;
    client
}

pub(super) async fn session(edge: &mut Edge) -> (Client, Peer) {
    let mut client = connecting(edge, "live/room?key=1").await;
    let peer = edge.opened().await;
    peer.accept();
    assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
    (client, peer)
}

pub(super) async fn act(client: &mut Client, command: &str, arguments: Vec<Value>) {
    client.connection.stream_command(STREAM, command, arguments);
    client.send().await;
}

/// The field of a form.
pub(super) fn field<'a>(body: &'a str, name: &str) -> &'a str {
    let mut pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    let pair = pairs.find(|(key, _)| *key == name);
    pair.map_or("", |(_, value)| value)
}

#[tokio::test]
async fn a_service_refuses_a_connect_in_its_own_words() {
    let service = Service::start();
    service.answers("/connect", "403 Forbidden", "X-Reason: not today\r\n");
    let edge = service.edge(service.settings());
    let mut client = connecting(&edge, "live/room?key=1").await;
    let events = client.rest().await;
    let info = events.iter().find_map(|event| match event {
        ClientEvent::Rejected(info) => Some(info),
        _ => None,
    });
    let info = info.expect("an _error");
    assert_eq!(code(info), "NetConnection.Connect.Rejected");
    assert_eq!(info.get("description"), Some(&Value::from("not today")));
    let (path, body) = service.next();
    assert_eq!(
        (path.as_str(), field(&body, "app")),
        ("/connect", "live/room")
    );
    assert_eq!(field(&body, "key"), "1", "{body}");
    edge.until("it is counted", |_| edge.count_fault("hook_refused") == 1)
        .await;
    let hooks = &edge.metrics.hooks;
    assert_eq!(hooks.counted("on_connect", "refused"), 1);
}

#[tokio::test]
async fn what_follows_a_question_waits_in_order() {
    let service = Service::start();
    let mut edge = service.edge(service.settings());
    let (mut client, peer) = session(&mut edge).await;
    assert_eq!(service.next().0, "/connect");
    let publish = vec!["cam?token=x".into(), "live".into()];
    client.connection.stream_command(STREAM, "publish", publish);
    client.connection.stream_command(STREAM, "talk", Vec::new());
    client.send().await;
    let (path, body) = service.next();
    assert_eq!(path, "/publish");
    let fields = ["name", "type", "call", "token", "session"].map(|name| field(&body, name));
    let number = peer.session.0.to_string();
    assert_eq!(fields, ["cam", "live", "publish", "x", &number]);
    assert_eq!(edge.command(&peer).await.0.name, "publish");
    assert_eq!(edge.command(&peer).await.0.name, "talk");
    act(&mut client, "closeStream", Vec::new()).await;
    assert_eq!(edge.command(&peer).await.0.name, "closeStream");
    let (path, body) = service.next();
    assert_eq!(
        (path.as_str(), field(&body, "name")),
        ("/publish_done", "cam")
    );
    assert_eq!(field(&body, "reason"), "client_closed");
    drop(client);
    let (path, body) = service.next();
    assert_eq!(
        (path.as_str(), field(&body, "app")),
        ("/disconnect", "live/room")
    );
}

/// A client that has come back from another edge: its publish was allowed there, and ends here.
#[tokio::test]
async fn a_publish_that_goes_on_is_not_asked_about_and_its_end_is_told() {
    let service = Service::start();
    let mut edge = service.edge(service.settings());
    let (client, peer) = session(&mut edge).await;
    assert_eq!(service.next().0, "/connect");
    let mut publish = Command::new("publish", TransactionId::NONE);
    publish.arguments = vec!["cam".into(), "live".into()];
    let (kind, payload) = publish.encode(ObjectEncoding::Amf0);
    peer.say(ToSession::Repeat(Message {
        kind,
        stream: STREAM,
        timestamp: RtmpTimestamp(0),
        payload,
    }));
    assert_eq!(edge.command(&peer).await.0.name, "publish");
    drop(client);
    let (path, body) = service.next();
    assert_eq!(
        (path.as_str(), field(&body, "name")),
        ("/publish_done", "cam")
    );
    assert_eq!(service.next().0, "/disconnect");
}

#[tokio::test]
async fn a_refused_publish_says_why_and_an_encoder_is_parted_with() {
    let service = Service::start();
    service.answers("/publish", "401 Unauthorized", "X-Reason: who are you?\r\n");
    let mut edge = service.edge(service.settings());
    let (mut client, peer) = session(&mut edge).await;
    act(&mut client, "publish", vec!["cam".into(), "live".into()]).await;
    match client.event().await {
        ClientEvent::Status { info, .. } => {
            assert_eq!(code(&info), "NetStream.Publish.Denied");
            let text = info.get("description");
            assert_eq!(text, Some(&Value::from("who are you?")));
        }
        other => panic!("not a status: {other:?}"),
    }
    assert_eq!(edge.command(&peer).await.0.name, "closeStream");
    assert_eq!(edge.closed().await, CloseReason::PublishOver);
    let paths: Vec<_> = (0..3).map(|_| service.next().0).collect();
    assert_eq!(paths, ["/connect", "/publish", "/disconnect"]);
}

#[tokio::test]
async fn a_renamed_stream_keeps_its_name_for_the_client() {
    let service = Service::start();
    service.answers("/publish", "302 Found", "Location: hidden\r\n");
    let mut edge = service.edge(service.settings());
    let (mut client, peer) = session(&mut edge).await;
    act(
        &mut client,
        "publish",
        vec!["cam?token=x".into(), "live".into()],
    )
    .await;
    let (publish, _) = edge.command(&peer).await;
    assert_eq!(publish.arguments[0], Value::from("hidden?token=x"));
    let started = command::on_status(
        Status::PublishStart.info(Some("hidden is now published."), Some("hidden")),
    );
    peer.say(ToSession::Message {
        message: to_message(&started, STREAM),
        after: None,
    });
    match client.event().await {
        ClientEvent::Status { info, .. } => {
            assert_eq!(info.get("details"), Some(&Value::from("cam")));
            let text = info.get("description");
            assert_eq!(text, Some(&Value::from("cam is now published.")));
        }
        other => panic!("not a status: {other:?}"),
    }
    // The origin ends the publish: the service knows the stream by the name that it was told.
    peer.say(ToSession::StopPublish {
        stream: STREAM,
        generation: Generation(1),
    });
    let bodies: Vec<_> = (0..3).map(|_| service.next()).collect();
    assert_eq!(bodies[2].0, "/publish_done");
    assert_eq!(field(&bodies[2].1, "name"), "cam");
}

#[tokio::test]
async fn a_play_is_asked_for_and_ends_with_the_origins_refusal() {
    let service = Service::start();
    service.answers("/play", "301 Moved", "Location: other\r\n");
    let mut edge = service.edge(service.settings());
    let (mut client, peer) = session(&mut edge).await;
    act(&mut client, "play", vec!["cam".into(), (-1000.0).into()]).await;
    let (play, _) = edge.command(&peer).await;
    assert_eq!(play.arguments[0], Value::from("other"));
    let info = Status::PlayStreamNotFound.info(None, Some("other"));
    peer.say(ToSession::Message {
        message: to_message(&command::on_status(info), STREAM),
        after: None,
    });
    assert_eq!(client.status().await, "NetStream.Play.StreamNotFound");
    let requests: Vec<_> = (0..3).map(|_| service.next()).collect();
    assert_eq!(requests[1].0, "/play");
    assert_eq!(field(&requests[1].1, "start"), "4294966296");
    assert_eq!(
        (requests[2].0.as_str(), field(&requests[2].1, "name")),
        ("/play_done", "cam")
    );
    // An origin that takes no relays: refused, and told as over.
    service.answers("/play", "302 Found", "Location: rtmp://other/live/cam\r\n");
    act(&mut client, "play", vec!["cam2".into()]).await;
    assert_eq!(client.status().await, "NetStream.Play.Failed");
    assert_eq!(service.next().0, "/play");
    let (path, body) = service.next();
    assert_eq!(
        (path.as_str(), field(&body, "reason")),
        ("/play_done", "hook_relay")
    );
}

#[tokio::test]
async fn a_relay_goes_to_the_origin_before_its_command() {
    let service = Service::start();
    let location = "Location: rtmp://other/live/s3cret?key=1\r\n";
    service.answers("/publish", "302 Found", location);
    service.answers("/play", "302 Found", location);
    let mut edge = service.edge(service.settings());
    let mut client = connecting(&edge, "live/room?key=1").await;
    let peer = edge.opened().await;
    peer.say(FromOrigin::TakesRelays);
    peer.accept();
    assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
    for (command, arguments) in [
        ("publish", vec!["cam".into(), "live".into()]),
        ("play", vec!["far".into()]),
    ] {
        act(&mut client, command, arguments).await;
        let (session, told) = edge.told().await;
        assert_eq!(session, peer.session);
        let FromSession::Relay { stream, address } = told else {
            panic!("no relay: {told:?}");
        };
        let expected = (STREAM, "rtmp://other/live/s3cret?key=1");
        assert_eq!((stream, address.as_str()), expected);
        assert_eq!(edge.command(&peer).await.0.name, command);
    }
}

#[tokio::test]
async fn a_connect_may_get_another_app() {
    let service = Service::start();
    service.answers("/connect", "302 Found", "Location: other/hall\r\n");
    let mut edge = service.edge(service.settings());
    let _client = connecting(&edge, "live/room?key=1").await;
    let peer = edge.opened().await;
    let group = peer.request.group.to_string();
    assert_eq!(group, "other/hall");
    let text = String::from_utf8_lossy(&peer.request.open.connect).into_owned();
    assert!(text.contains("other/hall?key=1"), "{text}");
    assert!(!text.contains("live/room?key=1"), "{text}");
}

#[tokio::test]
async fn a_service_that_is_down_refuses_or_allows() {
    let service = Service::start();
    for (on_failure, passes) in [(OnFailure::Refuse, false), (OnFailure::Allow, true)] {
        let settings = HookSettings {
            // The port has no listener.
            on_publish: Urls::from(["http://127.0.0.1:1/publish"]),
            on_failure,
            ..service.settings()
        };
        let mut edge = service.edge(settings);
        let (mut client, peer) = session(&mut edge).await;
        act(&mut client, "publish", vec!["cam".into(), "live".into()]).await;
        let name = edge.command(&peer).await.0.name;
        assert_eq!(name, if passes { "publish" } else { "closeStream" });
        if !passes {
            assert_eq!(client.status().await, "NetStream.Publish.Denied");
        }
        let hooks = &edge.metrics.hooks;
        assert_eq!(hooks.counted("on_publish", "hook_no_answer"), 1);
    }
}

#[tokio::test]
async fn a_drain_tells_of_all_that_was_allowed() {
    let service = Service::start();
    let mut edge = service.edge(service.settings());
    let mut clients = Vec::new();
    for _ in 0..5 {
        let (mut client, peer) = session(&mut edge).await;
        act(&mut client, "publish", vec!["cam".into(), "live".into()]).await;
        assert_eq!(edge.command(&peer).await.0.name, "publish");
        clients.push((client, peer));
    }
    edge.drain.begin();
    let mut counts = BTreeMap::new();
    for _ in 0..20 {
        *counts.entry(service.next().0).or_insert(0) += 1;
    }
    let expected = ["/connect", "/disconnect", "/publish", "/publish_done"];
    assert_eq!(counts, expected.map(|path| (path.to_owned(), 5)).into());
}

#[tokio::test]
async fn a_kick_and_a_lost_origin_are_told_with_their_reasons() {
    let service = Service::start();
    let mut edge = service.edge(service.settings());
    for (is_kick, expected) in [(true, "application"), (false, "origin_lost")] {
        let (mut client, peer) = session(&mut edge).await;
        act(&mut client, "publish", vec!["cam".into(), "live".into()]).await;
        assert_eq!(edge.command(&peer).await.0.name, "publish");
        if is_kick {
            peer.say(ToSession::Close(CloseReason::Application));
        }
        drop(peer);
        let asked: Vec<_> = (0..4).map(|_| service.next()).collect();
        let paths: Vec<_> = asked.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            ["/connect", "/publish", "/publish_done", "/disconnect"]
        );
        for (_, body) in &asked[2..] {
            let reason = field(body, "reason");
            assert!(reason.contains(expected), "{reason}");
        }
        assert_eq!(edge.closed().await.label(), field(&asked[3].1, "reason"));
    }
}

#[tokio::test]
async fn an_update_that_is_refused_ends_the_stream() {
    let service = Service::start();
    service.answers("/update", "403 Forbidden", "");
    let settings = HookSettings {
        on_update: Urls::from([&*format!("http://{}/update", service.address)]),
        update_interval: tributary_node::config::Duration::from_secs(1),
        ..service.settings()
    };
    let mut edge = service.edge(settings);
    let (mut client, peer) = session(&mut edge).await;
    act(&mut client, "play", vec!["cam".into()]).await;
    assert_eq!(edge.command(&peer).await.0.name, "play");
    assert_eq!(edge.command(&peer).await.0.name, "closeStream");
    match client.event().await {
        ClientEvent::Status { stream, info } => {
            assert_eq!(stream, MessageStreamId(1));
            assert_eq!(code(&info), "NetStream.Play.Failed");
            assert_eq!(info.get("details"), Some(&Value::from("cam")));
        }
        other => panic!("not a status: {other:?}"),
    }
    let requests: Vec<_> = (0..4).map(|_| service.next()).collect();
    let paths: Vec<_> = requests.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["/connect", "/play", "/update", "/play_done"]);
    let fields = ["call", "time", "name"].map(|name| field(&requests[2].1, name));
    assert_eq!(fields, ["update_play", "1", "cam"]);
}

#[tokio::test]
async fn a_service_may_state_who_a_client_is() {
    let address = serve(|_, _| response("200 OK", "", b"{\"allow\":true,\"user\":\"bob\"}"));
    let url = format!("http://{address}/");
    let settings = Application {
        hooks: Some(HookSettings {
            on_connect: Urls::from([&*url]),
            ..HookSettings::default()
        }),
        ..Application::default()
    };
    let mut edge = Edge::start_for(&config(), &BTreeMap::from([("live".to_owned(), settings)]));
    let _client = connecting(&edge, "live/room").await;
    let peer = edge.opened().await;
    let told = peer.request.open.claims.as_deref().expect("claims");
    assert_eq!(
        (told.user.as_deref(), told.json.as_deref()),
        (Some("bob"), None)
    );
}
