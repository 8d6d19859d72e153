//! Pushes and pulls against servers that the test plays, on a clock that stands still until all wait.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, advance, sleep},
};
use tributary_node::config::{Application, NamePatterns, Push};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::Status,
    link::LiveId,
};

use super::{
    board::MAX_RELAYS,
    pull::{PullEnd, PullReport, Pulling, pull},
    push::{Pushing, push},
    *,
};
use crate::{
    live::{LiveStream, Writing},
    outgoing::{Happening, Inbox, OutgoingOrder},
};

/// The server's end of one connection.
struct Server(Inbox);

/// The connections that a relay makes.
struct Servers(mpsc::Receiver<Server>);

/// A relay, as its group sees it.
struct Rig {
    board: Board,
    servers: Servers,
    began: Instant,
}

fn run(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(scenario);
}

fn place(board: &Board, course: Course, stream: &str) -> Option<Relayed> {
    board.begin(&NewRelay {
        application: "live",
        instance: "_definst_",
        stream,
        secret: None,
        course,
        url: &"rtmp://far.example/app/s3cret".parse().unwrap(),
        configured: true,
    })
}

#[test]
fn a_secret_name_in_the_words_of_the_other_side_is_hidden() {
    let board = Board::default();
    let mut place = board
        .begin(&NewRelay {
            application: "live",
            instance: "_definst_",
            stream: "#77",
            secret: Some("hush"),
            course: Course::Push,
            url: &"rtmp://far.example/app/".parse().unwrap(),
            configured: true,
        })
        .unwrap();
    place.failed("hush is\ntaken", Duration::from_secs(1));
    let line = board.lines().remove(0);
    assert_eq!(line.reason, "#77 is taken");
    place.failed(&"\u{e9}".repeat(200), Duration::from_secs(1));
    assert_eq!(board.lines()[0].reason.len(), 200);
}

#[test]
fn targets_of_other_settings_take_the_place_of_those_before() {
    let settings = |urls: &[&str]| Application {
        push: (urls.iter())
            .map(|url| Push {
                url: url.parse().unwrap(),
                streams: NamePatterns::default(),
                instance: NamePatterns::default(),
            })
            .collect(),
        ..Application::default()
    };
    let board = Board::default();
    let targets = |board: &Board| {
        let lines = board.lines();
        let targets = lines.iter().map(|line| line.target.clone());
        targets.collect::<Vec<_>>()
    };
    board.configure(
        "live",
        &settings(&["rtmp://one.example/app/", "rtmp://two.example/app/"]),
    );
    board.configure("other", &settings(&["rtmp://three.example/app/"]));
    assert_eq!(targets(&board).len(), 3);
    board.configure("live", &settings(&["rtmp://two.example/app/"]));
    let left = targets(&board);
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(
        !left.iter().any(|it| it.contains("one.example")),
        "{left:?}"
    );
    board.configure("live", &settings(&[]));
    board.configure("other", &settings(&[]));
    assert!(board.lines().is_empty());
}

fn live(number: u64) -> Writing {
    Writing::begin(LiveStream::new(LiveId(number), "cam"))
}

fn frame(source: &Writing) {
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(0),
        payload: Bytes::from_static(b"\x17\x01\0\0\0K"),
    };
    source.push(message, crate::live::now());
}

impl Rig {
    fn new() -> (Self, Dialler) {
        let (dialled, servers) = mpsc::channel(16);
        let dialler = Dialler::new(move |inbox| {
            dialled.try_send(Server(inbox)).unwrap();
        });
        let rig = Self {
            board: Board::default(),
            servers: Servers(servers),
            began: Instant::now(),
        };
        (rig, dialler)
    }

    fn push(&self, dialler: Dialler, live: &Writing) -> Pushing {
        let place = place(&self.board, Course::Push, "cam").unwrap();
        let live = Arc::clone(live.live());
        let (pushing, task) = push(place, dialler, "s3cret?key=1".to_owned(), live);
        tokio::spawn(task);
        pushing
    }

    fn pull(&self, dialler: Dialler) -> (Pulling, Arc<Mutex<Vec<String>>>) {
        let place = place(&self.board, Course::Pull, "cam").unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        let reports = Arc::clone(&told);
        let report = move |report: PullReport| {
            let text = match report {
                PullReport::Up(live) => format!("up {}", live.id().0),
                PullReport::Down(PullEnd::Ended) => "ended".to_owned(),
                PullReport::Down(PullEnd::Lost) => "lost".to_owned(),
            };
            reports.lock().unwrap().push(text);
        };
        let (pulling, task) = pull(place, dialler, "s3cret".to_owned(), Box::new(report));
        tokio::spawn(task);
        (pulling, told)
    }

    /// State, reason and attempts of the only relay.
    fn line(&self) -> (&'static str, String, u64) {
        let mut lines = self.board.lines();
        let line = lines.pop().expect("a relay");
        (line.state, line.reason, line.attempts)
    }

    fn state(&self) -> &'static str {
        self.line().0
    }

    /// The seconds since the beginning.
    fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }
}

