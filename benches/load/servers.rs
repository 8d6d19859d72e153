//! The measured servers, each with settings that a careful operator would choose.

use std::{
    fs::{self, Permissions},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    thread,
    time::{Duration, Instant},
};

use clap::ValueEnum;
use tempfile::TempDir;

use crate::{
    delivery::Delivery,
    driver::Generator,
    ground::{Ground, PathOptions, Tier},
    meter::{self, Sample},
    peers::Peer,
    program::{self, Program},
    report::Figures,
    transport::Transport,
};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// One origin and one edge.
    Tributary,
    /// nginx with its rtmp module, one worker (the directive's default).
    Nginx,
    /// The same with one worker for each processor (the distribution's default).
    NginxAuto,
    /// One worker, with TCP_NODELAY preloaded.
    NginxNodelay,
    /// The generator's own loop of writes: one for each message and viewer, with TCP_NODELAY.
    Bare,
    /// The same with as many writes as tributary made in the run before it, and tributary's socket
    /// options.
    BareAlike,
    /// The generator's own echo.
    Echo,
    /// The generator's own echo behind a relay over QUIC.
    Relay,
}

/// The settings of a run, of which each server uses those that it has.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Tributary's delivery of live streams; without one, its default.
    pub(crate) delivery: Option<Delivery>,
    /// The writes for each message and viewer of a bare loop that is like tributary; without a
    /// number, one.
    pub(crate) writes: Option<f64>,
    /// The path on the way to the server, or within it.
    pub(crate) path: PathOptions,
    /// The transport of tributary's viewers and sessions; all others have TCP.
    pub(crate) transport: Transport,
}

/// A server to measure: `KIND`, `tributary=PATH` for another build of tributary, or
/// `rtmp://ADDRESS/APP#PID+PID` for one that runs, with the processes whose time counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Kind(Kind),
    Build(PathBuf),
    Running {
        rtmp: SocketAddr,
        app: String,
        pids: Vec<u32>,
    },
}

impl Contender {
    /// The name that reports show.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Kind(kind) => kind.name().to_owned(),
            Self::Build(program) => format!("{}={}", Kind::Tributary.name(), program.display()),
            Self::Running { rtmp, app, .. } => format!("rtmp://{rtmp}/{app}"),
        }
    }

    /// Whether the server is tributary, of this tree or another.
    pub(crate) fn is_tributary(&self) -> bool {
        matches!(self, Self::Kind(Kind::Tributary) | Self::Build(_))
    }

    /// The transports of its runs, of those asked for.
    pub(crate) fn transports(&self, asked: &[Transport]) -> Vec<Transport> {
        match self.is_tributary() {
            true => asked.to_vec(),
            false => vec![Transport::Tcp],
        }
    }

    /// Whether the server sends back all that it gets, and knows no RTMP.
    pub(crate) fn echoes(&self) -> bool {
        matches!(self, Self::Kind(Kind::Echo | Kind::Relay))
    }

    /// Starts the server on loopback, with its own settings.
    pub(crate) fn start(&self) -> Server {
        self.start_with(&Settings::default())
    }

    /// Starts the server with a path on the way to it, or within it.
    pub(crate) fn start_over(&self, path: &PathOptions) -> Server {
        self.start_with(&Settings {
            path: path.clone(),
            ..Settings::default()
        })
    }

    /// Starts the server; one that runs already stays as it is.
    pub(crate) fn start_with(&self, settings: &Settings) -> Server {
        let ground = settings.path.open();
        match self {
            Self::Kind(kind) => kind.start(settings, ground),
            Self::Build(program) => {
                tributary(directory(), program, &Nodes::one_edge(settings), ground)
            }
            Self::Running { rtmp, app, pids } => {
                assert!(
                    ground.is_loopback(),
                    "a server that runs already is on no emulated path"
                );
                Server {
                    rtmp: *rtmp,
                    crowd: (Transport::Tcp, *rtmp),
                    more: Vec::new(),
                    app: Some(app.clone()),
                    processes: pids.iter().map(|pid| ("process", *pid)).collect(),
                    _programs: Vec::new(),
                    _peers: Vec::new(),
                    _directory: directory(),
                    ground,
                }
            }
        }
    }
}

