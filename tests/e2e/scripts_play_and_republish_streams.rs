//! Scripts mix live streams, publish them elsewhere, and end them, with ffmpeg at both ends.

use std::{fs, path::Path, time::Duration};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{
    clients::{Player, Playing, endless_publisher, wired::Wired},
    cluster::TRIBUTARY,
    media::{Kind, Likeness, clip, compare},
    program::Program,
    public_ca,
    synthetic::{Codec, Synthetic},
    wait,
    wire::Amf,
};

/// A script that mixes streams, copies them elsewhere, and ends them at its clients' request.
const SCRIPT: &str = r#"
application.onAppStart = function() {
    this.told = [];
};
function teller(who) {
    return function(info) { application.told.push(who + " " + info.code); };
}
Client.prototype.show = function(target, source) {
    var mix = Stream.get(target);
    mix.onStatus = teller(target);
    return mix.play(source);
};
Client.prototype.copy = function(source, uri, name) {
    var nc = new NetConnection();
    nc.onStatus = teller("nc");
    nc.connect(uri);
    var ns = new NetStream(nc);
    ns.onStatus = teller("ns");
    ns.attach(Stream.get(source));
    return ns.publish(name, "live");
};
Client.prototype.fetch = function(target, uri, name) {
    var nc = new NetConnection();
    nc.onStatus = teller("nc");
    nc.connect(uri);
    return Stream.get(target).play(name, -1, -1, true, nc);
};
Client.prototype.kick = function(name) { return Stream.get(name).kick("Enough."); };
Client.prototype.told = function() { return application.told.join(); };
"#;

/// One process with an application `mix` that may connect to these servers.
struct Site {
    program: Program,
    directory: TempDir,
}

impl Site {
    fn start(outgoing: &[String]) -> Self {
        Self::start_with(outgoing, &[], |_| String::new())
    }

    /// As [`Self::start`], with the tables that `prepare` makes in the directory, and variables.
    fn start_with(
        outgoing: &[String],
        variables: &[(&str, &str)],
        prepare: impl FnOnce(&Path) -> String,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let tables = prepare(directory.path());
        let folder = directory.path().join("applications").join("mix");
        fs::create_dir_all(&folder).expect("a directory");
        fs::write(folder.join("main.asc"), SCRIPT).expect("a file");
        let configuration = format!("[applications.mix]\noutgoing = {outgoing:?}\n{tables}");
        fs::write(directory.path().join("dev.toml"), configuration).expect("a file");
        let arguments = [
            "dev",
            "--rtmp=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--no-sample",
            "--config=dev.toml",
        ];
        let executable = Path::new(TRIBUTARY);
        let program =
            Program::tributary_with("dev", executable, directory.path(), &arguments, variables);
        Self { program, directory }
    }

    /// A stream's address here.
    fn url(&self, app: &str, name: &str) -> String {
        format!("rtmp://{}/{app}/{name}", self.program.address("rtmp"))
    }

    /// A client that steers the script of an instance.
    fn steer(&self, app: &str) -> Wired {
        Wired::session(self.program.address("rtmp"), app)
    }

    fn publish(&self, app: &str, name: &str) -> Program {
        let directory = self.place(&format!("publish-{name}"));
        endless_publisher(&self.url(app, name), clip(), &directory)
    }

    fn play(&self, app: &str, name: &str) -> Playing {
        Player::Ffmpeg.start(&self.url(app, name), &self.place(&format!("play-{name}")))
    }

    fn place(&self, name: &str) -> std::path::PathBuf {
        let place = self.directory.path().join(name);
        fs::create_dir_all(&place).expect("a new directory");
        place
    }
}

fn ask(steering: &mut Wired, method: &str, arguments: &[&str]) {
    let arguments: Vec<Amf> = arguments.iter().map(|&text| text.into()).collect();
    let answer = steering.call(method, &arguments);
    assert_eq!(answer.name().as_deref(), Some("_result"), "{method}");
}

fn told(steering: &mut Wired) -> String {
    let answer = steering.call("told", &[]);
    match answer.values().pop() {
        Some(Amf::String(told)) => told,
        other => panic!("told: {other:?}"),
    }
}

