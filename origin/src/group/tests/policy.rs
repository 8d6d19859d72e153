//! The holder of a name: second publishers, take-overs, returns, stalls and outages.

use std::time::Duration;

use bytes::Bytes;
use tributary_node::config::{Application, SecondPublisher};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    link::CloseReason,
    ring::{Cursor, Start},
};

use super::stage::{Lane, Stage, live_settings, pass, play};

fn takeover() -> Application {
    Application {
        second_publisher: SecondPublisher::Takeover,
        ..live_settings()
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A publisher, and a viewer of the same name; their messages so far are dropped.
async fn on_air(stage: &mut Stage, name: &str) -> (Lane, Lane) {
    let mut publisher = stage.lane("live");
    let mut viewer = stage.lane("live");
    publisher.client(1).await;
    viewer.client(1).await;
    publisher.publish(1, name, 1);
    let plain = name.split('?').next().unwrap();
    viewer.play(1, plain);
    publisher.clear().await;
    viewer.clear().await;
    (publisher, viewer)
}

/// Whether a publish of a fresh session on a fresh lane is accepted.
async fn second(stage: &mut Stage, name: &str) -> (Lane, bool) {
    let mut lane = stage.lane("live");
    lane.client(1).await;
    lane.publish(1, name, 1);
    let accepted = accepted(&mut lane).await;
    (lane, accepted)
}

async fn accepted(lane: &mut Lane) -> bool {
    let heard = lane.heard(1).await;
    let accepted = heard.iter().any(|line| line == "1 NetStream.Publish.Start");
    let refused = heard
        .iter()
        .any(|line| line == "1 NetStream.Publish.BadName");
    assert!(accepted ^ refused, "{heard:?}");
    accepted
}

/// Sends a frame as the lane's publisher. Returns whether the stream has taken it.
fn sends(lane: &Lane, at: u32, key: bool) -> bool {
    let (live, writer) = &lane.writers[&(1, 1)];
    let payload = if key {
        b"\x17\x01\0\0\0"
    } else {
        b"\x27\x01\0\0\0"
    };
    let message = Message {
        kind: MessageType::VIDEO,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(at),
        payload: Bytes::from_static(payload),
    };
    live.push(*writer, message, tokio::time::Instant::now().into_std())
        .is_some()
}

/// A viewer that joins the stream that a lane publishes.
fn join(lane: &Lane) -> Cursor {
    let (live, _) = &lane.writers[&(1, 1)];
    live.ring().join(Start::Gop)
}

/// The times that this viewer sees.
fn seen(lane: &Lane, mut viewer: Cursor) -> Vec<u32> {
    let (live, _) = &lane.writers[&(1, 1)];
    let ring = live.ring();
    let next = || ring.next(&mut viewer, seconds(3_600));
    let deliveries = std::iter::from_fn(next);
    deliveries.map(|delivery| delivery.timestamp.0).collect()
}

const KICKED: [&str; 2] = ["StopPublish 1 generation 1", "1 NetStream.Publish.BadName"];
const ENDED: [&str; 2] = ["1 NetStream.Play.UnpublishNotify", "StreamEof 1"];

#[test]
fn a_second_publisher_gets_the_name_only_by_policy_and_identity() {
    for (settings, first, other, taken) in [
        (live_settings(), "cam", "cam", false),
        (live_settings(), "cam?k=1", "cam?k=1", false),
        (takeover(), "cam", "cam", false),
        (takeover(), "cam?k=1", "cam?k=2", false),
        (takeover(), "cam?k=1", "cam", false),
        (takeover(), "cam", "cam?k=1", false),
        (takeover(), "cam?k=1", "cam?k=1", true),
    ] {
        play(async {
            let mut stage = Stage::live(settings);
            let (mut publisher, mut viewer) = on_air(&mut stage, first).await;
            let (new, accepted) = second(&mut stage, other).await;
            assert_eq!(accepted, taken, "{first} {other}");
            assert_eq!(sends(&publisher, 0, true), !taken);
            if taken {
                assert_eq!(publisher.heard(1).await, KICKED);
                assert!(sends(&new, 0, true));
            } else {
                assert!(publisher.heard(1).await.is_empty());
            }
            assert!(viewer.heard(1).await.is_empty(), "viewers get no notice");
        });
    }
}

#[test]
fn a_take_over_continues_the_timeline() {
    play(async {
        let mut stage = Stage::live(takeover());
        let (publisher, _viewer) = on_air(&mut stage, "cam?k=1").await;
        assert!(sends(&publisher, 100_000, true));
        let early = join(&publisher);
        pass(Duration::from_millis(40)).await;
        assert!(sends(&publisher, 100_040, false));
        pass(Duration::from_millis(500)).await;
        let (new, accepted) = second(&mut stage, "cam?k=1").await;
        assert!(accepted && sends(&new, 0, true));
        assert!(!sends(&publisher, 100_080, false));
        assert!(sends(&new, 40, false));
        assert_eq!(seen(&new, early), [100_000, 100_040, 100_540, 100_580]);
        assert_eq!(seen(&new, join(&new)), [100_540, 100_580]);
    });
}

#[test]
fn a_lost_publisher_may_return_in_time() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam").await;
        sends(&publisher, 50_000, true);
        let early = join(&publisher);
        publisher.closed(1, CloseReason::Transport);
        pass(seconds(4)).await;
        assert!(viewer.heard(1).await.is_empty());
        let (new, accepted) = second(&mut stage, "cam").await;
        assert!(accepted);
        sends(&new, 0, true);
        assert_eq!(seen(&new, early), [50_000, 54_000]);
        pass(seconds(60)).await;
        assert!(viewer.heard(1).await.is_empty());
    });
}

