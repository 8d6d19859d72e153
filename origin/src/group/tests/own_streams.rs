//! Streams that an application plays others into.

use std::time::Duration;

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::stream::{PlayStart, PublishKind},
    link::CloseReason,
    ring::{Cursor, Start},
};

use super::{
    super::own_streams::{MAX_OWN_STREAMS, MAX_PLAYLIST},
    stage::{Lane, Stage, pass, play, settle},
};
use crate::{
    app::{
        Answer, Application, Call, ClientId, Context, PlayRequest, Publisher, StreamError,
        StreamId, StreamStatus,
    },
    live::LiveStream,
};

/// Does with its streams what clients ask for, and broadcasts the statuses.
#[derive(Default)]
struct Mixer;

impl Mixer {
    fn act(context: &mut Context<'_>, call: &Call) -> Option<Value> {
        let text = |at: usize| call.arguments.get(at).and_then(Value::as_str);
        let number = |at: usize| call.arguments.get(at).and_then(Value::as_number);
        if call.name == "kick" {
            return Some(context.kick(text(0)?, "Go away.").into());
        }
        if call.name == "stopViewers" {
            let viewers = context.viewers(text(0)?);
            let mut stop = |client: &ClientId| context.stop_playing(*client, MessageStreamId(1));
            return Some((viewers.iter().filter(|client| stop(client)).count() as f64).into());
        }
        let id = context.open_stream(text(0)?).ok()?;
        if call.name == "close" {
            context.close_stream(id);
            return context.stream(id).is_none().then_some(true.into());
        }
        let mut stream = context.stream(id)?;
        Some(match call.name.as_str() {
            "mix" => stream.play(&PlayRequest::live(text(1)?)).into(),
            "queue" => stream.play(&PlayRequest::live(text(1)?).queued()).into(),
            "mixFor" => {
                let length = Duration::from_secs_f64(number(2)?);
                let request = PlayRequest::live(text(1)?).lasting(length).queued();
                stream.play(&request).into()
            }
            "recorded" => {
                let start = PlayStart::Recorded(number(2)? as u32);
                let name = text(1)?.to_owned();
                let request = PlayRequest {
                    start,
                    ..PlayRequest::live(name)
                };
                stream.play(&request).into()
            }
            "stop" => stream.stop().into(),
            "send" => stream.send(text(1)?, &call.arguments[2..]).into(),
            "record" => stream.record(PublishKind::Record).into(),
            "clear" => stream.clear().into(),
            "audioOnly" => {
                stream.receive(None, Some(false));
                true.into()
            }
            "query" => stream.publish_query().into(),
            "metadata" => stream.metadata()?,
            "time" => stream.time().as_secs_f64().into(),
            "source" => stream.source()?.into(),
            "publisher" => match stream.statistics()?.publisher {
                Publisher::Client(_) => "client".into(),
                Publisher::Application(_) => "application".into(),
                Publisher::Pull => "pull".into(),
            },
            "messages" => (stream.statistics()?.messages as f64).into(),
            _ => return None,
        })
    }
}

impl Application for Mixer {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        Answer::Result(Self::act(context, call).unwrap_or(Value::Null))
    }

    fn published(&mut self, context: &mut Context<'_>, _: ClientId, name: &str) {
        context.broadcast("published", &[name.into()]);
    }

    fn unpublished(&mut self, context: &mut Context<'_>, _: ClientId, name: &str) {
        context.broadcast("unpublished", &[name.into()]);
    }

    fn stream_status(&mut self, context: &mut Context<'_>, _: StreamId, status: &StreamStatus) {
        let text = format!("{} {}", status.status.code(), status.details);
        context.broadcast("status", &[text.replace("NetStream.", "").into()]);
    }
}

/// A lane with sessions 1 to `clients`; the first one's calls steer the mixer.
async fn mixer(clients: u64) -> (Stage, Lane) {
    let mut stage = Stage::app(Mixer::default);
    let mut lane = stage.lane("app");
    for session in 1..=clients {
        lane.client(session).await;
    }
    (stage, lane)
}

