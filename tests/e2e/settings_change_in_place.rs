//! A node reads its configuration again: all of it or nothing, and its clients stay.

use std::{
    fs,
    process::{Command, Output},
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, endless_publisher, publisher_in, tracks},
    cluster::{Cluster, TRIBUTARY},
    http::Metrics,
    media::clip,
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
