//! Services that were written for nginx-rtmp and for SRS decide who publishes and plays, with ffmpeg
//! as the publisher and rtmpdump as the player.

use std::{
    fs,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    clients::{Player, await_stream, publisher_in, refused, tracks},
    cluster::{self, Cluster, TRIBUTARY},
    hook_service::{Asked, HookService, Reply, hooks},
    program::Program,
    wait,
};

const PATIENCE: Duration = Duration::from_secs(20);

const ALL: [&str; 6] = [
    "on_connect",
    "on_disconnect",
    "on_publish",
    "on_publish_done",
    "on_play",
    "on_play_done",
];

/// Plays with rtmpdump until media has come.
fn await_media(cluster: &Cluster, url: &str) {
    let playing = Player::Rtmpdump.start(url, cluster.directory());
    wait::until("rtmpdump has media", PATIENCE, || {
        !playing.so_far().packets.is_empty()
    });
}

fn results(cluster: &Cluster, hook: &str, result: &str) -> f64 {
    let labels = format!("hook=\"{hook}\",result=\"{result}\"");
    let metrics = cluster.edge_metrics(0);
    metrics.with("tributary_edge_hook_requests_total", &labels)
}

/// Ends the edge; as many decisions were allowed as are told as over.
fn end_and_count(cluster: &mut Cluster, service: &HookService, pairs: &[(&str, &str)]) {
    cluster.edges[0].signal(Signal::TERM);
    let status = cluster.edges[0].wait_exit(PATIENCE);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    for (asked, told) in pairs {
        let counts = [asked, told].map(|path| service.asked(path).len());
        assert!(counts[0] > 0, "{asked}");
        assert_eq!(counts[0], counts[1], "{asked} and {told}");
    }
}