impl Lane {
    /// Steers the mixer; returns its answer and the statuses that follow.
    async fn steer(&mut self, name: &str, with: &[Value]) -> Vec<String> {
        self.call(1, 0, name, 9.0, with);
        self.heard(1).await
    }

    async fn publishes(&mut self, session: u64, name: &str) {
        self.publish(session, name, 1);
        settle().await;
        self.clear().await;
    }

    /// Lets a publisher send a frame.
    fn frame(&self, session: u64, at: u32, body: &'static [u8]) {
        let (live, writer) = &self.writers[&(session, 1)];
        let kind = if body[0] == 0xaf {
            MessageType::AUDIO
        } else {
            MessageType::VIDEO
        };
        let message = Message {
            kind,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(at),
            payload: Bytes::from_static(body),
        };
        live.push(*writer, message, tokio::time::Instant::now().into_std());
    }
}

/// A viewer of a ring.
struct Viewer {
    live: std::sync::Arc<LiveStream>,
    cursor: Cursor,
}

impl Viewer {
    /// The ring that session `session` plays on its message stream 1.
    fn of(lane: &Lane, session: u64) -> Self {
        let live = std::sync::Arc::clone(&lane.attached[&(session, 1)]);
        let cursor = live.ring().join(Start::KeyFrame);
        Self { live, cursor }
    }

    /// The times and bodies of the messages since the last call.
    async fn sees(&mut self) -> Vec<(u32, String)> {
        settle().await;
        let ring = self.live.ring();
        let mut seen = Vec::new();
        while let Some(delivery) = ring.next(&mut self.cursor, Duration::from_secs(2)) {
            let body = String::from_utf8_lossy(&delivery.item.payload[5..]).into_owned();
            seen.push((delivery.timestamp.0, body));
        }
        seen
    }
}

const KEY_A: &[u8] = b"\x17\x01\0\0\0A";
const INTER_A: &[u8] = b"\x27\x01\0\0\0a";
const KEY_B: &[u8] = b"\x17\x01\0\0\0B";
const INTER_B: &[u8] = b"\x27\x01\0\0\0b";

fn status(text: &str) -> String {
    format!("status {text}")
}

#[test]
fn a_mix_is_published_and_its_time_goes_on() {
    play(async {
        let (_stage, mut lane) = mixer(4).await;
        lane.publishes(2, "a").await;
        lane.publishes(3, "b?k=1").await;
        lane.play(4, "mix");
        lane.clear().await;
        lane.frame(2, 1_000, KEY_A);
        lane.frame(3, 70_000, KEY_B);
        assert_eq!(
            lane.steer("mix", &["mix".into(), "a".into()]).await,
            [
                "_result 9 true",
                &status("Play.Reset a"),
                &status("Play.Start a")
            ]
        );
        assert_eq!(
            lane.heard(4).await[..3],
            [
                "1 NetStream.Play.PublishNotify",
                "1 data |RtmpSampleAccess false",
                "Attach 1 live 3"
            ]
        );
        let mut viewer = Viewer::of(&lane, 4);
        assert_eq!(viewer.sees().await, [(1_000, "A".into())], "at once");
        pass(Duration::from_millis(40)).await;
        lane.frame(2, 1_040, INTER_A);
        assert_eq!(viewer.sees().await, [(1_040, "a".into())]);

        pass(Duration::from_millis(40)).await;
        assert_eq!(
            lane.steer("mix", &["mix".into(), "b".into()]).await,
            [
                "_result 9 true",
                &status("Play.Stop a"),
                &status("Play.Reset b"),
                &status("Play.Start b")
            ]
        );
        lane.frame(2, 1_080, INTER_A);
        lane.frame(3, 70_040, INTER_B);
        assert_eq!(viewer.sees().await, [], "nothing to begin with");
        lane.frame(3, 70_080, KEY_B);
        lane.frame(3, 70_120, INTER_B);
        assert_eq!(
            viewer.sees().await,
            [(1_080, "B".into()), (1_120, "b".into())]
        );
        lane.heard(4).await;

        assert_eq!(
            lane.steer("stop", &["mix".into()]).await,
            ["_result 9 true", &status("Play.Stop b")]
        );
        let heard = lane.heard(4).await;
        assert_eq!(heard.len(), 3, "{heard:?}");
        assert!(heard[0].starts_with("1 NetStream.Play.UnpublishNotify after"));
        assert!(heard[1].starts_with("StreamEof 1 after"));
        assert_eq!(
            lane.steer("stop", &["mix".into()]).await,
            ["_result 9 false"]
        );
    });
}