impl From<Kind> for Contender {
    fn from(kind: Kind) -> Self {
        Self::Kind(kind)
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(place) = text.strip_prefix("rtmp://") {
            return running(place).ok_or_else(|| {
                format!("{text} is not rtmp://ADDRESS:PORT/APP#PID+PID, with an IP address")
            });
        }
        let (kind, program) = match text.split_once('=') {
            None => (text, None),
            Some((kind, program)) => (kind, Some(PathBuf::from(program))),
        };
        match (Kind::from_str(kind, false)?, program) {
            (kind, None) => Ok(Self::Kind(kind)),
            (Kind::Tributary, Some(path)) if path.is_file() => Ok(Self::Build(path)),
            (Kind::Tributary, Some(path)) => Err(format!("{} is no file", path.display())),
            _ => Err("only tributary has a path".to_owned()),
        }
    }
}

/// Reads the place of a server that runs.
fn running(place: &str) -> Option<Contender> {
    let (url, pids) = place.split_once('#')?;
    let (rtmp, app) = url.split_once('/')?;
    let pids: Result<Vec<_>, _> = pids.split('+').map(str::parse).collect();
    Some(Contender::Running {
        rtmp: rtmp.parse().ok()?,
        app: app.to_owned(),
        pids: pids.ok()?,
    })
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tributary => "tributary",
            Self::Nginx => "nginx-rtmp",
            Self::NginxAuto => "nginx-rtmp auto",
            Self::NginxNodelay => "nginx-rtmp nodelay",
            Self::Bare => "bare loop",
            Self::BareAlike => "bare loop alike",
            Self::Echo => "bare echo",
            Self::Relay => "bare relay",
        }
    }

    fn start(self, settings: &Settings, ground: Ground) -> Server {
        let directory = directory();
        match self {
            Self::Tributary => {
                let nodes = Nodes::one_edge(settings);
                tributary(directory, Path::new(BUILT), &nodes, ground)
            }
            Self::Nginx => nginx(directory, "1", None, ground),
            Self::NginxAuto => nginx(directory, "auto", None, ground),
            Self::NginxNodelay => {
                let shim = nodelay_shim(directory.path());
                nginx(directory, "1", Some(&shim), ground)
            }
            Self::Bare => {
                let bare = Peer::bare(&ground, 1.0, false);
                own(directory, vec![("loop", bare)], ground)
            }
            Self::BareAlike => {
                let merging = settings.delivery.is_none_or(Delivery::merges);
                let bare = Peer::bare(&ground, settings.writes.unwrap_or(1.0), merging);
                own(directory, vec![("loop", bare)], ground)
            }
            Self::Echo => {
                let echo = Peer::echo(&ground);
                own(directory, vec![("loop", echo)], ground)
            }
            Self::Relay => relay(directory, ground),
        }
    }
}

/// A running server; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    /// Where clients connect.
    pub(crate) rtmp: SocketAddr,
    /// The transport of viewers and sessions, and where they connect.
    crowd: (Transport, SocketAddr),
    /// The same as `rtmp` for the further edges of a server with more than one.
    pub(crate) more: Vec<SocketAddr>,
    /// The application, if it is not the scenario's.
    app: Option<String>,
    /// The server's processes by name.
    pub(crate) processes: Vec<(&'static str, u32)>,
    /// Dropped in this order: the edge before its origin, the directory and the network last.
    _programs: Vec<Program>,
    _peers: Vec<Peer>,
    _directory: TempDir,
    ground: Ground,
}

impl Server {
    /// The application that clients connect to, `usual` if the server has no other.
    pub(crate) fn app<'s>(&'s self, usual: &'s str) -> &'s str {
        self.app.as_deref().unwrap_or(usual)
    }

    /// Starts a generator where the server's clients stand, and waits until it is ready.
    pub(crate) fn generator(&self, role: &str, arguments: &[(&str, &str)]) -> Generator {
        self.generator_at(self.rtmp, role, arguments)
    }

