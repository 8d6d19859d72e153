//! Publish and play: every message, in its order.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tributary_node::config::DataStart;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::{Object, Value},
    command::{Connect, DataMessage, ObjectEncoding},
    link::CloseReason,
};

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::{
    app::{
        Admission, Answer, Application, Call, ClientId, Context, Decision, PublishGrant, RequestId,
        StreamRequest,
    },
    live::LiveStream,
};

const PLAYS: [&str; 3] = [
    "StreamBegin 1",
    "1 NetStream.Play.Reset",
    "1 NetStream.Play.Start",
];
const MEDIA: [&str; 1] = ["1 data |RtmpSampleAccess false"];

/// Publishes on a session's message stream 1 and expects it to be accepted.
async fn publishes(lane: &mut Lane, session: u64, name: &str, generation: u32, writer: u64) {
    lane.publish(session, name, generation);
    assert_eq!(
        lane.heard(session).await,
        [
            &format!("AcceptPublish 1 generation {generation} writer {writer}"),
            "StreamBegin 1",
            "1 NetStream.Publish.Start",
        ]
    );
}

/// Lets the holder of a session's message stream 1 send a key frame.
fn sends(lane: &Lane, session: u64, at: u32) -> Option<u64> {
    let (live, writer) = &lane.writers[&(session, 1)];
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(at),
        payload: Bytes::from_static(b"\x17\x01\0\0\0"),
    };
    live.push(*writer, message, tokio::time::Instant::now().into_std())
}

#[test]
fn a_play_of_a_live_stream_and_its_end() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        publishes(&mut lane, 1, "cam?key=1", 7, 1).await;
        lane.play(2, "cam");
        let expected = [&PLAYS[..], &MEDIA, &["Attach 1 live 1"]].concat();
        assert_eq!(lane.heard(2).await, expected);
        sends(&lane, 1, 0);
        sends(&lane, 1, 40);
        lane.call(1, 0, "deleteStream", 0.0, &[1.0.into()]);
        assert_eq!(
            lane.heard(1).await,
            [
                "StopPublish 1 generation 7",
                "1 NetStream.Unpublish.Success"
            ]
        );
        assert_eq!(
            lane.heard(2).await,
            [
                "1 NetStream.Play.UnpublishNotify after 1",
                "StreamEof 1 after 1"
            ]
        );
        let [.., (_, eof)] = &lane.messages[..] else {
            panic!("no message")
        };
        assert_eq!(eof.kind, MessageType::USER_CONTROL);
        assert_eq!(
            eof.stream,
            MessageStreamId(1),
            "in its place among the stream's messages"
        );
        assert_eq!(sends(&lane, 1, 80), None, "nothing is taken after the end");
    });
}

#[test]
fn a_play_before_the_publish_waits() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        lane.play(2, "cam");
        assert_eq!(lane.heard(2).await, PLAYS);
        publishes(&mut lane, 1, "cam", 1, 1).await;
        let notify = ["1 NetStream.Play.PublishNotify"];
        let attach = ["Attach 1 live 1"];
        assert_eq!(lane.heard(2).await, [&notify[..], &MEDIA, &attach].concat());
        lane.call(1, 1, "closeStream", 0.0, &[]);
        lane.clear().await;
        publishes(&mut lane, 1, "cam", 3, 2).await;
        // The viewer is attached still; its stream begins again.
        let begins = ["StreamBegin 1", "1 NetStream.Play.PublishNotify"];
        assert_eq!(lane.heard(2).await, [&begins[..], &MEDIA].concat());
    });
}

#[test]
fn time_goes_on_for_viewers_who_stay_through_an_unpublish() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        lane.play(2, "cam");
        publishes(&mut lane, 1, "cam", 1, 1).await;
        sends(&lane, 1, 60_000);
        lane.call(1, 1, "closeStream", 0.0, &[]);
        pass(Duration::from_secs(5)).await;
        let (live, _) = &lane.writers[&(1, 1)];
        assert!(live.ring().is_empty(), "an ended stream keeps nothing");
        lane.clear().await;
        publishes(&mut lane, 1, "cam", 3, 2).await;
        sends(&lane, 1, 0);
        let (live, _) = &lane.writers[&(1, 1)];
        let ring = live.ring();
        let mut cursor = ring.join(tributary_protocol::ring::Start::KeyFrame);
        let first = ring.next(&mut cursor, Duration::from_secs(10)).unwrap();
        assert_eq!(first.timestamp, RtmpTimestamp(65_000));
    });
}