#[test]
fn a_playlist_goes_on_when_a_source_ends_or_its_time_is_up() {
    play(async {
        let (_stage, mut lane) = mixer(4).await;
        lane.publishes(2, "a").await;
        lane.publishes(3, "b").await;
        lane.frame(2, 0, KEY_A);
        for (name, with) in [
            ("mixFor", vec!["mix".into(), "a".into(), 70.0.into()]),
            ("queue", vec!["mix".into(), "b".into()]),
            ("queue", vec!["mix".into(), "later".into()]),
        ] {
            assert_eq!(lane.steer(name, &with).await[0], "_result 9 true");
        }
        lane.clear().await;
        pass(Duration::from_secs(60)).await;
        assert_eq!(lane.heard(1).await.len(), 0, "timers are short");
        pass(Duration::from_secs(10)).await;
        assert_eq!(
            lane.heard(1).await,
            [status("Play.Stop a"), status("Play.Start b")]
        );
        lane.call(3, 1, "closeStream", 0.0, &[]);
        assert_eq!(
            lane.heard(1).await,
            [
                "unpublished b",
                &status("Play.UnpublishNotify b"),
                &status("Play.Stop b"),
                &status("Play.Start later")
            ]
        );
        // The last one is waited for, and waited for again.
        lane.publish(4, "later", 1);
        assert_eq!(
            lane.heard(1).await,
            ["published later", &status("Play.PublishNotify later")]
        );
        lane.call(4, 1, "closeStream", 0.0, &[]);
        let gone = ["unpublished later", &status("Play.UnpublishNotify later")];
        assert_eq!(lane.heard(1).await, gone);
        assert_eq!(
            lane.steer("source", &["mix".into()]).await,
            ["_result 9 later"]
        );
        lane.publish(4, "later", 2);
        assert_eq!(lane.heard(1).await.len(), 2);
    });
}

#[test]
fn what_cannot_be_played_says_why() {
    play(async {
        let (_stage, mut lane) = mixer(2).await;
        lane.publishes(2, "taken").await;
        for (name, with, expected) in [
            ("mix", ["mix".into(), "".into()], "Play.Failed "),
            ("mix", ["mix".into(), "../x?key".into()], "Play.Failed ../x"),
            ("mix", ["mix".into(), "mix".into()], "Play.Failed mix"),
            ("mix", ["taken".into(), "a".into()], "Publish.BadName taken"),
            ("record", ["mix".into(), Value::Null], "Record.NoAccess mix"),
            ("clear", ["mix".into(), Value::Null], "Clear.Failed mix"),
        ] {
            assert_eq!(
                lane.steer(name, &with).await,
                ["_result 9 false", &status(expected)],
                "{name} {with:?}"
            );
        }
        let recorded = ["mix".into(), "vod".into(), 0.0.into()];
        assert_eq!(
            lane.steer("recorded", &recorded).await,
            ["_result 9 false", &status("Play.StreamNotFound vod")]
        );
    });
}

#[test]
fn streams_do_not_play_each_other_in_a_circle() {
    play(async {
        let (_stage, mut lane) = mixer(1).await;
        for (target, source) in [("a", "b"), ("b", "c")] {
            let played = lane.steer("mix", &[target.into(), source.into()]).await;
            assert_eq!(played[0], "_result 9 true");
        }
        assert_eq!(
            lane.steer("mix", &["c".into(), "a".into()]).await,
            ["_result 9 false", &status("Play.Failed a")]
        );
        // A play behind another is checked when its turn comes.
        lane.steer("mixFor", &["c".into(), "x".into(), 1.0.into()])
            .await;
        lane.steer("queue", &["x".into(), "y".into()]).await;
        assert_eq!(
            lane.steer("queue", &["y".into(), "c".into()]).await,
            ["_result 9 false", &status("Play.Failed c")]
        );
    });
}

