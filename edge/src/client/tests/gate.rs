//! Clients that the gate refuses, slows or lets through.

use std::{
    collections::BTreeMap,
    fs,
    net::IpAddr,
    time::{Duration, Instant},
};

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use tempfile::TempDir;
use tributary_gate::{
    Access, Action, EncoderSettings, KeyKind, Networks, RateSettings, Scheme, TokenKey,
    TokenSettings,
};
use tributary_node::config::Application;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp, TransactionId,
    amf::{Object, Value},
    command::{Command, ObjectEncoding},
    link::{CloseReason, Generation, ToSession},
    session::ClientEvent,
};

use super::support::{Client, Edge, Peer, STREAM, code, config, own_address};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// Seconds of UNIX time in the year 2033.
const LATER: u64 = 2_000_000_000;

pub(super) fn edge(settings: Application) -> Edge {
    Edge::start_for(&config(), &BTreeMap::from([("live".to_owned(), settings)]))
}

fn only(address: IpAddr) -> Networks {
    let network = address.to_string().parse().expect("a network");
    [network].into_iter().collect()
}

/// Settings that ask for a signature to publish and to play.
pub(super) fn signed(folder: &TempDir) -> Application {
    let file = folder.path().join("key");
    fs::write(&file, SECRET).expect("a file of the test");
    Application {
        tokens: Some(TokenSettings {
            require: vec![Action::Publish, Action::Play],
            keys: vec![TokenKey {
                kind: KeyKind::Hmac,
                file,
                id: None,
            }],
            ..TokenSettings::default()
        }),
        ..Application::default()
    }
}

/// A query that permits an act on a name of `live/room`.
fn signature(act: &str, name: &str, expires: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let text = format!("{act}\nlive/room/{name}\n{expires}");
    let sign = BASE64URL_NOPAD.encode(hmac::sign(&key, text.as_bytes()).as_ref());
    format!("expires={expires}&sign={sign}")
}

pub(super) fn properties(app: &str, agent: &str) -> Object {
    Object::new()
        .with("app", app)
        .with("flashVer", agent)
        .with("tcUrl", format!("rtmp://edge/{app}"))
}

const ENCODER: &str = "FMLE/3.0 (compatible; FMSc/1.0)";
pub(super) const FLASH: &str = "WIN 10,0,32,18";

/// The `_error` of a connect, and whether `close` follows.
async fn refused(edge: &Edge, from: IpAddr, app: &str, agent: &str) -> (String, bool) {
    let mut client = Client::connect(edge.address(), from).await;
    client
        .connection
        .connect(properties(app, agent), Vec::new());
    client.send().await;
    let events = client.rest().await;
    let text = events.iter().find_map(|event| match event {
        ClientEvent::Rejected(info) => {
            assert_eq!(code(info), "NetConnection.Connect.Rejected");
            info.get("description")?.as_str().map(str::to_owned)
        }
        _ => None,
    });
    let is_close = |event: &ClientEvent| matches!(event, ClientEvent::Command { command, .. } if command.name == "close");
    (text.expect("an _error"), events.iter().any(is_close))
}

/// A client of `live/room` whose connect was accepted.
async fn session(edge: &mut Edge, agent: &str) -> (Client, Peer) {
    let mut client = edge.client().await;
    let properties = properties("live/room", agent);
    client.connection.connect(properties, Vec::new());
    client.send().await;
    let peer = edge.opened().await;
    peer.accept();
    assert!(matches!(client.event().await, ClientEvent::Accepted(_)));
    (client, peer)
}

pub(super) fn publish(client: &mut Client, name: &str) {
    let arguments = vec![name.into(), "live".into()];
    client
        .connection
        .stream_command(STREAM, "publish", arguments);
}

