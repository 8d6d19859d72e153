//! Row 23: peers that claim to be edges.

use std::{
    collections::HashSet,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use bytes::Bytes;
use tributary_node::{
    link::{Greeted, greet},
    tls::Identity,
    transport::{Endpoint, Link, LinkError},
};
use tributary_protocol::link::Hello;

use super::*;
use crate::support::{cluster::TRIBUTARY, program};

/// A peer that dials the origin of a cluster, whatever its certificate.
struct Stranger {
    origin: SocketAddr,
    identity: Identity,
}

impl Stranger {
    /// A stranger with a certificate of a CA of its own.
    fn with_foreign_certificate(cluster: &Cluster, role: &str) -> Self {
        let directory = cluster.directory().join(format!("foreign-{role}"));
        program::run(
            std::process::Command::new(TRIBUTARY)
                .args(["cert", "init"])
                .arg(directory.join("ca")),
        );
        Self::issued(cluster, role, "stranger", &directory.join("ca"))
    }

    /// A stranger with a certificate of the cluster's CA.
    fn with_certificate(cluster: &Cluster, role: &str, name: &str) -> Self {
        Self::issued(cluster, role, name, &cluster.directory().join("ca"))
    }

    fn issued(cluster: &Cluster, role: &str, name: &str, ca: &Path) -> Self {
        let directory = ca.with_file_name(name);
        program::run(
            std::process::Command::new(TRIBUTARY)
                .args(["cert", "issue", "--role", role, "--name", name])
                .arg("--ca")
                .arg(ca)
                .arg("--out")
                .arg(&directory),
        );
        Self {
            origin: cluster.origins[0].address("link"),
            identity: Identity::load(&directory).expect("what was just issued"),
        }
    }

    /// A socket on a loopback address of its own.
    fn endpoint(&self) -> Endpoint {
        Endpoint::dialling(&self.identity, (next_source(), 0).into()).expect("a socket")
    }

    /// A link after both hellos.
    async fn greet(&self, endpoint: &Endpoint) -> (Link, Greeted) {
        let link = endpoint.connect(self.origin).await.expect("a link");
        let hello = Hello {
            node: self.identity.peer().name.clone(),
            epoch: 1,
            incarnation: 1,
            connection: 0,
            features: 0,
            zone: String::new(),
            capacity: 0,
            known_as: "origin0".into(),
            grace_ms: 0,
        };
        let greeted = greet(&link, hello).await.expect("the origin's hello");
        (link, greeted)
    }
}

#[test]
fn a_flood_of_dials_that_never_go_on() {
    let neighbours = Neighbours::start();
    let stranger = Stranger::with_foreign_certificate(&neighbours.cluster, "edge");
    let honest = Stranger::with_certificate(&neighbours.cluster, "edge", "edge9");
    let first_packets = runtime().block_on(first_packets(&stranger, 600));
    let stop = AtomicBool::new(false);
    let (retries, sent, received) = thread::scope(|scope| {
        let flood = scope.spawn(|| flood(honest.origin, &first_packets, &stop));
        runtime().block_on(async {
            // The origin validates the stranger's address and then accepts the dial.
            tokio::time::sleep(Duration::from_secs(1)).await;
            for _ in 0..3 {
                let endpoint = honest.endpoint();
                let link = endpoint.connect(honest.origin).await;
                assert!(link.is_ok(), "row 23: {:?}", link.err());
            }
        });
        stop.store(true, Relaxed);
        flood.join().expect("the flood ends")
    });
    println!("row 23: {retries} Retry packets; {received} bytes answered {sent}");
    assert!(retries >= 600, "row 23: {retries} Retry packets");
    assert!(received <= 3 * sent, "row 23: {received} bytes for {sent}");
    await_refusals(&neighbours, "their handshakes are given up");
    neighbours.unharmed();
}

/// The first packets of this many dials, as a listener that never answers receives them.
async fn first_packets(stranger: &Stranger, count: usize) -> Vec<Vec<u8>> {
    let listener = tokio::net::UdpSocket::bind("127.0.0.1:0").await;
    let listener = listener.expect("a socket");
    let address = listener.local_addr().expect("a bound socket");
    let mut packets = Vec::new();
    let mut connections = HashSet::new();
    let mut buffer = [0; 2000];
    while packets.len() < count {
        let endpoint = stranger.endpoint();
        let dial = endpoint.connect(address);
        tokio::select! {
            _ = dial => {}
            read = listener.recv_from(&mut buffer) => {
                let (length, _) = read.expect("a bound socket");
                // Later packets of a dial that was given up do not count.
                let connection = buffer[6..14].to_vec();
                if length >= 1200 && connections.insert(connection) {
                    packets.push(buffer[..length].to_vec());
                }
            }
        }
    }
    packets
}

/// Sends the packets from changing addresses; returns the number of Retry packets that came back,
/// and the bytes sent and received.
fn flood(origin: SocketAddr, packets: &[Vec<u8>], stop: &AtomicBool) -> (usize, usize, usize) {
    let (mut retries, mut sent, mut received) = (0, 0, 0);
    let mut buffer = [0; 2000];
    let mut take = |socket: &UdpSocket| {
        while let Ok(length) = socket.recv(&mut buffer) {
            received += length;
            // The long header of a Retry packet has type 3.
            retries += usize::from(buffer[0] & 0xf0 == 0xf0);
        }
    };
    while !stop.load(Relaxed) {
        let mut sockets = Vec::new();
        for packets in packets.chunks(10) {
            let socket = UdpSocket::bind((next_source(), 0)).expect("a socket");
            socket.set_nonblocking(true).expect("a socket");
            for packet in packets {
                if socket.send_to(packet, origin).is_ok() {
                    sent += packet.len();
                }
            }
            sockets.push(socket);
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(100));
        sockets.iter().for_each(&mut take);
    }
    (retries, sent, received)
}

#[test]
fn a_flood_of_dials_with_bad_certificates() {
    const DIALS: usize = 300;
    let neighbours = Neighbours::start();
    // The first certificate is of an unknown CA; the second is not an edge's.
    let foreign = Stranger::with_foreign_certificate(&neighbours.cluster, "edge");
    let origin = Stranger::with_certificate(&neighbours.cluster, "origin", "origin9");
    let before = refused(&neighbours);
    runtime().block_on(async {
        for stranger in [&foreign, &origin] {
            let mut dialled = 0;
            while dialled < DIALS {
                let dials = (0..10).map(|_| dial_in_vain(stranger));
                for dial in dials.collect::<Vec<_>>() {
                    dial.await;
                }
                dialled += 10;
            }
        }
    });
    wait::until("each is counted", PATIENCE, || {
        refused(&neighbours).0 >= before.0 + 2.0 * DIALS as f64
    });
    await_refusals(&neighbours, "and logged once");
    assert_eq!(refused(&neighbours).0, before.0 + 2.0 * DIALS as f64);
    neighbours.unharmed();
}

/// Dials and is refused at once or after its first frame.
async fn dial_in_vain(stranger: &Stranger) {
    let endpoint = stranger.endpoint();
    if let Ok(link) = endpoint.connect(stranger.origin).await {
        let closed = tokio::time::timeout(PATIENCE, link.closed()).await;
        closed.expect("row 23: it is not let in");
    }
    endpoint.close().await;
}

#[test]
fn a_flood_of_streams_that_are_reset() {
    let neighbours = Neighbours::start();
    let rogue = Stranger::with_certificate(&neighbours.cluster, "edge", "rogue");
    let errors = || {
        let metrics = neighbours.cluster.origin_metrics(0);
        metrics.sum("tributary_origin_link_protocol_errors_total")
    };
    let closed = runtime().block_on(async {
        let endpoint = rogue.endpoint();
        let (link, _greeted) = rogue.greet(&endpoint).await;
        let mut count = 0_u64;
        let flood = async {
            while let Ok(mut feed) = link.open_feed().await {
                let _ = feed.write(&mut [Bytes::from_static(&[0x40])]).await;
                feed.reset();
                count += 1;
            }
        };
        // The flood is shorter than the silence that the control stream may have.
        let closed = tokio::time::timeout(Duration::from_secs(4), flood).await;
        println!("row 23: {count} streams, {closed:?}");
        if closed.is_ok() {
            assert_eq!(link.closed().await, LinkError::Closed(1));
        }
        closed.is_ok()
    });
    // A slow machine holds such a flood down by itself.
    let expected = usize::from(closed);
    assert_eq!(errors(), expected as f64, "row 23: counted once");
    let origin = &neighbours.cluster.origins[0];
    if closed {
        wait::logged(origin, "protocol error");
    }
    let log = origin.log();
    let lines = log.lines().filter(|line| line.contains("protocol error"));
    assert_eq!(lines.count(), expected, "row 23: logged once");
    neighbours.unharmed();
}

/// The number of refused links in the metrics, and in the log.
fn refused(neighbours: &Neighbours) -> (f64, usize) {
    let metrics = neighbours.cluster.origin_metrics(0);
    let counted = metrics.sum("tributary_origin_link_refused_total");
    let log = neighbours.cluster.origins[0].log();
    let lines = log.lines().filter(|line| line.contains("link refused"));
    (counted, lines.count())
}

fn await_refusals(neighbours: &Neighbours, what: &str) {
    wait::until(what, PATIENCE, || {
        let (counted, logged) = refused(neighbours);
        counted > 0.0 && counted == logged as f64
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn next_source() -> Ipv4Addr {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    Ipv4Addr::from(0x7f20_0001 + NEXT.fetch_add(1, Relaxed) % 0xf_fffe)
}