#[test]
fn data_goes_to_everyone_who_watches() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        lane.publishes(2, "cam").await;
        lane.play(3, "cam");
        lane.clear().await;
        let viewer = Viewer::of(&lane, 3);
        lane.frame(2, 500, KEY_A);
        pass(Duration::from_millis(20)).await;
        let sent = lane
            .steer("send", &["cam".into(), "cue".into(), 7.0.into()])
            .await;
        assert_eq!(sent, ["_result 9 true"]);
        let ring = viewer.live.ring();
        let mut cursor = viewer.cursor;
        let last = std::iter::from_fn(|| {
            let next = ring.next(&mut cursor, Duration::from_secs(2))?;
            Some((next.timestamp.0, next.item.into_owned()))
        })
        .last();
        let (at, message) = last.unwrap();
        assert_eq!((at, message.kind), (520, MessageType::DATA_AMF0));
        assert_eq!(&message.payload[..6], b"\x02\0\x03cue");
    });
}

#[test]
fn data_alone_holds_a_name_loosely() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        lane.play(3, "chat");
        lane.clear().await;
        let sent = lane.steer("send", &["chat".into(), "say".into()]).await;
        assert_eq!(sent, ["_result 9 true"]);
        // Viewers get the data without a status of a publication.
        assert_eq!(
            lane.heard(3).await,
            ["1 data |RtmpSampleAccess false", "Attach 1 live 1"]
        );
        let metadata = Object::new().with("title", "x");
        let with = [
            "chat".into(),
            "@setDataFrame".into(),
            "onMetaData".into(),
            metadata.into(),
        ];
        lane.steer("send", &with).await;
        let metadata = lane.steer("metadata", &["chat".into()]).await;
        assert!(metadata[0].contains("title"), "{metadata:?}");
        lane.publish(2, "chat", 1);
        let published = lane.heard(2).await;
        assert!(published.contains(&"1 NetStream.Publish.Start".to_owned()));
        assert_eq!(lane.heard(1).await, ["published chat"]);
        let notify = ["published chat", "1 NetStream.Play.PublishNotify"];
        assert_eq!(lane.heard(3).await[..2], notify);
        assert_eq!(
            lane.steer("publisher", &["chat".into()]).await,
            ["_result 9 client"]
        );
        assert_eq!(
            lane.steer("close", &["chat".into()]).await,
            ["_result 9 true"]
        );
        assert_eq!(lane.heard(3).await.len(), 0, "it is the client's now");
    });
}

#[test]
fn a_kicked_publisher_is_told_and_its_viewers_too() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        lane.publishes(2, "cam?key=1").await;
        lane.play(3, "cam");
        lane.clear().await;
        assert_eq!(
            lane.steer("query", &["cam".into()]).await,
            ["_result 9 key=1"]
        );
        let kicked = lane.steer("kick", &["cam".into()]).await;
        assert_eq!(kicked, ["_result 9 true", "unpublished cam"]);
        assert_eq!(
            lane.heard(2).await,
            [
                "StopPublish 1 generation 1",
                "1 NetStream.Publish.BadName",
                "unpublished cam"
            ]
        );
        assert_eq!(
            lane.heard(3).await[..2],
            ["1 NetStream.Play.UnpublishNotify", "StreamEof 1"]
        );
        let again = lane.steer("kick", &["cam".into()]).await;
        assert_eq!(again, ["_result 9 false"]);
    });
}

#[test]
fn a_publisher_that_may_return_is_kicked_at_once() {
    play(async {
        let (_stage, mut lane) = mixer(2).await;
        lane.publishes(2, "cam").await;
        lane.closed(2, CloseReason::Client);
        assert_eq!(lane.heard(1).await, ["unpublished cam"]);
        let kicked = lane.steer("kick", &["cam".into()]).await;
        assert_eq!(kicked, ["_result 9 true"]);
    });
}