#[tokio::test]
async fn a_refused_connect_says_why_and_never_reaches_the_origin() {
    let (denied, other) = (own_address(), own_address());
    let mut edge = edge(Application {
        access: Access {
            deny: only(denied),
            ..Access::default()
        },
        ..Application::default()
    });
    let text = format!("the address {denied} may not connect here");
    for (agent, says_close) in [(FLASH, true), (ENCODER, false)] {
        let refused = refused(&edge, denied, "live/room", agent).await;
        assert_eq!(refused, (text.clone(), says_close), "{agent}");
    }
    edge.until("both are counted", |_| {
        edge.count_fault("access_denied") == 2
    })
    .await;
    assert_eq!(edge.count_closed(CloseReason::Rejected), 2);
    // Neither another address nor another application is refused.
    let mut sessions = Vec::new();
    for (from, app) in [(other, "live/room"), (denied, "open")] {
        let mut client = Client::connect(edge.address(), from).await;
        client
            .connection
            .connect(properties(app, FLASH), Vec::new());
        client.send().await;
        let peer = edge.opened().await;
        assert_eq!(
            Some(peer.request.group.application()),
            app.split('/').next()
        );
        sessions.push((client, peer));
    }
}

#[tokio::test]
async fn an_encoder_is_asked_for_its_user_step_by_step() {
    let folder = TempDir::new().expect("a folder");
    let users_file = folder.path().join("users");
    fs::write(&users_file, "alice:s3cr3t\n").expect("a file of the test");
    let mut edge = edge(Application {
        encoders: Some(EncoderSettings {
            users_file,
            key_file: None,
            schemes: vec![Scheme::Adobe],
        }),
        ..Application::default()
    });
    let from = own_address();
    let wrong = "live/room?authmod=adobe&user=alice&challenge=c&response=r&opaque=o";
    for (app, begins) in [
        (
            "live/room",
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : ",
        ),
        (
            "live/room?authmod=adobe&user=alice",
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=alice&salt=",
        ),
        (
            wrong,
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed",
        ),
    ] {
        let (text, says_close) = refused(&edge, from, app, ENCODER).await;
        assert!(text.starts_with(begins), "{text}");
        assert!(!says_close, "an encoder would connect anew");
    }
    edge.until("one is a fault", |_| edge.count_fault("user_password") == 1)
        .await;
    // A client that is no encoder connects, and may not publish.
    let (mut client, peer) = session(&mut edge, FLASH).await;
    publish(&mut client, "cam");
    client.send().await;
    assert_eq!(client.status().await, "NetStream.Publish.Denied");
    assert_eq!(edge.command(&peer).await.0.name, "closeStream");
}

#[tokio::test]
async fn a_refused_publish_changes_nothing_and_leaves_a_client_its_connection() {
    let folder = TempDir::new().expect("a folder");
    let mut edge = edge(signed(&folder));
    let (mut client, peer) = session(&mut edge, FLASH).await;
    let expired = format!("cam?{}", signature("publish", "cam", 1_700_000_000));
    let mut calls = Vec::new();
    for method in ["releaseStream", "FCPublish", "FCUnpublish"] {
        for name in ["cam", expired.as_str()] {
            calls.push(client.connection.call(method, vec![name.into()]));
        }
    }
    publish(&mut client, &expired);
    client
        .connection
        .stream_command(STREAM, "play", vec!["cam".into()]);
    client.connection.create_stream();
    client.send().await;
    for call in calls {
        match client.event().await {
            ClientEvent::Answer {
                transaction,
                result,
                ..
            } => {
                assert_eq!(transaction, call);
                assert_eq!(result, Ok(Value::Undefined));
            }
            other => panic!("no answer: {other:?}"),
        }
    }
    for code in ["NetStream.Publish.Denied", "NetStream.Play.Failed"] {
        assert_eq!(client.status().await, code);
    }
    // The stream that published on this message stream ends, and nothing else has reached the origin.
    for name in ["closeStream", "createStream"] {
        assert_eq!(edge.command(&peer).await.0.name, name);
    }
    assert_eq!(edge.count_fault("token_expired"), 4);
    assert_eq!(edge.count_fault("token_missing"), 4);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(edge.count_closed(CloseReason::PublishOver), 0);
}

