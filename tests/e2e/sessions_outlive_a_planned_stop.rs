//! In a cluster, SIGTERM of an origin loses nothing: calls under way are answered, no message is lost or
//! carried out twice, and streams go on at the origin's next process.

use std::{fs, path::Path, thread, time::Duration};

use crate::support::{
    clients::{
        callers::{Callers, ECHO},
        wired::{PATIENCE, Wired},
    },
    cluster::Cluster,
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Message},
};

/// One origin in a cluster, with this script as the application `room`.
fn cluster(edges: usize) -> Cluster {
    let write = |apps: &Path| {
        let room = apps.join("room");
        fs::create_dir(&room).expect("a directory");
        fs::write(room.join("main.asc"), ECHO).expect("a script");
    };
    let tables = "[cluster]\nname = \"lab\"\n";
    Cluster::with_applications_and_tables(1, edges, tables, write)
}

#[test]
fn every_call_is_carried_out_once_and_answered() {
    let mut cluster = cluster(2);
    let callers = Callers::start(8, |number| cluster.rtmp(number % 2), "room/one");
    for stop in 1..=3 {
        thread::sleep(Duration::from_millis(700));
        cluster.stop_and_restart_origin(0);
        await_restored(&cluster, f64::from(stop) * 4.0);
    }
    callers.finish(10);
}

#[test]
fn streams_go_on_at_the_next_process() {
    let mut cluster = cluster(2);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let mut viewers = [0, 1].map(|edge| Wired::viewer(cluster.rtmp(edge), "live", "cam").0);
    for viewer in &mut viewers {
        viewer.wait_code("NetStream.Play.Start");
        viewer.pictures(40);
    }
    for stop in 1..=2 {
        cluster.stop_and_restart_origin(0);
        await_restored(&cluster, f64::from(stop));
        for viewer in &mut viewers {
            let messages = viewer.pictures(60);
            let times: Vec<_> = of_kind(&messages, wire::VIDEO).collect();
            assert!(times.is_sorted(), "{times:?}");
            let said: Vec<_> = messages.iter().filter_map(Message::code).collect();
            assert!(said.is_empty(), "{said:?}");
        }
    }
    publisher.finish();
    for viewer in &mut viewers {
        viewer.wait_code("NetStream.Play.UnpublishNotify");
    }
}

/// A client that connects while the origin is away is connected by the next process.
#[test]
fn a_client_that_comes_meanwhile_waits_for_the_next_process() {
    let mut cluster = cluster(1);
    let mut first = Wired::session(cluster.rtmp(0), "room/one");
    first.call("now", &[0.0.into()]);
    let rtmp = cluster.rtmp(0);
    let link = cluster.stop_origin(0);
    let second = thread::spawn(move || {
        let mut second = Wired::session(rtmp, "room/one");
        second.call("now", &[0.0.into()]).name()
    });
    thread::sleep(Duration::from_millis(300));
    cluster.start_stopped_origin(0, &link);
    assert_eq!(
        second.join().expect("an answer").as_deref(),
        Some("_result")
    );
    assert_eq!(
        first.call("now", &[1.0.into()]).name().as_deref(),
        Some("_result")
    );
}

fn await_restored(cluster: &Cluster, sessions: f64) {
    for edge in 0..cluster.edges.len() {
        wait::until("sessions go on", PATIENCE, || {
            let metrics = cluster.edge_metrics(edge);
            metrics.sum("tributary_edge_link_sessions_restored_total") >= sessions
        });
    }
}

fn of_kind(messages: &[Message], kind: u8) -> impl Iterator<Item = u32> {
    let of_it = messages.iter().filter(move |it| it.header.kind == kind);
    of_it.map(|it| it.header.timestamp)
}