#[test]
fn a_stop_ends_a_clients_publish_and_leaves_its_connection() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        for lost in [false, true] {
            lane.publishes(2, "cam").await;
            lane.play(3, "cam");
            if lost {
                lane.closed(2, CloseReason::Client);
            }
            lane.clear().await;
            assert_eq!(
                lane.steer("stop", &["cam".into()]).await[0],
                "_result 9 true"
            );
            let ended = [
                "StopPublish 1 generation 1",
                "1 NetStream.Publish.BadName",
                "unpublished cam",
            ];
            let expected: &[&str] = if lost { &[] } else { &ended };
            assert_eq!(lane.heard(2).await, expected);
            let viewer = lane.heard(3).await;
            let ends = |line: &String| line == "1 NetStream.Play.UnpublishNotify";
            assert_eq!(viewer.iter().filter(|line| ends(line)).count(), 1);
            let again = lane.steer("stop", &["cam".into()]).await;
            assert_eq!(again, ["_result 9 false"]);
        }
        lane.steer("send", &["chat".into(), "say".into()]).await;
        let loosely = lane.steer("stop", &["chat".into()]).await;
        assert_eq!(loosely, ["_result 9 false"]);
    });
}

#[test]
fn a_viewer_is_stopped() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        lane.publishes(2, "cam").await;
        lane.play(3, "cam");
        lane.clear().await;
        let stopped = lane.steer("stopViewers", &["cam".into()]).await;
        assert_eq!(stopped, ["_result 9 1"]);
        assert_eq!(
            lane.heard(3).await,
            ["Detach 1 live 1", "1 NetStream.Play.Stop", "StreamEof 1"]
        );
    });
}

#[test]
fn a_mix_of_audio_alone_has_no_video() {
    play(async {
        let (_stage, mut lane) = mixer(3).await;
        lane.publishes(2, "a").await;
        lane.steer("audioOnly", &["mix".into()]).await;
        lane.steer("mix", &["mix".into(), "a".into()]).await;
        lane.play(3, "mix");
        settle().await;
        lane.clear().await;
        let mut viewer = Viewer::of(&lane, 3);
        lane.frame(2, 0, KEY_A);
        lane.frame(2, 10, b"\xaf\x01\0\0\0s");
        assert_eq!(viewer.sees().await, [(10, "s".into())]);
    });
}

#[test]
fn streams_of_the_application_keep_no_group() {
    play(async {
        let (mut stage, mut lane) = mixer(1).await;
        lane.steer("mix", &["mix".into(), "a".into()]).await;
        lane.steer("send", &["chat".into(), "x".into()]).await;
        lane.closed(1, CloseReason::Client);
        settle().await;
        drop(lane);
        pass(Duration::from_secs(601)).await;
        assert_eq!(stage.groups.count(), 0);
        let mut lane = stage.lane("app");
        lane.client(1).await;
    });
}

#[test]
fn their_number_and_their_lists_are_bounded() {
    #[derive(Default)]
    struct Greedy;
    impl Application for Greedy {
        fn call(&mut self, context: &mut Context<'_>, _: &Call) -> Answer {
            let id = context.open_stream("first").unwrap();
            assert_eq!(context.open_stream("/first/?x"), Ok(id), "the same");
            for n in 1..MAX_OWN_STREAMS {
                context.open_stream(&format!("s{n}")).unwrap();
            }
            assert_eq!(context.open_stream("more"), Err(StreamError::TooMany));
            assert_eq!(context.open_stream("a//b"), Err(StreamError::BadName));
            let mut stream = context.stream(id).unwrap();
            let request = PlayRequest::live("x").queued();
            // The first one plays.
            for _ in 0..=MAX_PLAYLIST {
                assert!(stream.play(&request));
            }
            assert!(!stream.play(&request));
            Answer::Result(true.into())
        }
    }
    play(async {
        let mut stage = Stage::app(Greedy::default);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "go", 3.0, &[]);
        assert_eq!(lane.heard(1).await, ["_result 3 true"]);
    });
}
