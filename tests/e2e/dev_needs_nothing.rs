//! `tributary dev`, `tributary check`, and how a process ends.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{
    clients::{
        endless_publisher,
        wired::{PATIENCE, Wired},
    },
    cluster::{Cluster, TRIBUTARY},
    http::{self, Metrics},
    media::clip,
    program::Program,
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Message},
};

#[test]
fn there_is_something_to_watch_within_seconds() {
    let (dev, _directory) = dev(&[]);
    let (mut viewer, _) = Wired::viewer(dev.address("rtmp"), "live", "sample");
    let got = viewer.record(PATIENCE, |_, recording| {
        recording.frames().count() > 100 && recording.frames().any(|frame| frame.key)
    });
    assert!(got.frames().count() > 100, "the sample plays");
    got.assert_time_never_goes_back();
    let log = dev.log();
    // Lines to paste, and the directory of data that lasts.
    let host = dev.address("rtmp");
    for line in [
        format!("ffplay rtmp://{host}/live/sample"),
        format!("vlc rtmp://{host}/live/sample"),
        format!("-f flv rtmp://{host}/live/test"),
        "./tributary-data".to_owned(),
        "./applications/NAME/main.asc".to_owned(),
    ] {
        assert!(log.contains(&line), "no {line} in:\n{log}");
    }
}

#[test]
fn an_application_put_beside_it_is_found() {
    let (dev, directory) = dev(&["--no-sample"]);
    let folder = directory.path().join("applications/chat");
    fs::create_dir_all(&folder).expect("a folder");
    let script = "application.onConnect = function (client) {\n\
                  client.say = function (text) { return text + \"!\"; };\n\
                  application.acceptConnection(client);\n};\n";
    fs::write(folder.join("main.asc"), script).expect("a script");
    let mut client = wait::some(PATIENCE, || {
        let mut client = Wired::open(dev.address("rtmp")).ok()?;
        let answer = client.connect("chat/room1");
        (answer.name().as_deref() == Some("_result")).then_some(client)
    })
    .expect("the application is there");
    let answer = client.call("say", &["hello".into()]);
    assert_eq!(answer.values().get(3), Some(&"hello!".into()));
}

#[test]
fn without_the_sample_there_is_none() {
    let (dev, _directory) = dev(&["--no-sample"]);
    let (mut viewer, _) = Wired::viewer(dev.address("rtmp"), "live", "sample");
    let media = viewer.wait(Duration::from_secs(2), is_media);
    assert!(media.is_err(), "the name has no publisher");
    let publisher = Synthetic::start(dev.address("rtmp"), "live", "sample", Codec::Avc, 1000);
    viewer.wait(PATIENCE, is_media).expect("now somebody does");
    publisher.finish();
}

#[test]
fn a_taken_port_is_named_with_the_flag_to_change_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("a bound listener").to_string();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let arguments = ["dev", "--rtmp", &address, "--admin", "127.0.0.1:0"];
    let (code, said) = run(&arguments, directory.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("--rtmp"), "{said}");
}

#[test]
fn a_term_signal_ends_it_cleanly() {
    let (mut dev, _directory) = dev(&["--no-sample"]);
    let mut client = Wired::session(dev.address("rtmp"), "live");
    let begun = Instant::now();
    dev.signal(Signal::TERM);
    client.wait_code("NetConnection.Connect.AppShutdown");
    assert!(client.wait_closed(PATIENCE), "the connection is closed");
    let status = dev.wait_exit(PATIENCE).expect("it ends");
    println!("ended after {:?}", begun.elapsed());
    assert_eq!(status.code(), Some(0), "{}", dev.log());
}

#[test]
fn every_process_tells_how_it_is() {
    let mut cluster = Cluster::start(1, 1);
    let client = Wired::session(cluster.rtmp(0), "counter/seen");
    for program in cluster.edges.iter().chain(&cluster.origins) {
        let admin = program.address("admin");
        for path in ["/healthz", "/readyz"] {
            let answer = http::get(admin, path).map(|(status, _)| status);
            assert_eq!(answer, Some(200), "{path}");
        }
        wait::until("the session is counted", PATIENCE, || {
            let metrics = Metrics::scrape(admin);
            let sessions = ["tributary_edge_sessions", "tributary_origin_sessions"];
            sessions.map(|name| metrics.sum(name)).contains(&1.0)
        });
        let metrics = Metrics::scrape(admin);
        assert!(!metrics.names().is_empty(), "{}", metrics.text());
    }
    let zone = "edge=\"edge0\",zone=\"lab\"";
    let capacity = cluster
        .origin_metrics(0)
        .with("tributary_origin_link_capacity", zone);
    assert_eq!(capacity, 100_000.0, "the edge's connections, by its zone");
    drop(client);
    cluster.origins[0].kill();
    let admin = cluster.edges[0].address("admin");
    wait::until("an edge without an origin is not ready", PATIENCE, || {
        matches!(http::get(admin, "/readyz"), Some((503, _)))
    });
    assert_eq!(
        http::get(admin, "/healthz").map(|(status, _)| status),
        Some(200)
    );
    let log = cluster.edges[0].log();
    cluster.edges[0].signal(Signal::TERM);
    let status = cluster.edges[0].wait_exit(PATIENCE);
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{log}");
}

