//! Sessions end with a clear status and leave nothing behind after an outage longer than the grace
//! time, a restart of an origin, or the kill of an edge.

use std::{thread, time::Duration};

use rustix::process::Signal;

use crate::support::{
    clients::wired::{Nothing, PATIENCE, Wired},
    cluster::{Cluster, await_links, stop},
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Message},
};

#[test]
fn sessions_end_with_the_grace_time() {
    let cluster = Cluster::with_settings(1, 1, "grace_time = \"2 s\"\n");
    let mut client = Wired::session(cluster.rtmp(0), "counter/lost");
    cluster.relays[0].black_hole(true);
    assert_ends_clearly(&mut client);
    cluster.relays[0].black_hole(false);
    await_links(&cluster.edges[0], 1);
    let mut again = Wired::session(cluster.rtmp(0), "counter/lost");
    assert_eq!(
        again.call("count", &[1.0.into()]).name().as_deref(),
        Some("_result")
    );
}

#[test]
fn sessions_end_when_their_origin_was_stopped_for_longer() {
    let cluster = Cluster::with_settings(1, 1, "grace_time = \"2 s\"\n");
    let mut client = Wired::session(cluster.rtmp(0), "counter/stopped");
    let call = client.call("count", &[1.0.into()]);
    assert_eq!(call.name().as_deref(), Some("_result"));
    stop(&cluster.origins[0]);
    // The session of this call has ended when the origin wakes.
    client
        .send_call("count", &[2.0.into()])
        .expect("an open connection");
    thread::sleep(Duration::from_secs(8));
    cluster.origins[0].signal(Signal::CONT);
    assert_ends_clearly(&mut client);
    await_links(&cluster.edges[0], 1);
    wait::until("the origin has ended it", PATIENCE, || {
        cluster.origin_metrics(0).sum("tributary_origin_sessions") == 0.0
    });
    let ended = wait::logged(&cluster.origins[0], "session ends");
    assert!(ended.contains("reason=\"origin_lost\""), "{ended}");
    let mut again = Wired::session(cluster.rtmp(0), "counter/stopped");
    let report = again.call("report", &[]);
    let values = report.values();
    let group = values.get(3).and_then(|report| report.field("group"));
    let calls = group.and_then(|group| group.field("calls"));
    assert_eq!(
        calls.and_then(wire::Amf::number),
        Some(1.0),
        "the second call was not applied: {values:?}"
    );
}

#[test]
fn sessions_end_when_their_origin_has_started_anew() {
    let mut cluster = Cluster::start(1, 1);
    let mut client = Wired::session(cluster.rtmp(0), "counter/before");
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(0), "live", "before");
    cluster.restart_origin(0);
    assert_ends_clearly(&mut client);
    assert_ends_clearly(&mut viewer);
    await_links(&cluster.edges[0], 1);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "after", Codec::Avc, 1000);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(0), "live", "after");
    viewer
        .wait(PATIENCE, is_video)
        .expect("the new origin serves");
    publisher.finish();
}

#[test]
fn an_edge_that_is_killed_leaves_nothing_at_the_origin() {
    let mut cluster = Cluster::with_settings(1, 2, "grace_time = \"2 s\"\n");
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "gone");
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(0), "live", "gone");
    for (kind, payload) in Codec::Avc.frames(0, true, 500) {
        publisher
            .media(stream, kind, 0, &payload)
            .expect("an open connection");
    }
    viewer.wait(PATIENCE, is_video).expect("the stream");
    let _others: Vec<_> = (0..20)
        .map(|number| Wired::session(cluster.rtmp(0), &format!("counter/room{number}")))
        .collect();
    cluster.edges[0].kill();
    viewer.wait_code("NetStream.Play.UnpublishNotify");
    wait::until("its sessions are gone", Duration::from_secs(30), || {
        cluster.origin_metrics(0).sum("tributary_origin_sessions") <= 1.0
    });
    let answer = viewer.call("stillThere", &[]);
    assert_eq!(
        answer.name().as_deref(),
        Some("_error"),
        "the other edge's client is served"
    );
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(1), "live", "gone");
    viewer.wait_code("NetStream.Play.PublishNotify");
    for (kind, payload) in Codec::Avc.frames(1, true, 500) {
        publisher
            .media(stream, kind, 0, &payload)
            .expect("an open connection");
    }
    viewer
        .wait(PATIENCE, is_video)
        .expect("the name is free again");
}

/// Asserts that a status gives the reason before the close.
fn assert_ends_clearly(client: &mut Wired) {
    let mut codes = Vec::new();
    let ended = client.wait(Duration::from_secs(30), |message| {
        codes.extend(message.code());
        false
    });
    assert_eq!(ended, Err(Nothing::Closed), "{codes:?}");
    let says_why = codes
        .iter()
        .any(|code| code.starts_with("NetConnection.Connect."));
    assert!(says_why, "closed with a status: {codes:?}");
}

fn is_video(message: &Message) -> bool {
    message.header.kind == wire::VIDEO
}