#[test]
fn net_stream_commands_get_their_exact_answers() {
    let flag = |on: bool| [Value::from(on)];
    let object = |name: &str, transition: &str| {
        let object = Object::new()
            .with("streamName", name)
            .with("transition", transition);
        [Value::Object(object)]
    };
    let playing = |name: &str| vec![Value::from(name)];
    let at = |name: &str, start: f64| vec![Value::from(name), Value::from(start)];
    let start = |reset: bool| {
        vec![
            Value::from("x"),
            Value::from(-2.0),
            Value::from(-1.0),
            Value::from(reset),
        ]
    };
    let cases: Vec<(&str, Vec<Value>, &[&str])> = vec![
        // While it plays the live stream "cam".
        (
            "pause",
            flag(true).to_vec(),
            &["Filter 1 audio video paused", "1 NetStream.Pause.Notify"],
        ),
        (
            "pause",
            flag(false).to_vec(),
            &["Filter 1 audio video", "1 NetStream.Unpause.Notify"],
        ),
        (
            "pause",
            vec![Value::Null],
            &["Filter 1 audio video paused", "1 NetStream.Pause.Notify"],
        ),
        (
            "pause",
            vec![Value::Null],
            &["Filter 1 audio video", "1 NetStream.Unpause.Notify"],
        ),
        ("receiveVideo", flag(false).to_vec(), &["Filter 1 audio"]),
        ("receiveVideo", flag(false).to_vec(), &[]),
        ("receiveAudio", flag(false).to_vec(), &["Filter 1"]),
        (
            "receiveVideo",
            flag(true).to_vec(),
            &[
                "Filter 1 video",
                "1 NetStream.Seek.Notify",
                "1 NetStream.Play.Start",
            ],
        ),
        (
            "receiveAudio",
            flag(true).to_vec(),
            &[
                "Filter 1 audio video",
                "1 NetStream.Seek.Notify",
                "1 NetStream.Play.Start",
            ],
        ),
        ("receiveAudio", vec![], &["1 NetStream.Failed"]),
        ("seek", vec![1000.0.into()], &["1 NetStream.Seek.Failed"]),
        ("seek", vec![f64::NAN.into()], &["1 NetStream.Seek.Failed"]),
        (
            "play",
            flag(false).to_vec(),
            &["Detach 1 live 1", "1 NetStream.Play.Stop"],
        ),
        ("closeStream", vec![], &[]),
        // The message stream is idle from here on, or waits.
        ("pause", flag(true).to_vec(), &[]),
        ("play", vec![], &["1 NetStream.Play.Failed"]),
        ("play", playing(""), &["1 NetStream.Play.Failed"]),
        ("play", playing("../x"), &["1 NetStream.Play.Failed"]),
        ("play", playing("a\0b"), &["1 NetStream.Play.Failed"]),
        ("play", at("x", 0.0), &["1 NetStream.Play.StreamNotFound"]),
        (
            "play",
            at("x", f64::INFINITY),
            &["1 NetStream.Play.StreamNotFound"],
        ),
        ("play", at("x", -1.0), &PLAYS),
        ("play", at("x", f64::NAN), &PLAYS),
        ("play", start(false), &[]),
        ("closeStream", vec![], &["1 NetStream.Play.Stop"]),
        (
            "play",
            start(false),
            &["StreamBegin 1", "1 NetStream.Play.Start"],
        ),
        ("play2", object("cam", "append").to_vec(), &[]),
        ("closeStream", vec![], &["1 NetStream.Play.Stop"]),
        ("play2", object("x", "reset").to_vec(), &PLAYS),
        (
            "play2",
            object("cam", "switch").to_vec(),
            &[
                "1 NetStream.Play.Transition",
                MEDIA[0],
                "Attach 1 live 1",
                "1 data onPlayStatus NetStream.Play.TransitionComplete",
            ],
        ),
        ("play2", vec![], &["1 NetStream.Play.Failed"]),
        (
            "publish",
            vec!["y".into(), "record".into()],
            &[
                "Detach 1 live 1",
                "StopPublish 1 generation 0",
                "1 NetStream.Record.NoAccess",
            ],
        ),
        (
            "publish",
            vec!["y".into(), "append".into()],
            &["StopPublish 1 generation 0", "1 NetStream.Record.NoAccess"],
        ),
        (
            "publish",
            vec![],
            &["StopPublish 1 generation 0", "1 NetStream.Publish.BadName"],
        ),
        (
            "publish",
            vec!["../etc".into()],
            &["StopPublish 1 generation 0", "1 NetStream.Publish.BadName"],
        ),
        (
            "publish",
            vec!["cam".into()],
            &["StopPublish 1 generation 0", "1 NetStream.Publish.BadName"],
        ),
        ("publish", flag(false).to_vec(), &[]),
    ];
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        publishes(&mut lane, 1, "cam", 1, 1).await;
        lane.play(2, "cam");
        lane.clear().await;
        for (name, with, expected) in cases {
            lane.call(2, 1, name, 0.0, &with);
            assert_eq!(lane.heard(2).await, *expected, "{name} {with:?}");
        }
    });
}

