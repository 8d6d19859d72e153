//! Always drain: sessions whose clients read nothing harm themselves and never the link.

use std::time::{Duration, Instant};

use tributary_edge::link::handle::FromOrigin;
use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::Command,
    link::{CloseReason, ToSession},
};

use crate::rig::{Ca, Client, Edge, Origin};

/// Calls answered in a second, the best of three.
async fn rate(client: &mut Client, number: &mut u32) -> u32 {
    let mut best = 0;
    for _ in 0..3 {
        let (start, first) = (Instant::now(), *number);
        while start.elapsed() < Duration::from_secs(1) {
            let value = Value::Number(f64::from(*number));
            assert_eq!(client.call("count", value.clone()).await, value);
            *number += 1;
        }
        best = best.max(*number - first);
    }
    best
}

/// Calls for more than a client's queue at the edge holds, and reads nothing.
fn stall(client: &Client) {
    let text = "x".repeat(16_000);
    for n in 0..8 {
        let call = Command::new("echo", TransactionId(f64::from(n + 2))).with(&*text);
        client.send(0, &call, 0);
    }
}

/// 700 lanes, more unread streams than would stop a link, and more sessions in one lane.
#[tokio::test]
async fn a_hot_session_goes_on_beside_thousands_that_read_nothing() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut hot = edge.connect("counter/hot").await;
    let mut number = 1;
    rate(&mut hot, &mut number).await;
    let alone = rate(&mut hot, &mut number).await;
    let mut stalled = Vec::new();
    for n in 0..700 {
        stalled.push(edge.connect(&format!("counter/stalled{n}")).await);
    }
    for n in 0..1_500 {
        let group = if n % 2 == 0 {
            "counter/hot"
        } else {
            "counter/crowd"
        };
        stalled.push(edge.connect(group).await);
    }
    for client in &stalled {
        stall(client);
    }
    // The hot session is answered while the others overflow, and as fast as before after that.
    let value = Value::Number(f64::from(number));
    assert_eq!(hot.call("count", value.clone()).await, value);
    number += 1;
    origin.until("tributary_origin_sessions", 1.0).await;
    let beside = rate(&mut hot, &mut number).await;
    println!("{alone} calls a second alone, {beside} beside 2,200 stalled sessions");
    assert_eq!(edge.figure("tributary_edge_link_lost"), 0.0);
    // Each is closed for that reason, after the messages before it.
    for client in &mut stalled {
        loop {
            match client.next().await {
                FromOrigin::Order(ToSession::Close(reason)) => {
                    assert_eq!(reason, CloseReason::SlowReader);
                    break;
                }
                FromOrigin::Order(ToSession::Message { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}
