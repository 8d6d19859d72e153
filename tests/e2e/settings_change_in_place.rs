//! A node reads its configuration again: all of it or nothing, and its clients stay.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, await_stream, endless_publisher, publisher_in, tracks},
    cluster::{Cluster, TRIBUTARY},
    http::Metrics,
    media::{Kind, clip},
    nginx_rtmp::Nginx,
    port::free,
    program::Program,
    wait,
};

/// The file with the edge's token, in the cluster's directory.
const TOKEN: &str = "edge-token";

/// The output of a reload that has changed no setting.
const SAME: &str = "no setting has changed; the files that they name have been read again\n";

/// A bound that no step reaches.
const WITHIN: Duration = Duration::from_secs(30);

/// An edge of the cluster's origin whose admin API has a token.
fn edge(cluster: &Cluster) -> Program {
    cluster.write_token(TOKEN, "0123456789abcdef0123456789abcdef\n");
    cluster.edge_with("reloading", &[], &[("TRIBUTARY_ADMIN_TOKEN_FILE", TOKEN)])
}

/// `tributary reload` in the cluster's directory.
fn reload(cluster: &Cluster, arguments: &[&str]) -> Output {
    let mut command = Command::new(TRIBUTARY);
    command.arg("reload").args(arguments);
    let output = command.current_dir(cluster.directory()).output();
    output.expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Changes the configuration of all nodes; nothing reads it yet.
fn change(cluster: &Cluster, from: &str, to: &str) {
    let file = cluster.directory().join("node.toml");
    let text = fs::read_to_string(&file).expect("a configuration");
    assert!(text.contains(from), "{text}");
    fs::write(&file, text.replacen(from, to, 1)).expect("a configuration");
}

#[test]
fn an_edge_takes_what_it_can_and_refuses_mistakes_as_a_whole() {
    let cluster = Cluster::start(1, 1);
    let edge = edge(&cluster);
    let (rtmp, admin) = (edge.address("rtmp"), edge.address("admin").to_string());
    let _publisher =
        endless_publisher(&cluster.url(0, "live", "clip"), clip(), cluster.directory());
    let url = format!("rtmp://{rtmp}/live/clip");
    let mut playing = Player::Ffmpeg.start(&url, cluster.directory());
    let metrics = || Metrics::scrape(edge.address("admin"));
    wait::until("the clip is played", WITHIN, || {
        metrics().sum("tributary_edge_viewers") == 1.0
    });
    let command = ["--admin", &admin, "--token", TOKEN];

    // The same file changes nothing.
    assert_eq!(out(&reload(&cluster, &command)), SAME);

    // A mistake anywhere, and nothing changes.
    let (good, denied) = (
        "[applications.counter]",
        "[applications.live.access]\ndeny = [\"127.0.0.0/8\"]\n[applications.counter]",
    );
    change(&cluster, good, denied);
    change(&cluster, "[edge]", "[edge]\nmax_lag = \"1 h\"\nworker = 3");
    let refused = reload(&cluster, &command);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    for expected in ["edge.max_lag", "edge.worker", "stays in force"] {
        assert!(text.contains(expected), "no {expected} in {text}");
    }
    assert!(!tracks(&url).is_empty(), "the list is not in force");

    // SIGHUP: the list concerns new clients, and the threads need a new process.
    change(
        &cluster,
        "max_lag = \"1 h\"\nworker = 3",
        "max_lag = \"3 s\"\nworkers = 3",
    );
    edge.signal(Signal::HUP);
    wait::until("the configuration is read", WITHIN, || {
        edge.log().contains("edge.workers")
    });
    let log = edge.log();
    for expected in [
        "setting changed setting=\"applications.live.access.deny\"",
        "setting changed setting=\"edge.max_lag\"",
        "setting changes with a new process only setting=\"edge.workers\"",
    ] {
        assert!(log.contains(expected), "no {expected} in\n{log}");
    }
    assert!(tracks(&url).is_empty(), "new clients are refused");
    assert!(playing.is_running(), "the viewer stays");

    // The key that needs a new process is named again, and the rest is in force.
    let again = format!("{SAME}needs a new process: edge.workers\n");
    assert_eq!(out(&reload(&cluster, &command)), again);
    change(&cluster, denied, good);
    let changed = out(&reload(&cluster, &command));
    assert!(
        changed.contains("changed: applications.live.access.deny"),
        "{changed}"
    );
    assert!(!tracks(&url).is_empty(), "new clients are served again");
    let got = playing.finish(WITHIN);
    assert!(got.frames().count() > 0);
}

#[test]
fn an_origins_groups_follow_its_settings() {
    let cluster = Cluster::with_data(1, 1, "");
    let publish = |name: &str| publisher_in(&cluster, name, &cluster.url(0, "live", name));
    let is_there = |name: &str| !tracks(&cluster.url(0, "live", name)).is_empty();
    let mut first = publish("first");
    wait::until("the stream is there", WITHIN, || is_there("first"));

    let (data, admin) = (
        "origin0-data",
        cluster.origins[0].address("admin").to_string(),
    );
    let command = ["--admin", &admin, "--data", data];
    assert_eq!(out(&reload(&cluster, &command)), SAME);
    change(
        &cluster,
        "[applications.live]",
        "[applications.live]\npublish_token = \"s3cret\"",
    );
    let changed = out(&reload(&cluster, &command));
    assert_eq!(changed, "changed: applications.live.publish_token\n");
    let log = cluster.origins[0].log();
    assert!(!log.contains("s3cret"), "{log}");

    // The group runs on, with the new token.
    let mut second = publish("second");
    let status = second.wait_exit(WITHIN).expect("ffmpeg ends");
    assert!(!status.success(), "{}", second.log());
    let with_token = publish("third?token=s3cret");
    wait::until("the stream is there", WITHIN, || is_there("third"));
    assert!(first.is_running(), "{}", first.log());
    drop(with_token);
}

/// The relays of an origin in a state.
fn relays(cluster: &Cluster, state: &str) -> f64 {
    let label = format!("state=\"{state}\"");
    let metrics = cluster.origin_metrics(0);
    metrics.with("tributary_origin_relays", &label)
}

fn await_running(cluster: &Cluster, relays_running: f64) {
    wait::until("the relays are running", WITHIN, || {
        relays(cluster, "running") == relays_running
    });
}

#[test]
fn pushes_and_pulls_begin_move_and_end_with_the_settings() {
    let cluster = Cluster::with_data(1, 1, "");
    let servers = ["one", "two"].map(|name| {
        let place = cluster.directory().join(name);
        fs::create_dir(&place).expect("a new directory");
        (Nginx::start(free(), &place), place)
    });
    let [one, two] = [&servers[0].0, &servers[1].0];
    let _far = servers
        .each_ref()
        .map(|(server, place)| endless_publisher(&server.url("far"), clip(), place));
    let admin = cluster.origins[0].address("admin").to_string();
    let command = ["--admin", &admin, "--data", "origin0-data"];
    let reload = || out(&reload(&cluster, &command));

    // A pull comes, without any client.
    let pull = |server: &Nginx| {
        format!(
            "[[applications.live.pull]]\nurl = \"{}\"\nstream = \"far\"\n",
            server.url("far")
        )
    };
    let table = "[applications.counter]";
    let with = |tables: &str| format!("{tables}{table}");
    change(&cluster, table, &with(&pull(one)));
    assert_eq!(reload(), "changed: applications.live.pull\n");
    await_running(&cluster, 1.0);
    // It moves to another server, and its viewer stays.
    let mut viewer = Player::Ffmpeg.start(&cluster.url(0, "live", "far"), cluster.directory());
    let frames =
        |viewer: &crate::support::clients::Playing| viewer.so_far().of(Kind::Video).count();
    wait::until("the viewer has media", WITHIN, || frames(&viewer) > 30);
    change(&cluster, &pull(one), &pull(two));
    assert_eq!(reload(), "changed: applications.live.pull.0.url\n");
    wait::logged(
        &cluster.origins[0],
        &format!("rtmp://{}/app\" state=\"running\"", two.address),
    );
    let before = frames(&viewer);
    wait::until("more media comes", WITHIN, || frames(&viewer) > before + 60);
    assert!(viewer.is_running(), "the viewer stays");

    // A push begins under a stream that is on air, and moves.
    let push = |server: &Nginx| {
        format!(
            "[[applications.live.push]]\nurl = \"{}\"\nstreams = \"far\"\n",
            server.url("pushed?key=s3cret")
        )
    };
    change(&cluster, table, &with(&push(one)));
    assert_eq!(reload(), "changed: applications.live.push\n");
    await_stream(&one.url("pushed"));
    change(&cluster, &push(one), &push(two));
    assert_eq!(reload(), "changed: applications.live.push.0.url\n");
    await_stream(&two.url("pushed"));
    await_running(&cluster, 2.0);

    // Both end at once.
    change(&cluster, &(pull(two) + &push(two)), "");
    let changed = reload();
    assert!(
        changed.contains("changed: applications.live.pull\n"),
        "{changed}"
    );
    wait::until("there are no relays", WITHIN, || {
        cluster.origin_metrics(0).sum("tributary_origin_relays") == 0.0
    });
    let log = cluster.origins[0].log();
    assert!(!log.contains("s3cret"), "{log}");
    assert!(!log.contains("with a new process only"), "{log}");
}