#[test]
fn a_service_of_nginx_rtmp_is_asked_as_it_knows_it() {
    let service = HookService::start(|_| Reply::allow());
    let update = service.url("/on_update");
    let more = format!("on_update = \"{update}\"\nupdate_interval = \"1 s\"");
    let table = hooks("ngx", "nginx", &service, &ALL, &more);
    let mut cluster = Cluster::with_applications_and_tables(1, 1, &table, |_| {});
    let url = |name: &str| cluster.url(0, "ngx", name);
    let mut publisher = publisher_in(&cluster, "first", &url("cam?key=a%20b&x"));
    await_stream(&url("cam"));
    // The origin refuses a second publisher of the name, after the service has allowed it.
    refused(
        publisher_in(&cluster, "second", &url("cam")),
        "The name is being published",
    );
    let rtmpdump = Player::Rtmpdump.start(&url("cam?see=1"), cluster.directory());
    wait::until("rtmpdump has media", PATIENCE, || {
        !rtmpdump.so_far().packets.is_empty()
    });
    let updates = |call| {
        let asked = service.asked("/on_update").into_iter();
        asked
            .filter(move |it| it.field("call") == call)
            .collect::<Vec<_>>()
    };
    wait::until("both are asked about again", PATIENCE, || {
        updates("update_publish").len() > 1 && updates("update_play").len() > 1
    });
    assert!(publisher.is_running(), "{}", publisher.log());

    let session = ["app", "flashver", "swfurl", "tcurl", "pageurl", "addr"];
    let own = ["session", "edge", "protocol"];
    let names = |middle: &[&'static str]| [&session[..], middle, &own].concat();
    let first = |path| service.asked(path).remove(0);
    let connect = first("/on_connect");
    assert_eq!(connect.names(), names(&["epoch", "call"]));
    let head = connect.head.to_ascii_lowercase();
    for line in [
        "post /on_connect http/1.1\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "connection: close\r\n",
    ] {
        assert!(head.contains(line), "{line} in {head}");
    }
    let publish = first("/on_publish");
    let expected = names(&["clientid", "call", "name", "type", "key", "x"]);
    assert_eq!(publish.names(), expected);
    // The client's query is as it came.
    assert!(
        publish.body.contains("&type=live&key=a%20b&x&session="),
        "{}",
        publish.body
    );
    let fields = ["app", "addr", "call", "name", "edge", "protocol"];
    let expected = ["ngx", "127.0.0.1", "publish", "cam", "edge0", "rtmp"];
    assert_eq!(fields.map(|name| publish.field(name)), expected);
    assert!(
        publish.field("tcurl").starts_with("rtmp://127.0.0.1:"),
        "{}",
        publish.body
    );
    assert_eq!(publish.field("clientid"), publish.field("session"));
    let plays = service.asked("/on_play");
    let play = plays.iter().find(|it| it.field("see") == "1");
    let play = play.expect("rtmpdump's play");
    let expected = names(&[
        "clientid", "call", "name", "start", "duration", "reset", "see",
    ]);
    assert_eq!(play.names(), expected);
    let update = &updates("update_publish")[1];
    assert_eq!(update.names()[6..9], ["clientid", "call", "time"]);
    assert!(update.field("timestamp") != "0", "{}", update.body);

    drop((publisher, rtmpdump));
    end_and_count(
        &mut cluster,
        &service,
        &[
            ("/on_connect", "/on_disconnect"),
            ("/on_publish", "/on_publish_done"),
            ("/on_play", "/on_play_done"),
        ],
    );
    let done = first("/on_publish_done");
    let expected = names(&["clientid", "call", "name"]);
    let names: Vec<_> = done
        .names()
        .into_iter()
        .filter(|name| !["key", "x", "reason"].contains(name))
        .collect();
    assert_eq!(names, expected);
}

#[test]
fn a_service_of_nginx_rtmp_refuses_and_renames() {
    let service = HookService::start(|asked: &Asked| match (&*asked.path, asked.field("name")) {
        ("/on_publish", "bad") => {
            Reply::header("403 Forbidden", "X-Reason: this key has been sold")
        }
        ("/on_play", "bad") => Reply::status("404 Not Found"),
        ("/on_publish", "cam") | ("/on_play", "watch") => {
            Reply::header("302 Found", "Location: hidden")
        }
        ("/on_play", "relay") => Reply::header("302 Found", "Location: rtmp://127.0.0.1/live/cam"),
        _ => Reply::allow(),
    });
    let table = hooks("ngx", "nginx", &service, &ALL[2..], "");
    let mut cluster = Cluster::with_applications_and_tables(1, 1, &table, |_| {});
    let url = |name: &str| cluster.url(0, "ngx", name);
    refused(
        publisher_in(&cluster, "bad", &url("bad")),
        "this key has been sold",
    );
    assert_eq!(tracks(&url("bad")), Vec::<String>::new());
    let mut publisher = publisher_in(&cluster, "cam", &url("cam"));
    await_stream(&url("hidden"));
    await_media(&cluster, &url("watch"));
    assert_eq!(tracks(&url("relay")), Vec::<String>::new());
    wait::logged(&cluster.origins[0], "a relay was refused");
    assert!(publisher.is_running(), "{}", publisher.log());
    assert_eq!(results(&cluster, "on_publish", "renamed"), 1.0);
    drop(publisher);
    let done = || service.asked("/on_publish_done");
    wait::until("the publish is over", PATIENCE, || done().len() == 1);
    assert_eq!(done()[0].field("name"), "cam", "as the service knows it");
    let count = |path| service.asked(path).len();
    cluster.stop_and_restart_edge(0);
    // Two of the publishes and one of the plays were refused by the service itself.
    assert_eq!(count("/on_publish"), 2);
    assert_eq!(count("/on_play") - 1, count("/on_play_done"));
    let log = cluster.edges[0].log();
    assert!(!log.contains("Location"), "{log}");
}

#[test]
fn a_service_of_srs_is_asked_as_it_knows_it() {
    let service = HookService::start(|asked: &Asked| {
        if asked.body.contains("\"stream\":\"bad\"") {
            return Reply::body("{\"code\":1,\"reason\":\"not on this channel\"}");
        }
        Reply::body(if asked.path == "/on_play" {
            "0"
        } else {
            "{\"code\":0}"
        })
    });
    let table = hooks("srs", "srs", &service, &ALL, "");
    let mut cluster = Cluster::with_applications_and_tables(1, 1, &table, |_| {});
    let url = |name: &str| cluster.url(0, "srs", name);
    refused(
        publisher_in(&cluster, "bad", &url("bad")),
        "not on this channel",
    );
    let mut publisher = publisher_in(&cluster, "cam", &url("cam?token=a"));
    await_media(&cluster, &url("cam"));
    assert!(publisher.is_running(), "{}", publisher.log());
    let keys = |asked: &Asked| -> Vec<String> {
        let body = asked.body.trim_matches(['{', '}']);
        let pairs = body.split(",\"");
        let key = |pair: &str| {
            pair.split("\":")
                .next()
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned()
        };
        pairs.map(key).collect()
    };
    let of_all = [
        "server_id",
        "service_id",
        "action",
        "client_id",
        "ip",
        "vhost",
        "app",
    ];
    let publishes = service.asked("/on_publish");
    let publish = publishes.last().expect("a publish");
    let own = ["tcUrl", "stream", "param", "stream_url", "stream_id"];
    assert_eq!(keys(publish), [&of_all[..], &own].concat());
    for part in [
        "\"action\":\"on_publish\"",
        "\"ip\":\"127.0.0.1\"",
        "\"vhost\":\"__defaultVhost__\"",
        "\"app\":\"srs\"",
        "\"stream\":\"cam\"",
        "\"param\":\"?token=a\"",
        "\"stream_url\":\"/srs/cam\"",
        "\"stream_id\":\"vid-",
    ] {
        assert!(publish.body.contains(part), "{part} in {}", publish.body);
    }
    let head = publish.head.to_ascii_lowercase();
    assert!(
        head.contains("content-type: application/json\r\n"),
        "{head}"
    );
    let connect = &service.asked("/on_connect")[0];
    let own = ["stream", "param", "tcUrl", "pageUrl"];
    assert_eq!(keys(connect), [&of_all[..], &own].concat());
    let play = &service.asked("/on_play")[0];
    let own = [
        "stream",
        "tcUrl",
        "param",
        "pageUrl",
        "stream_url",
        "stream_id",
    ];
    assert_eq!(keys(play), [&of_all[..], &own].concat());
    drop(publisher);
    end_and_count(
        &mut cluster,
        &service,
        &[
            ("/on_connect", "/on_disconnect"),
            ("/on_play", "/on_play_done"),
        ],
    );
    assert_eq!(service.asked("/on_publish_done").len(), 1);
    let close = &service.asked("/on_disconnect")[0];
    let own = ["send_bytes", "recv_bytes"];
    assert_eq!(keys(close), [&of_all[..], &own].concat());
}

#[test]
fn services_that_fail_refuse_or_allow_as_the_application_says() {
    let taken: Arc<Mutex<u64>> = Arc::default();
    let of_service = Arc::clone(&taken);
    let service = HookService::start(move |asked: &Asked| match &*asked.path {
        "/hang" => Reply::Never,
        "/error" => Reply::status("503 Service Unavailable"),
        "/endless" => Reply::Endless(Arc::clone(&of_service)),
        "/loop" => {
            let host = asked.head.to_ascii_lowercase();
            let host = host
                .split("host: ")
                .nth(1)
                .and_then(|it| it.split("\r\n").next());
            let host = host.unwrap_or_default();
            Reply::header("302 Found", &format!("Location: http://{host}/loop"))
        }
        _ => Reply::allow(),
    });
    let mut table = String::new();
    let cases = [
        ("hang", "hook_timeout"),
        ("error", "hook_status"),
        ("endless", "hook_too_long"),
        ("loop", "hook_malformed"),
        ("down", "hook_no_answer"),
    ];
    for (name, _) in cases {
        for on_failure in ["refuse", "allow"] {
            let url = match name {
                "down" => "http://127.0.0.1:1/".to_owned(),
                name => service.url(&format!("/{name}")),
            };
            let done = service.url("/done");
            table += &format!(
                "[applications.{name}_{on_failure}.hooks]\nstyle = \"nginx\"\ntimeout = \"1 s\"\n\
                 on_failure = \"{on_failure}\"\non_publish = \"{url}\"\non_publish_done = \"{done}\"\n"
            );
        }
    }
    let cluster = Cluster::with_applications_and_tables(1, 1, &table, |_| {});
    for (name, result) in cases {
        let began = Instant::now();
        let url = cluster.url(0, &format!("{name}_refuse"), "cam");
        let publisher = publisher_in(&cluster, &format!("{name}-refuse"), &url);
        refused(publisher, "does not answer: try again later");
        assert!(began.elapsed() < Duration::from_secs(8), "{name}");
        assert_eq!(results(&cluster, "on_publish", result), 1.0, "{name}");
        let url = cluster.url(0, &format!("{name}_allow"), "cam");
        let mut publisher = publisher_in(&cluster, &format!("{name}-allow"), &url);
        await_stream(&url);
        assert!(publisher.is_running(), "{}", publisher.log());
    }
    assert_eq!(service.asked("/loop").len(), 2, "no redirect is followed");
    let taken = *taken.lock().expect("the service runs");
    assert!(taken < 32 << 20, "{taken} bytes of an endless answer");
    wait::logged(&cluster.edges[0], "a hook has failed");
    let allowed = || service.asked("/done").len() == cases.len();
    wait::until("each allowed publish is told as over", PATIENCE, allowed);
}

#[test]
fn an_edge_that_ends_says_how_many_done_hooks_it_loses() {
    let service = HookService::start(|asked: &Asked| match &*asked.path {
        "/on_publish" => Reply::allow(),
        _ => Reply::Never,
    });
    let names = ["on_publish", "on_publish_done"];
    let table = hooks("ngx", "nginx", &service, &names, "");
    let mut cluster = Cluster::with_applications_and_tables(1, 1, &table, |_| {});
    let url = cluster.url(0, "ngx", "cam");
    let _publisher = publisher_in(&cluster, "cam", &url);
    await_stream(&url);
    cluster.edges[0].signal(Signal::TERM);
    // The deadline of the cluster's edges is 1 s, and their parts have 3 s more.
    let status = cluster.edges[0].wait_exit(Duration::from_secs(8));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    assert_eq!(service.asked("/on_publish_done").len(), 1);
    let line = wait::logged(&cluster.edges[0], "done-hooks are lost");
    assert!(line.contains("lost=1"), "{line}");
}

/// A service in Python, by HTTPS, in the style json: only `alice` publishes, under another name.
const JSON_SERVICE: &str = r#"
import json, ssl
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Service(BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = {"allow": asked.get("name_query") == "who=alice", "reason": "you are not alice"}
        if answer["allow"]:
            answer |= {"user": "alice", "name": asked["name"] + "-of-alice"}
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("main/server.pem", "main/server.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
print(f"listening service=127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
"#;

/// Starts a program in Python that prints its address as ours do.
fn python(directory: &Path, name: &str, text: &str) -> Program {
    let file = directory.join(format!("{name}.py"));
    fs::write(&file, text).expect("a file of the test");
    let mut command = Command::new("python3");
    command.arg(&file).current_dir(directory);
    let mut program = Program::spawn(name, &mut command, directory);
    program.await_listening();
    program
}

/// An edge of the cluster's origin, with these hooks for `live` and these variables.
fn edge(cluster: &Cluster, name: &str, hooks: &str, variables: &[(&str, &str)]) -> Program {
    let directory = cluster.directory();
    let common = fs::read_to_string(directory.join("node.toml")).expect("a configuration");
    let file = format!("{name}.toml");
    fs::write(directory.join(&file), format!("{common}\n{hooks}")).expect("a file");
    let arguments = cluster.edge_arguments("127.0.0.1:0", &file);
    let executable = Path::new(TRIBUTARY);
    let edge = Program::tributary_with(name, executable, directory, &arguments, variables);
    cluster::await_links(&edge, 1);
    edge
}

#[test]
fn a_service_by_https_is_trusted_by_its_certificate() {
    let cluster = Cluster::with_certificates("\"rtmps\"");
    let service = python(cluster.directory(), "service", JSON_SERVICE);
    let hooks = format!(
        "[applications.live.hooks]\non_publish = \"https://{}/\"\n",
        service.address("service")
    );
    let roots = cluster.directory().join("public/ca.pem");
    let roots = [("SSL_CERT_FILE", roots.to_str().expect("a path of ours"))];
    for (name, variables, text) in [
        ("trusting", &roots[..], "you are not alice"),
        ("strange", &[], "does not answer: try again later"),
    ] {
        let edge = edge(&cluster, name, &hooks, variables);
        let url = |stream: &str| format!("rtmp://{}/live/{stream}", edge.address("rtmp"));
        refused(
            publisher_in(&cluster, &format!("{name}-bob"), &url("cam?who=bob")),
            text,
        );
        if variables.is_empty() {
            let line = wait::logged(&edge, "a hook has failed");
            assert!(line.contains("certificate"), "{line}");
            continue;
        }
        let mut publisher = publisher_in(&cluster, "alice", &url("cam?who=alice"));
        await_stream(&url("cam-of-alice"));
        assert!(publisher.is_running(), "{}", publisher.log());
    }
}

#[test]
fn the_example_of_a_service_lets_alice_publish() {
    let docs = include_str!("../../docs/operations.md");
    let example = docs.split("```python\n").nth(1).expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let (example, _) = example
        .rsplit_once("ThreadingHTTPServer(")
        .expect("its last line");
    let text = format!(
        "{example}\nserver = ThreadingHTTPServer((\"127.0.0.1\", 0), Service)\n\
         print(f\"listening service=127.0.0.1:{{server.server_address[1]}}\", flush=True)\n\
         server.serve_forever()\n"
    );
    let cluster = Cluster::start(1, 1);
    let directory = cluster.directory();
    fs::write(directory.join("users"), "alice:s3cr3t\nbob:s3cr3t\n").expect("a file of the test");
    let service = python(directory, "service", &text);
    let address = service.address("service");
    let hooks = format!(
        "[applications.live.hooks]\nstyle = \"nginx\"\non_publish = \"http://{address}/\"\n\
         on_publish_done = \"http://{address}/\"\n\
         [applications.live.encoders]\nusers_file = \"users\"\n"
    );
    let edge = edge(&cluster, "example", &hooks, &[]);
    let url = |user: &str| format!("rtmp://{user}:s3cr3t@{}/live/cam", edge.address("rtmp"));
    refused(
        publisher_in(&cluster, "bob", &url("bob")),
        "only alice may publish",
    );
    let mut publisher = publisher_in(&cluster, "alice", &url("alice"));
    await_stream(&format!("rtmp://{}/live/cam", edge.address("rtmp")));
    assert!(publisher.is_running(), "{}", publisher.log());
}