    /// The same for clients of one of its edges.
    pub(crate) fn generator_at(
        &self,
        edge: SocketAddr,
        role: &str,
        arguments: &[(&str, &str)],
    ) -> Generator {
        let start = || Generator::start(role, edge, arguments);
        self.ground.at(Tier::Client, start)
    }

    /// As [`Self::generator`], for a role whose clients come by the transport of the run.
    pub(crate) fn crowd(&self, role: &str, arguments: &[(&str, &str)]) -> Generator {
        let (transport, server) = self.crowd;
        let arguments = [arguments, &[("--transport", transport.name())]].concat();
        let start = || Generator::start(role, server, &arguments);
        self.ground.at(Tier::Client, start)
    }

    /// Takes a sample of the server's processes. The process that carries packets of an emulated path
    /// counts as one of the generators.
    pub(crate) fn sample(&self, generators: &[u32]) -> Sample {
        let carrier = self.ground.carrier();
        let generators: Vec<_> = generators.iter().copied().chain(carrier).collect();
        Sample::take(&self.pids(), &generators)
    }

    /// Adds the figures of the emulated path, if there is one.
    pub(crate) fn put_path(&self, figures: &mut Figures) {
        self.ground.put(figures);
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.processes.iter().map(|(_, pid)| *pid).collect()
    }

    /// Replaces the first edge by another process, and waits until the old one has ended. Returns the
    /// milliseconds for which its clients stood still before it left them, as its log has them.
    pub(crate) fn replace_edge(&mut self, number: usize) -> f64 {
        let origin = self._programs.last().expect("an origin");
        let link = format!("origin@{}", origin.address("link"));
        let path = self._directory.path();
        let name = format!("edge0-{number}");
        let arguments = edge_arguments("edge0", "127.0.0.1:0", &link);
        let arguments = [&arguments[..], &["--replace"]].concat();
        let next = Program::tributary(&name, Path::new(BUILT), path, &arguments);
        self.processes[0].1 = next.pid();
        let mut before = std::mem::replace(&mut self._programs[0], next);
        let ended = before.wait_exit(Duration::from_secs(60));
        let log = before.log();
        assert!(ended.is_some_and(|it| it.success()), "{log}");
        let (_, took) = log.rsplit_once("took_ms=").expect("its clients have moved");
        let digits = took.split(|it: char| !it.is_ascii_digit()).next();
        digits.and_then(|it| it.parse().ok()).expect("a number")
    }

    /// Kills the origin's process, and returns the address of its link.
    pub(crate) fn kill_origin(&mut self) -> SocketAddr {
        let origin = self._programs.last_mut().expect("an origin");
        origin.kill();
        origin.address("link")
    }

    /// Starts the origin that was killed again, and waits until it listens.
    pub(crate) fn start_origin(&mut self, link: SocketAddr) {
        let path = self._directory.path();
        let origin = origin(Path::new(BUILT), path, &link.to_string(), &self.ground);
        let place = self.processes.last_mut().expect("an origin");
        place.1 = origin.pid();
        let place = self._programs.last_mut().expect("an origin");
        *place = origin;
    }

    /// Moves a group between the two origins of [`two_origins`], from this one; milliseconds for which it was
    /// frozen.
    pub(crate) fn move_group(&self, group: &str, from: usize) -> f64 {
        let to = [FIRST, SECOND][1 - from];
        let moved = self.order(from, &["move", group, "--to", to]);
        moved["frozen_ms"].as_f64().expect("a number")
    }

    /// Drains one of the two origins of [`two_origins`], and waits until that is done; its status.
    pub(crate) fn drain(&self, origin: usize) -> serde_json::Value {
        self.order(origin, &["drain", "--within", "0 s"])
    }

    pub(crate) fn undrain(&self, origin: usize) {
        self.order(origin, &["undrain"]);
    }

