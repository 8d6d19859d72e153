//! A client may name an origin; it still joins its group where the group lives.

use std::time::Duration;

use tributary_edge::link::handle::FromOrigin;
use tributary_protocol::amf::Value;

use crate::rig::{Ca, Client, Edge, Origin};

const DISPLACED: &str = "tributary_origin_link_groups_displaced";
const SESSIONS: &str = "tributary_origin_sessions";

fn two(ca: &Ca) -> [Origin; 2] {
    ["a", "b"].map(|name| Origin::start(ca, name, 15))
}

fn edge(ca: &Ca, name: &str, origins: &[Origin; 2]) -> Edge {
    let origins = [0, 1].map(|n| (&*origins[n].name, origins[n].address));
    Edge::start(ca, name, &origins)
}

/// The number of clients that the group of this one has counted.
async fn members(client: &mut Client) -> f64 {
    let report = client.call("report", Value::Null).await;
    let group = report.get("group").cloned().expect("a group");
    let clients = group.get("clients").and_then(Value::as_number);
    clients.expect("a number")
}

#[tokio::test]
async fn a_group_that_lives_nowhere_starts_at_the_origin_that_is_named() {
    let ca = Ca::new();
    let origins = two(&ca);
    let (one, other) = (edge(&ca, "one", &origins), edge(&ca, "other", &origins));
    let mut clients = Vec::new();
    // Some of these groups have one origin as their home, some the other.
    for number in 0..8 {
        for host in ["a", "b"] {
            let group = format!("counter/named{number}-{host}");
            let mut client = one.open(&group, Some(&format!("{host}:1935")));
            client.accepted().await;
            // The other edge is notified of a displaced group.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let mut implicit = other.connect(&group).await;
            assert_eq!(members(&mut implicit).await, 2.0, "{group} is in one piece");
            clients.extend([client, implicit]);
        }
    }
    assert_eq!(origins[0].figure(SESSIONS), 16.0);
    assert_eq!(origins[1].figure(SESSIONS), 16.0);
    assert!(origins[0].figure(DISPLACED) + origins[1].figure(DISPLACED) > 0.0);
}

#[tokio::test]
async fn a_group_that_lives_at_its_home_is_joined_there_whatever_is_named() {
    let ca = Ca::new();
    let origins = two(&ca);
    let (one, other) = (edge(&ca, "one", &origins), edge(&ca, "other", &origins));
    for n in 0..4 {
        let group = format!("counter/home{n}");
        let mut first = one.connect(&group).await;
        for host in ["a", "b", "alias.example"] {
            let mut named = other.open(&group, Some(host));
            named.accepted().await;
            drop(named);
        }
        assert_eq!(members(&mut first).await, 4.0, "{group} is in one piece");
    }
    assert_eq!(
        origins[0].figure(DISPLACED) + origins[1].figure(DISPLACED),
        0.0
    );
}

#[tokio::test]
async fn a_host_that_is_no_configured_origin_is_refused_also_while_the_edge_starts() {
    let ca = Ca::new();
    let origins = two(&ca);
    let edge = edge(&ca, "one", &origins);
    let mut foreign = edge.open("counter/x", Some("example.com"));
    let mut alias = edge.open("counter/x", Some("alias.example"));
    assert!(matches!(foreign.next().await, FromOrigin::UnknownOrigin));
    alias.accepted().await;
}
