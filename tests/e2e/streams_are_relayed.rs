//! Streams that an origin pushes to other servers and pulls from them: nginx-rtmp, ffmpeg, and another
//! Tributary by TLS.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{
    clients::{Player, Playing, Publisher, both, endless_publisher, wired::Wired},
    cluster::TRIBUTARY,
    http::Metrics,
    media::{Kind, Likeness, clip, compare},
    nginx_rtmp::{KEPT_BY_NGINX, Nginx},
    port::free,
    program::Program,
    public_ca,
    synthetic::{Codec, Synthetic},
    wait,
};

/// One process with these settings.
struct Site {
    program: Program,
    directory: TempDir,
}

impl Site {
    fn start(tables: &str) -> Self {
        Self::start_with(tables, &[], |_| {})
    }

    fn start_with(tables: &str, variables: &[(&str, &str)], prepare: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        prepare(directory.path());
        fs::write(directory.path().join("dev.toml"), tables).expect("a file");
        let arguments = [
            "dev",
            "--rtmp=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--no-sample",
            "--config=dev.toml",
        ];
        let executable = Path::new(TRIBUTARY);
        let at = directory.path();
        let program = Program::tributary_with("dev", executable, at, &arguments, variables);
        Self { program, directory }
    }

    fn url(&self, name: &str) -> String {
        format!("rtmp://{}/live/{name}", self.program.address("rtmp"))
    }

    /// A new directory for the files of a client.
    fn place(&self, name: &str) -> PathBuf {
        let place = self.directory.path().join(name);
        fs::create_dir_all(&place).expect("a new directory");
        place
    }

    /// How many pushes or pulls are in a state.
    fn relays(&self, state: &str) -> f64 {
        let label = format!("state=\"{state}\"");
        self.metrics().with("tributary_origin_relays", &label)
    }

    fn await_relay(&self, state: &str) {
        wait::until(&format!("a relay is {state}"), PATIENCE, || {
            self.relays(state) > 0.0
        });
    }

    fn metrics(&self) -> Metrics {
        Metrics::scrape(self.program.address("admin"))
    }
}

fn await_more(player: &mut Playing, frames: usize) {
    let before = player.so_far().of(Kind::Video).count();
    wait::until("more media comes", PATIENCE, || {
        player.so_far().of(Kind::Video).count() >= before + frames
    });
    assert!(player.is_running(), "the player stays");
}

fn interrupt(player: Playing) -> crate::support::media::Recording {
    if let Playing::Process { program, .. } = &player {
        program.signal(Signal::INT);
    }
    player.finish(PATIENCE)
}

const PATIENCE: Duration = Duration::from_secs(60);
const CLIP_WITHIN: Duration = Duration::from_secs(40);

#[test]
fn a_push_reaches_nginx_packet_by_packet_and_comes_back_after_nginx_was_gone() {
    let address = free();
    let site = Site::start(&format!(
        "[applications.live]\npublish_from = \"anywhere\"\n\
         [[applications.live.push]]\nurl = \"rtmp://{address}/app/pushed-{{name}}?key=s3cret\"\n\
         streams = [\"cl*\", \"loop\"]\n"
    ));
    site.await_relay("idle");
    let place = site.place("nginx");
    let mut nginx = Nginx::start(address, &place);
    let players = [Player::Ffmpeg, Player::Rtmpdump];
    let playing = players.map(|player| {
        let place = site.place(&format!("{player:?}"));
        (player, player.start(&nginx.url("pushed-clip"), &place))
    });
    // A stream that fits no pattern stays here.
    let _other = endless_publisher(&site.url("other"), clip(), &site.place("other"));
    let publishing = Publisher::Ffmpeg.start(&site.url("clip"), clip(), &site.place("clip"));
    site.await_relay("running");
    assert_eq!(site.relays("running"), 1.0);
    publishing.finish(CLIP_WITHIN);
    site.await_relay("idle");
    let sent = Publisher::Ffmpeg.sends(clip(), site.directory.path());
    for (player, playing) in playing {
        let got = playing.finish(Duration::from_secs(5));
        let like = Likeness {
            missing_at_end: KEPT_BY_NGINX,
            interleaving: false,
            ..both(Publisher::Ffmpeg, player)
        };
        compare(&sent, &got, like).unwrap_or_else(|fault| panic!("{player:?}: {fault}"));
    }

    let _loop = endless_publisher(&site.url("loop"), clip(), &site.place("loop"));
    site.await_relay("running");
    nginx.program.kill();
    site.await_relay("waiting");
    nginx.restart(&place);
    site.await_relay("running");
    let mut player = Player::Ffmpeg.start(&nginx.url("pushed-loop"), &site.place("again"));
    await_more(&mut player, 60);
    let got = interrupt(player);
    assert!(got.of(Kind::Video).next().is_some_and(|first| first.key));
    let metrics = site.metrics();
    assert!(metrics.sum("tributary_origin_relay_failures_total") >= 1.0);
    assert!(metrics.sum("tributary_origin_relay_bytes_total") >= 100_000.0);
    let waits = wait::logged(&site.program, "state=\"waiting\"");
    assert!(waits.contains("next_ms="), "{waits}");
    assert!(
        waits.contains(&format!("rtmp://{address}/app\"")),
        "{waits}"
    );
    assert!(!site.program.log().contains("s3cret"));
    assert!(!metrics.text().contains("s3cret"));
}

