//! Pushes and pulls of groups, with servers that the test plays.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinHandle};
use tributary_node::config;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::Status,
    link::{CloseReason, LiveId},
    ring::Start,
};

use super::stage::{Lane, Stage, live_settings, pass, play, settle};
use crate::{
    app::{
        Answer, AppStartError, Application, Applications, Call, Context, NetStreamId, Publisher,
        RelayRefused,
    },
    exchange::{Dialler, RelayLine},
    live::{LiveStream, Writing},
    outgoing::{Happening, Inbox, OutgoingOrder},
};

/// The servers that a stage's relays reach.
pub(super) struct Far(mpsc::Receiver<Inbox>);

/// A connection of a pull that brings media, a key frame each second.
pub(super) struct Source {
    inbox: Inbox,
    frames: JoinHandle<()>,
}

const STREAM: NetStreamId = NetStreamId(1);
pub(super) const LIVE: &str = "live/_definst_";

impl Far {
    /// The servers of all groups of a stage.
    pub(super) fn of(stage: &Stage) -> Self {
        let (dialled, inboxes) = mpsc::channel(16);
        let dialler = Dialler::new(move |inbox| {
            let _ = dialled.try_send(inbox);
        });
        *stage.groups.process().servers.lock().unwrap() = Some(dialler);
        Self(inboxes)
    }

    /// The connection that a relay makes next.
    pub(super) async fn next(&mut self) -> Inbox {
        let dialled = tokio::time::timeout(Duration::from_secs(40), self.0.recv()).await;
        dialled.expect("a relay dials").expect("the stage lives")
    }

    /// The connection of a pull, with its first media.
    pub(super) async fn source(&mut self, number: u64) -> Source {
        let inbox = self.next().await;
        let media = Writing::begin(LiveStream::new(LiveId(number), "far"));
        let live = Some(Arc::clone(media.live()));
        assert!(inbox.report(Happening::Media {
            stream: STREAM,
            live
        }));
        settle().await;
        frame(&media);
        settle().await;
        let frames = tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                frame(&media);
            }
        });
        Source { inbox, frames }
    }

    pub(super) fn is_silent(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

impl Source {
    fn ends(&self) {
        self.frames.abort();
        let info = Status::PlayUnpublishNotify.info(None, None).into();
        let stream = STREAM;
        assert!(self.inbox.report(Happening::StreamStatus { stream, info }));
    }

    fn is_lost(&self) {
        self.frames.abort();
        let info = Status::ConnectClosed.info(Some("reset"), None);
        self.inbox.close(info.into());
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.frames.abort();
    }
}

fn frame(media: &Writing) {
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(0),
        payload: Bytes::from_static(b"\x17\x01\0\0\0K"),
    };
    media.push(message, crate::live::now());
}

pub(super) fn settings(json: serde_json::Value) -> config::Application {
    let mut settings = live_settings();
    let list = |key: &str| {
        json.get(key)
            .cloned()
            .unwrap_or_else(|| serde_json::json!([]))
    };
    settings.push = serde_json::from_value(list("push")).unwrap();
    settings.pull = serde_json::from_value(list("pull")).unwrap();
    settings
}

fn pulled(when: &str) -> config::Application {
    settings(serde_json::json!({
        "pull": [{ "url": "rtmp://far.example/app/s3cret", "stream": "cam", "when": when }],
    }))
}

/// The relays as lines of state and reason.
pub(super) fn lines(stage: &Stage) -> Vec<String> {
    let lines = stage.groups.relays().lines().into_iter();
    let shown = |line: RelayLine| format!("{} {} {}", line.kind, line.state, line.reason);
    lines
        .map(|line| shown(line).trim_end().to_owned())
        .collect()
}

/// Whether a viewer has a picture of the stream that is attached.
pub(super) fn has_picture(lane: &Lane, session: u64) -> bool {
    let live = &lane.attached[&(session, 1)];
    let ring = live.ring();
    let mut cursor = ring.join(Start::KeyFrame);
    ring.next(&mut cursor, Duration::from_secs(2)).is_some()
}