#[test]
fn message_streams_that_were_not_made_are_refused() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        for stream in [0, 2, u32::MAX] {
            lane.call(1, stream, "play", 0.0, &["cam".into()]);
            assert_eq!(lane.heard(1).await, [format!("{stream} NetStream.Failed")]);
            lane.call_at(1, stream, "publish", 0.0, &["cam".into()], 4);
            assert_eq!(
                lane.heard(1).await,
                [
                    format!("StopPublish {stream} generation 4"),
                    format!("{stream} NetStream.Failed")
                ]
            );
            for name in ["pause", "receiveAudio", "closeStream"] {
                lane.call(1, stream, name, 0.0, &[true.into()]);
            }
            assert!(lane.heard(1).await.is_empty());
        }
    });
}

#[test]
fn filters_set_before_a_play_hold_for_it_and_a_pause_does_not() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.client(2).await;
        publishes(&mut lane, 1, "cam", 1, 1).await;
        lane.call(2, 1, "receiveVideo", 0.0, &[false.into()]);
        lane.play(2, "cam");
        assert_eq!(
            lane.heard(2).await[4..],
            ["Attach 1 live 1", "Filter 1 audio"]
        );
        lane.call(2, 1, "pause", 0.0, &[true.into()]);
        lane.clear().await;
        lane.play(2, "cam");
        let heard = lane.heard(2).await;
        assert_eq!(
            (heard[0].as_str(), heard.last().unwrap().as_str()),
            ("Detach 1 live 1", "Filter 1 audio")
        );
    });
}

#[test]
fn publish_again_on_the_same_message_stream_ends_the_first() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        publishes(&mut lane, 1, "a", 1, 1).await;
        lane.publish(1, "b", 2);
        assert_eq!(
            lane.heard(1).await,
            [
                "StopPublish 1 generation 1",
                "1 NetStream.Unpublish.Success",
                "AcceptPublish 1 generation 2 writer 1",
                "StreamBegin 1",
                "1 NetStream.Publish.Start",
            ]
        );
        lane.client(2).await;
        publishes(&mut lane, 2, "a", 1, 1).await;
    });
}

#[test]
fn names_are_scoped_to_the_instance_and_case_counts() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut rooms = [
            stage.lane("live/a"),
            stage.lane("live/b"),
            stage.lane("live/A"),
        ];
        for lane in &mut rooms {
            lane.client(1).await;
            publishes(lane, 1, "cam", 1, 1).await;
        }
        let mut lane = stage.lane("live/a");
        lane.client(1).await;
        publishes(&mut lane, 1, "Cam", 1, 1).await;
        lane.client(2).await;
        lane.publish(2, "/cam/", 1);
        assert_eq!(
            lane.heard(2).await[1],
            "1 NetStream.Publish.BadName",
            "the same name"
        );
    });
}

