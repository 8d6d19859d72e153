//! Clients: independent ones, and two of the tests' own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    cluster::Cluster,
    media::{Likeness, Recording, clip},
    program::{self, Program},
    wait,
};

pub(crate) mod callers;
pub(crate) mod calls;
pub(crate) mod carrier;
pub(crate) mod driven;
pub(crate) mod ours;
pub(crate) mod replica;
pub(crate) mod rml;
pub(crate) mod wired;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Publisher {
    Ffmpeg,
    Gstreamer,
    Rml,
    Ours,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Player {
    Ffmpeg,
    Rtmpdump,
    Gstreamer,
    Rml,
    Ours,
}

/// A running publisher.
#[derive(Debug)]
pub(crate) enum Publishing {
    Process(Program),
    Thread(JoinHandle<()>),
}

/// A running player.
#[derive(Debug)]
pub(crate) enum Playing {
    Process { program: Program, file: PathBuf },
    Thread(JoinHandle<Recording>),
}

impl Publisher {
    /// Publishes an FLV file at its own speed, once.
    pub(crate) fn start(self, url: &str, file: &Path, directory: &Path) -> Publishing {
        let file = file.to_owned();
        match self {
            Self::Ffmpeg => {
                let mut command = ffmpeg();
                command.arg("-re").arg("-i").arg(file);
                command.args(["-c", "copy", "-f", "flv", url]);
                Publishing::spawn("ffmpeg-publisher", &mut command, directory)
            }
            Self::Gstreamer => {
                let mut sink = vec!["rtmp2sink", "sync=true", "async-connect=false"];
                sink.extend(accepts_any_certificate(url));
                let mut command = gstreamer_muxes(&file, &sink, url);
                Publishing::spawn("gstreamer-publisher", &mut command, directory)
            }
            Self::Rml => {
                let url = url.to_owned();
                Publishing::Thread(std::thread::spawn(move || rml::publish(&url, &file)))
            }
            Self::Ours => {
                let url = url.to_owned();
                Publishing::Thread(std::thread::spawn(move || ours::publish(&url, &file)))
            }
        }
    }

    /// The media that it sends of a file. GStreamer muxes anew, with other composition times.
    pub(crate) fn sends(self, file: &Path, directory: &Path) -> Recording {
        if self != Self::Gstreamer {
            return Recording::read_flv(file);
        }
        let muxed = directory.join("gstreamer-muxed.flv");
        program::run(&mut gstreamer_muxes(
            file,
            &["filesink"],
            &muxed.display().to_string(),
        ));
        Recording::read_flv(&muxed)
    }

    /// The precision with which it sends that media.
    pub(crate) fn likeness(self) -> Likeness {
        match self {
            Self::Ffmpeg => Likeness {
                // GStreamer orders by decoding time anew.
                interleaving: false,
                ..Likeness::EXACT
            },
            Self::Gstreamer | Self::Rml | Self::Ours => Likeness::EXACT,
        }
    }
}

impl Publishing {
    fn spawn(name: &str, command: &mut Command, directory: &Path) -> Self {
        Self::Process(Program::spawn(name, command, directory))
    }

    /// Waits until the publisher has sent everything.
    pub(crate) fn finish(self, at_most: Duration) {
        match self {
            Self::Process(mut program) => {
                let status = program.wait_exit(at_most);
                assert!(
                    status.is_some_and(|status| status.success()),
                    "the publisher ended with {status:?}:\n{}",
                    program.log()
                );
            }
            Self::Thread(thread) => join(thread, at_most),
        }
    }
}

impl Player {
    pub(crate) const ALL: [Self; 5] = [
        Self::Ffmpeg,
        Self::Rtmpdump,
        Self::Gstreamer,
        Self::Rml,
        Self::Ours,
    ];

