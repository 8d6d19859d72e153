//! `tributary edge --replace`: another process takes the sockets and the clients of an edge.

use std::{
    fs::{self, Permissions},
    net::SocketAddr,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    clients::{
        Player, Playing, Publisher, both,
        calls::Callers,
        carrier::{ws, wss},
        endless_publisher, ours,
        wired::Wired,
    },
    cluster::{Cluster, TRIBUTARY},
    http,
    media::{Kind, clip, compare},
    program::Program,
    wait,
};

/// A bound that no step reaches.
const WITHIN: Duration = Duration::from_secs(40);

/// Clients that call without pause.
const CALLERS: usize = 10;

/// The socket on which replacements are asked for, in the cluster's directory.
const HANDOVER: &str = "handover.sock";

fn edge(cluster: &Cluster, name: &str, more: &[&str]) -> Program {
    let variables = [
        ("TRIBUTARY_EDGE_HANDOVER", HANDOVER),
        ("TRIBUTARY_EDGE_DRAIN_LINGER", "0 s"),
        ("TRIBUTARY_EDGE_DRAIN_DEADLINE", "5 s"),
    ];
    cluster.edge_with(name, more, &variables)
}

/// Clients that connect one after the other, until they are stopped.
struct Comers {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

impl Comers {
    fn start(server: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let served = Arc::new(AtomicUsize::new(0));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&served));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // A refused connection, or one without an answer, fails the test.
                let client = Wired::session(server, "live");
                count.fetch_add(1, Ordering::Relaxed);
                drop(client);
            }
        });
        Self {
            stop,
            served,
            thread,
        }
    }

    fn await_some(&self) {
        let before = self.served.load(Ordering::Relaxed);
        wait::until("more clients are served", WITHIN, || {
            self.thread.is_finished() || self.served.load(Ordering::Relaxed) > before + 10
        });
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no client was refused");
    }
}

#[test]
fn clients_notice_nothing_while_edges_replace_each_other() {
    let cluster = Cluster::start(1, 1);
    let mut running = edge(&cluster, "first", &[]);
    let (rtmp, admin) = (running.address("rtmp"), running.address("admin"));
    let url = format!("rtmp://{rtmp}/live/clip");
    let mut publisher = endless_publisher(&url, clip(), cluster.directory());
    let mut player = Player::Ffmpeg.start(&url, cluster.directory());
    let callers = Callers::start(rtmp, "counter/replaced", CALLERS);
    let comers = Comers::start(rtmp);
    for name in ["second", "third", "fourth"] {
        let (frames, calls) = (video(&player), callers.answered());
        wait::until("media comes, and calls are answered", WITHIN, || {
            video(&player) > frames + 30 && callers.answered() > calls + 100
        });
        comers.await_some();
        let next = edge(&cluster, name, &["--replace"]);
        assert_eq!(next.address("rtmp"), rtmp);
        assert_eq!(next.address("admin"), admin);
        comers.await_some();
        // It has no clients left.
        let status = running.wait_exit(WITHIN);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        let log = running.log();
        assert!(
            log.contains("another process serves in place of this one"),
            "{log}"
        );
        assert!(matches!(http::get(admin, "/readyz"), Some((200, _))));
        running = next;
    }
    // A viewer that comes afterwards gets what it needs to decode.
    let (mut late, _) = Wired::viewer(rtmp, "live", "clip");
    let got = late.record(WITHIN, |_, got| got.of(Kind::Video).count() > 60);
    let first: Vec<_> = got.frames().take(12).collect();
    assert!(got.of(Kind::Video).count() > 60, "{first:?}");
    let (frames, calls) = (video(&player), callers.answered());
    wait::until("all goes on", WITHIN, || {
        video(&player) > frames + 60 && callers.answered() > calls + 100
    });
    comers.end();
    for calls in callers.finish() {
        assert_eq!(calls.counted, calls.made, "each call is executed once");
        assert_eq!(calls.wrong, 0, "none twice, none skipped");
    }
    assert!(publisher.is_running(), "{}", publisher.log());
    assert!(player.is_running(), "the player stays");
    let played = player.so_far();
    played.assert_time_never_goes_back();
    // Frames are 33 ms apart, and a little more where the clip begins anew: nothing is missing.
    let video: Vec<_> = played.of(Kind::Video).collect();
    for pair in video.windows(2) {
        let gap = pair[1].timestamp - pair[0].timestamp;
        assert!(gap <= 100, "{:?} comes after {:?}", pair[1], pair[0]);
    }
}