#[test]
fn publishing_follows_the_rule_of_its_application() {
    use tributary_node::config::{Application as Set, PublishFrom, Secret};
    let open = Set {
        publish_from: PublishFrom::Anywhere,
        ..live_settings()
    };
    let token = Set {
        publish_token: Some(Secret::new("s3cret")),
        ..live_settings()
    };
    for (settings, peer, name, allowed) in [
        (live_settings(), "127.0.0.1:9", "cam", true),
        (live_settings(), "192.0.2.1:9", "cam", false),
        (open, "192.0.2.1:9", "cam", true),
        (token.clone(), "192.0.2.1:9", "cam?token=s3cret", true),
        (token, "127.0.0.1:9", "cam?token=other", false),
    ] {
        play(async {
            let mut stage = Stage::live(settings);
            let mut lane = stage.lane("live");
            lane.open_from(1, peer, ObjectEncoding::Amf0);
            lane.call(1, 0, "createStream", 2.0, &[]);
            lane.clear().await;
            lane.publish(1, name, 1);
            let heard = lane.heard(1).await;
            if allowed {
                assert_eq!(heard[2], "1 NetStream.Publish.Start", "{peer} {name}");
            } else {
                let refused = ["StopPublish 1 generation 1", "1 NetStream.Publish.BadName"];
                assert_eq!(heard, refused, "{peer} {name}");
            }
        });
    }
}

#[test]
fn waiting_names_are_bounded_for_each_connection() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        for _ in 0..63 {
            lane.call(1, 0, "createStream", 3.0, &[]);
        }
        lane.clear().await;
        for stream in 1..=16 {
            lane.call(
                1,
                stream,
                "play",
                0.0,
                &[format!("name{stream}").as_str().into()],
            );
        }
        assert_eq!(lane.heard(1).await.len(), 48);
        lane.call(1, 17, "play", 0.0, &["name17".into()]);
        assert_eq!(lane.heard(1).await, ["17 NetStream.Play.Failed"]);
        lane.client(2).await;
        publishes(&mut lane, 2, "cam", 1, 1).await;
        lane.call(1, 17, "play", 0.0, &["cam".into()]);
        assert_eq!(
            lane.heard(1).await.len(),
            5,
            "what is published needs no waiting"
        );
        lane.call(1, 0, "deleteStream", 0.0, &[3.0.into()]);
        lane.call(1, 18, "play", 0.0, &["name18".into()]);
        assert_eq!(lane.heard(1).await.len(), 3);
    });
}

#[test]
fn names_that_never_come_leave_nothing_behind() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        for batch in 0..50 {
            for name in 0..1_000 {
                lane.play(1, &format!("never-{batch}-{name}"));
            }
            lane.clear().await;
        }
        lane.closed(1, CloseReason::Client);
        lane.clear().await;
        // The group is empty and nothing of its application is counted: it ends with its lane.
        let groups = stage.groups.clone();
        drop(lane);
        super::stage::settle().await;
        assert_eq!(groups.count(), 0);
    });
}