#[test]
fn check_names_every_mistake() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let check = |text: &str| {
        let file = directory.path().join("checked.toml");
        fs::write(&file, text).expect("a file");
        run(&["check", "checked.toml"], directory.path())
    };
    let (code, said) = check("[applications.live]\nbuiltin = \"live\"\nreturn_time = \"7 s\"\n");
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("return_time") && said.contains('7'),
        "what is in force: {said}"
    );

    let (code, said) = check("nonsense = 1\n\n[applications.live]\nreturn_tine = \"7 s\"\n");
    assert_eq!(code, Some(1), "{said}");
    for expected in ["nonsense", "return_tine", "checked.toml:4"] {
        assert!(said.contains(expected), "{expected} in: {said}");
    }
}

#[test]
fn check_takes_an_application_or_a_directory_of_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let apps = directory.path();
    for (name, script) in [("good", "x = 1;"), ("wrong", "x = ;")] {
        fs::create_dir(apps.join(name)).expect("a folder");
        fs::write(apps.join(name).join("main.asc"), script).expect("a script");
    }
    let check = |path: &Path| {
        let path = path.to_str().expect("a path in UTF-8");
        run(&["check", path], apps)
    };
    let (code, said) = check(&apps.join("good"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("good: compiles"), "{said}");
    let (code, said) = check(apps);
    assert_eq!(code, Some(1), "{said}");
    for expected in ["good: compiles", "wrong/main.asc:1: SyntaxError"] {
        assert!(said.contains(expected), "{expected} in: {said}");
    }
    // A script is not reported line by line as wrong TOML.
    let (code, said) = check(&apps.join("good/main.asc"));
    assert_eq!((code, said.lines().count()), (Some(1), 1), "{said}");
    assert!(said.contains("name the application's folder"), "{said}");
}

#[test]
fn wrong_usage_is_answered_with_the_remedy() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let origin = "origin1@127.0.0.1";
    for (arguments, remedy) in [
        (&["origin"][..], "tributary cert issue --role origin"),
        (&["edge", "--origin", origin], "HOST:PORT or NAME@HOST:PORT"),
        (&["dev", "--rtmp", "1935"], "write IP:PORT"),
        (&["dev", "--log", "debgu"], "write a level"),
        (&["dev", "--apps", "nowhere"], "with --apps"),
    ] {
        let (code, said) = run(arguments, directory.path());
        assert_ne!(code, Some(0), "{arguments:?}: {said}");
        assert_eq!(said.matches(remedy).count(), 1, "{arguments:?}: {said}");
    }
}

#[test]
fn stream_keys_stay_out_of_logs_and_metrics() {
    let cluster = Cluster::start(1, 2);
    let key = "hidden-9f41c7";
    let name = format!("keyed?token={key}");
    let publisher = endless_publisher(&cluster.url(0, "live", &name), clip(), cluster.directory());
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", &format!("keyed?ticket={key}"));
    viewer
        .wait(PATIENCE, is_media)
        .expect("the stream plays without its query");
    let refused = Wired::session(cluster.rtmp(0), "live").publish_refused(&name);
    assert!(refused.starts_with("NetStream.Publish."), "{refused}");
    let mut lost = Wired::open(cluster.rtmp(0)).expect("a handshake");
    lost.connect(&format!("nowhere/room?token={key}"));
    let programs = || cluster.edges.iter().chain(&cluster.origins);
    for program in programs() {
        let metrics = Metrics::scrape(program.address("admin"));
        assert!(!metrics.text().contains(key), "a key in the metrics");
    }
    drop((publisher, viewer, lost));
    for program in programs() {
        program.signal(Signal::TERM);
    }
    std::thread::sleep(Duration::from_secs(1));
    for program in programs() {
        let log = program.log();
        let line = log.lines().find(|line| line.contains(key));
        assert_eq!(line, None, "a key in a log");
    }
}

/// Runs the program to its end: its exit code and its output.
fn run(arguments: &[&str], directory: &Path) -> (Option<i32>, String) {
    let mut command = Command::new(TRIBUTARY);
    let output = command.args(arguments).current_dir(directory).output();
    let output = output.expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (output.status.code(), said)
}

fn dev(arguments: &[&str]) -> (Program, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fixed = ["dev", "--rtmp", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let all: Vec<_> = fixed.iter().chain(arguments).copied().collect();
    let program = Program::tributary("dev", Path::new(TRIBUTARY), directory.path(), &all);
    (program, directory)
}

fn is_media(message: &Message) -> bool {
    matches!(message.header.kind, wire::AUDIO | wire::VIDEO)
}