#[test]
fn clients_of_every_transport_get_the_same_media_through_replacements() {
    let protocols = "\"rtmp\", \"rtmps\", \"rtmpt\", \"rtmpts\", \"ws\", \"wss\"";
    let cluster = Cluster::with_certificates(protocols);
    for publisher_by in ["rtmp", "rtmps", "rtmpt", "rtmpts"] {
        let running = lasting_edge(&cluster, &format!("{publisher_by}-old"), &[]);
        let server = running.address("rtmpt");
        let name = format!("by-{publisher_by}");
        let players = [
            (Player::Ffmpeg, "rtmp"),
            (Player::Ffmpeg, "rtmps"),
            (Player::Ffmpeg, "rtmpt"),
            (Player::Ffmpeg, "rtmpts"),
            (Player::Rtmpdump, "rtmpt"),
            (Player::Gstreamer, "rtmps"),
        ];
        let playing = players.map(|(player, by)| {
            let directory = cluster.directory().join(format!("{name}-{player:?}-{by}"));
            fs::create_dir(&directory).expect("a new directory");
            let url = format!("{by}://{server}/live/{name}");
            (player, by, player.start(&url, &directory))
        });
        let url = format!("rtmp://{server}/live/{name}");
        let ca = cluster.directory().join("public/ca.pem");
        let in_sockets = [false, true].map(|over_tls| {
            let (url, ca) = (url.clone(), ca.clone());
            thread::spawn(move || {
                let carrier = match over_tls {
                    true => wss(server, &ca),
                    false => ws(server),
                };
                ours::play_over(carrier, &url)
            })
        });
        let published = format!("{publisher_by}://{server}/live/{name}");
        let publishing = Publisher::Ffmpeg.start(&published, clip(), cluster.directory());
        let (_, _, first) = &playing[0];
        // A connection with TLS goes on through the process that has its keys, also when the
        // session moves again.
        let mut edges = vec![running];
        for (count, frames) in [45, 120].into_iter().enumerate() {
            wait::until("media comes", WITHIN, || video(first) > frames);
            let name = format!("{publisher_by}-{count}");
            edges.push(lasting_edge(&cluster, &name, &["--replace"]));
        }
        publishing.finish(WITHIN);
        let sent = Publisher::Ffmpeg.sends(clip(), cluster.directory());
        for (player, by, playing) in playing {
            let got = playing.finish(Duration::from_secs(6));
            compare(&sent, &got, both(Publisher::Ffmpeg, player))
                .unwrap_or_else(|fault| panic!("{publisher_by} to {player:?} by {by}: {fault}"));
        }
        for (playing, by) in in_sockets.into_iter().zip(["ws", "wss"]) {
            let got = playing.join().expect("it plays");
            compare(&sent, &got, both(Publisher::Ffmpeg, Player::Ours))
                .unwrap_or_else(|fault| panic!("{publisher_by} by {by}: {fault}"));
        }
        // They have no connection left, also none with TLS.
        for edge in edges.iter_mut().take(2) {
            let status = edge.wait_exit(WITHIN);
            assert!(status.is_some_and(|status| status.success()), "{status:?}");
        }
    }
}

/// An edge that keeps connections with TLS for longer than the test takes.
fn lasting_edge(cluster: &Cluster, name: &str, more: &[&str]) -> Program {
    let variables = [
        ("TRIBUTARY_EDGE_HANDOVER", HANDOVER),
        ("TRIBUTARY_EDGE_DRAIN_LINGER", "0 s"),
        ("TRIBUTARY_EDGE_DRAIN_DEADLINE", "60 s"),
    ];
    cluster.edge_with(name, more, &variables)
}