    /// Has an origin of [`two_origins`] carry out a command of `tributary cluster`.
    fn order(&self, origin: usize, command: &[&str]) -> serde_json::Value {
        let origins = &self._programs[self._programs.len() - 2..];
        let admin = origins[origin].address("admin").to_string();
        let output = Command::new(BUILT)
            .current_dir(self._directory.path())
            .arg("cluster")
            .args(command)
            .args(["--json", "--admin", &admin])
            .args(["--data", [DATA, DATA_2][origin]])
            .output()
            .expect("the program runs");
        let said = String::from_utf8_lossy(&output.stdout);
        let refused = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{refused}");
        serde_json::from_str(&said).expect("JSON")
    }

    /// The RTMP addresses of its edges.
    pub(crate) fn edges(&self) -> impl Iterator<Item = SocketAddr> {
        [self.rtmp].into_iter().chain(self.more.iter().copied())
    }

    /// The admin addresses of its edges.
    pub(crate) fn edge_admins(&self) -> Vec<SocketAddr> {
        let edges = self.processes.iter().zip(&self._programs);
        edges
            .filter(|((name, _), _)| *name == EDGE)
            .map(|(_, program)| program.address("admin"))
            .collect()
    }

    /// Which of the two origins of [`two_origins`] has a group.
    pub(crate) fn place(&self, group: &str) -> usize {
        let origins = &self._programs[self._programs.len() - 2..];
        let has = |place: &usize| {
            let admin = origins[*place].address("admin").to_string();
            let asked = Command::new(BUILT)
                .current_dir(self._directory.path())
                .args(["cluster", "status", group, "--admin", &admin])
                .args(["--data", [DATA, DATA_2][*place]])
                .output();
            asked.expect("the program runs").status.success()
        };
        (0..2).find(has).expect("an origin has it")
    }

    /// Starts rtmpdump, which plays a stream by RTMPT into a file.
    pub(crate) fn dump_by_rtmpt(&self, app: &str, name: &str, number: usize) -> (Program, PathBuf) {
        let path = self._directory.path();
        let file = path.join(format!("dump-{number}.flv"));
        let url = format!(
            "rtmpt://{}/{app}/{name}",
            self._programs[0].address("rtmpt")
        );
        let mut command = Command::new("rtmpdump");
        command.args(["--live", "--quiet", "--rtmp", &url, "--flv"]);
        command.arg(&file);
        let program = Program::spawn(&format!("rtmpdump-{number}"), &mut command, path);
        (program, file)
    }

