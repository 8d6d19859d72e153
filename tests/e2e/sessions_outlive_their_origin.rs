//! In a cluster, clients keep their connection when their origin's process is killed and starts again:
//! streams go on, calls are answered or fail once, shared objects keep their slots.

use std::{
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    clients::{
        Player, publisher_of,
        wired::{PATIENCE, Wired},
    },
    cluster::{Cluster, stop},
    media::{Kind, clip},
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Amf, Message},
};

/// One origin in a cluster, with this script as the application `room`.
fn cluster(edges: usize, script: &str) -> Cluster {
    let tables = "[cluster]\nname = \"lab\"\n";
    let write = |apps: &Path| {
        let room = apps.join("room");
        fs::create_dir(&room).expect("a directory");
        fs::write(room.join("main.asc"), script).expect("a script");
    };
    Cluster::with_applications_and_tables(1, edges, tables, write)
}

fn restored(cluster: &Cluster, edge: usize) -> f64 {
    let metrics = cluster.edge_metrics(edge);
    metrics.sum("tributary_edge_link_sessions_restored_total")
}

fn await_restored(cluster: &Cluster, edge: usize, sessions: f64) {
    wait::until("sessions go on", PATIENCE, || {
        restored(cluster, edge) >= sessions
    });
}

fn assert_goes_on(messages: &[Message]) {
    let times = |kind: u8| {
        let of_kind = messages.iter().filter(move |it| it.header.kind == kind);
        of_kind.map(|it| it.header.timestamp).collect::<Vec<_>>()
    };
    for kind in [wire::VIDEO, wire::AUDIO] {
        let times = times(kind);
        assert!(
            times.is_sorted(),
            "the time of kind {kind} goes back: {times:?}"
        );
    }
    let said: Vec<_> = messages.iter().filter_map(Message::code).collect();
    assert!(said.is_empty(), "statuses: {said:?}");
}