#[test]
fn a_watched_pull_begins_with_the_first_viewer_and_ends_after_the_last() {
    play(async {
        let mut stage = Stage::live(pulled("watched"));
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.client(2).await;
        pass(Duration::from_secs(60)).await;
        assert!(far.is_silent(), "nobody watches");
        lane.play(1, "cam");
        let _source = far.source(900).await;
        let heard = lane.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Play.PublishNotify".to_owned()),
            "{heard:?}"
        );
        assert!(has_picture(&lane, 1));
        assert_eq!(lines(&stage), ["pull running"]);
        // Another viewer within the time keeps it.
        lane.closed(1, CloseReason::Client);
        pass(Duration::from_secs(9)).await;
        assert_eq!(lines(&stage), ["pull running"]);
        lane.play(2, "cam");
        pass(Duration::from_secs(4)).await;
        assert_eq!(lines(&stage), ["pull running"]);
        lane.clear().await;
        // Its group lives as long as the pull waits for viewers.
        lane.closed(2, CloseReason::Client);
        settle().await;
        drop(lane);
        pass(Duration::from_secs(9)).await;
        assert_eq!((lines(&stage).len(), stage.groups.count()), (1, 1));
        pass(Duration::from_secs(2)).await;
        assert_eq!(lines(&stage).len(), 0);
        pass(Duration::from_secs(10)).await;
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn a_pull_that_runs_always_keeps_its_group_and_its_viewers_through_a_loss() {
    play(async {
        let mut stage = Stage::live(pulled("always"));
        let mut far = Far::of(&stage);
        stage.keep_for(&pulled("always"));
        let source = far.source(900).await;
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.play(1, "cam");
        settle().await;
        lane.clear().await;
        assert!(has_picture(&lane, 1));
        source.is_lost();
        let source = far.source(901).await;
        assert_eq!(lane.heard(1).await, [""; 0], "no end and no beginning");
        let counts = lane.attached[&(1, 1)].counts();
        assert_eq!(counts.messages, 2, "the next key frame is there");
        // Beyond the time viewers get the end, and later the beginning.
        source.is_lost();
        let late = far.next().await;
        pass(Duration::from_secs(6)).await;
        let heard = lane.heard(1).await;
        assert!(
            heard[0].starts_with("1 NetStream.Play.UnpublishNotify"),
            "{heard:?}"
        );
        late.close(Value::Undefined);
        let source = far.source(902).await;
        let heard = lane.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Play.PublishNotify".to_owned()),
            "{heard:?}"
        );
        // An end that is announced is one at once.
        pass(Duration::from_secs(2)).await;
        source.ends();
        let heard = lane.heard(1).await;
        assert!(
            heard[0].starts_with("1 NetStream.Play.UnpublishNotify"),
            "{heard:?}"
        );
        drop(lane);
        pass(Duration::from_secs(100)).await;
        assert_eq!(stage.groups.count(), 1, "no client is needed");
        stage.groups.restart("live");
        let _source = far.source(903).await;
        assert_eq!(lines(&stage), ["pull running"]);
        stage.groups.shutdown().await;
        settle().await;
        assert_eq!(lines(&stage).len(), 0);
    });
}

#[test]
fn a_pull_and_a_client_meet_as_publishers_do() {
    play(async {
        let mut stage = Stage::live(pulled("always"));
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.publish(1, "cam", 1);
        settle().await;
        let _source = far.source(900).await;
        let refused = "pull waiting another publisher has the name here";
        assert!(lines(&stage)[0].starts_with(refused), "{:?}", lines(&stage));
        lane.closed(1, CloseReason::Client);
        // The client may return for 5 s.
        pass(Duration::from_secs(6)).await;
        loop {
            let _source = far.source(901).await;
            if lines(&stage) == ["pull running"] {
                break;
            }
        }
        lane.client(2).await;
        lane.publish(2, "cam", 1);
        let heard = lane.heard(2).await;
        assert!(
            heard.contains(&"1 NetStream.Publish.BadName".to_owned()),
            "{heard:?}"
        );
    });
}

#[test]
fn a_push_carries_each_fitting_publication_to_its_end() {
    play(async {
        let mut stage = Stage::live(settings(serde_json::json!({
            "push": [{ "url": "rtmp://far.example/app/x-{name}?k=1", "streams": ["cam*"] }],
        })));
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        for session in 1..=3 {
            lane.client(session).await;
        }
        lane.publish(1, "other", 1);
        settle().await;
        assert!(far.is_silent());
        lane.publish(2, "cam1", 1);
        let mut inbox = far.next().await;
        let Some(OutgoingOrder::Publish { name, .. }) = inbox.next_order().await else {
            panic!("no publish");
        };
        assert_eq!(name, "x-cam1?k=1");
        let Some(OutgoingOrder::Carry { live, .. }) = inbox.next_order().await else {
            panic!("no stream");
        };
        lane.clear().await;
        assert!(Arc::ptr_eq(&lane.writers[&(2, 1)].0, &live));
        let info = Status::PublishStart.info(None, None).into();
        let stream = STREAM;
        assert!(inbox.report(Happening::StreamStatus { stream, info }));
        settle().await;
        assert_eq!(lines(&stage), ["push running"]);
        lane.call_at(2, 1, "closeStream", 0.0, &[], 2);
        let finish = inbox.next_order().await;
        assert!(
            matches!(finish, Some(OutgoingOrder::Finish { .. })),
            "{finish:?}"
        );
        assert!(inbox.report(Happening::Finished { stream }));
        settle().await;
        assert_eq!(lines(&stage).len(), 0);
        // A publisher that returns in time goes on in the same push.
        lane.publish(3, "cam2", 1);
        let _inbox = far.next().await;
        lane.closed(3, CloseReason::Client);
        pass(Duration::from_secs(4)).await;
        assert_eq!(lines(&stage).len(), 1);
        pass(Duration::from_secs(2)).await;
        assert_eq!(lines(&stage).len(), 0);
    });
}

#[test]
fn a_stream_that_this_process_has_pushed_is_not_pushed_again() {
    play(async {
        let mut stage = Stage::live(settings(serde_json::json!({
            "push": [{ "url": "rtmp://far.example/live/x-{name}" }],
        })));
        let mut far = Far::of(&stage);
        let mark = stage.groups.process().mark.to_string();
        let mut lane = stage.lane(LIVE);
        for (session, mark) in [(1, mark), (2, "another".to_owned())] {
            let properties = Object::new()
                .with("app", "live")
                .with("tributaryProcess", mark);
            lane.open_with(session, properties);
            lane.call(session, 0, "createStream", 2.0, &[]);
            settle().await;
            lane.publish(session, &format!("cam{session}"), 1);
            lane.clear().await;
        }
        let mut inbox = far.next().await;
        let publish = inbox.next_order().await;
        assert!(
            matches!(&publish, Some(OutgoingOrder::Publish { name, .. }) if name == "x-cam2"),
            "{publish:?}"
        );
        assert!(far.is_silent());
    });
}

/// An application that asks for relays on behalf of its clients.
#[derive(Clone, Default)]
struct Asks(Arc<Mutex<Option<Publisher>>>);

impl Application for Asks {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let text = |at: usize| call.arguments.get(at).and_then(Value::as_str).unwrap_or("");
        let result = match call.name.as_str() {
            "push" => context.push_stream(text(0), text(1)),
            "pull" => context.pull_stream(text(0), text(1)),
            "kick" => {
                let statistics = context.stream_statistics(text(0));
                *self.0.lock().unwrap() = statistics.map(|found| found.publisher);
                context.kick(text(0), "");
                Ok(())
            }
            _ => return Answer::Unknown,
        };
        let shown = result.map_or_else(|refused| refused.to_string(), |()| "begun".to_owned());
        Answer::Result(shown.into())
    }
}