    /// Plays until the stream ends.
    pub(crate) fn start(self, url: &str, directory: &Path) -> Playing {
        let file = directory.join(format!("{self:?}.flv"));
        let url_owned = url.to_owned();
        let mut command = match self {
            Self::Rml => {
                return Playing::Thread(std::thread::spawn(move || rml::play(&url_owned)));
            }
            Self::Ours => {
                return Playing::Thread(std::thread::spawn(move || ours::play(&url_owned)));
            }
            Self::Ffmpeg => {
                let mut command = ffmpeg();
                command.args(["-i", url, "-c", "copy", "-copyts", "-f", "flv"]);
                // The file grows with each packet, so that a test can watch it.
                command.args([
                    "-flush_packets",
                    "1",
                    "-flvflags",
                    "no_duration_filesize",
                    "-y",
                ]);
                command.arg(&file);
                command
            }
            Self::Rtmpdump => {
                // In requests it does not end by a signal when the server is gone, and spins.
                let mut command = Command::new("timeout");
                command.args(["-k", "1", "300", "rtmpdump"]);
                command.args(["--live", "--quiet", "--rtmp", url, "--flv"]);
                command.arg(&file);
                command
            }
            Self::Gstreamer => {
                let mut command = Command::new("gst-launch-1.0");
                command
                    .args(["-q", "rtmp2src"])
                    .arg(format!("location={url}"));
                command.args(accepts_any_certificate(url));
                command.args(["!", "filesink", "sync=false", "buffer-mode=unbuffered"]);
                command.arg(format!("location={}", file.display()));
                command
            }
        };
        let name = format!("{self:?}-player");
        let mut program = Program::spawn(&name, &mut command, directory);
        if self == Self::Rtmpdump {
            program = program.with_children();
        }
        Playing::Process { program, file }
    }