    /// Resident bytes of each process.
    pub(crate) fn resident(&self) -> Vec<f64> {
        self.pids().into_iter().map(meter::resident).collect()
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Starts this tree's tributary with one origin and so many edges.
pub(crate) fn with_edges(edges: usize) -> Server {
    with_settings(edges, "")
}

/// One edge that can be replaced, with a port for this transport.
pub(crate) fn replaceable(transport: Transport, settings: &str) -> Server {
    let nodes = Nodes {
        edges: 1,
        delivery: None,
        transport,
        settings,
    };
    let ground = PathOptions::default().open();
    tributary(directory(), Path::new(BUILT), &nodes, ground)
}

/// The same; all nodes have these settings besides.
pub(crate) fn with_settings(edges: usize, settings: &str) -> Server {
    let nodes = Nodes {
        edges,
        delivery: None,
        transport: Transport::Tcp,
        settings,
    };
    let ground = PathOptions::default().open();
    tributary(directory(), Path::new(BUILT), &nodes, ground)
}

/// So many edges, and two origins in a cluster, which come last among the processes.
pub(crate) fn two_origins(edges: usize) -> Server {
    let (directory, ground) = (directory(), PathOptions::default().open());
    let (executable, path) = (Path::new(BUILT), directory.path());
    authorise(executable, path);
    let key = path.join("cluster-key");
    fs::write(&key, "0123456789abcdef".repeat(4)).expect("a file");
    fs::set_permissions(&key, Permissions::from_mode(0o600)).expect("an owner");
    let cluster = "[cluster]\nname = \"load\"\nkey = \"cluster-key\"\n";
    let start = |name, data, others: &str| {
        issue(executable, path, "origin", name);
        let settings = format!("{ORIGIN_CONFIGURATION}{cluster}origins = [{others}]\n");
        fs::write(path.join(format!("{name}.toml")), settings).expect("a configuration file");
        origin_of(executable, path, name, data, "127.0.0.1:0", &ground)
    };
    let first = start(FIRST, DATA, "");
    let link = format!("{FIRST}@{}", first.address("link"));
    let second = start(SECOND, DATA_2, &format!("\"{link}\""));
    let links = [link, format!("{SECOND}@{}", second.address("link"))];
    fs::write(path.join("edge.toml"), "").expect("a configuration file");
    let mut programs: Vec<_> = (0..edges)
        .map(|number| {
            let name = format!("edge{number}");
            issue(executable, path, "edge", &name);
            let arguments = edge_arguments(&name, "127.0.0.1:0", &links[0]);
            let arguments = [&arguments[..], &["--origin", &links[1]]].concat();
            Program::tributary(&format!("{name}-process"), executable, path, &arguments)
        })
        .collect();
    let mut addresses = programs.iter().map(|edge| edge.address("rtmp"));
    let rtmp = addresses.next().expect("one edge at least");
    let more = addresses.collect();
    programs.extend([first, second]);
    let tiers = programs.iter().enumerate();
    let processes = tiers.map(|(place, it)| (if place < edges { EDGE } else { ORIGIN }, it.pid()));
    Server {
        rtmp,
        crowd: (Transport::Tcp, rtmp),
        more,
        app: None,
        processes: processes.collect(),
        _programs: programs,
        _peers: Vec::new(),
        _directory: directory,
        ground,
    }
}

/// The two origins of a cluster, and their data directories.
const FIRST: &str = "origin";
const SECOND: &str = "origin2";
const DATA: &str = "data";
const DATA_2: &str = "data2";

/// The number of tributary's edges, and the settings of its nodes.
#[derive(Clone, Copy, Debug)]
struct Nodes<'s> {
    edges: usize,
    /// The edges' delivery of live streams; without one, the default.
    delivery: Option<Delivery>,
    /// The transport of clients, which has a port of its own.
    transport: Transport,
    /// TOML for all nodes, the origin too.
    settings: &'s str,
}

impl Nodes<'static> {
    fn one_edge(settings: &Settings) -> Self {
        Self {
            edges: 1,
            delivery: settings.delivery,
            transport: settings.transport,
            settings: "",
        }
    }
}

fn tributary(directory: TempDir, executable: &Path, nodes: &Nodes<'_>, ground: Ground) -> Server {
    let path = directory.path();
    authorise(executable, path);
    issue(executable, path, "origin", "origin");
    let of_origin = format!("{ORIGIN_CONFIGURATION}{}", nodes.settings);
    fs::write(path.join("origin.toml"), of_origin).expect("a configuration file");
    let delivery = nodes.delivery.map_or_else(String::new, |delivery| {
        format!("[applications.live]\ndelivery = \"{}\"\n", delivery.name())
    });
    let listener = listener(executable, path, nodes.transport, &ground);
    let of_edges = format!("{listener}{delivery}{}", nodes.settings);
    fs::write(path.join("edge.toml"), of_edges).expect("a configuration file");
    let link = format!("{}:0", ground.address(Tier::Origin));
    let origin = origin(executable, path, &link, &ground);
    let link = format!("origin@{}", origin.address("link"));
    let mut programs: Vec<_> = (0..nodes.edges)
        .map(|number| edge(executable, path, &format!("edge{number}"), &link, &ground))
        .collect();
    let mut addresses = programs.iter().map(|edge| edge.address("rtmp"));
    let rtmp = addresses.next().expect("one edge at least");
    let more = addresses.collect();
    let crowd = programs[0].address(nodes.transport.protocol());
    let mut processes: Vec<_> = programs.iter().map(|edge| (EDGE, edge.pid())).collect();
    processes.push((ORIGIN, origin.pid()));
    programs.push(origin);
    Server {
        rtmp,
        crowd: (nodes.transport, crowd),
        more,
        app: None,
        processes,
        _programs: programs,
        _peers: Vec::new(),
        _directory: directory,
        ground,
    }
}

