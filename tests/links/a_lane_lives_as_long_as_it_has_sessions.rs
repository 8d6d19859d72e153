//! A lane opens with the first session of a group and closes some time after the last.

use std::time::{Duration, Instant};

use tributary_edge::link::handle::FromOrigin;
use tributary_protocol::{
    amf::Value,
    link::{CloseReason, ToSession},
};

use crate::rig::{Ca, Edge, Origin};

const LANES_HERE: &str = "tributary_origin_link_lanes";
const LANES_THERE: &str = "tributary_edge_link_lanes";

#[tokio::test]
async fn a_lane_closes_ten_seconds_after_its_last_session_at_both_ends() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let first = edge.connect("counter/a").await;
    let second = edge.connect("counter/a").await;
    let stays = edge.connect("counter/b").await;
    assert_eq!(
        (origin.figure(LANES_HERE), edge.figure(LANES_THERE)),
        (2.0, 2.0)
    );
    first.link.close(CloseReason::Client);
    second.link.close(CloseReason::Client);
    let closed = Instant::now();
    origin.until(LANES_HERE, 1.0).await;
    let took = closed.elapsed();
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(13)).contains(&took),
        "{took:?}"
    );
    edge.until(LANES_THERE, 1.0).await;
    // An open that meets the closing lane gets a new one.
    let mut third = edge.connect("counter/a").await;
    assert_eq!(
        third.call("count", Value::Number(1.0)).await,
        Value::Number(1.0)
    );
    drop(stays);
}

#[tokio::test]
async fn opens_that_meet_a_closing_lane_are_all_accepted() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    edge.connect("counter/a")
        .await
        .link
        .close(CloseReason::Client);
    // The lane closes at about this time.
    tokio::time::sleep(Duration::from_millis(9_500)).await;
    let start = Instant::now();
    let mut clients = 0;
    while start.elapsed() < Duration::from_millis(1_800) {
        let mut client = edge.connect("counter/a").await;
        assert_eq!(
            client.call("count", Value::Number(1.0)).await,
            Value::Number(1.0)
        );
        if clients == 0 {
            client.link.close(CloseReason::Client);
        }
        clients += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(clients > 50);
}

#[tokio::test]
async fn a_lane_of_no_application_refuses_each_session_and_leaves_nothing() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    for _ in 0..3 {
        let mut client = edge.open("nothing/here", None);
        assert_eq!(client.command().await.name, "_error");
        loop {
            if let FromOrigin::Order(ToSession::Close(reason)) = client.next().await {
                assert_eq!(reason, CloseReason::InvalidApp);
                break;
            }
        }
    }
    assert_eq!(origin.figure("tributary_origin_groups"), 0.0);
    assert_eq!(origin.figure("tributary_origin_link_groups_displaced"), 0.0);
    origin.until(LANES_HERE, 0.0).await;
}
