//! Clients of the process before go on: what their edge keeps of them, and what they hear.

use std::time::Duration;

use bytes::Bytes;
use tributary_node::config::{self, Restore};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId, amf::Object,
    command::Connect, link::lane_frame::Reached, ring::Start,
};

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::{
    app::{Admission, Application, ClientId, Context, Rejection},
    session::Brought,
};

const SECRET: &[u8] = b"the secret of the cluster";

fn lane(stage: &mut Stage) -> Lane {
    lane_of(stage, "live")
}

fn lane_of(stage: &mut Stage, app: &str) -> Lane {
    let group = format!("{app}/_definst_");
    stage.lane(&group).remembering(&group, SECRET)
}

/// A publisher and a viewer of `cam` at the process before, as sessions 1 and 2.
async fn before() -> Lane {
    let mut stage = Stage::live(live_settings());
    let mut lane = lane(&mut stage);
    for session in [1, 2] {
        lane.open(session);
        lane.call(session, 0, "createStream", 2.0, &[]);
    }
    assert_eq!(
        lane.heard(1).await,
        [
            "Remember 0",
            "Accept",
            "_result 1 NetConnection.Connect.Success",
            "Remember 3",
            "_result 2 1",
        ]
    );
    lane.publish(1, "cam?key=x", 7);
    // The edge has the record before its client hears of it.
    assert_eq!(
        lane.heard(1).await,
        [
            "Remember 3",
            "AcceptPublish 1 generation 7 writer 1",
            "StreamBegin 1",
            "1 NetStream.Publish.Start",
        ]
    );
    lane.play(2, "cam");
    let heard = lane.heard(2).await;
    let place = |line: &str| heard.iter().position(|it| it.starts_with(line)).unwrap();
    assert!(
        place("Remember 3") < place("1 NetStream.Play.Start"),
        "{heard:?}"
    );
    assert!(
        heard[heard.len() - 2..][0].starts_with("Remember 3"),
        "{heard:?}"
    );
    assert!(place("Attach 1") == heard.len() - 1, "{heard:?}");
    lane
}

/// A key frame of the publisher.
fn sends(lane: &Lane, session: u64, at: u32) {
    let (live, writer) = &lane.writers[&(session, 1)];
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(at),
        payload: Bytes::from_static(b"\x17\x01\0\0\0"),
    };
    live.push(*writer, message, tokio::time::Instant::now().into_std());
}

#[test]
fn a_publish_and_its_viewers_go_on_without_a_status() {
    play(async {
        let old = before().await;
        let was = old.attached[&(2, 1)].id();
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        // The viewer comes first.
        lane.bring(2, old.salvage(2));
        lane.bring(1, old.salvage(1));
        assert_eq!(lane.heard(1).await, [""; 0], "not before all is there");
        lane.gathered();
        assert_eq!(
            lane.heard(1).await,
            [
                "Restored",
                "Remember 3",
                "AcceptPublish 1 generation 7 writer 1"
            ]
        );
        let live = lane.attached[&(2, 1)].id();
        let continues = format!("Continues {} as {}", was.0, live.0);
        let attach = format!("Attach 1 live {}", live.0);
        assert_eq!(
            lane.heard(2).await,
            ["Restored", "Remember 3", &continues, &attach]
        );
        // All that follows is as before.
        sends(&lane, 1, 100);
        lane.call(2, 1, "closeStream", 0.0, &[]);
        let heard = lane.heard(2).await;
        assert!(
            heard.contains(&"1 NetStream.Play.Stop".to_owned()),
            "{heard:?}"
        );
        lane.call_at(1, 1, "closeStream", 0.0, &[], 8);
        let heard = lane.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Unpublish.Success".to_owned()),
            "{heard:?}"
        );
    });
}