impl Servers {
    async fn next(&mut self) -> Server {
        self.0.recv().await.expect("the relay dials")
    }
}

impl Server {
    async fn order(&mut self) -> Option<OutgoingOrder> {
        self.0.next_order().await
    }

    fn tells(&self, happening: Happening) {
        assert!(self.0.report(happening));
    }

    fn status(&self, status: Status, description: &str) {
        let info = status.info(Some(description), None).into();
        let stream = call::STREAM;
        self.tells(Happening::StreamStatus { stream, info });
    }

    fn accepts(&self) {
        self.tells(Happening::Connected(Object::new().into()));
    }

    fn closes(self, why: &str) {
        let info = Status::ConnectFailed.info(Some(why), None);
        self.0.close(Value::from(info));
    }
}

/// Lets every task run that can.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_push_runs_once_its_publish_is_accepted_and_finishes_its_stream() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let source = live(7);
        let pushing = rig.push(dialler, &source);
        let mut server = rig.servers.next().await;
        server.accepts();
        let Some(OutgoingOrder::Publish { name, .. }) = server.order().await else {
            panic!("no publish");
        };
        assert_eq!(name, "s3cret?key=1");
        let Some(OutgoingOrder::Carry { live, .. }) = server.order().await else {
            panic!("no stream");
        };
        assert_eq!(live.id(), LiveId(7));
        settle().await;
        assert_eq!(rig.state(), "connecting");
        server.status(Status::PublishStart, "");
        settle().await;
        assert_eq!(rig.line(), ("running", String::new(), 1));
        drop(pushing);
        let finish = server.order().await;
        assert!(matches!(finish, Some(OutgoingOrder::Finish { .. })));
        settle().await;
        assert_eq!(rig.board.lines().len(), 1, "the rest is on its way");
        server.tells(Happening::Finished {
            stream: call::STREAM,
        });
        assert!(server.order().await.is_none(), "the connection is let go");
        assert!(rig.board.lines().is_empty());
    });
}

#[test]
fn a_push_dials_again_later_and_later_and_at_once_after_a_minute_that_worked() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let source = live(7);
        let _pushing = rig.push(dialler, &source);
        for whole in [2.0, 4.0, 8.0, 16.0, 30.0, 30.0] {
            let server = rig.servers.next().await;
            let failed = rig.now();
            server.closes("connection refused");
            settle().await;
            let (state, reason, _) = rig.line();
            assert_eq!((state, reason.as_str()), ("waiting", "connection refused"));
            let server = rig.servers.next().await;
            let waited = rig.now() - failed;
            assert!(
                (whole / 2.0 - 0.01..=whole + 0.01).contains(&waited),
                "{waited} s of {whole} s"
            );
            rig.servers = put_back(rig.servers, server);
        }
        // A success that does not last changes nothing; a minute starts over.
        for (lasts, least, most) in [(59, 15.0, 30.0), (60, 1.0, 2.0)] {
            let server = rig.servers.next().await;
            server.status(Status::PublishStart, "");
            settle().await;
            assert_eq!(rig.state(), "running");
            sleep(Duration::from_secs(lasts)).await;
            let lost = rig.now();
            server.closes("reset");
            let server = rig.servers.next().await;
            let waited = rig.now() - lost;
            assert!((least - 0.01..=most + 0.01).contains(&waited), "{waited} s");
            rig.servers = put_back(rig.servers, server);
        }
    });
}

/// The servers with one that was looked at before the others.
fn put_back(mut servers: Servers, first: Server) -> Servers {
    let (again, receiver) = mpsc::channel(16);
    again.try_send(first).unwrap();
    tokio::spawn(async move {
        while let Some(server) = servers.0.recv().await {
            if again.send(server).await.is_err() {
                return;
            }
        }
    });
    Servers(receiver)
}

#[test]
fn a_push_that_is_refused_or_not_answered_waits_with_the_reason() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let source = live(7);
        let pushing = rig.push(dialler, &source);
        let server = rig.servers.next().await;
        server.accepts();
        server.status(Status::PublishBadName, "s3cret?key=1 is taken.");
        settle().await;
        let (state, reason, _) = rig.line();
        assert_eq!(state, "waiting");
        assert_eq!(reason, "NetStream.Publish.BadName: ***?key=1 is taken.");
        let _hangs = rig.servers.next().await;
        let began = rig.now();
        while rig.state() == "connecting" {
            advance(Duration::from_millis(100)).await;
            settle().await;
        }
        let took = rig.now() - began;
        assert!((ANSWER.as_secs_f64() - took).abs() < 0.3, "{took} s");
        assert_eq!(rig.line().1, "the server does not answer the publish");
        // An end while it waits is an end at once.
        drop(pushing);
        settle().await;
        assert!(rig.board.lines().is_empty());
    });
}

