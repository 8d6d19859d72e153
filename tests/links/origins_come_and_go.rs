//! The origins of an edge change while it runs.

use tributary_edge::link::handle::FromOrigin;
use tributary_node::link::OriginAddress;
use tributary_protocol::{
    amf::Value,
    link::{CloseReason, ToSession},
};

use crate::rig::{Ca, Client, Edge, Origin};

const LINKS: &str = "tributary_edge_link_up";
const SESSIONS: &str = "tributary_origin_sessions";

/// The groups that each test opens; each origin of two or three is the home of some.
const GROUPS: usize = 16;

fn addresses(origins: &[&Origin]) -> Vec<OriginAddress> {
    let address = |origin: &&Origin| OriginAddress {
        name: Some(origin.name.clone()),
        address: origin.address.to_string(),
    };
    origins.iter().map(address).collect()
}

/// A client in each of these groups.
async fn connect(edge: &Edge, kind: &str) -> Vec<Client> {
    let mut clients = Vec::new();
    for n in 0..GROUPS {
        clients.push(edge.connect(&format!("counter/{kind}{n}")).await);
    }
    clients
}

/// Whether the client's session was closed because its origin is gone.
async fn is_closed(client: &mut Client) -> bool {
    while let Some(item) = client.link.try_next() {
        if let FromOrigin::Order(ToSession::Close(reason)) = item {
            assert_eq!(reason, CloseReason::OriginLost);
            return true;
        }
    }
    false
}

#[tokio::test]
async fn an_origin_leaves_and_another_comes_while_the_edge_runs() {
    let ca = Ca::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| Origin::start(&ca, name, 15));
    let edge = Edge::start(&ca, "edge", &[("a", a.address), ("b", b.address)]);
    edge.until(LINKS, 2.0).await;
    let mut clients = connect(&edge, "first").await;
    let (at_a, at_b) = (a.figure(SESSIONS), b.figure(SESSIONS));
    assert!(at_a > 0.0 && at_b > 0.0, "{at_a} and {at_b}");

    // One leaves: its sessions are closed, those of the other go on.
    edge.upstream.set_origins(addresses(&[&b]));
    edge.until("tributary_edge_link_sessions", at_b).await;
    a.until("tributary_origin_link_up", 0.0).await;
    let (mut closed, mut open) = (0.0, 0.0);
    for client in &mut clients {
        if is_closed(client).await {
            closed += 1.0;
        } else {
            client.call("report", Value::Null).await;
            open += 1.0;
        }
    }
    assert_eq!((closed, open), (at_a, at_b));
    assert_eq!(edge.figure(LINKS), 1.0);
    assert_eq!(b.figure("tributary_origin_link_lost_total"), 0.0);

    // Groups of the origin that has left start at the one that is there.
    let again = connect(&edge, "first").await;
    b.until(SESSIONS, at_b + GROUPS as f64).await;

    // Another comes and is the home of new groups; sessions stay where they are.
    edge.upstream.set_origins(addresses(&[&b, &c]));
    edge.until(LINKS, 2.0).await;
    let new = connect(&edge, "second").await;
    let at_c = c.figure(SESSIONS);
    assert!(at_c > 0.0 && at_c < GROUPS as f64, "{at_c}");
    assert_eq!(b.figure("tributary_origin_link_lost_total"), 0.0);
    assert!(edge.readiness.is_ready());

    // The first comes back, to an edge that it knows.
    edge.upstream.set_origins(addresses(&[&a, &b, &c]));
    edge.until(LINKS, 3.0).await;
    let third = connect(&edge, "third").await;
    a.until("tributary_origin_link_up", 1.0).await;

    // An edge without origins has nowhere to go.
    edge.upstream.set_origins(Vec::new());
    edge.until("tributary_edge_link_sessions", 0.0).await;
    assert!(!edge.readiness.is_ready());
    let mut nowhere = edge.open("counter/nowhere", None);
    assert!(matches!(nowhere.next().await, FromOrigin::NoOrigin));
    assert_eq!(edge.figure(LINKS), 0.0);
    drop((clients, again, new, third));
}