#[test]
fn names_waited_for_are_bounded_for_the_application() {
    use crate::group::streams::{StreamSlot, Streams, Viewing};
    use std::sync::{Arc, atomic::AtomicU64};
    let mut applications = crate::app::Applications::new();
    applications.add_builtin("live", live_settings());
    let app = applications.find("live").unwrap();
    let limit = crate::app::WAITING_NAMES;
    let mut streams = Streams::new(Arc::new(AtomicU64::new(1)), Arc::clone(&app.version));
    let key = crate::session::SessionKey {
        lane: crate::session::LaneKey(1),
        session: tributary_protocol::SessionId(1),
    };
    let slot = |stream| StreamSlot {
        session: key,
        stream: MessageStreamId(stream),
    };
    for name in 0..limit {
        let watch = streams.watch(&name.to_string(), slot(1)).1;
        assert!(matches!(watch, Viewing::Wait));
    }
    assert!(matches!(
        streams.watch("one more", slot(1)).1,
        Viewing::Full
    ));
    assert!(
        matches!(streams.watch("5", slot(2)).1, Viewing::Wait),
        "a name that is there"
    );
    streams.unwatch("7", slot(1));
    assert!(matches!(
        streams.watch("one more", slot(1)).1,
        Viewing::Wait
    ));
    drop(streams);
    let mut streams = Streams::new(Arc::new(AtomicU64::new(1)), Arc::clone(&app.version));
    assert!(
        matches!(streams.watch("x", slot(1)).1, Viewing::Wait),
        "all were given back"
    );
}

/// Lets requests be decided by calls.
#[derive(Default)]
struct Judge {
    asked: Vec<(bool, RequestId)>,
    events: Vec<String>,
}

impl Application for Judge {
    fn connect(&mut self, _: &mut Context<'_>, _: ClientId, _: &Connect) -> Admission {
        Admission::Accept
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        if call.name == "events" {
            return Answer::Result(Value::from(std::mem::take(&mut self.events).join(" ")));
        }
        for (publish, id) in std::mem::take(&mut self.asked) {
            match (publish, call.name.as_str()) {
                (true, "yes") => {
                    context.decide_publish(id, Decision::Accept(PublishGrant::default()))
                }
                (true, _) => context.decide_publish(id, Decision::Refuse("no".to_owned())),
                (false, "yes") => context.decide_play(id, Decision::Accept(())),
                (false, _) => context.decide_play(id, Decision::Refuse("no".to_owned())),
            }
        }
        Answer::Deferred
    }

    fn publish(&mut self, _: &mut Context<'_>, request: &StreamRequest) -> Decision<PublishGrant> {
        self.events.push(format!(
            "{}:{}?{}",
            request.kind, request.name, request.query
        ));
        self.asked.push((true, request.id));
        Decision::Pending
    }

    fn play(&mut self, _: &mut Context<'_>, request: &StreamRequest) -> Decision<()> {
        self.asked.push((false, request.id));
        Decision::Pending
    }

    fn published(&mut self, _: &mut Context<'_>, _: ClientId, name: &str) {
        self.events.push(format!("+{name}"));
    }

    fn unpublished(&mut self, _: &mut Context<'_>, _: ClientId, name: &str) {
        self.events.push(format!("-{name}"));
    }
}

#[test]
fn an_application_decides_later_or_too_late() {
    play(async {
        let mut stage = Stage::app(Judge::default);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.client(2).await;
        lane.publish(1, "cam?k=v", 1);
        lane.play(2, "cam");
        assert!(lane.heard(1).await.is_empty() && lane.heard(2).await.is_empty());
        lane.call(1, 0, "yes", 0.0, &[]);
        assert_eq!(
            lane.heard(1).await.last().unwrap(),
            "1 NetStream.Publish.Start"
        );
        assert_eq!(lane.heard(2).await.last().unwrap(), "Attach 1 live 1");
        lane.call(1, 1, "closeStream", 0.0, &[]);
        lane.call(1, 0, "events", 5.0, &[]);
        assert_eq!(
            lane.heard(1).await.last().unwrap(),
            "_result 5 live:cam?k=v +cam -cam"
        );
        lane.clear().await;

        lane.publish(1, "cam", 2);
        lane.play(2, "cam");
        lane.call(1, 0, "no", 0.0, &[]);
        let refused = ["StopPublish 1 generation 2", "1 NetStream.Publish.BadName"];
        assert_eq!(lane.heard(1).await, refused);
        assert_eq!(
            lane.heard(2).await,
            ["Detach 1 live 1", "1 NetStream.Play.Failed"]
        );

        lane.publish(1, "cam", 3);
        lane.play(2, "cam");
        pass(Duration::from_secs(10)).await;
        let refused = ["StopPublish 1 generation 3", "1 NetStream.Publish.BadName"];
        assert_eq!(lane.heard(1).await, refused);
        assert_eq!(lane.heard(2).await, ["1 NetStream.Play.Failed"]);
        lane.call(1, 0, "yes", 0.0, &[]);
        assert!(lane.heard(1).await.is_empty(), "too late");

        lane.publish(1, "cam", 4);
        lane.call_at(1, 1, "closeStream", 0.0, &[], 5);
        lane.call(1, 0, "yes", 0.0, &[]);
        assert_eq!(
            lane.heard(1).await,
            ["StopPublish 1 generation 4"],
            "withdrawn"
        );
    });
}

