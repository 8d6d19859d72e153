//! A process without free descriptors serves its clients, and new ones once there is room.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_edge::{Config, Metrics, Policies, link::Upstream, tls::Certificates};
use tributary_node::drain;

/// Descriptors of the edge's process: about half of them are clients.
const DESCRIPTORS: usize = 64;

const LONG: Duration = Duration::from_secs(20);

/// Set in the process that is the edge.
const EDGE: &str = "TRIBUTARY_TEST_EDGE";

#[test]
fn clients_are_served_while_and_after_descriptors_run_out() {
    if std::env::var_os(EDGE).is_some() {
        return edge();
    }
    let mut process = Process::start();
    let mut first = process.client();
    assert!(shakes_hands(&mut first));
    let mut second = process.client();
    // More clients than it has descriptors; the kernel keeps those that it does not accept.
    let crowd: Vec<_> = (0..DESCRIPTORS * 2).map(|_| process.client()).collect();
    process.says("no descriptors");
    assert!(shakes_hands(&mut second), "a connected client is served");
    drop(crowd);
    let begun = Instant::now();
    assert!(
        shakes_hands(&mut process.client()),
        "a new client is served"
    );
    assert!(begun.elapsed() < Duration::from_secs(5));
    // The process is the same all along.
    assert_eq!(process.child.try_wait().expect("a process"), None);
}

/// Sends C0 and C1. Returns whether S0 to S2 come back.
fn shakes_hands(client: &mut TcpStream) -> bool {
    let hello = [&[3][..], &[0; 1536]].concat();
    let mut answer = [0; 1 + 1536 + 1536];
    client.write_all(&hello).is_ok() && client.read_exact(&mut answer).is_ok()
}

struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Process {
    fn start() -> Self {
        let test = std::env::current_exe().expect("a path");
        let mut child = Command::new("sh")
            .arg("-c")
            .arg(format!("ulimit -n {DESCRIPTORS}; exec \"$0\" --nocapture"))
            .arg(test)
            .env(EDGE, "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a shell");
        let output = child.stdout.take().expect("it is piped");
        let mut process = Self {
            child,
            output: BufReader::new(output),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        process.address = process.says("edge at ").parse().expect("an address");
        process
    }

    /// Waits for a line with this text. Returns the rest of the line.
    fn says(&mut self, text: &str) -> String {
        let mut lines = (&mut self.output).lines().map_while(Result::ok);
        let rest = lines.find_map(|line| Some(line.split_once(text)?.1.to_owned()));
        rest.expect("the edge writes the line")
    }

    fn client(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).expect("the kernel accepts");
        client.set_read_timeout(Some(LONG)).expect("a socket");
        client
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The process may have ended already; then the test fails with that.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn edge() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let (upstream, _lanes) = Upstream::new();
        let (_signal, watch) = drain::channel();
        let config = Config {
            rtmp: Some("127.0.0.1:0".parse().expect("an address")),
            workers: 1,
            max_half_open_per_address: 1000,
            ..Config::default()
        };
        let metrics = Arc::new(Metrics::default());
        let running = tributary_edge::run::run(
            &config,
            Policies::load(&BTreeMap::new()).expect("there is nothing to load"),
            &Certificates::none(),
            upstream,
            None,
            Arc::clone(&metrics),
            watch.into(),
        );
        println!(
            "edge at {}",
            running.expect("port 0 is always free").listening()[0].1
        );
        while metrics.accept_backoffs.get() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        println!("no descriptors");
        // The test ends this process.
        tokio::time::sleep(LONG * 2).await;
    });
}