#[test]
fn an_application_asks_for_relays_of_servers_that_are_named() {
    play(async {
        let asks = Asks::default();
        let shared = asks.clone();
        let settings = config::Application {
            outgoing: vec!["far.example".parse().unwrap()],
            ..live_settings()
        };
        let mut applications = Applications::new();
        applications.add("app", settings, move |_| Box::new(shared.clone()));
        let mut stage = Stage::with(applications);
        let mut far = Far::of(&stage);
        let mut lane = stage.lane("app/_definst_");
        lane.client(1).await;
        for (method, name, url, expected) in [
            (
                "push",
                "cam",
                "rtmp://far.example/a/b",
                "_result 9 the stream has no publisher",
            ),
            (
                "push",
                "cam",
                "far.example/a/b",
                "_result 9 the address has no scheme",
            ),
            (
                "pull",
                "cam",
                "rtmp://else.example/a/b",
                "_result 9 the application's setting",
            ),
            (
                "pull",
                "../x",
                "rtmp://far.example/a/b",
                "_result 9 no stream can have",
            ),
            ("pull", "cam", "rtmp://far.example/a/b", "_result 9 begun"),
        ] {
            lane.call(1, 0, method, 9.0, &[name.into(), url.into()]);
            let heard = lane.heard(1).await;
            assert!(heard[0].starts_with(expected), "{method} {url}: {heard:?}");
        }
        let _source = far.source(900).await;
        lane.play(1, "cam");
        lane.clear().await;
        assert!(has_picture(&lane, 1));
        lane.call(
            1,
            0,
            "push",
            9.0,
            &["cam".into(), "rtmp://far.example/a/b".into()],
        );
        let inbox = far.next().await;
        assert_eq!(lines(&stage), ["pull running", "push connecting"]);
        // A stream that is ended is pulled again after a while, and its push ends.
        lane.call(1, 0, "kick", 9.0, &["cam".into()]);
        settle().await;
        assert_eq!(*asks.0.lock().unwrap(), Some(Publisher::Pull));
        let after = lines(&stage);
        assert_eq!(after.len(), 1, "{after:?}");
        assert!(
            after[0].starts_with("pull waiting another publisher"),
            "{after:?}"
        );
        drop(inbox);
        let _source = far.source(901).await;
        assert_eq!(lines(&stage), ["pull running"]);
        // Without a viewer it is over, and viewers alone do not bring it back.
        lane.call(1, 1, "closeStream", 0.0, &[]);
        pass(Duration::from_secs(11)).await;
        assert_eq!(lines(&stage).len(), 0);
        lane.play(1, "cam");
        pass(Duration::from_secs(40)).await;
        assert!(far.is_silent());
        // A place that is over is free for others.
        lane.clear().await;
        for number in 0..100 {
            let name = format!("cam{number}");
            lane.call(
                1,
                0,
                "pull",
                9.0,
                &[name.into(), "rtmp://far.example/a/b".into()],
            );
            let heard = lane.heard(1).await;
            let expected = match number {
                0..64 => "_result 9 begun",
                _ => "_result 9 too many relays are at work",
            };
            assert_eq!(heard, [expected], "{number}");
            let _ = far.is_silent();
        }
    });
}

/// An application that asks for a pull while it starts.
struct Starts;

impl Application for Starts {
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), AppStartError> {
        let asked = context.pull_stream("asked", "rtmp://far.example/a/b");
        assert_eq!(asked, Ok(()));
        let taken = context.pull_stream("cam", "rtmp://far.example/a/b");
        assert_eq!(taken, Err(RelayRefused::Configured));
        Ok(())
    }
}

#[test]
fn a_pull_that_is_asked_for_during_the_start_stays_beside_those_of_the_settings() {
    play(async {
        let settings = config::Application {
            outgoing: vec!["far.example".parse().unwrap()],
            ..pulled("always")
        };
        let mut applications = Applications::new();
        applications.add("app", settings, |_| Box::new(Starts));
        let mut stage = Stage::with(applications);
        let mut far = Far::of(&stage);
        let mut lane = stage.lane("app/_definst_");
        lane.client(1).await;
        let _sources = [far.source(900).await, far.source(901).await];
        assert_eq!(lines(&stage), ["pull running", "pull running"]);
        for name in ["asked", "cam"] {
            lane.play(1, name);
            lane.clear().await;
            assert!(has_picture(&lane, 1), "{name}");
        }
    });
}
