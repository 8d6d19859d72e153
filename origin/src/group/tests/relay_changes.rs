//! Pushes and pulls of groups that follow other settings.

use std::time::Duration;

use tributary_node::config;
use tributary_protocol::link::CloseReason;

use super::{
    relays::{Far, LIVE, has_picture, lines, settings},
    stage::{Lane, Stage, pass, play, settle},
};
use crate::outgoing::OutgoingOrder;

/// Puts settings of `live` in force, as a reload does.
fn reload(stage: &Stage, settings: &config::Application) {
    let groups = &stage.groups;
    let applications = groups.applications();
    applications.configure_builtin("live", settings.clone());
    stage.keep_for(settings);
    groups.relays_changed("live");
}

fn pull(url: &str, when: &str) -> serde_json::Value {
    serde_json::json!({ "url": url, "stream": "cam", "when": when })
}

fn pulls(pulls: &[serde_json::Value]) -> config::Application {
    settings(serde_json::json!({ "pull": pulls }))
}

fn pushes(urls: &[&str]) -> config::Application {
    let push = |url: &&str| serde_json::json!({ "url": url, "streams": "cam*" });
    let list: Vec<_> = urls.iter().map(push).collect();
    settings(serde_json::json!({ "push": list }))
}

const ONE: &str = "rtmp://one.example/app/x";
const TWO: &str = "rtmp://two.example/app/y";

/// The statuses of a session that end or begin its play.
async fn ends(lane: &mut Lane, session: u64) -> Vec<String> {
    let heard = lane.heard(session).await.into_iter();
    heard.filter(|it| it.contains("ublish")).collect()
}

/// The name under which the next push publishes.
async fn pushed(far: &mut Far) -> (String, crate::outgoing::Inbox) {
    let mut inbox = far.next().await;
    match inbox.next_order().await {
        Some(OutgoingOrder::Publish { name, .. }) => (name, inbox),
        other => panic!("no publish: {other:?}"),
    }
}

#[test]
fn pushes_begin_and_end_while_their_stream_is_on_air() {
    play(async {
        let mut stage = Stage::live(pushes(&[ONE]));
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.client(2).await;
        lane.publish(1, "cam", 1);
        lane.publish(2, "other", 1);
        let (name, mut first) = pushed(&mut far).await;
        assert_eq!(name, "x");
        assert!(matches!(
            first.next_order().await,
            Some(OutgoingOrder::Carry { .. })
        ));
        // The same again, in another order with a second one: the first notices nothing.
        reload(&stage, &pushes(&[TWO, ONE]));
        let (name, _second) = pushed(&mut far).await;
        assert_eq!(name, "y");
        assert_eq!(lines(&stage).len(), 2);
        reload(&stage, &pushes(&[TWO]));
        settle().await;
        assert_eq!(lines(&stage).len(), 1, "{:?}", lines(&stage));
        assert!(far.is_silent());
        // Another name at the same server is another push.
        reload(&stage, &pushes(&["rtmp://two.example/app/z"]));
        let (name, _third) = pushed(&mut far).await;
        assert_eq!(name, "z");
        settle().await;
        assert_eq!(lines(&stage).len(), 1, "{:?}", lines(&stage));
        // A publisher that is away during the change is pushed when it is back.
        lane.closed(1, CloseReason::Client);
        reload(&stage, &pushes(&[ONE]));
        settle().await;
        lane.client(3).await;
        lane.publish(3, "cam", 1);
        let (name, _fourth) = pushed(&mut far).await;
        assert_eq!(name, "x");
    });
}

#[test]
fn a_pull_moves_to_another_server_and_its_viewers_stay() {
    play(async {
        let mut stage = Stage::live(pulls(&[pull(ONE, "always")]));
        let mut far = Far::of(&stage);
        reload(&stage, &pulls(&[pull(ONE, "always")]));
        let _one = far.source(900).await;
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.play(1, "cam");
        lane.clear().await;
        assert!(has_picture(&lane, 1));
        reload(&stage, &pulls(&[pull(TWO, "always")]));
        let _two = far.source(901).await;
        assert_eq!(ends(&mut lane, 1).await, [""; 0]);
        assert_eq!(lines(&stage), ["pull running"]);
        assert_eq!(
            stage.groups.relays().lines()[0].target,
            "rtmp://two.example/app"
        );
        pass(Duration::from_secs(6)).await;
        assert_eq!(ends(&mut lane, 1).await, [""; 0]);
        assert!(far.is_silent());
    });
}

#[test]
fn a_pull_that_is_removed_ends_and_its_group_too() {
    play(async {
        let mut stage = Stage::live(pulls(&[]));
        let mut far = Far::of(&stage);
        // A new one begins without any client.
        reload(&stage, &pulls(&[pull(ONE, "always")]));
        let source = far.source(900).await;
        assert_eq!(stage.groups.count(), 1);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        lane.play(1, "cam");
        lane.clear().await;
        reload(&stage, &pulls(&[]));
        let heard = ends(&mut lane, 1).await;
        assert!(
            heard[0].starts_with("1 NetStream.Play.UnpublishNotify"),
            "{heard:?}"
        );
        assert_eq!(lines(&stage).len(), 0);
        lane.closed(1, CloseReason::Client);
        settle().await;
        drop((source, lane));
        pass(Duration::from_secs(700)).await;
        assert_eq!(stage.groups.count(), 0);
        assert!(far.is_silent());
    });
}

#[test]
fn a_pull_changes_between_always_and_watched() {
    play(async {
        let mut stage = Stage::live(pulls(&[pull(ONE, "watched")]));
        let mut far = Far::of(&stage);
        let mut lane = stage.lane(LIVE);
        lane.client(1).await;
        settle().await;
        assert!(far.is_silent());
        reload(&stage, &pulls(&[pull(ONE, "always")]));
        let _source = far.source(900).await;
        pass(Duration::from_secs(9)).await;
        assert_eq!(lines(&stage), ["pull running"]);
        reload(&stage, &pulls(&[pull(ONE, "watched")]));
        pass(Duration::from_secs(9)).await;
        assert_eq!(lines(&stage), ["pull running"]);
        pass(Duration::from_secs(2)).await;
        assert_eq!(lines(&stage).len(), 0);
        lane.play(1, "cam");
        let _source = far.source(901).await;
        assert_eq!(lines(&stage), ["pull running"]);
    });
}