fn origin(executable: &Path, path: &Path, link: &str, ground: &Ground) -> Program {
    origin_of(executable, path, FIRST, DATA, link, ground)
}

fn origin_of(
    executable: &Path,
    path: &Path,
    name: &str,
    data: &str,
    link: &str,
    ground: &Ground,
) -> Program {
    let arguments = ["origin", "--link", link, "--admin", "127.0.0.1:0"];
    let config = format!("{name}.toml");
    let files = ["--cert", name, "--config", &config];
    let folders = ["--data", data, "--apps", APPLICATIONS];
    let arguments = [&arguments[..], &files, &folders].concat();
    ground.at(Tier::Origin, || {
        Program::tributary(&format!("{name}-process"), executable, path, &arguments)
    })
}

/// The settings of a listener for clients that do not come by TCP alone, and its certificate.
fn listener(executable: &Path, path: &Path, transport: Transport, ground: &Ground) -> String {
    if transport == Transport::Tcp {
        return String::new();
    }
    program::run(
        Command::new(executable)
            .args(["cert", "server", "--name", "load.example", "--ca"])
            .arg(path.join("certificates"))
            .arg("--out")
            .arg(path.join("public")),
    );
    let (address, protocol) = (ground.address(Tier::Edge), transport.protocol());
    let tls = match transport {
        Transport::Tls => {
            "tls = \"main\"\n[tls.main]\ncertificate = \"public/server.pem\"\nkey = \"public/server.key\"\n"
        }
        _ => "",
    };
    format!("[[edge.listen]]\naddress = \"{address}:0\"\nprotocols = [\"{protocol}\"]\n{tls}")
}

fn edge(executable: &Path, path: &Path, name: &str, link: &str, ground: &Ground) -> Program {
    issue(executable, path, "edge", name);
    let rtmp = format!("{}:0", ground.address(Tier::Edge));
    let arguments = edge_arguments(name, &rtmp, link);
    ground.at(Tier::Edge, || {
        Program::tributary(&format!("{name}-process"), executable, path, &arguments)
    })
}

fn edge_arguments<'a>(name: &'a str, rtmp: &'a str, link: &'a str) -> [&'a str; 11] {
    [
        "edge",
        "--cert",
        name,
        "--origin",
        link,
        "--rtmp",
        rtmp,
        "--admin",
        "127.0.0.1:0",
        "--config",
        "edge.toml",
    ]
}

/// Makes the private CA of a directory's nodes.
fn authorise(executable: &Path, path: &Path) {
    program::run(
        Command::new(executable)
            .args(["cert", "init"])
            .arg(path.join("certificates")),
    );
}

/// Issues the certificate of a node in a folder of its name.
fn issue(executable: &Path, path: &Path, role: &str, name: &str) {
    program::run(
        Command::new(executable)
            .args(["cert", "issue", "--role", role, "--name", name, "--ca"])
            .arg(path.join("certificates"))
            .arg("--out")
            .arg(path.join(name)),
    );
}

