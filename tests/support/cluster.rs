//! Origins and edges in processes of their own, with certificates from a CA of their own.

use std::{
    fs::{self, Permissions},
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{
    http::{self, Metrics},
    program::{self, Program},
    public_ca,
    relay::UdpRelay,
    wait,
};

/// The program under test.
pub(crate) const TRIBUTARY: &str = env!("CARGO_BIN_EXE_tributary");

/// Origins, edges, and a relay before each origin.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) edges: Vec<Program>,
    pub(crate) origins: Vec<Program>,
    /// One relay for each origin; every edge dials the origin through it.
    pub(crate) relays: Vec<UdpRelay>,
    directory: TempDir,
    keeps: Keeps,
    /// The address on which edges listen for clients.
    address: Ipv4Addr,
}

/// The directories of the cluster's origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeps {
    Nothing,
    Data,
}

impl Cluster {
    /// Starts `origins` origins and `edges` edges that know all of them, with the applications
    /// `live` and `counter`, and waits until every edge is ready.
    pub(crate) fn start(origins: usize, edges: usize) -> Self {
        Self::configured(origins, edges, "", "")
    }

    /// As [`Self::start`], all at the far end of an emulated path: clients stand at its near end.
    pub(crate) fn beyond(path: &tributary_path::Path, origins: usize, edges: usize) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        // Publishers have no loopback address.
        let live = "publish_from = \"anywhere\"";
        let mut cluster = Self::empty(directory, live, "", Keeps::Nothing);
        cluster.address = tributary_path::FAR;
        path.far().run(|| cluster.add(origins, edges));
        cluster
    }

    /// As [`Self::start`], with more settings of the application `live`.
    pub(crate) fn with_live_settings(origins: usize, edges: usize, live: &str) -> Self {
        Self::configured(origins, edges, live, "")
    }

    /// As [`Self::start`], with more settings of both applications.
    pub(crate) fn with_settings(origins: usize, edges: usize, both: &str) -> Self {
        Self::configured(origins, edges, both, both)
    }

    /// As [`Self::start`], with the applications that `write` puts into a directory.
    pub(crate) fn with_applications(
        origins: usize,
        edges: usize,
        write: impl FnOnce(&Path),
    ) -> Self {
        Self::with_applications_and_tables(origins, edges, "", write)
    }

    /// As [`Self::with_applications`], with more tables of the configuration.
    pub(crate) fn with_applications_and_tables(
        origins: usize,
        edges: usize,
        tables: &str,
        write: impl FnOnce(&Path),
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let apps = directory.path().join(APPS);
        fs::create_dir(&apps).expect("a directory of applications");
        write(&apps);
        // The settings of `counter` end the file.
        Self::in_directory(directory, origins, edges, "", tables, Keeps::Data)
    }

    /// As [`Self::with_applications`], with all origins in one cluster; each knows the others.
    pub(crate) fn of_origins(origins: usize, edges: usize, write: impl FnOnce(&Path)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let apps = directory.path().join(APPS);
        fs::create_dir(&apps).expect("a directory of applications");
        write(&apps);
        let tables = "[cluster]\nname = \"lab\"\nkey = \"shared-key\"\n";
        let mut cluster = Self::empty(directory, "", tables, Keeps::Data);
        cluster.write_token("shared-key", &"0123456789abcdef".repeat(4));
        for index in 0..origins {
            cluster.add_origin(index);
        }
        let addresses = cluster.origins.iter().enumerate();
        let addresses: Vec<_> = addresses
            .map(|(index, origin)| format!("\"origin{index}@{}\"", origin.address("link")))
            .collect();
        let file = cluster.directory().join("node.toml");
        let mut settings = fs::read_to_string(&file).expect("the configuration");
        // The cluster's table ends the file.
        settings.push_str(&format!("origins = [{}]\n", addresses.join(", ")));
        fs::write(&file, settings).expect("the configuration");
        for index in 0..origins {
            cluster.restart_origin(index);
        }
        for index in 0..edges {
            cluster.add_edge(index);
        }
        cluster.await_links();
        cluster
    }

    /// As [`Self::start`], with one origin and one edge. The edge has a port more, for these
    /// protocols, with certificates for `main.example` and `other.example`; `public/ca.pem` in the
    /// cluster's directory is their issuer.
    pub(crate) fn with_certificates(protocols: &str) -> Self {
        let tables = format!(
            "[[edge.listen]]\naddress = \"127.0.0.1:0\"\nprotocols = [{protocols}]\ntls = \"main\"\n\
             [tls.main]\ncertificate = \"main/server.pem\"\nkey = \"main/server.key\"\n\
             [tls.other]\ncertificate = \"other/server.pem\"\nkey = \"other/server.key\"\n"
        );
        Self::with_applications_and_tables(1, 1, &tables, |apps| {
            let directory = apps.parent().expect("the cluster's directory");
            public_ca::init(directory);
            public_ca::issue(directory, "main.example", "main");
            public_ca::issue(directory, "other.example", "other");
        })
    }

    /// As [`Self::with_settings`]; each origin has a data directory.
    pub(crate) fn with_data(origins: usize, edges: usize, both: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::in_directory(directory, origins, edges, both, both, Keeps::Data)
    }

    fn configured(origins: usize, edges: usize, live: &str, counter: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::in_directory(directory, origins, edges, live, counter, Keeps::Nothing)
    }

    fn in_directory(
        directory: TempDir,
        origins: usize,
        edges: usize,
        live: &str,
        counter: &str,
        keeps: Keeps,
    ) -> Self {
        let mut cluster = Self::empty(directory, live, counter, keeps);
        cluster.add(origins, edges);
        cluster
    }

    /// A cluster without processes, with its certificates and its configuration.
    fn empty(directory: TempDir, live: &str, counter: &str, keeps: Keeps) -> Self {
        let path = directory.path();
        program::run(
            Command::new(TRIBUTARY)
                .args(["cert", "init"])
                .arg(path.join("ca")),
        );
        // `counter` counts the calls of its clients.
        let configuration = format!(
            "[edge]\nzone = \"lab\"\ndrain_linger = \"0 s\"\ndrain_deadline = \"1 s\"\n[applications.live]\nbuiltin = \"live\"\n{live}\n\
             [applications.counter]\nbuiltin = \"counter\"\n{counter}\n"
        );
        fs::write(path.join("node.toml"), configuration).expect("a configuration file");
        Self {
            edges: Vec::new(),
            origins: Vec::new(),
            relays: Vec::new(),
            directory,
            keeps,
            address: Ipv4Addr::LOCALHOST,
        }
    }

    /// Starts all processes.
    fn add(&mut self, origins: usize, edges: usize) {
        for index in 0..origins {
            self.add_origin(index);
        }
        for index in 0..edges {
            self.add_edge(index);
        }
        self.await_links();
    }

    fn add_origin(&mut self, index: usize) {
        self.issue("origin", &format!("origin{index}"));
        let origin = self.start_origin(index, "127.0.0.1:0");
        let relay = UdpRelay::start(origin.address("link"), index as u64);
        self.relays.push(relay);
        self.origins.push(origin);
    }

    /// Runs `tributary cluster` at an origin. Returns whether it succeeded, and what it printed.
    pub(crate) fn command(&self, origin: usize, arguments: &[&str]) -> (bool, String) {
        let output = self.order(origin, arguments).output();
        let output = output.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.success(), said)
    }

    /// The same in a thread, whatever comes of it.
    pub(crate) fn spawn(&self, origin: usize, arguments: &[&str]) -> JoinHandle<()> {
        let mut order = self.order(origin, arguments);
        thread::spawn(move || drop(order.output()))
    }

    fn order(&self, origin: usize, arguments: &[&str]) -> Command {
        let admin = self.origins[origin].address("admin").to_string();
        let token = format!("origin{origin}-data/admin-token");
        let mut command = Command::new(TRIBUTARY);
        command
            .current_dir(self.directory())
            .arg("cluster")
            .args(arguments)
            .args(["--admin", &admin, "--token", &token]);
        command
    }

    /// Waits until every edge has a link to every origin.
    pub(crate) fn await_links(&self) {
        for edge in &self.edges {
            await_links(edge, self.origins.len());
        }
    }

    /// Sends SIGTERM to an origin, waits for its end, and starts it again at its address.
    pub(crate) fn stop_and_restart_origin(&mut self, index: usize) {
        let link = self.stop_origin(index);
        self.start_stopped_origin(index, &link);
    }

    /// Sends SIGTERM to an origin and waits for its end; its link address.
    pub(crate) fn stop_origin(&mut self, index: usize) -> String {
        let link = self.origins[index].address("link").to_string();
        self.origins[index].signal(Signal::TERM);
        let status = self.origins[index].wait_exit(STOP_WITHIN);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        link
    }

    /// Starts a stopped origin again.
    pub(crate) fn start_stopped_origin(&mut self, index: usize, link: &str) {
        self.origins[index] = self.start_origin(index, link);
    }

    /// Starts a killed origin again at its address.
    pub(crate) fn restart_origin(&mut self, index: usize) {
        let link = self.origins[index].address("link").to_string();
        self.origins[index].kill();
        self.origins[index] = self.start_origin(index, &link);
    }

    /// Kills an edge and starts it anew, without any state.
    pub(crate) fn restart_edge(&mut self, index: usize) {
        self.edges[index].kill();
        self.edges[index] = self.start_edge(&format!("edge{index}"));
    }

    /// Sends SIGTERM to an edge, waits for its end, and starts it anew.
    pub(crate) fn stop_and_restart_edge(&mut self, index: usize) {
        self.edges[index].signal(Signal::TERM);
        let status = self.edges[index].wait_exit(STOP_WITHIN);
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
        self.restart_edge(index);
    }

    /// The address for clients of an edge.
    pub(crate) fn rtmp(&self, edge: usize) -> SocketAddr {
        self.edges[edge].address("rtmp")
    }

    /// The URL of a stream at an edge.
    pub(crate) fn url(&self, edge: usize, app: &str, name: &str) -> String {
        format!("rtmp://{}/{app}/{name}", self.rtmp(edge))
    }

    pub(crate) fn edge_metrics(&self, edge: usize) -> Metrics {
        Metrics::scrape(self.edges[edge].address("admin"))
    }

    pub(crate) fn origin_metrics(&self, origin: usize) -> Metrics {
        Metrics::scrape(self.origins[origin].address("admin"))
    }

    /// The directory for files of the test.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn issue(&self, role: &str, name: &str) {
        let path = self.directory.path();
        program::run(
            Command::new(TRIBUTARY)
                .args(["cert", "issue", "--role", role, "--name", name, "--ca"])
                .arg(path.join("ca"))
                .arg("--out")
                .arg(path.join(name)),
        );
    }

    fn start_origin(&self, index: usize, link: &str) -> Program {
        let name = format!("origin{index}");
        let arguments = [
            "origin",
            "--link",
            link,
            "--admin",
            "127.0.0.1:0",
            "--config",
            "node.toml",
            "--cert",
        ];
        let mut arguments: Vec<&str> = arguments.into_iter().chain([name.as_str()]).collect();
        let data = format!("{name}-data");
        if self.directory().join(APPS).exists() {
            arguments.extend(["--apps", APPS]);
        }
        if self.keeps == Keeps::Data {
            arguments.extend(["--data", &data]);
        }
        // The process's files have another name than the directory of its certificate.
        let process = format!("{name}-process");
        Program::tributary(&process, Path::new(TRIBUTARY), self.directory(), &arguments)
    }

    /// The arguments of an edge of the first origin, with the name of the first edge.
    pub(crate) fn edge_arguments(&self, rtmp: &str, config: &str) -> Vec<String> {
        let arguments = [
            "edge",
            &format!("--rtmp={rtmp}"),
            "--admin=127.0.0.1:0",
            &format!("--config={config}"),
            "--cert=edge0",
            &format!("--origin=origin0@{}", self.relays[0].address()),
        ];
        arguments.map(str::to_owned).to_vec()
    }

    /// Starts one more edge of the first origin, with further flags and with variables, and waits for
    /// its link.
    pub(crate) fn edge_with(
        &self,
        name: &str,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Program {
        let mut arguments = self.edge_arguments("127.0.0.1:0", "node.toml");
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let executable = Path::new(TRIBUTARY);
        let directory = self.directory();
        let edge = Program::tributary_with(name, executable, directory, &arguments, variables);
        await_links(&edge, 1);
        edge
    }

    /// Writes a file with the token of an admin API into the cluster's directory.
    pub(crate) fn write_token(&self, name: &str, token: &str) {
        let file = self.directory().join(name);
        fs::write(&file, token).expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("an owner");
    }

    fn add_edge(&mut self, index: usize) {
        let name = format!("edge{index}");
        self.issue("edge", &name);
        let edge = self.start_edge(&name);
        self.edges.push(edge);
    }

    fn start_edge(&self, name: &str) -> Program {
        let mut arguments = vec![
            "edge".to_owned(),
            format!("--rtmp={}:0", self.address),
            "--admin=127.0.0.1:0".to_owned(),
            "--config=node.toml".to_owned(),
            format!("--cert={name}"),
        ];
        for (origin, relay) in self.relays.iter().enumerate() {
            arguments.push(format!("--origin=origin{origin}@{}", relay.address()));
        }
        let process = format!("{name}-process");
        Program::tributary(&process, Path::new(TRIBUTARY), self.directory(), &arguments)
    }
}

/// Waits until an edge has this many links.
pub(crate) fn await_links(edge: &Program, links: usize) {
    let admin = edge.address("admin");
    wait::until("the edge is ready", START_WITHIN, || {
        matches!(http::get(admin, "/readyz"), Some((200, _)))
    });
    wait::until("the edge has all its links", START_WITHIN, || {
        Metrics::scrape(admin).sum(LINKS_UP) >= links as f64
    });
}

/// The cluster's directory of applications, below its own.
const APPS: &str = "apps";

/// The metric of links that are up.
pub(crate) const LINKS_UP: &str = "tributary_edge_link_up";
const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// Stops a process; returns when all its threads stand still. The signal wakes one thread, which
/// stops the others when it gets its turn on a processor: until then they run on.
pub(crate) fn stop(program: &Program) {
    program.signal(Signal::STOP);
    let tasks = format!("/proc/{}/task", program.pid());
    let is_stopped = |task: fs::DirEntry| {
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(") ").next();
        state.is_some_and(|state| state.starts_with('T'))
    };
    wait::until("every thread has stopped", Duration::from_secs(10), || {
        let tasks = fs::read_dir(&tasks).expect("a process that runs");
        tasks.flatten().all(is_stopped)
    });
}