#[test]
fn a_lost_publisher_that_stays_away_ends_its_stream() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam").await;
        publisher.closed(1, CloseReason::Client);
        pass(Duration::from_millis(4_999)).await;
        assert!(viewer.heard(1).await.is_empty());
        let mut late = stage.lane("live");
        late.client(1).await;
        late.play(1, "cam");
        assert_eq!(
            late.heard(1).await.last().unwrap(),
            "Attach 1 live 1",
            "it may return"
        );
        pass(Duration::from_millis(1)).await;
        assert_eq!(viewer.heard(1).await, ENDED);
        assert_eq!(late.heard(1).await, ENDED);
    });
}

#[test]
fn a_name_with_an_identity_waits_for_that_identity_alone() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam?k=1").await;
        publisher.closed(1, CloseReason::Client);
        pass(seconds(1)).await;
        assert!(!second(&mut stage, "cam?k=2").await.1);
        assert!(second(&mut stage, "cam?k=1").await.1);
        assert!(viewer.heard(1).await.is_empty());
    });
}

#[test]
fn a_stalled_holder_may_be_displaced() {
    play(async {
        for settings in [live_settings(), takeover()] {
            let mut stage = Stage::live(settings);
            let (mut publisher, mut viewer) = on_air(&mut stage, "cam").await;
            publisher.stalled(1, true);
            publisher.stalled(1, false);
            assert!(!second(&mut stage, "cam").await.1, "it sends again");
            publisher.stalled(1, true);
            assert!(second(&mut stage, "cam").await.1);
            assert_eq!(publisher.heard(1).await, KICKED);
            assert!(viewer.heard(1).await.is_empty());
        }
    });
}

#[test]
fn in_an_outage_the_same_identity_takes_over_at_once() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam?k=1").await;
        publisher.outage(true);
        assert!(!second(&mut stage, "cam?k=2").await.1);
        assert!(!second(&mut stage, "cam").await.1);
        let (new, accepted) = second(&mut stage, "cam?k=1").await;
        assert!(accepted && sends(&new, 0, true) && !sends(&publisher, 0, true));
        assert!(viewer.heard(1).await.is_empty());
    });
}

#[test]
fn the_return_time_stands_still_in_an_outage() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (mut publisher, mut viewer) = on_air(&mut stage, "cam").await;
        // Another session keeps the lane known.
        publisher.client(2).await;
        publisher.closed(1, CloseReason::Client);
        pass(seconds(3)).await;
        publisher.outage(true);
        pass(seconds(60)).await;
        assert!(viewer.heard(1).await.is_empty());
        publisher.outage(false);
        pass(Duration::from_millis(1_999)).await;
        assert!(viewer.heard(1).await.is_empty());
        pass(Duration::from_millis(1)).await;
        assert_eq!(viewer.heard(1).await, ENDED);
    });
}

#[test]
fn a_lane_that_never_comes_back_frees_its_names() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam").await;
        publisher.outage(true);
        pass(seconds(15)).await;
        publisher.closed(1, CloseReason::OriginLost);
        pass(Duration::from_millis(4_999)).await;
        assert!(viewer.heard(1).await.is_empty());
        pass(Duration::from_millis(1)).await;
        assert_eq!(viewer.heard(1).await, ENDED);
    });
}