#[test]
fn a_second_restore_is_as_the_first() {
    play(async {
        let mut old = before().await;
        for _ in 0..3 {
            let was = old.attached[&(2, 1)].id();
            let mut stage = Stage::live(live_settings());
            let mut lane = lane(&mut stage);
            for session in [1, 2] {
                lane.bring(session, old.salvage(session));
            }
            lane.gathered();
            let heard = lane.heard(1).await;
            assert_eq!(
                heard.last().unwrap(),
                "AcceptPublish 1 generation 7 writer 1"
            );
            let heard = lane.heard(2).await;
            assert!(
                heard[2].starts_with(&format!("Continues {} as ", was.0)),
                "{heard:?}"
            );
            old = lane;
        }
    });
}

#[test]
fn a_stream_whose_publisher_does_not_come_back_ends_after_the_return_time() {
    play(async {
        let old = before().await;
        let was = old.attached[&(2, 1)].id();
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        lane.bring(2, old.salvage(2));
        lane.restore(Brought::Reached(Reached {
            live: was,
            time: RtmpTimestamp(5_000),
            age_ms: 1_000,
        }));
        lane.gathered();
        let heard = lane.heard(2).await;
        assert!(heard.last().unwrap().starts_with("Attach 1"), "{heard:?}");
        pass(Duration::from_secs(6)).await;
        let heard = lane.heard(2).await;
        assert!(
            heard.iter().any(|it| it.contains("Play.UnpublishNotify")),
            "{heard:?}"
        );
    });
}

#[test]
fn another_publisher_goes_on_behind_the_time_that_viewers_had() {
    play(async {
        let old = before().await;
        let was = old.attached[&(2, 1)].id();
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        lane.bring(2, old.salvage(2));
        lane.restore(Brought::Reached(Reached {
            live: was,
            time: RtmpTimestamp(5_000),
            age_ms: 1_000,
        }));
        lane.gathered();
        lane.open(3);
        lane.call(3, 0, "createStream", 2.0, &[]);
        lane.publish(3, "cam", 1);
        lane.clear().await;
        sends(&lane, 3, 0);
        let live = &lane.attached[&(2, 1)];
        let mut cursor = live.ring().join(Start::KeyFrame);
        let time = live
            .ring()
            .next(&mut cursor, Duration::MAX)
            .unwrap()
            .timestamp;
        assert!((5_900..7_000).contains(&time.0), "{time:?}");
    });
}

#[test]
fn a_play_that_waits_gets_the_beginning_of_its_stream() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut old = lane(&mut stage);
        old.open(2);
        old.call(2, 0, "createStream", 2.0, &[]);
        old.play(2, "later");
        old.clear().await;
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        lane.bring(2, old.salvage(2));
        lane.gathered();
        assert_eq!(lane.heard(2).await, ["Restored", "Remember 3"]);
        lane.open(1);
        lane.call(1, 0, "createStream", 2.0, &[]);
        lane.publish(1, "later", 1);
        let heard = lane.heard(2).await;
        assert!(
            heard.iter().any(|it| it.contains("Play.PublishNotify")),
            "{heard:?}"
        );
    });
}

#[test]
fn nobody_comes_before_all_has_been_brought() {
    play(async {
        let old = before().await;
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        lane.bring(2, old.salvage(2));
        // Somebody else wants the name.
        lane.open(9);
        lane.call(9, 0, "createStream", 2.0, &[]);
        lane.publish(9, "cam", 1);
        assert_eq!(lane.heard(9).await, [""; 0]);
        lane.bring(1, old.salvage(1));
        lane.gathered();
        let heard = lane.heard(9).await;
        assert!(
            heard.contains(&"1 NetStream.Publish.BadName".to_owned()),
            "{heard:?}"
        );
        assert_eq!(lane.heard(1).await.first().unwrap(), "Restored");
    });
}

#[test]
fn a_group_does_not_wait_for_ever() {
    play(async {
        let old = before().await;
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        lane.bring(1, old.salvage(1));
        pass(Duration::from_secs(6)).await;
        assert_eq!(lane.heard(1).await.first().unwrap(), "Restored");
        // An edge that comes later is let in singly.
        lane.bring(2, old.salvage(2));
        lane.restore(Brought::End);
        let heard = lane.heard(2).await;
        assert!(heard.last().unwrap().starts_with("Attach 1"), "{heard:?}");
    });
}