fn video(playing: &Playing) -> usize {
    playing.so_far().of(Kind::Video).count()
}

#[test]
fn an_edge_stays_when_its_successor_fails_or_is_a_stranger() {
    let cluster = Cluster::start(1, 1);
    let mut running = edge(&cluster, "running", &[]);
    let rtmp = running.address("rtmp");
    // The successor has the sockets already when its own configuration fails it.
    let mut command = Command::new(TRIBUTARY);
    command
        .args(["edge", "--replace", "--cert=edge0", "--rtmp=127.0.0.1:0"])
        .args(["--origin=a:1", "--admin=127.0.0.1:0"])
        .env("TRIBUTARY_ADMIN_TOKEN_FILE", "missing")
        .env("TRIBUTARY_EDGE_HANDOVER", HANDOVER)
        .current_dir(cluster.directory());
    let failed = command.output().expect("the program runs");
    assert!(!failed.status.success(), "{failed:?}");
    wait::until("the edge has noticed", WITHIN, || {
        running
            .log()
            .contains("this edge is not replaced; it goes on serving")
    });
    Wired::session(rtmp, "live");

    // One without a link accepts nobody, and may end before it has one.
    let arguments = [
        "edge",
        "--replace",
        "--rtmp=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--config=node.toml",
        "--cert=edge0",
        "--origin=origin0@127.0.0.1:9",
    ];
    let variables = [("TRIBUTARY_EDGE_HANDOVER", HANDOVER)];
    let mut unlinked = Program::tributary_with(
        "unlinked",
        Path::new(TRIBUTARY),
        cluster.directory(),
        &arguments,
        &variables,
    );
    assert_eq!(unlinked.address("rtmp"), rtmp);
    for _ in 0..20 {
        Wired::session(rtmp, "live");
    }
    unlinked.signal(Signal::TERM);
    let status = unlinked.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
    Wired::session(rtmp, "live");
    assert!(running.is_running());

    // Another user, even where the socket lets it in.
    let directory = cluster.directory();
    let socket = directory.join(HANDOVER);
    let mode = |path: &Path| fs::metadata(path).expect("a file").permissions().mode() & 0o777;
    assert_eq!(mode(&socket), 0o600);
    for (path, mode) in [(directory, 0o755), (&socket, 0o666)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("an owner");
    }
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.settimeout(20)\n\
                  s.sendall(b'\\0\\0\\0\\x03\\x01\\0\\x01'); print(s.recv(4096))";
    let mut stranger = Command::new("python3");
    stranger.args(["-c", script]).arg(&socket).uid(65_534);
    let told = stranger.output().expect("python runs");
    let said = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        said.contains("the new process is another user"),
        "{said} {told:?}"
    );
    Wired::session(rtmp, "live");

    // There is no edge to replace; and a second edge does not say that it replaces one.
    command = Command::new(TRIBUTARY);
    command
        .args(["edge", "--replace", "--cert=edge0", "--origin=a:1"])
        .env("TRIBUTARY_EDGE_HANDOVER", "other.sock")
        .current_dir(directory);
    let nobody = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(text.contains("other.sock: no edge answers"), "{text}");
    command.env("TRIBUTARY_EDGE_HANDOVER", HANDOVER);
    let mut second = Command::new(TRIBUTARY);
    second
        .args(["edge", "--cert=edge0", "--origin=a:1", "--rtmp=127.0.0.1:0"])
        .env("TRIBUTARY_EDGE_HANDOVER", HANDOVER)
        .current_dir(directory);
    let second = second.output().expect("the program runs");
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(text.contains("start with --replace"), "{text}");

    // An edge that leaves gives nothing away.
    let _held = Wired::session(rtmp, "live");
    running.signal(Signal::TERM);
    wait::until("it leaves", WITHIN, || running.log().contains("leaving;"));
    let late = command.output().expect("the program runs");
    let text = String::from_utf8_lossy(&late.stderr).into_owned();
    assert!(
        text.contains("the running edge refuses: the edge leaves"),
        "{text}"
    );
    let status = running.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}
