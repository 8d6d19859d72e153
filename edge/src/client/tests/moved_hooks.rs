//! Clients of an application with services, and at the gate, that move to another process.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tempfile::TempDir;
use tokio::time::timeout;
use tributary_gate::{HookSettings, HookStyle, RateSettings, Urls};
use tributary_node::config::Application;
use tributary_protocol::link::{CloseReason, FromSession, ToSession};
use tributary_web::test::{response, serve};

use super::{
    gate,
    hooks::{act, field, session},
    pair::{Replaced, finish},
    support::{Client, Edge, LONG, Peer, STREAM, config, own_address},
};
use crate::moving::Moved;

/// A service that answers questions about publishes when the test lets it.
struct Slow {
    requests: Receiver<(String, String)>,
    answers: SyncSender<&'static str>,
    settings: HookSettings,
}

impl Slow {
    fn start() -> Self {
        let (requested, requests) = sync_channel(100);
        let (answers, answer) = sync_channel(100);
        let answer = Mutex::new(answer);
        let address = serve(move |head, body| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let waits = path == "/publish";
            // The test may have ended.
            let _ = requested.send((path, String::from_utf8_lossy(body).into_owned()));
            let status = match waits {
                true => answer.lock().expect("no panic").recv().expect("an answer"),
                false => "200 OK",
            };
            response(status, "", b"")
        });
        let url = |path: &str| Urls::from([&*format!("http://{address}{path}")]);
        let settings = HookSettings {
            style: HookStyle::Nginx,
            on_connect: url("/connect"),
            on_disconnect: url("/disconnect"),
            on_publish: url("/publish"),
            on_publish_done: url("/publish_done"),
            on_play: url("/play"),
            on_play_done: url("/play_done"),
            on_update: url("/update"),
            update_interval: tributary_node::config::Duration::from_secs(1),
            timeout: tributary_node::config::Duration::from_secs(10),
            ..HookSettings::default()
        };
        Self {
            requests,
            answers,
            settings,
        }
    }

    fn edge(&self) -> Edge {
        let settings = Application {
            hooks: Some(self.settings.clone()),
            ..Application::default()
        };
        Edge::start_for(&config(), &BTreeMap::from([("live".to_owned(), settings)]))
    }

    fn next(&self) -> (String, String) {
        self.requests.recv_timeout(LONG).expect("a request")
    }

    fn is_silent(&self) {
        let next = self.requests.recv_timeout(Duration::from_millis(100));
        assert!(next.is_err(), "{next:?}");
    }
}

/// A session that has asked for a publish, with a call behind it.
async fn asking(edge: &mut Edge, service: &Slow) -> (Client, Peer) {
    let (mut client, peer) = session(edge).await;
    assert_eq!(service.next().0, "/connect");
    let publish = vec!["cam".into(), "live".into()];
    let connection = &mut client.connection;
    connection.stream_command(STREAM, "publish", publish);
    connection.stream_command(STREAM, "talk", Vec::new());
    client.send().await;
    assert_eq!(service.next().0, "/publish");
    (client, peer)
}

/// The next item that follows.
async fn followed(replaced: &mut Replaced, is_answer: bool) -> Moved {
    let moved = timeout(LONG, replaced.following.recv()).await;
    let moved = moved.expect("in time").expect("it follows");
    assert_eq!(matches!(moved, Moved::Answer { .. }), is_answer);
    moved
}

#[tokio::test]
async fn an_answer_follows_its_session_and_its_end_is_told_once() {
    for (status, is_allowed) in [("200 OK", true), ("403 Forbidden", false)] {
        let service = Slow::start();
        let (mut old, mut new) = (service.edge(), service.edge());
        let (mut client, peer) = asking(&mut old, &service).await;
        let mut peers = vec![peer];
        let standing = old.freeze(&[&peers[0]]).await;
        let mut replaced = finish(&mut old, &mut new, standing, &mut peers).await;
        assert!(new.told_soon().await.is_none());
        service.answers.send(status).expect("the service waits");
        let moved = followed(&mut replaced, true).await;
        let _taking = new.follow(replaced.taking, moved).await;
        let first = new.command(&peers[0]).await.0.name;
        if is_allowed {
            assert_eq!(first, "publish");
            assert_eq!(new.command(&peers[0]).await.0.name, "talk");
            service.is_silent();
            act(&mut client, "closeStream", Vec::new()).await;
            let (path, body) = service.next();
            assert_eq!(
                (path.as_str(), field(&body, "name")),
                ("/publish_done", "cam")
            );
        } else {
            assert_eq!(first, "closeStream");
            assert_eq!(client.status().await, "NetStream.Publish.Denied");
        }
        drop(client);
        assert_eq!(service.next().0, "/disconnect", "{status}");
        service.is_silent();
    }
}