#[test]
fn the_next_process_asks_again_about_what_was_not_decided() {
    play(async {
        let lane_of = |stage: &mut Stage| {
            let group = "app/_definst_";
            stage.lane(group).remembering(group, b"a secret")
        };
        let mut stage = Stage::app(Judge::default);
        let mut old = lane_of(&mut stage);
        for session in [1, 2] {
            old.open(session);
            old.call(session, 0, "createStream", 2.0, &[]);
        }
        old.publish(1, "cam?k=v", 1);
        old.play(2, "cam");
        old.clear().await;
        let mut stage = Stage::app(Judge::default);
        let mut lane = lane_of(&mut stage);
        for session in [1, 2] {
            lane.bring(session, old.salvage(session));
        }
        lane.gathered();
        for session in [1, 2] {
            assert_eq!(lane.heard(session).await, ["Restored", "Remember 3"]);
        }
        lane.call(1, 0, "yes", 0.0, &[]);
        let heard = lane.heard(1).await;
        assert_eq!(heard.last().unwrap(), "1 NetStream.Publish.Start");
        assert_eq!(lane.heard(2).await.last().unwrap(), "Attach 1 live 1");
        lane.call(1, 0, "events", 5.0, &[]);
        let heard = lane.heard(1).await;
        assert_eq!(heard.last().unwrap(), "_result 5 live:cam?k=v +cam");
        // A refusal is remembered as well: nobody asks a third time.
        lane.call_at(1, 1, "closeStream", 0.0, &[], 2);
        lane.publish(1, "cam", 3);
        lane.call(1, 0, "no", 0.0, &[]);
        lane.clear().await;
        let mut stage = Stage::app(Judge::default);
        let mut last = lane_of(&mut stage);
        last.bring(1, lane.salvage(1));
        last.gathered();
        assert_eq!(last.heard(1).await, ["Restored"]);
    });
}

#[test]
fn an_amf3_publishers_data_is_type_18_unless_only_amf3_can_say_it() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        publishes(&mut lane, 1, "cam", 1, 1).await;
        let (live, writer) = &lane.writers[&(1, 1)];
        let mut cursor = live.ring().join(tributary_protocol::ring::Start::Live);
        for (value, expected) in [
            (Value::Number(640.0), MessageType::DATA_AMF0),
            (Value::ByteArray(vec![1].into()), MessageType::DATA_AMF3),
        ] {
            let sent = DataMessage::new("@setDataFrame")
                .with("onMetaData")
                .with(Object::new().with("width", value.clone()));
            let (kind, payload) = sent.encode(ObjectEncoding::Amf3);
            let message = Message {
                kind,
                stream: MessageStreamId(0),
                timestamp: RtmpTimestamp(0),
                payload,
            };
            live.push(*writer, message, tokio::time::Instant::now().into_std())
                .unwrap();
            let ring = live.ring();
            let kept = ring.next(&mut cursor, Duration::from_secs(10)).unwrap();
            assert_eq!(kept.item.kind, expected);
            let data = DataMessage::decode(kept.item.kind, &kept.item.payload).unwrap();
            assert_eq!(data.name, "onMetaData");
            assert_eq!(data.values[0].get("width"), Some(&value));
        }
    });
}