#[test]
fn pulls_come_from_nginx_always_or_while_they_are_watched_and_viewers_stay_through_its_restart() {
    let address = free();
    let site = Site::start(&format!(
        "[applications.live]\npublish_from = \"anywhere\"\nreturn_time = \"60 s\"\n\
         [[applications.live.pull]]\nurl = \"rtmp://{address}/app/far\"\nstream = \"always\"\n\
         [[applications.live.pull]]\nurl = \"rtmp://{address}/app/far\"\nstream = \"watched\"\n\
         when = \"watched\"\nlinger = \"1 s\"\n"
    ));
    // No viewer is there: only one dials, and it cannot reach the server.
    site.await_relay("waiting");
    let place = site.place("nginx");
    let mut nginx = Nginx::start(address, &place);
    let players = [Player::Ffmpeg, Player::Rtmpdump];
    let playing = players.map(|player| {
        let place = site.place(&format!("{player:?}"));
        (player, player.start(&site.url("always"), &place))
    });
    wait::until("the pull waits for the stream", PATIENCE, || {
        site.program.log().contains("has no publisher there")
    });
    let publishing = Publisher::Ffmpeg.start(&nginx.url("far"), clip(), &site.place("clip"));
    site.await_relay("running");
    assert_eq!(site.relays("running"), 1.0, "nobody watches the other");
    let viewer = Wired::viewer(site.program.address("rtmp"), "live", "watched");
    wait::until("the other runs as well", PATIENCE, || {
        site.relays("running") == 2.0
    });
    publishing.finish(CLIP_WITHIN);
    let sent = Publisher::Ffmpeg.sends(clip(), site.directory.path());
    let like = |player| Likeness {
        missing_at_end: KEPT_BY_NGINX,
        interleaving: false,
        ..both(Publisher::Ffmpeg, player)
    };
    // nginx does not announce the end: the silence does.
    for (player, playing) in playing {
        let got = playing.finish(Duration::from_secs(12));
        compare(&sent, &got, like(player)).unwrap_or_else(|fault| panic!("{player:?}: {fault}"));
    }
    drop(viewer);

    let endless = endless_publisher(&nginx.url("far"), clip(), &site.place("endless"));
    let mut player = Player::Ffmpeg.start(&site.url("always"), &site.place("stays"));
    await_more(&mut player, 30);
    drop(endless);
    nginx.restart(&place);
    let _endless = endless_publisher(&nginx.url("far"), clip(), &site.place("returned"));
    await_more(&mut player, 60);
    let got = interrupt(player);
    got.assert_time_never_goes_back();
}

#[test]
fn a_watched_pull_ends_after_its_last_viewer() {
    let address = free();
    // The name has an address of IPv6 as well on most machines, where nobody listens.
    let port = address.port();
    let site = Site::start(&format!(
        "[applications.live]\npublish_from = \"anywhere\"\n\
         [[applications.live.pull]]\nurl = \"rtmp://localhost:{port}/app/\"\nstream = \"cam\"\n\
         when = \"watched\"\nlinger = \"1 s\"\n"
    ));
    let nginx = Nginx::start(address, &site.place("nginx"));
    let _publisher = endless_publisher(&nginx.url("cam"), clip(), &site.place("endless"));
    for _ in 0..2 {
        assert_eq!(site.relays("idle"), 1.0);
        let (mut viewer, _) = Wired::viewer(site.program.address("rtmp"), "live", "cam");
        let got = viewer.record(PATIENCE, |_, so_far| so_far.of(Kind::Video).count() == 60);
        assert_eq!(got.of(Kind::Video).count(), 60);
        assert_eq!(site.relays("running"), 1.0);
        drop(viewer);
        site.await_relay("idle");
    }
}