#[tokio::test]
async fn an_answer_during_a_freeze_that_is_given_up_is_used_here() {
    let service = Slow::start();
    let mut old = service.edge();
    let (client, peer) = asking(&mut old, &service).await;
    let standing = old.freeze(&[&peer]).await;
    service.answers.send("200 OK").expect("the service waits");
    assert!(old.told_soon().await.is_none());
    old.thaw(standing).await;
    assert_eq!(old.command(&peer).await.0.name, "publish");
    assert_eq!(old.command(&peer).await.0.name, "talk");
    drop(client);
    let told = [service.next().0, service.next().0];
    assert_eq!(told, ["/publish_done", "/disconnect"]);
    service.is_silent();
}

/// The session ends in the new process before the answer comes.
#[tokio::test]
async fn an_answer_that_comes_too_late_is_told_as_over_once() {
    let service = Slow::start();
    let (mut old, mut new) = (service.edge(), service.edge());
    let (_client, peer) = asking(&mut old, &service).await;
    let mut peers = vec![peer];
    let standing = old.freeze(&[&peers[0]]).await;
    let mut replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    peers[0].say(ToSession::Close(CloseReason::Application));
    assert_eq!(new.closed().await, CloseReason::Application);
    let mut told = vec![service.next().0];
    service.answers.send("200 OK").expect("the service waits");
    let moved = followed(&mut replaced, true).await;
    let _taking = new.follow(replaced.taking, moved).await;
    told.push(service.next().0);
    told.sort_unstable();
    assert_eq!(told, ["/disconnect", "/publish_done"]);
    service.is_silent();
}

/// The process that has asked ends before the answer comes.
#[tokio::test]
async fn a_question_without_an_answer_ends_with_the_process_that_asked() {
    let service = Slow::start();
    let (mut old, mut new) = (service.edge(), service.edge());
    let (mut client, peer) = asking(&mut old, &service).await;
    let mut peers = vec![peer];
    let standing = old.freeze(&[&peers[0]]).await;
    let replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    let taking = replaced.taking;
    new.during(&[], move || taking.end()).await;
    // As after a service that does not answer.
    assert_eq!(new.command(&peers[0]).await.0.name, "closeStream");
    assert_eq!(client.status().await, "NetStream.Publish.Denied");
    assert_eq!(new.command(&peers[0]).await.0.name, "talk");
    service.answers.send("200 OK").expect("the service waits");
}

#[tokio::test]
async fn updates_go_on_and_the_end_is_told_once() {
    let service = Slow::start();
    let (mut old, mut new) = (service.edge(), service.edge());
    let (mut client, peer) = session(&mut old).await;
    act(&mut client, "play", vec!["cam".into()]).await;
    assert_eq!(old.command(&peer).await.0.name, "play");
    assert_eq!([service.next().0, service.next().0], ["/connect", "/play"]);
    let mut peers = vec![peer];
    let standing = old.freeze(&[&peers[0]]).await;
    let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
    for seconds in ["1", "2"] {
        let (path, body) = service.next();
        let told = ["call", "time", "name"].map(|name| field(&body, name));
        assert_eq!(path, "/update");
        assert_eq!(told, ["update_play", seconds, "cam"]);
    }
    act(&mut client, "closeStream", Vec::new()).await;
    assert_eq!(service.next().0, "/play_done");
    drop(client);
    assert_eq!(service.next().0, "/disconnect");
    service.is_silent();
}

#[tokio::test]
async fn a_slowed_connect_follows_once_it_has_passed() {
    let folder = TempDir::new().expect("a folder");
    let mut settings = gate::signed(&folder);
    settings.limits = RateSettings {
        failures_per_minute: 1,
        ..RateSettings::default()
    };
    let (mut old, mut new) = (gate::edge(settings.clone()), gate::edge(settings));
    let (from, mut clients) = (own_address(), Vec::new());
    for _ in 0..2 {
        let mut client = Client::connect(old.address(), from).await;
        let properties = gate::properties("live/room", gate::FLASH);
        client.connection.connect(properties, Vec::new());
        client.connection.notify("talk", Vec::new());
        gate::publish(&mut client, "cam");
        client.send().await;
        clients.push(client);
        if clients.len() == 1 {
            let peer = old.opened().await;
            for name in ["talk", "closeStream"] {
                assert_eq!(old.command(&peer).await.0.name, name);
            }
            drop(peer);
            old.closed().await;
        }
    }
    old.until("one waits", |metrics| metrics.slowed_connects.get() == 1)
        .await;
    let standing = old.freeze(&[]).await;
    assert!(standing.moved.is_empty());
    let mut replaced = finish(&mut old, &mut new, standing, &mut Vec::new()).await;
    let moved = followed(&mut replaced, false).await;
    let _taking = new.follow(replaced.taking, moved).await;
    let peer = new.opened().await;
    for name in ["talk", "closeStream"] {
        assert_eq!(new.command(&peer).await.0.name, name);
    }
    peer.accept();
    clients[1].connection.notify("talk", Vec::new());
    clients[1].send().await;
    match new.told().await {
        (_, FromSession::Message { .. }) => {}
        other => panic!("{other:?}"),
    }
}