#[tokio::test]
async fn a_refused_encoder_is_parted_with_after_a_second_unless_it_publishes_or_does_more() {
    let folder = TempDir::new().expect("a folder");
    let mut edge = edge(signed(&folder));
    let mut sessions = Vec::new();
    let began = Instant::now();
    for does in ["nothing", "publishes", "calls"] {
        let (mut client, peer) = session(&mut edge, ENCODER).await;
        publish(&mut client, "cam");
        let good = format!("cam?{}", signature("publish", "cam", LATER));
        match does {
            "publishes" => publish(&mut client, &good),
            "calls" => client.connection.notify("talk", Vec::new()),
            _ => {}
        }
        client.send().await;
        assert_eq!(client.status().await, "NetStream.Publish.Denied");
        assert_eq!(edge.command(&peer).await.0.name, "closeStream");
        if does != "nothing" {
            edge.command(&peer).await;
        }
        sessions.push((client, peer));
    }
    let refused = &mut sessions[0].0;
    assert_eq!(
        refused.rest().await,
        Vec::new(),
        "no close, and no other word"
    );
    assert!(began.elapsed() >= Duration::from_secs(1));
    edge.until("the refused encoder is gone", |_| {
        edge.running.admission().connections() == 2
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(edge.count_closed(CloseReason::PublishOver), 1);
    assert_eq!(edge.running.admission().connections(), 2);
}

#[tokio::test]
async fn a_token_passes_with_its_query_or_without() {
    let folder = TempDir::new().expect("a folder");
    for strip in [false, true] {
        let mut settings = signed(&folder);
        if let Some(tokens) = &mut settings.tokens {
            tokens.strip = strip;
        }
        let mut edge = edge(settings);
        let (mut client, peer) = session(&mut edge, FLASH).await;
        let query = |act| signature(act, "cam", LATER);
        let names = [
            format!("/cam?{}", query("publish")),
            format!("cam?{}", query("play")),
        ];
        publish(&mut client, &names[0]);
        let connection = &mut client.connection;
        connection.stream_command(MessageStreamId(2), "play", vec![names[1].as_str().into()]);
        let options = Object::new()
            .with("streamName", names[1].as_str())
            .with("len", 5.0);
        connection.stream_command(MessageStreamId(2), "play2", vec![options.into()]);
        client.send().await;
        let seen = |name: &str| match strip {
            true => Value::from(name.split('?').next().unwrap_or_default()),
            false => Value::from(name),
        };
        let (command, _) = edge.command(&peer).await;
        assert_eq!(command.arguments, [seen(&names[0]), "live".into()]);
        let (command, _) = edge.command(&peer).await;
        assert_eq!(command.arguments, [seen(&names[1])]);
        let (command, _) = edge.command(&peer).await;
        assert_eq!(
            command.arguments[0].get("streamName"),
            Some(&seen(&names[1]))
        );
        assert_eq!(command.arguments[0].get("len"), Some(&Value::Number(5.0)));
    }
}

#[tokio::test]
async fn the_connect_of_a_guesser_waits_and_its_messages_behind_it() {
    let folder = TempDir::new().expect("a folder");
    let mut settings = signed(&folder);
    settings.limits = RateSettings {
        failures_per_minute: 1,
        ..RateSettings::default()
    };
    let mut edge = edge(settings);
    let (from, mut sessions) = (own_address(), Vec::new());
    for least in [0, 1] {
        let mut client = Client::connect(edge.address(), from).await;
        let began = Instant::now();
        client
            .connection
            .connect(properties("live/room", FLASH), Vec::new());
        client.connection.notify("talk", Vec::new());
        publish(&mut client, "cam");
        client.send().await;
        let peer = edge.opened().await;
        let waited = began.elapsed().as_secs();
        assert!((least..least + 5).contains(&waited), "{waited} s");
        for name in ["talk", "closeStream"] {
            assert_eq!(edge.command(&peer).await.0.name, name);
        }
        sessions.push((client, peer));
    }
    assert_eq!(edge.metrics.slowed_connects.get(), 1);
    // The messages behind such a connect have a bound.
    let mut flood = Client::connect(edge.address(), from).await;
    let connection = &mut flood.connection;
    connection.connect(properties("live/room", FLASH), Vec::new());
    (0..300).for_each(|_| connection.notify("talk", Vec::new()));
    flood.send().await;
    assert!(matches!(flood.event().await, ClientEvent::Rejected(_)));
    edge.until("it is counted", |_| edge.count_fault("message_rate") == 1)
        .await;
    // Another address does not wait.
    let began = Instant::now();
    let _other = session(&mut edge, FLASH).await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_rate_refuses_connects_and_publishes_of_one_address() {
    let mut edge = edge(Application {
        limits: RateSettings {
            connects_per_minute: Some(2),
            publishes_per_minute: Some(1),
            ..RateSettings::default()
        },
        ..Application::default()
    });
    let from = own_address();
    let mut client = Client::connect(edge.address(), from).await;
    client
        .connection
        .connect(properties("live/room", FLASH), Vec::new());
    publish(&mut client, "a");
    publish(&mut client, "b");
    client.send().await;
    let peer = edge.opened().await;
    for name in ["publish", "closeStream"] {
        assert_eq!(edge.command(&peer).await.0.name, name);
    }
    let mut second = Client::connect(edge.address(), from).await;
    second
        .connection
        .connect(properties("live/room", FLASH), Vec::new());
    second.send().await;
    let _second = edge.opened().await;
    let (text, _) = refused(&edge, from, "live/room", FLASH).await;
    assert!(text.contains("connect"), "{text}");
    assert_eq!(edge.count_fault("rate_connects"), 1);
    assert_eq!(edge.count_fault("rate_publishes"), 1);
}

/// A client that has come back: what its new edge passes on for it was granted at the one before.
#[tokio::test]
async fn what_a_client_did_before_is_passed_on_past_the_gate() {
    let folder = TempDir::new().expect("a folder");
    let mut edge = edge(signed(&folder));
    let (_client, peer) = edge.session().await;
    let publish = |name: &str| {
        let mut command = Command::new("publish", TransactionId::NONE);
        command.arguments = vec![name.into(), "live".into()];
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        Message {
            kind,
            stream: STREAM,
            timestamp: RtmpTimestamp(0),
            payload,
        }
    };
    for generation in 1..3 {
        peer.say(ToSession::Repeat(publish("cam")));
        let (command, begun) = edge.command(&peer).await;
        assert_eq!(command.name, "publish");
        assert_eq!(command.arguments, ["cam".into(), "live".into()]);
        assert_eq!(begun, Generation(generation));
    }
}

/// A JWT with these claims.
fn jwt(claims: &str) -> String {
    let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", part("{\"alg\":\"HS256\"}"), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    let sign = hmac::sign(&key, signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(sign.as_ref()))
}

#[tokio::test]
async fn an_origin_hears_what_the_gate_has_verified() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("key");
    fs::write(&file, SECRET).expect("a file of the test");
    let mut edge = edge(Application {
        tokens: Some(TokenSettings {
            require: vec![Action::Connect],
            keys: vec![TokenKey {
                kind: KeyKind::Hs256,
                file,
                id: None,
            }],
            ..TokenSettings::default()
        }),
        ..Application::default()
    });
    let long = "x".repeat(300);
    let mut sessions = Vec::new();
    for (claims, user) in [
        (
            format!("{{\"exp\":{LATER},\"sub\":\"alice\",\"room\":7}}"),
            Some("alice"),
        ),
        (format!("{{\"exp\":{LATER}}}"), None),
        // A subject that is too long is left out.
        (format!("{{\"exp\":{LATER},\"sub\":\"{long}\"}}"), None),
    ] {
        let mut client = edge.client().await;
        let app = format!("live/room?token={}", jwt(&claims));
        client
            .connection
            .connect(properties(&app, FLASH), Vec::new());
        client.send().await;
        let peer = edge.opened().await;
        let told = peer.request.open.claims.as_deref().expect("claims");
        assert_eq!(told.user.as_deref(), user);
        assert_eq!(told.json.as_deref(), Some(&*claims));
        sessions.push((client, peer));
    }
    let mut client = edge.client().await;
    client
        .connection
        .connect(properties("open", FLASH), Vec::new());
    client.send().await;
    assert_eq!(edge.opened().await.request.open.claims, None);
}