fn nginx(directory: TempDir, workers: &str, preload: Option<&Path>, ground: Ground) -> Server {
    let path = directory.path();
    let address = ground.address(Tier::Edge);
    let rtmp = ground.at(Tier::Edge, || free_address(address));
    let configuration = NGINX_CONFIGURATION
        .replace("@DIR@", &path.display().to_string())
        .replace("@WORKERS@", workers)
        .replace("@PUSH@", if workers == "1" { "off" } else { "on" })
        .replace("@LISTEN@", &rtmp.to_string());
    fs::write(path.join("nginx.conf"), configuration).expect("a configuration file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(path).args(["-c", "nginx.conf"]);
    if let Some(preload) = preload {
        command.env("LD_PRELOAD", preload);
    }
    let program = ground.at(Tier::Edge, || {
        let program = Program::spawn("nginx", &mut command, path).with_children();
        await_listener(rtmp);
        program
    });
    let mut processes = vec![("master", program.pid())];
    let count = workers.parse().unwrap_or_else(|_| meter::processors());
    let workers = await_children(program.pid(), count);
    processes.extend(workers.into_iter().map(|pid| ("worker", pid)));
    Server {
        rtmp,
        crowd: (Transport::Tcp, rtmp),
        more: Vec::new(),
        app: None,
        processes,
        _programs: vec![program],
        _peers: Vec::new(),
        _directory: directory,
        ground,
    }
}

/// Compiles the preloaded library; a C compiler is a prerequisite of the build anyway.
fn nodelay_shim(directory: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/nodelay.c");
    let shim = directory.join("nodelay.so");
    program::run(
        Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .arg(&shim)
            .arg(source)
            .arg("-ldl"),
    );
    shim
}

/// The relay's two ends, with a certificate as tributary's nodes have it.
fn relay(directory: TempDir, ground: Ground) -> Server {
    let (executable, path) = (Path::new(BUILT), directory.path());
    authorise(executable, path);
    issue(executable, path, "origin", "far");
    let certificate = path.join("far");
    let far = Peer::relay_far(&ground, &certificate);
    let near = Peer::relay_near(&ground, &certificate, &far);
    let peers = vec![("near end", near), ("far end", far)];
    own(directory, peers, ground)
}

/// A server of the generator's own processes; clients connect to the first one.
fn own(directory: TempDir, peers: Vec<(&'static str, Peer)>, ground: Ground) -> Server {
    let processes = peers.iter().map(|(name, peer)| (*name, peer.pid()));
    let processes = processes.collect();
    let peers: Vec<_> = peers.into_iter().map(|(_, peer)| peer).collect();
    Server {
        rtmp: peers[0].address,
        crowd: (Transport::Tcp, peers[0].address),
        more: Vec::new(),
        app: None,
        processes,
        _programs: Vec::new(),
        _peers: peers,
        _directory: directory,
        ground,
    }
}

/// nginx does not report its port; this one was free a moment ago.
fn free_address(address: Ipv4Addr) -> SocketAddr {
    TcpListener::bind((address, 0))
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
}

/// Waits until a process has so many children: nginx listens before it has its workers.
fn await_children(pid: u32, count: usize) -> Vec<u32> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let children = meter::children(pid);
        if children.len() >= count {
            return children;
        }
        assert!(Instant::now() < deadline, "only {} workers", children.len());
        thread::sleep(Duration::from_millis(10));
    }
}

fn await_listener(address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < deadline, "nothing listens on {address}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The version of nginx for the head of a report.
pub(crate) fn nginx_version() -> io::Result<String> {
    let output = Command::new("nginx").arg("-v").output()?;
    Ok(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// The names of tributary's processes in reports.
pub(crate) const EDGE: &str = "edge";
pub(crate) const ORIGIN: &str = "origin";

/// This tree's program.
const BUILT: &str = env!("CARGO_BIN_EXE_tributary");

/// The scripts of the scenarios.
const APPLICATIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/load/applications");

/// The groups of the call scenario need an application that answers. Publishers over an emulated path
/// have no loopback address.
const ORIGIN_CONFIGURATION: &str = r#"
[origin]
max_groups = 60000

[applications.live]
builtin = "live"
publish_from = "anywhere"

[applications.counter]
builtin = "counter"
max_groups = 60000
"#;

/// Of these settings only the paths, `worker_processes` and the number of connections differ from
/// the documentation of the module; the access log is off, as on a busy server.
const NGINX_CONFIGURATION: &str = r#"
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
user root;
worker_processes @WORKERS@;
worker_rlimit_nofile 20000;
rtmp_auto_push @PUSH@;
rtmp_socket_dir @DIR@;
error_log @DIR@/error.log error;
pid @DIR@/nginx.pid;
events { worker_connections 19000; }
rtmp {
    access_log off;
    server {
        listen @LISTEN@;
        chunk_size 4096;
        application live {
            live on;
            wait_key on;
        }
    }
}
"#;
