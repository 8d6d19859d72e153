//! Input of hostile and broken clients leads to a clear close and one counted log line, or is
//! served like sound input; other clients do not notice it. The numbers are the rows of the table
//! of bad input in `docs/testing.md`.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::{
        calls::Callers,
        wired::{PATIENCE, Wired, answers, tcp},
    },
    cluster::Cluster,
    synthetic::Codec,
    wait,
    wire::{self, Amf, Header},
};

mod chunks;
mod handshakes;
mod links;
mod messages;
mod objects;
mod overload;
mod publishers;
mod scripts;

/// A cluster in which honest clients call all the time; they must not notice an attack.
struct Neighbours {
    cluster: Cluster,
    honest: Callers,
    /// The memory of each process before an attack, in MiB.
    baseline: Vec<(u32, f64)>,
}

impl Neighbours {
    fn start() -> Self {
        Self::of(Cluster::start(1, 1))
    }

    fn of(cluster: Cluster) -> Self {
        let honest = Callers::start(cluster.rtmp(0), "counter/honest", HONEST);
        wait::until("honest clients are answered", PATIENCE, || {
            honest.answered() > 100
        });
        let programs = cluster.edges.iter().chain(&cluster.origins);
        let baseline = programs
            .map(|program| (program.pid(), resident_mib(program.pid())))
            .collect();
        Self {
            cluster,
            honest,
            baseline,
        }
    }

    fn server(&self) -> SocketAddr {
        self.cluster.rtmp(0)
    }

    /// The edge's count of connections closed by a client's fault.
    fn faults(&self) -> f64 {
        self.cluster.edge_metrics(0).sum(FAULTS)
    }

    /// As [`Self::faults`], for one reason.
    fn faults_of(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        self.cluster.edge_metrics(0).with(FAULTS, &label)
    }

    /// The edge's count of connections closed for a reason, whether or not it is a fault.
    fn closed_for(&self, reason: &str) -> f64 {
        let label = format!("reason=\"{reason}\"");
        let metrics = self.cluster.edge_metrics(0);
        metrics.with("tributary_edge_closed_total", &label)
    }

    /// The lines of the edge's log that contain this text.
    fn lines_with(&self, text: &str) -> usize {
        let log = self.cluster.edges[0].log();
        log.lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until the edge's log has this many lines with this text; it must not have more.
    fn logged_exactly(&self, text: &str, lines: usize) {
        // The edge writes a line after it has counted.
        wait::until(&format!("{lines} lines of {text}"), PATIENCE, || {
            self.lines_with(text) >= lines
        });
        assert_eq!(
            self.lines_with(text),
            lines,
            "{text} is logged once for each"
        );
    }

    /// Log lines that name a fault.
    fn logged(&self) -> usize {
        let log = self.cluster.edges[0].log();
        log.lines().filter(|line| line.contains("fault=")).count()
    }

    /// Runs an attack that must end in this many closes, each counted and logged once.
    fn closes(&self, what: &str, closes: usize, attack: impl FnOnce(SocketAddr)) {
        let before = (self.faults(), self.logged());
        attack(self.server());
        let expected = (before.0 + closes as f64, before.1 + closes);
        wait::until(&format!("{what} is counted and logged"), PATIENCE, || {
            self.faults() >= expected.0 && self.logged() >= expected.1
        });
        let after = (self.faults(), self.logged());
        assert_eq!(after, expected, "{what} is counted and logged once");
    }

    /// Runs an attack that must end in one close, counted and logged once for this fault.
    fn closes_for(&self, what: &str, fault: &str, attack: impl FnOnce(SocketAddr)) {
        let line = format!("fault=\"{fault}\"");
        let before = (self.faults_of(fault), self.lines_with(&line));
        self.closes(what, 1, attack);
        assert_eq!(self.faults_of(fault), before.0 + 1.0, "{what} is {fault}");
        self.logged_exactly(&line, before.1 + 1);
    }

    /// Asserts that only honest clients are connected and memory is back at the baseline.
    fn at_baseline(&self) {
        for edge in 0..self.cluster.edges.len() {
            let honest = if edge == 0 { HONEST as f64 } else { 0.0 };
            wait::until("only honest clients are left", PATIENCE, || {
                let metrics = self.cluster.edge_metrics(edge);
                metrics.sum("tributary_edge_connections") == honest
            });
        }
        for &(pid, before) in &self.baseline {
            let most = before * 1.1 + 16.0;
            let mut now = resident_mib(pid);
            let given_back = wait::some(GIVEN_BACK, || {
                // The allocator gives memory back when it is next used.
                drop(Wired::session(self.server(), "counter/guest"));
                now = resident_mib(pid);
                (now <= most).then_some(())
            });
            assert!(given_back.is_some(), "{now:.1} MiB, {before:.1} before");
        }
    }

    /// Asserts that honest clients were served, both processes live, and nothing of the attack is
    /// left.
    fn unharmed(mut self) {
        self.at_baseline();
        let before = self.honest.answered();
        wait::until("honest clients are answered", PATIENCE, || {
            self.honest.answered() > before + 100
        });
        wait::until("every fault has its line in the log", PATIENCE, || {
            let log = self.cluster.edges[0].log();
            let lines = log.lines().filter(|line| line.contains(" fault="));
            lines.count() as f64 == self.faults()
        });
        for calls in self.honest.finish() {
            assert_eq!((calls.counted, calls.wrong), (calls.made, 0));
        }
        for program in self
            .cluster
            .edges
            .iter_mut()
            .chain(&mut self.cluster.origins)
        {
            assert!(program.is_running(), "{}", program.log());
            let log = program.log();
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

/// A protocol control message on chunk stream 2.
fn control(kind: u8, payload: &[u8]) -> Vec<u8> {
    message(2, kind, 0, payload)
}

fn message(csid: u32, kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        csid,
        kind,
        stream,
        ..Header::default()
    };
    let mut out = Vec::new();
    wire::write_message(&mut out, &header, payload, 128);
    out
}

/// The chunks of a command, one by one.
fn chunks(csid: u32, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    for (index, part) in payload.chunks(128).enumerate() {
        let mut chunk = Vec::new();
        wire::basic_header(&mut chunk, if index == 0 { 0 } else { 3 }, csid);
        if index == 0 {
            chunk.extend([0, 0, 0]);
            chunk.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
            chunk.extend([wire::COMMAND_AMF0, 0, 0, 0, 0]);
        }
        chunk.extend_from_slice(part);
        chunks.push(chunk);
    }
    chunks
}

/// Reads until the server closes.
fn await_close(stream: &mut TcpStream, what: &str) {
    let deadline = Instant::now() + PATIENCE;
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .expect("a timeout above zero");
    while !is_closed(stream) {
        assert!(Instant::now() < deadline, "{what}: not closed");
    }
    // The server may have closed it already.
    let _ = stream.shutdown(Shutdown::Both);
}

fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 4096];
    match stream.read(&mut buffer) {
        Ok(count) => count == 0,
        Err(error) => !matches!(
            error.kind(),
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
        ),
    }
}

fn resident_mib(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a live process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<f64>().ok())
        .expect("a number")
        / 1024.0
}

/// Honest clients beside each attack.
const HONEST: usize = 4;
/// The time in which memory falls to the baseline. The allocator gives it back when other
/// connections use it, after 1 to 16 s here.
const GIVEN_BACK: Duration = Duration::from_secs(60);
/// The metric of connections closed by a client's fault, by reason.
const FAULTS: &str = "tributary_edge_faults_total";
const ABORT: u8 = 2;
const AGGREGATE: u8 = 22;