    /// The precision with which this player records its media.
    pub(crate) fn likeness(self) -> Likeness {
        match self {
            Self::Ffmpeg => Likeness {
                interleaving: false,
                ..Likeness::EXACT
            },
            // GStreamer drops the packets that are in its pipeline when the stream ends.
            Self::Gstreamer => Likeness {
                missing_at_end: 5,
                ..Likeness::EXACT
            },
            _ => Likeness::EXACT,
        }
    }
}

impl Playing {
    /// The media so far, if the player's file can be read while it plays.
    pub(crate) fn so_far(&self) -> Recording {
        match self {
            Self::Process { file, .. } => Recording::read_flv(file),
            Self::Thread(_) => panic!("a thread shows what it has at its end"),
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        match self {
            Self::Process { program, .. } => program.is_running(),
            Self::Thread(thread) => !thread.is_finished(),
        }
    }

    /// Waits for the player to end with its stream; a signal ends a player that stays.
    pub(crate) fn finish(self, at_most: Duration) -> Recording {
        match self {
            Self::Process { mut program, file } => {
                if program.wait_exit(at_most).is_none() {
                    program.signal(Signal::INT);
                    program.wait_exit(at_most);
                }
                Recording::read_flv(&file)
            }
            Self::Thread(thread) => join(thread, at_most),
        }
    }
}

/// The argument that lets an element of GStreamer take a certificate that the system does not know;
/// other clients do not check.
fn accepts_any_certificate(url: &str) -> Option<&'static str> {
    url.starts_with("rtmps").then_some("tls-validation-flags=0")
}

/// The lower precision of a publisher and a player.
pub(crate) fn both(publisher: Publisher, player: Player) -> Likeness {
    let (one, other) = (publisher.likeness(), player.likeness());
    Likeness {
        tolerance_ms: one.tolerance_ms.max(other.tolerance_ms),
        missing_at_end: one.missing_at_end.max(other.missing_at_end),
        interleaving: one.interleaving && other.interleaving,
    }
}

/// An ffmpeg that publishes a file in an endless loop.
pub(crate) fn endless_publisher(url: &str, file: &Path, directory: &Path) -> Program {
    let mut command = ffmpeg();
    command.args(["-re", "-stream_loop", "-1", "-i"]).arg(file);
    command.args(["-c", "copy", "-f", "flv", url]);
    let name = format!("ffmpeg-{}", url.rsplit('/').next().unwrap_or_default());
    Program::spawn(&name.replace('?', "-"), &mut command, directory)
}

/// As [`endless_publisher`], with further arguments for the output: `-an` leaves audio out.
pub(crate) fn publisher_of(url: &str, file: &Path, with: &[&str], directory: &Path) -> Program {
    let mut command = ffmpeg();
    command.args(["-re", "-stream_loop", "-1", "-i"]).arg(file);
    command
        .args(["-c", "copy"])
        .args(with)
        .args(["-f", "flv", url]);
    Program::spawn("ffmpeg-publisher", &mut command, directory)
}

/// An endless ffmpeg whose log is in a directory of this name.
pub(crate) fn publisher_in(cluster: &Cluster, name: &str, url: &str) -> Program {
    let directory = cluster.directory().join(name);
    fs::create_dir_all(&directory).expect("a new directory");
    publisher_of(url, clip(), &[], &directory)
}

/// Waits for the end of a publisher that is refused, whose log then has this text.
pub(crate) fn refused(mut publisher: Program, text: &str) {
    let status = publisher.wait_exit(REFUSED_WITHIN).expect("ffmpeg ends");
    let log = publisher.log();
    assert!(!status.success(), "{log}");
    assert!(log.contains(text), "no {text:?} in\n{log}");
}

/// Waits until the stream can be played.
pub(crate) fn await_stream(url: &str) {
    let plays = || tracks(url).iter().any(|track| track.starts_with("h264"));
    wait::until("the stream is there", REFUSED_WITHIN, plays);
}

/// A bound that no step of these reaches.
const REFUSED_WITHIN: Duration = Duration::from_secs(20);

/// The codecs and kinds of all tracks that ffprobe finds in a stream or a file, sorted.
pub(crate) fn tracks(url: &str) -> Vec<String> {
    let mut command = Command::new("ffprobe");
    command.args([
        "-hide_banner",
        "-loglevel",
        "error",
        "-rw_timeout",
        "20000000",
        // For FLV it would be 90 s, and all of that for a stream with one track whose metadata it missed.
        "-analyzeduration",
        "5000000",
    ]);
    command.args([
        "-show_entries",
        "stream=codec_type,codec_name",
        "-of",
        "csv=p=0",
    ]);
    let output = command.arg(url).output().expect("ffprobe starts");
    let mut tracks: Vec<_> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(str::to_owned)
        .collect();
    tracks.sort();
    tracks
}

/// ffmpeg's reader alone: its log shows the metadata, and names onTextData messages.
pub(crate) fn reader(url: &str, directory: &Path) -> Program {
    let mut command = Command::new("ffprobe");
    command.args(["-hide_banner", "-loglevel", "info", "-show_packets", url]);
    Program::spawn("ffprobe", &mut command, directory)
}

fn gstreamer_muxes(file: &Path, sink: &[&str], location: &str) -> Command {
    let mut command = Command::new("gst-launch-1.0");
    command.arg("-q").arg("filesrc");
    command.arg(format!("location={}", file.display()));
    command.args(["!", "flvdemux", "name=d"]);
    command.args(["flvmux", "name=m", "streamable=true", "!"]);
    command.args(sink).arg(format!("location={location}"));
    for (track, parser) in [("video", "h264parse"), ("audio", "aacparse")] {
        command.arg(format!("d.{track}")).args(["!", "queue"]);
        command.args(["!", parser, "!", "m."]);
    }
    command
}

fn ffmpeg() -> Command {
    let mut command = Command::new("ffmpeg");
    command.args(["-hide_banner", "-loglevel", "warning", "-nostdin"]);
    command
}

fn join<T>(thread: JoinHandle<T>, at_most: Duration) -> T {
    let deadline = Instant::now() + at_most;
    while !thread.is_finished() {
        assert!(Instant::now() < deadline, "a client thread does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Host and port, application and stream name of an RTMP URL.
pub(crate) fn parts(url: &str) -> (&str, &str, &str) {
    let rest = url.strip_prefix("rtmp://").unwrap_or(url);
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (app, name) = path.rsplit_once('/').unwrap_or((path, ""));
    (host, app, name)
}
