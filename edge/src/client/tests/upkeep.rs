//! Silent clients: a probe of the kernel is lost, and a client is gone.
//!
//! The test runs itself again in a network namespace of its own, in which nftables drop packets.

use std::{
    collections::BTreeMap,
    env,
    process::Command,
    time::{Duration, Instant},
};

use tributary_protocol::{TransactionId, command, link::CloseReason};

use super::support::{Client, Edge, LONG, Peer, config};
use crate::wire::{Probes, Upkeep};

/// The upkeep of direct connections, with times of a second.
static BRISK: Upkeep = Upkeep {
    unacknowledged: Duration::from_millis(400),
    probes: Some(Probes {
        after: Duration::from_secs(1),
        interval: Duration::from_secs(1),
        count: 3,
        look: Duration::from_millis(450),
        spread: Duration::from_millis(10),
    }),
    ..Upkeep::DIRECT
};

/// From a client's last sign of life to the end of its connection, if nothing is written to it.
const NOTICED: Duration = Duration::from_secs(4);

/// Set for the run in the namespace.
const INSIDE: &str = "TRIBUTARY_TEST_INSIDE_NAMESPACE";

/// Runs a test of this program again in a new network namespace.
fn run_in_namespace(test: &str) {
    let script = "export PATH=\"$PATH:/usr/sbin\" && \
        ip link set lo up && \
        nft add table inet test && \
        nft add chain inet test cut '{ type filter hook input priority 0; }' && \
        exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--net", "--map-root-user", "--", "sh", "-c", script, "sh"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .status();
    let passed = status.expect("unshare, of util-linux, runs").success();
    assert!(
        passed,
        "it needs iproute2, nftables and the right to make a namespace"
    );
}

fn nft(arguments: &str) -> String {
    let output = Command::new("nft")
        .args(arguments.split(' '))
        .output()
        .expect("nft runs");
    assert!(output.status.success(), "nft {arguments}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// Drops the packets from the edge to its clients.
fn cut(edge: &Edge) {
    let port = edge.address().port();
    nft(&format!(
        "add rule inet test cut tcp sport {port} counter drop"
    ));
}

/// Lets packets pass again.
fn mend() {
    nft("flush chain inet test cut");
}

/// Waits until so many packets were dropped.
async fn dropped(count: u32) {
    let begun = Instant::now();
    loop {
        let rules = nft("list chain inet test cut");
        let (_, counted) = rules.split_once("counter packets ").expect("a counter");
        let so_far = counted
            .split(' ')
            .next()
            .and_then(|text| text.parse::<u32>().ok());
        if so_far.expect("a number") >= count {
            return;
        }
        assert!(begun.elapsed() < LONG, "no {count} packets were dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A session of a client that has been silent until its connection rests.
async fn silent(edge: &mut Edge) -> (Client, Peer) {
    let session = edge.session().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    session
}

#[tokio::test]
async fn lost_probes_close_no_client_and_a_client_that_is_gone_is_noticed() {
    if env::var_os(INSIDE).is_none() {
        return run_in_namespace(
            "client::tests::upkeep::lost_probes_close_no_client_and_a_client_that_is_gone_is_noticed",
        );
    }
    let mut edge = Edge::start_on(&BRISK, &config(), &BTreeMap::new());

    for lost in 1..=2 {
        let (mut client, peer) = silent(&mut edge).await;
        cut(&edge);
        dropped(lost).await;
        mend();
        tokio::time::sleep(Duration::from_secs(2)).await;
        client.connection.notify("hello", Vec::new());
        client.send().await;
        let (command, _) = edge.command(&peer).await;
        assert_eq!(command.name, "hello", "after {lost} lost probes");
        drop(client);
        assert_eq!(edge.closed().await, CloseReason::Client);
    }

    let (_client, _peer) = silent(&mut edge).await;
    cut(&edge);
    let gone = Instant::now();
    assert_eq!(edge.closed().await, CloseReason::Transport);
    // The last sign of life may be the answer to a probe just before.
    let noticed = gone.elapsed();
    assert!(noticed > NOTICED - Duration::from_secs(2), "{noticed:?}");
    assert!(noticed < 2 * NOTICED, "{noticed:?}");
    mend();

    // Bytes that nothing acknowledges are noticed sooner, also by a connection that rested.
    let (_client, peer) = silent(&mut edge).await;
    cut(&edge);
    let written = Instant::now();
    peer.command(&command::Command::new("call", TransactionId(0.0)));
    assert_eq!(edge.closed().await, CloseReason::Transport);
    let noticed = written.elapsed();
    assert!(noticed < NOTICED - Duration::from_secs(1), "{noticed:?}");
}