#[test]
fn streams_go_on_behind_the_connections_of_a_killed_origin() {
    let mut cluster = cluster(2, "");
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let (mut here, _) = Wired::viewer(cluster.rtmp(0), "live", "cam");
    let (mut there, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
    let (mut waiting, _) = Wired::viewer(cluster.rtmp(1), "live", "later");
    for viewer in [&mut here, &mut there] {
        viewer.wait_code("NetStream.Play.Start");
        viewer.pictures(40);
    }
    waiting.wait_code("NetStream.Play.Start");

    cluster.restart_origin(0);
    await_restored(&cluster, 0, 2.0);
    await_restored(&cluster, 1, 2.0);
    for viewer in [&mut here, &mut there] {
        assert_goes_on(&viewer.pictures(90));
    }
    // A play that waits is there too.
    let later = Synthetic::start(cluster.rtmp(0), "live", "later", Codec::Avc, 1000);
    waiting.wait_code("NetStream.Play.PublishNotify");
    waiting.pictures(10);
    later.finish();

    // And again.
    cluster.restart_origin(0);
    await_restored(&cluster, 1, 4.0);
    for viewer in [&mut here, &mut there] {
        assert_goes_on(&viewer.pictures(90));
    }
    publisher.finish();
    here.wait_code("NetStream.Play.UnpublishNotify");
    there.wait_code("NetStream.Play.UnpublishNotify");
}

#[test]
fn encoders_and_players_do_not_notice_a_killed_origin() {
    let mut cluster = cluster(2, "");
    let url = cluster.url(0, "live", "clip?publisher=one");
    let players = [Player::Ffmpeg, Player::Rtmpdump];
    let playing =
        players.map(|player| player.start(&cluster.url(1, "live", "clip"), cluster.directory()));
    let publisher = publisher_of(&url, clip(), &[], cluster.directory());
    thread::sleep(Duration::from_secs(5));
    cluster.restart_origin(0);
    await_restored(&cluster, 1, 2.0);
    thread::sleep(Duration::from_secs(5));
    drop(publisher);
    for playing in playing {
        let played = playing.finish(Duration::from_secs(20));
        played.assert_time_never_goes_back();
        let times: Vec<_> = played.of(Kind::Video).map(|it| it.timestamp).collect();
        let span = times[times.len() - 1] - times[0];
        let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
        eprintln!("{} frames in {span} ms, gap {gap:?}", times.len());
        assert!(span > 7_000, "{span} ms of video in 10 s");
        assert!(gap <= Some(45), "a gap of {gap:?} ms: {times:?}");
    }
}

#[test]
fn calls_are_answered_or_fail_once() {
    let mut cluster = cluster(1, SCRIPT);
    let mut counter = Wired::session(cluster.rtmp(0), "counter/one");
    let mut room = Wired::session(cluster.rtmp(0), "room/one");
    let answer = room.call("visits", &[]);
    assert_eq!(answer.values().get(3), Some(&Amf::from("first")));
    let mut asking = Wired::session(cluster.rtmp(0), "room/one");
    // The script never answers this call.
    let open = asking.send_call("slow", &[]).expect("an open connection");
    asking.call("visits", &[]);
    cluster.origins[0].kill();
    // The edge has sent this one when it notices that the origin is gone: nobody knows its fate.
    let sent = counter.send_call("echo", &["lost".into()]);
    let sent = sent.expect("an open connection");
    wait::logged(&cluster.edges[0], "link lost");
    let waiting = counter.send_call("count", &[1.0.into()]);
    let waiting = waiting.expect("an open connection");
    cluster.restart_origin(0);
    let failed = counter.wait(PATIENCE, |message| answers_to(message, sent));
    assert_eq!(failed.expect("an answer").code().as_deref(), Some(FAILED));
    let answer = counter.wait(PATIENCE, |message| answers_to(message, waiting));
    assert_eq!(
        answer.expect("an answer").name().as_deref(),
        Some("_result")
    );
    let failed = asking.wait(PATIENCE, |message| answers_to(message, open));
    let failed = failed.expect("an answer");
    assert_eq!(failed.name().as_deref(), Some("_error"));
    assert_eq!(failed.code().as_deref(), Some(FAILED));
    // The script is asked about each client again, and knows what each was to remember.
    let answer = room.call("visits", &[]);
    assert_eq!(
        answer.values().get(3),
        Some(&Amf::from("crashed, onRestore crashed, ann"))
    );
    for number in 2..20 {
        let answer = counter.call("count", &[f64::from(number).into()]);
        assert_eq!(answer.name().as_deref(), Some("_result"));
    }
    let answer = counter.call("report", &[]);
    let report = answer.values();
    let field = |name: &str| report[3].field(name).and_then(Amf::number);
    assert_eq!(
        (field("calls"), field("duplicates")),
        (Some(19.0), Some(0.0))
    );
}

const FAILED: &str = "NetConnection.Call.Failed";

const SCRIPT: &str = "
    var how = '';
    application.onRestore = function (info) { how = ', onRestore ' + info.how; };
    application.onConnect = function (client) {
        client.visits = function () {
            if (!client.restored) { client.remember({ name: 'ann' }); return 'first'; }
            return client.restored + how + ', ' + client.remembered.name;
        };
        client.slow = function () { return new Promise(function () {}); };
        return true;
    };
";

fn answers_to(message: &Message, transaction: f64) -> bool {
    crate::support::clients::wired::answers(message) == Some(transaction)
}

/// The edge that comes back first does not make the names of the other's publishers free.
#[test]
fn an_edge_that_comes_back_late_finds_its_names() {
    let mut cluster = cluster(2, "");
    let publisher = Synthetic::start(cluster.rtmp(1), "live", "late", Codec::Avc, 1000);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(0), "live", "late");
    viewer.pictures(30);
    cluster.origins[0].kill();
    let begun = Instant::now();
    stop(&cluster.edges[1]);
    cluster.restart_origin(0);
    // Somebody else tries to take the name meanwhile.
    let rtmp = cluster.rtmp(0);
    let other = thread::spawn(move || {
        let mut other = Wired::session(rtmp, "live");
        let stream = other.create_stream();
        other.publish(stream, "late")
    });
    thread::sleep(Duration::from_millis(1200).saturating_sub(begun.elapsed()));
    cluster.edges[1].signal(Signal::CONT);
    let answer = other.join().expect("an answer");
    assert_eq!(answer, "NetStream.Publish.BadName");
    assert_goes_on(&viewer.pictures(60));
    publisher.finish();
}