#[test]
fn a_publisher_that_was_its_lanes_last_session_is_not_waited_for_longer() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let (publisher, mut viewer) = on_air(&mut stage, "cam").await;
        publisher.closed(1, CloseReason::Client);
        pass(seconds(3)).await;
        // Its edge ends as well, and never comes back.
        publisher.outage(true);
        pass(Duration::from_millis(1_999)).await;
        assert!(viewer.heard(1).await.is_empty());
        pass(Duration::from_millis(1)).await;
        assert_eq!(viewer.heard(1).await, ENDED);
    });
}

#[test]
fn release_stream_frees_a_name_for_its_own_identity_or_after_a_stall() {
    for (settings, stalled, name, released) in [
        (takeover(), false, "cam?k=1", true),
        (takeover(), false, "cam?k=2", false),
        (takeover(), false, "cam", false),
        (live_settings(), false, "cam?k=1", false),
        (live_settings(), true, "cam", true),
    ] {
        play(async {
            let takes_over = settings.second_publisher == SecondPublisher::Takeover;
            let mut stage = Stage::live(settings);
            let (mut publisher, mut viewer) = on_air(&mut stage, "cam?k=1").await;
            publisher.stalled(1, stalled);
            let mut encoder = stage.lane("live");
            encoder.client(1).await;
            encoder.call(1, 0, "releaseStream", 2.0, &[name.into()]);
            assert_eq!(encoder.heard(1).await, ["_result 2 undefined"]);
            let kicked: &[&str] = if released { &KICKED } else { &[] };
            assert_eq!(publisher.heard(1).await, kicked, "{name}");
            assert!(
                viewer.heard(1).await.is_empty(),
                "its publisher is about to come"
            );
            encoder.publish(1, "cam?k=1", 1);
            assert_eq!(
                accepted(&mut encoder).await,
                released || takes_over,
                "{name}"
            );
            assert!(viewer.heard(1).await.is_empty());
        });
    }
}

#[test]
fn a_publisher_does_not_release_itself() {
    play(async {
        let mut stage = Stage::live(takeover());
        let (mut publisher, _viewer) = on_air(&mut stage, "cam?k=1").await;
        publisher.call(1, 0, "releaseStream", 2.0, &["cam?k=1".into()]);
        assert_eq!(publisher.heard(1).await, ["_result 2 undefined"]);
        assert!(sends(&publisher, 0, true));
    });
}

#[test]
fn a_displaced_client_that_does_more_stays_connected() {
    play(async {
        let mut stage = Stage::live(takeover());
        let (mut publisher, _viewer) = on_air(&mut stage, "cam?k=1").await;
        publisher.call(1, 0, "createStream", 3.0, &[]);
        publisher.call(1, 2, "play", 0.0, &["other".into()]);
        publisher.clear().await;
        assert!(second(&mut stage, "cam?k=1").await.1);
        assert_eq!(publisher.heard(1).await, KICKED);
    });
}

#[test]
fn of_two_publishers_that_race_one_writes() {
    play(async {
        let mut stage = Stage::live(takeover());
        let mut lanes = [stage.lane("live"), stage.lane("live")];
        for race in 0..1_000 {
            // Names with and without identity, in both orders.
            let name = if race % 2 == 0 {
                format!("cam{race}")
            } else {
                format!("cam{race}?k=1")
            };
            let session = race + 1;
            for lane in &lanes {
                lane.open(session);
                lane.call(session, 0, "createStream", 2.0, &[]);
            }
            let first = usize::from(race % 3 == 0);
            lanes[first].publish(session, &name, 1);
            lanes[1 - first].publish(session, &name, 1);
            for lane in &mut lanes {
                lane.clear().await;
            }
            let writers: Vec<_> = lanes
                .iter()
                .filter_map(|lane| lane.writers.get(&(session, 1)))
                .collect();
            let writing = writers
                .iter()
                .filter(|(live, writer)| live.is_writer(*writer))
                .count();
            assert_eq!(writing, 1, "race {race}");
            let expected = if race % 2 == 0 { 1 } else { 2 };
            assert_eq!(writers.len(), expected, "race {race}");
            if let [a, b] = &writers[..] {
                assert_eq!(a.0.id(), b.0.id(), "one stream for the viewers");
            }
        }
    });
}