fn await_more(player: &mut Playing, frames: usize) {
    let before = player.so_far().of(Kind::Video).count();
    wait::until("more media comes", PATIENCE, || {
        player.so_far().of(Kind::Video).count() >= before + frames
    });
    assert!(player.is_running(), "the player stays");
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn ffmpeg_plays_a_mix_through_its_switches() {
    let site = Site::start(&[]);
    let mut steering = site.steer("mix");
    let _a = site.publish("mix", "a");
    let _b = site.publish("mix", "b");
    ask(&mut steering, "show", &["both", "a"]);
    let mut player = site.play("mix", "both");
    await_more(&mut player, 60);
    for source in ["b", "a", "b"] {
        ask(&mut steering, "show", &["both", source]);
        await_more(&mut player, 60);
    }
    ask(&mut steering, "kick", &["both"]);
    let played = player.finish(PATIENCE);
    played.assert_time_never_goes_back();
    let video: Vec<_> = played.of(Kind::Video).collect();
    for pair in video.windows(2) {
        let step = pair[1].timestamp - pair[0].timestamp;
        assert!(
            step <= 100 || pair[1].key,
            "{:?} comes after {:?}",
            pair[1],
            pair[0]
        );
    }
    let said = told(&mut steering);
    assert!(said.contains("both NetStream.Play.Start"), "{said}");
    assert!(said.contains("both NetStream.Play.Stop"), "{said}");
}

#[test]
fn a_script_plays_a_stream_that_had_no_viewers() {
    let site = Site::start(&[]);
    let mut steering = site.steer("mix");
    let address = site.program.address("rtmp");
    let publisher = Synthetic::start(address, "mix", "cam", Codec::Avc, 1000);
    wait::until("more than a second is published", PATIENCE, || {
        publisher.bytes() > 45 * 1200
    });
    let (mut viewer, _) = Wired::viewer(address, "mix", "copy");
    ask(&mut steering, "show", &["copy", "cam"]);
    let got = viewer.record(PATIENCE, |_, so_far| so_far.of(Kind::Video).count() == 60);
    let sent = publisher.finish();
    let like = Likeness {
        missing_at_end: sent.packets.len(),
        ..Likeness::EXACT
    };
    compare(&sent, &got, like).unwrap();
    assert_eq!(got.of(Kind::Video).count(), 60);
}

#[test]
fn a_script_publishes_to_another_instance_and_another_server() {
    let far = Site::start(&[]);
    let address = far.program.address("rtmp");
    let near = Site::start(&[address.to_string()]);
    let mut steering = near.steer("mix");
    let _publisher = near.publish("mix", "cam");
    let elsewhere = format!("rtmp://{address}/mix/there");
    ask(
        &mut steering,
        "copy",
        &["cam", "rtmp://localhost/mix/other", "copied"],
    );
    ask(&mut steering, "copy", &["cam", &elsewhere, "copied"]);
    let mut here = near.play("mix/other", "copied");
    let mut there = far.play("mix/there", "copied");
    await_more(&mut here, 60);
    await_more(&mut there, 60);
    // The stream comes back from the other server under another name.
    ask(&mut steering, "fetch", &["returned", &elsewhere, "copied"]);
    let mut returned = near.play("mix", "returned");
    await_more(&mut returned, 60);
    let said = told(&mut steering);
    ask(&mut steering, "kick", &["returned"]);
    returned.finish(PATIENCE).assert_time_never_goes_back();
    // The copies go on; players end with the streams that the script ends.
    for player in [here, there] {
        if let Playing::Process { program, .. } = &player {
            program.signal(Signal::INT);
        }
        player.finish(PATIENCE).assert_time_never_goes_back();
    }
    assert_eq!(
        said.matches("nc NetConnection.Connect.Success").count(),
        3,
        "{said}"
    );
    assert_eq!(
        said.matches("ns NetStream.Publish.Start").count(),
        2,
        "{said}"
    );
}

#[test]
fn a_script_publishes_over_tls_to_a_server_that_it_trusts() {
    let far = Site::start_with(&[], &[], |directory| {
        public_ca::init(directory);
        public_ca::issue(directory, "main.example", "main");
        "[[edge.listen]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"rtmps\"]\n\
         [tls.main]\ncertificate = \"main/server.pem\"\nkey = \"main/server.key\"\n"
            .to_owned()
    });
    let address = far.program.address("rtmps");
    let ca = far.directory.path().join("public/ca.pem");
    let trust = [("SSL_CERT_FILE", ca.to_str().expect("a path in UTF-8"))];
    let outgoing = [address.to_string(), format!("localhost:{}", address.port())];
    let near = Site::start_with(&outgoing, &trust, |_| String::new());
    let mut steering = near.steer("mix");
    let uri = format!("rtmps://{address}/mix");
    ask(&mut steering, "copy", &["cam", &uri, "copied"]);
    let (mut viewer, _) = Wired::viewer(far.program.address("rtmp"), "mix", "copied");
    let publisher = Synthetic::start(near.program.address("rtmp"), "mix", "cam", Codec::Avc, 1000);
    let got = viewer.record(PATIENCE, |_, so_far| so_far.of(Kind::Video).count() == 60);
    let sent = publisher.finish();
    let like = Likeness {
        missing_at_end: sent.packets.len(),
        ..Likeness::EXACT
    };
    compare(&sent, &got, like).unwrap();
    // The certificate is for 127.0.0.1, and not for this name of the same address.
    let uri = format!("rtmps://localhost:{}/mix", address.port());
    ask(&mut steering, "copy", &["cam", &uri, "copied"]);
    wait::until("the script is notified", PATIENCE, || {
        told(&mut steering).contains("nc NetConnection.Connect.Failed")
    });
    // Without the issuer nothing is sent.
    let stranger = Site::start(&outgoing);
    let mut steering = stranger.steer("mix");
    let uri = format!("rtmps://{address}/mix");
    ask(&mut steering, "copy", &["cam", &uri, "copied"]);
    wait::until("the script is notified", PATIENCE, || {
        told(&mut steering).contains("nc NetConnection.Connect.Failed")
    });
}

#[test]
fn a_kicked_encoder_ends_and_its_viewers_with_it() {
    let site = Site::start(&[]);
    let mut steering = site.steer("mix");
    let mut publisher = site.publish("mix", "cam");
    let mut player = site.play("mix", "cam");
    await_more(&mut player, 30);
    ask(&mut steering, "kick", &["cam"]);
    assert!(publisher.wait_exit(PATIENCE).is_some(), "the encoder ends");
    player.finish(PATIENCE).assert_time_never_goes_back();
}

#[test]
fn a_server_that_is_not_named_is_not_reached() {
    let far = Site::start(&[]);
    let near = Site::start(&[]);
    let mut steering = near.steer("mix");
    let uri = format!("rtmp://{}/mix", far.program.address("rtmp"));
    ask(&mut steering, "copy", &["cam", &uri, "copied"]);
    wait::until("the script is notified", PATIENCE, || {
        told(&mut steering).contains("nc NetConnection.Connect.Failed")
    });
    wait::logged(&near.program, "applications.mix.outgoing");
}