#[test]
fn a_server_that_does_not_read_is_left_and_slows_no_viewer() {
    let address = free();
    let site = Site::start(&format!(
        "[applications.live]\npublish_from = \"anywhere\"\n\
         [[applications.live.push]]\nurl = \"rtmp://{address}/app/\"\n"
    ));
    let nginx = Nginx::start(address, &site.place("nginx"));
    let here = site.program.address("rtmp");
    let (mut viewer, _) = Wired::viewer(here, "live", "cam");
    // Much more than the kernel takes for a process that is stopped.
    let publisher = Synthetic::start(here, "live", "cam", Codec::Avc, 60_000);
    site.await_relay("running");
    nginx.program.signal(Signal::STOP);
    let got = viewer.record(PATIENCE, |_, so_far| {
        so_far.packets.len() % 32 == 0 && site.program.log().contains("The server takes no data.")
    });
    nginx.program.signal(Signal::CONT);
    site.await_relay("running");
    let sent = publisher.finish();
    let like = Likeness {
        missing_at_end: sent.packets.len(),
        ..Likeness::EXACT
    };
    compare(&sent, &got, like).unwrap();
}

#[test]
fn ffmpeg_that_listens_gets_the_whole_stream_and_its_end() {
    let address = free();
    let site = Site::start(&format!(
        "[applications.live]\npublish_from = \"anywhere\"\n\
         [[applications.live.push]]\nurl = \"rtmp://{address}/app/cam\"\nstreams = \"clip\"\n"
    ));
    let file = site.directory.path().join("got.flv");
    let mut command = Command::new("ffmpeg");
    command
        .args([
            "-hide_banner",
            "-loglevel",
            "error",
            "-y",
            "-listen",
            "1",
            "-i",
        ])
        .arg(format!("rtmp://{address}/app/cam"))
        .args(["-c", "copy", "-f", "flv"])
        .arg(&file);
    let mut far = Program::spawn("far", &mut command, site.directory.path());
    Publisher::Ffmpeg
        .start(&site.url("clip"), clip(), &site.place("clip"))
        .finish(CLIP_WITHIN);
    let status = far.wait_exit(PATIENCE);
    assert!(
        status.is_some_and(|status| status.success()),
        "{}",
        far.log()
    );
    let sent = Publisher::Ffmpeg.sends(clip(), site.directory.path());
    let got = crate::support::media::Recording::read_flv(&file);
    let like = Likeness {
        interleaving: false,
        ..Likeness::EXACT
    };
    compare(&sent, &got, like).unwrap();
}

#[test]
fn a_push_goes_over_tls_and_a_refusal_gives_its_reason() {
    let far = Site::start_with(
        "[applications.live]\npublish_from = \"anywhere\"\n\
         [[edge.listen]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"rtmps\"]\n\
         [tls.main]\ncertificate = \"main/server.pem\"\nkey = \"main/server.key\"\n",
        &[],
        |directory| {
            public_ca::init(directory);
            public_ca::issue(directory, "main.example", "main");
        },
    );
    let address = far.program.address("rtmps");
    let nginx = Nginx::start(free(), &far.place("nginx"));
    let ca = far.directory.path().join("public/ca.pem");
    let trust = [("SSL_CERT_FILE", ca.to_str().expect("a path in UTF-8"))];
    let port = address.port();
    let near = Site::start_with(
        &format!(
            "[applications.live]\npublish_from = \"anywhere\"\n\
             [[applications.live.push]]\nurl = \"rtmps://{address}/live\"\n\
             [[applications.live.push]]\nurl = \"rtmps://localhost:{port}/live/by-name\"\n\
             [[applications.live.push]]\nurl = \"rtmp://{}/closed/\"\n",
            nginx.address
        ),
        &trust,
        |_| {},
    );
    let (mut viewer, _) = Wired::viewer(far.program.address("rtmp"), "live", "cam");
    let publisher = Synthetic::start(
        near.program.address("rtmp"),
        "live",
        "cam",
        Codec::Avc,
        1000,
    );
    let got = viewer.record(PATIENCE, |_, so_far| so_far.of(Kind::Video).count() == 60);
    let sent = publisher.finish();
    let like = Likeness {
        missing_at_end: sent.packets.len(),
        ..Likeness::EXACT
    };
    compare(&sent, &got, like).unwrap();
    let refused = wait::logged(&near.program, "is for another name");
    assert!(
        refused.contains(&format!("rtmps://localhost:{port}/live")),
        "{refused}"
    );
    let label = "/closed\"";
    let failures = near.metrics();
    assert!(failures.with("tributary_origin_relay_failures_total", label) >= 1.0);
}