#[test]
fn a_client_with_records_that_are_not_its_own_is_closed() {
    play(async {
        let old = before().await;
        for (name, secret, change) in [
            ("of another session", SECRET, 2),
            ("of another key", &b"another secret"[..], 1),
        ] {
            let mut stage = Stage::live(live_settings());
            let group = "live/_definst_";
            let mut lane = stage.lane(group).remembering(group, secret);
            let mut salvaged = old.salvage(1);
            salvaged.records = old.salvage(change).records;
            lane.bring(1, salvaged);
            lane.gathered();
            assert_eq!(lane.heard(1).await, ["Close origin_lost"], "{name}");
        }
        // Without the record of its settings it would go on with all rights.
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        let mut salvaged = old.salvage(1);
        salvaged.records.retain(|record| record.part != 0);
        lane.bring(1, salvaged);
        lane.gathered();
        assert_eq!(lane.heard(1).await, ["Close origin_lost"]);
    });
}

#[test]
fn calls_without_an_answer_fail() {
    play(async {
        let old = before().await;
        let mut stage = Stage::live(live_settings());
        let mut lane = lane(&mut stage);
        let mut salvaged = old.salvage(2);
        salvaged.records.retain(|record| record.part == 0);
        salvaged.unanswered = vec![TransactionId(5.0), TransactionId(9.0)];
        lane.bring(2, salvaged);
        lane.gathered();
        assert_eq!(
            lane.heard(2).await,
            [
                "Restored",
                "_error 5 NetConnection.Call.Failed",
                "_error 9 NetConnection.Call.Failed",
            ]
        );
    });
}

/// Refuses clients that have remembered something bad.
struct Doorman;

impl Application for Doorman {
    fn readmit(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        _: &Connect,
        remembered: &[u8],
    ) -> Admission {
        let client = context.client(client).unwrap();
        assert!(!client.is_accepted());
        match remembered {
            b"bad" => Admission::Reject(Rejection::default()),
            _ => Admission::Accept,
        }
    }

    fn connect(&mut self, context: &mut Context<'_>, id: ClientId, connect: &Connect) -> Admission {
        let client = context.client_mut(id).unwrap();
        client.remember(connect.page_url.clone().unwrap_or_default().as_bytes());
        client.set_write_access("/mine");
        Admission::Accept
    }
}

#[test]
fn the_application_decides_about_each_client_again() {
    play(async {
        let mut stage = Stage::app(|| Doorman);
        let mut old = lane_of(&mut stage, "app");
        for (session, what) in [(1, "good"), (2, "bad")] {
            let properties = Object::new().with("pageUrl", what);
            old.open_with(session, properties);
        }
        let heard = old.heard(1).await;
        assert_eq!(
            heard[..2],
            ["Remember 1", "Remember 0"],
            "before the answer"
        );
        old.clear().await;
        let mut stage = Stage::app(|| Doorman);
        let mut lane = lane_of(&mut stage, "app");
        for session in [1, 2] {
            lane.bring(session, old.salvage(session));
        }
        lane.gathered();
        assert_eq!(lane.heard(1).await, ["Restored"]);
        assert_eq!(
            lane.heard(2).await,
            ["0 NetConnection.Connect.Closed", "close", "Close rejected"]
        );
        // The settings of the application are in force.
        lane.call(1, 0, "createStream", 2.0, &[]);
        lane.publish(1, "other", 1);
        let heard = lane.heard(1).await;
        assert!(
            heard.contains(&"1 NetStream.Publish.BadName".to_owned()),
            "{heard:?}"
        );
    });
}

#[test]
fn an_application_may_want_its_clients_closed() {
    play(async {
        let old = before().await;
        let mut stage = Stage::live(config::Application {
            restore: Restore::Close,
            ..live_settings()
        });
        let mut lane = lane(&mut stage);
        lane.bring(1, old.salvage(1));
        lane.gathered();
        assert_eq!(lane.heard(1).await, ["Close origin_lost"]);
    });
}
