//! Relays that the services of an edge ask for: of one publish or one play.

use tributary_node::config;

use super::{
    relays::{Far, LIVE, has_picture, lines},
    stage::{Lane, Stage, live_settings, pass, play, settle},
};
use crate::outgoing::OutgoingOrder;

const SERVER: &str = "rtmp://far.example/app/s3cret?key=1";

fn stage() -> Stage {
    Stage::live(config::Application {
        outgoing: vec!["far.example".parse().unwrap()],
        ..live_settings()
    })
}

/// The name under which a push publishes at its server.
async fn published(far: &mut Far) -> String {
    match far.next().await.next_order().await {
        Some(OutgoingOrder::Publish { name, .. }) => name,
        other => panic!("no publish: {other:?}"),
    }
}

async fn end(lane: &mut Lane, session: u64) {
    lane.call(session, 1, "closeStream", 0.0, &[]);
    settle().await;
    lane.clear().await;
}

#[test]
fn a_publish_is_pushed_to_its_end_and_the_next_one_stays_here() {
    play(async {
        let mut stage = stage();
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.relay(1, SERVER);
        lane.publish(1, "cam", 1);
        assert_eq!(published(&mut far).await, "s3cret?key=1");
        let heard = lane.heard(1).await;
        assert_eq!(heard.last().unwrap(), "1 NetStream.Publish.Start");
        assert_eq!(lines(&stage).len(), 1);
        end(&mut lane, 1).await;
        pass(std::time::Duration::from_secs(40)).await;
        assert_eq!(lines(&stage).len(), 0);
        // An address without a name stands for the stream's own.
        lane.relay(1, "rtmp://far.example/app");
        lane.publish(1, "cam", 2);
        assert_eq!(published(&mut far).await, "cam");
        end(&mut lane, 1).await;
        lane.publish(1, "cam", 3);
        settle().await;
        assert!(far.is_silent());
    });
}

#[test]
fn a_play_brings_the_stream_unless_it_is_published_here() {
    play(async {
        let mut stage = stage();
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        for session in 1..=4 {
            lane.client(session).await;
        }
        lane.relay(1, SERVER);
        lane.play(1, "cam");
        let _source = far.source(900).await;
        lane.clear().await;
        assert!(has_picture(&lane, 1));
        // A second viewer shares it.
        lane.relay(2, SERVER);
        lane.play(2, "cam");
        lane.clear().await;
        assert!(has_picture(&lane, 2));
        assert_eq!(lines(&stage), ["pull running"]);
        lane.publish(3, "own", 1);
        settle().await;
        lane.relay(4, SERVER);
        lane.play(4, "own");
        settle().await;
        assert!(far.is_silent());
        // Without viewers it ends; the next one brings it back.
        for session in [1, 2] {
            end(&mut lane, session).await;
        }
        pass(std::time::Duration::from_secs(11)).await;
        assert_eq!(lines(&stage).len(), 0);
        lane.relay(1, SERVER);
        lane.play(1, "cam");
        let _source = far.source(901).await;
        assert_eq!(lines(&stage), ["pull running"]);
    });
}

#[test]
fn a_play_that_waits_behind_another_keeps_its_relay() {
    play(async {
        let mut stage = stage();
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.client(2).await;
        lane.publish(2, "first", 1);
        lane.play(1, "first");
        lane.relay(1, SERVER);
        let behind = ["second".into(), (-1.0).into(), (-1.0).into(), false.into()];
        lane.call(1, 1, "play", 0.0, &behind);
        settle().await;
        assert!(far.is_silent());
        end(&mut lane, 2).await;
        let _source = far.source(900).await;
        assert_eq!(lines(&stage), ["pull running"]);
    });
}

#[test]
fn a_relay_that_is_not_permitted_is_refused_in_words() {
    play(async {
        let mut stage = stage();
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        for address in ["rtmp://else.example/app/x", "http://far.example/app/x", "x"] {
            lane.relay(1, address);
            lane.publish(1, "cam", 1);
            assert_eq!(
                lane.heard(1).await,
                ["StopPublish 1 generation 1", "1 NetStream.Publish.Denied"],
                "{address}"
            );
            lane.relay(1, address);
            lane.play(1, "cam");
            assert_eq!(
                lane.heard(1).await,
                ["1 NetStream.Play.Failed"],
                "{address}"
            );
        }
        // A refused relay is over.
        lane.publish(1, "cam", 2);
        let heard = lane.heard(1).await;
        assert_eq!(heard.last().unwrap(), "1 NetStream.Publish.Start");
        assert!(far.is_silent());
    });
}
