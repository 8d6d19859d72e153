//! Origins of a cluster link to each other alone: neither a certificate of an origin nor one of an edge will do.

use std::time::Duration;

use tokio::time::timeout;
use tributary_node::{
    link::{ControlSink, ControlSource, greet},
    tls::Role,
    transport::LinkError,
};
use tributary_origin::test::proof;
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

/// An origin of the cluster that offers a group and falls silent: clients of the group wait for it, and not for long.
#[tokio::test]
async fn a_move_that_is_offered_and_never_finished_holds_nobody_up() {
    let ca = Ca::new();
    let secret = "a".repeat(64);
    let origin = Origin::in_cluster(&ca, "origin", &secret, &[]);
    let honest = Edge::of(&ca, "edge", &origin);
    let mut here = honest.connect("counter/here").await;
    let rogue = RawEdge::of_role(Role::Origin, &ca, "rogue", &origin);
    let link = rogue.dial().await;
    let hello = Hello {
        known_as: proof(&secret, "lab", "rogue", 7),
        features: features::PEER,
        ..rogue.hello(7, 0)
    };
    let mut greeted = greet(&link, hello).await.expect("a greeting");
    let offer = |group: &str, edge: &str| MoveStep::Offer {
        group: group.parse().expect("a name"),
        sessions: 1,
        edges: vec![edge.into()],
    };
    let steps = [
        (1, offer("counter/one", "edge"), Some(None)),
        (
            2,
            offer("counter/one", "edge"),
            Some(Some("taking the group already")),
        ),
        (
            3,
            offer("counter/two", "nobody"),
            Some(Some("has no link to it")),
        ),
        (
            4,
            offer("nothing/here", "edge"),
            Some(Some("no application")),
        ),
        (
            5,
            offer("counter/here", "edge"),
            Some(Some("has sessions of the group")),
        ),
        (6, MoveStep::Commit { state: 0 }, None),
        (7, MoveStep::State(vec![0; 100].into()), None),
        (8, MoveStep::Withdraw, None),
        (9, MoveStep::Arrived { sessions: 1 }, None),
    ];
    for (id, step, answer) in steps {
        let frame = Control::Move(MoveFrame { id, step });
        greeted.send.write(&frame).await.expect("an open stream");
        let Some(expected) = answer else { continue };
        let refused = loop {
            let next = timeout(PATIENCE, greeted.recv.next()).await;
            if let Control::Move(MoveFrame { id: of, step }) =
                next.expect("an answer").expect("a frame")
                && let MoveStep::Answer { refused } = step
                && of == id
            {
                break refused;
            }
        };
        let refused = refused.as_deref();
        match expected {
            None => assert_eq!(refused, None),
            Some(why) => assert!(refused.is_some_and(|it| it.contains(why)), "{refused:?}"),
        }
    }
    here.call("count", 1.0.into()).await;
    let served = timeout(PATIENCE, honest.connect("counter/one"));
    let mut client = served.await.expect("it is served");
    client.call("count", 1.0.into()).await;
    let arrived = origin.figure("tributary_origin_cluster_groups_arrived_total");
    assert_eq!(arrived, 0.0);
}