#[test]
fn a_play_with_a_length_ends_that_long_after_its_first_media() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        for session in 1..=4 {
            lane.client(session).await;
        }
        // On the wire both numbers are in milliseconds.
        let limited = |length: f64| {
            [
                Value::from("cam"),
                (-1000.0).into(),
                (length * 1000.0).into(),
            ]
        };
        lane.call(2, 1, "play", 0.0, &limited(90.0));
        // It waits for its stream without end, and its time has not begun.
        pass(Duration::from_secs(100)).await;
        publishes(&mut lane, 1, "cam", 1, 1).await;
        lane.call(3, 1, "play", 0.0, &limited(0.0));
        lane.call(4, 1, "play", 0.0, &limited(5.0));
        lane.clear().await;
        pass(Duration::from_secs(4)).await;
        // Another play on the same message stream has its own time.
        lane.call(4, 1, "play", 0.0, &limited(20.0));
        lane.clear().await;
        let over = ["Detach 1 live 1", "1 NetStream.Play.Stop", "StreamEof 1"];
        for (seconds, session) in [(20, 4), (66, 2)] {
            pass(Duration::from_millis(seconds * 1000 - 1)).await;
            assert_eq!(lane.heard(session).await, [""; 0], "{session}");
            pass(Duration::from_millis(1)).await;
            assert_eq!(lane.heard(session).await, over);
        }
        pass(Duration::from_secs(3600)).await;
        assert!(
            lane.heard(3).await.is_empty(),
            "0 is no limit of a live stream"
        );
        lane.call(2, 1, "play", 0.0, &limited(-1.0));
        lane.clear().await;
        pass(Duration::from_secs(3600)).await;
        assert!(lane.heard(2).await.is_empty());
        assert_eq!(lane.heard(4).await, Vec::<String>::new());
    });
}

/// The messages for a new viewer of the stream, as the first bytes of each.
fn joined(live: &LiveStream) -> Vec<[u8; 2]> {
    let ring = live.ring();
    let mut cursor = ring.join(tributary_protocol::ring::Start::KeyFrame);
    std::iter::from_fn(|| ring.next(&mut cursor, Duration::from_secs(10)))
        .map(|delivery| [delivery.item.payload[0], delivery.item.payload[1]])
        .collect()
}

#[test]
fn a_fresh_publication_has_nothing_of_the_one_before_and_a_return_has_for_a_while() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        for session in 1..=4 {
            lane.client(session).await;
        }
        lane.play(4, "cam");
        publishes(&mut lane, 1, "cam", 1, 1).await;
        sends(&lane, 1, 0);
        lane.call(1, 1, "closeStream", 0.0, &[]);
        pass(Duration::from_secs(1)).await;
        lane.clear().await;
        publishes(&mut lane, 2, "cam", 1, 2).await;
        let live = Arc::clone(&lane.writers[&(2, 1)].0);
        assert_eq!(joined(&live), [[0; 2]; 0]);
        sends(&lane, 2, 0);
        lane.closed(2, CloseReason::Transport);
        lane.clear().await;
        publishes(&mut lane, 3, "cam", 1, 3).await;
        assert_eq!(joined(&live), [[0x17, 1]], "the old picture bridges");
        assert_eq!(live.ring().publication().first, 1);
    });
}

#[test]
fn who_is_told_that_data_begins() {
    play(async {
        for (setting, amf0) in [(DataStart::Amf3, false), (DataStart::Always, true)] {
            let mut settings = live_settings();
            settings.data_start = setting;
            let mut stage = Stage::live(settings);
            let mut lane = stage.lane("live");
            lane.client(1).await;
            lane.publish(1, "cam", 1);
            for (session, encoding) in [(2, ObjectEncoding::Amf0), (3, ObjectEncoding::Amf3)] {
                lane.member(session, encoding).await;
                lane.call(session, 0, "createStream", 2.0, &[]);
                lane.clear().await;
                lane.play(session, "cam");
                let heard = lane.heard(session).await;
                let told = heard
                    .iter()
                    .any(|said| said.ends_with("NetStream.Data.Start"));
                let expected = amf0 || encoding == ObjectEncoding::Amf3;
                assert_eq!(told, expected, "{setting:?}, {encoding:?}: {heard:?}");
            }
        }
    });
}
