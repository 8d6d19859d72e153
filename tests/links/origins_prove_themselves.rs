//! Origins of a cluster link to each other alone: neither a certificate of an origin nor one of an edge will do.

use std::time::Duration;

use tokio::time::timeout;
use tributary_node::{
    link::{ControlSink, greet},
    tls::Role,
    transport::LinkError,
};
use tributary_protocol::link::{Control, Hello, MoveFrame, MoveStep, features};

use crate::rig::{Ca, Edge, Origin, PATIENCE, RawEdge};

const LINKED: &str = "tributary_origin_cluster_origins_linked";
const REFUSED: &str = "tributary_origin_link_refused_total";

#[tokio::test]
async fn origins_of_one_secret_link_and_others_are_refused() {
    let ca = Ca::new();
    let first = Origin::in_cluster(&ca, "one", &"a".repeat(64), &[]);
    let second = Origin::in_cluster(&ca, "two", &"a".repeat(64), &[&first]);
    let third = Origin::in_cluster(&ca, "three", &"b".repeat(64), &[&first, &second]);
    first.until(LINKED, 1.0).await;
    second.until(LINKED, 1.0).await;
    while first.figure(REFUSED) < 2.0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(first.figure(LINKED), 1.0);
    assert_eq!(third.figure(LINKED), 0.0);
}

#[tokio::test]
async fn an_origin_outside_a_cluster_refuses_origins() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let other = RawEdge::of_role(Role::Origin, &ca, "other", &origin);
    let link = other.dial().await;
    let closed = timeout(PATIENCE, link.closed()).await.expect("it is borne");
    assert_eq!(closed, LinkError::Closed(2));
}

/// A certificate of an origin with a Hello that proves nothing, or that of another origin.
#[tokio::test]
async fn a_certificate_of_an_origin_is_not_enough() {
    let ca = Ca::new();
    let origin = Origin::in_cluster(&ca, "origin", &"a".repeat(64), &[]);
    let rogue = RawEdge::of_role(Role::Origin, &ca, "rogue", &origin);
    let peer = |known_as: &str, features| Hello {
        known_as: known_as.into(),
        features,
        ..rogue.hello(7, 0)
    };
    let hellos = [
        peer("", features::PEER),
        peer(&"0".repeat(32), features::PEER),
        peer(&"0".repeat(32), 0),
        Hello {
            node: "origin".into(),
            ..peer("", features::PEER)
        },
    ];
    for hello in hellos {
        let link = rogue.dial().await;
        assert!(greet(&link, hello.clone()).await.is_err(), "{hello:?}");
        let closed = timeout(PATIENCE, link.closed()).await.expect("it is borne");
        assert_eq!(closed, LinkError::Closed(1), "{hello:?}");
    }
    assert_eq!(origin.figure(LINKED), 0.0);
}

/// An edge has no say about moves: what it sends of them is passed over.
#[tokio::test]
async fn an_edge_moves_nothing() {
    let ca = Ca::new();
    let origin = Origin::in_cluster(&ca, "origin", &"a".repeat(64), &[]);
    let honest = Edge::of(&ca, "edge", &origin);
    let mut client = honest.connect("counter/one").await;
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let link = rogue.dial().await;
    let mut greeted = greet(&link, rogue.hello(7, 1)).await.expect("a greeting");
    let group: tributary_protocol::GroupName = "counter/one".parse().expect("a name");
    let steps = [
        MoveStep::Offer {
            group,
            sessions: 1,
            edges: vec!["edge".into()],
        },
        MoveStep::Commit { state: 0 },
        MoveStep::Arrived { sessions: 1 },
    ];
    for step in steps {
        let frame = Control::Move(MoveFrame { id: 7, step });
        greeted.send.write(&frame).await.expect("an open stream");
    }
    client.call("count", 1.0.into()).await;
    assert!(!link.is_closed());
    assert_eq!(
        origin.figure("tributary_origin_cluster_groups_arrived_total"),
        0.0
    );
}