/// A pull that has its first media.
async fn running(rig: &mut Rig) -> (Server, Writing) {
    let mut server = rig.servers.next().await;
    let Some(OutgoingOrder::Play { name, .. }) = server.order().await else {
        panic!("no play");
    };
    assert_eq!(name, "s3cret");
    let source = live(9);
    server.tells(Happening::Media {
        stream: call::STREAM,
        live: Some(Arc::clone(source.live())),
    });
    server.accepts();
    server.status(Status::PlayStart, "");
    settle().await;
    assert_eq!(rig.state(), "connecting");
    frame(&source);
    settle().await;
    assert_eq!(rig.state(), "running");
    (server, source)
}

#[test]
fn a_pull_reports_media_and_its_loss_and_dials_again() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let (_pulling, told) = rig.pull(dialler);
        let (server, _source) = running(&mut rig).await;
        assert_eq!(*told.lock().unwrap(), ["up 9"]);
        server.closes("reset");
        settle().await;
        assert_eq!(*told.lock().unwrap(), ["up 9", "lost"]);
        assert_eq!(rig.line().1, "reset");
        let before = rig.now();
        let (_server, _source) = running(&mut rig).await;
        assert!(rig.now() - before <= 2.0, "viewers still wait for it");
        assert_eq!(*told.lock().unwrap(), ["up 9", "lost", "up 9"]);
    });
}

#[test]
fn a_pull_waits_for_the_publisher_of_the_other_side() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let (_pulling, told) = rig.pull(dialler);
        let (server, source) = running(&mut rig).await;
        for _ in 0..3 {
            for _ in 0..30 {
                advance(Duration::from_millis(500)).await;
                frame(&source);
                settle().await;
            }
            assert_eq!(rig.state(), "running");
            server.status(Status::PlayUnpublishNotify, "");
            settle().await;
            assert_eq!(told.lock().unwrap().last().unwrap(), "ended");
            sleep(Duration::from_secs(3_600)).await;
            let (state, reason, attempts) = rig.line();
            assert_eq!((state, attempts), ("waiting", 1));
            assert_eq!(reason, "connected; the stream has no publisher there");
            frame(&source);
            settle().await;
            assert_eq!(told.lock().unwrap().last().unwrap(), "up 9");
        }
        // Publications that come and go at once are no use.
        server.status(Status::PlayUnpublishNotify, "");
        settle().await;
        assert_eq!(rig.line().0, "waiting");
        assert_eq!(rig.line().1, "NetStream.Play.UnpublishNotify");
    });
}

#[test]
fn a_pull_that_falls_silent_is_lost() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let (_pulling, told) = rig.pull(dialler);
        let (_server, _source) = running(&mut rig).await;
        let before = rig.now();
        let (_again, _) = running(&mut rig).await;
        let took = rig.now() - before;
        assert!((10.0..=14.0).contains(&took), "{took} s");
        assert_eq!(*told.lock().unwrap(), ["up 9", "lost", "up 9"]);
    });
}

#[test]
fn a_pull_that_its_group_refuses_waits_and_says_so() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let (pulling, told) = rig.pull(dialler);
        let (_server, _source) = running(&mut rig).await;
        pulling.refuse();
        settle().await;
        let (state, reason, _) = rig.line();
        assert_eq!(state, "waiting");
        assert!(
            reason.starts_with("another publisher has the name here"),
            "{reason}"
        );
        assert_eq!(*told.lock().unwrap(), ["up 9"], "the group knows it");
        let (_server, _source) = running(&mut rig).await;
        drop(pulling);
        settle().await;
        assert!(rig.board.lines().is_empty());
    });
}

#[test]
fn a_stream_that_the_other_side_refuses_is_a_failure() {
    run(async {
        let (mut rig, dialler) = Rig::new();
        let (_pulling, told) = rig.pull(dialler);
        for status in [Status::PlayStreamNotFound, Status::PlayFailed] {
            let server = rig.servers.next().await;
            server.accepts();
            server.status(status, "no s3cret");
            settle().await;
            assert_eq!(rig.state(), "waiting");
            assert_eq!(rig.line().1, format!("{}: no ***", status.code()));
        }
        assert!(told.lock().unwrap().is_empty());
    });
}

#[test]
fn the_number_of_relays_is_bounded_and_targets_without_one_are_idle() {
    let board = Board::default();
    let push = serde_json::json!({ "url": "rtmp://far.example/app/s3cret" });
    let application = Application {
        push: vec![serde_json::from_value(push).unwrap()],
        ..Application::default()
    };
    board.configure("live", &application);
    let states = |board: &Board| {
        let lines = board.lines();
        lines.iter().map(|line| line.state).collect::<Vec<_>>()
    };
    assert_eq!(states(&board), ["idle"]);
    let mut places: Vec<_> = (0..MAX_RELAYS)
        .map(|number| place(&board, Course::Push, &number.to_string()).unwrap())
        .collect();
    assert!(place(&board, Course::Pull, "one more").is_none());
    assert_eq!(states(&board).len(), MAX_RELAYS);
    places.pop();
    assert!(place(&board, Course::Pull, "one more").is_some());
    drop(places);
    assert_eq!(states(&board), ["idle"]);
}
