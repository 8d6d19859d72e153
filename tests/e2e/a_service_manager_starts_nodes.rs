//! systemd: its socket units pass sockets to an edge, and nodes tell it their states.

use std::{
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    clients::{endless_publisher, tracks},
    cluster::{Cluster, TRIBUTARY},
    media::clip,
    port::free,
    program::Program,
    wait,
};

/// A bound that no step reaches.
const WITHIN: Duration = Duration::from_secs(30);

/// A program that listens at an address, and starts an edge with the socket at the first connection.
fn activator(cluster: &Cluster, name: &str, listens: SocketAddr, rtmp: &str) -> Program {
    let mut command = Command::new("systemd-socket-activate");
    command.arg("--listen").arg(listens.to_string());
    command
        .arg(TRIBUTARY)
        .args(cluster.edge_arguments(rtmp, "node.toml"));
    command.current_dir(cluster.directory());
    Program::spawn(name, &mut command, cluster.directory())
}

#[test]
fn an_edge_takes_the_socket_of_a_socket_unit() {
    let cluster = Cluster::start(1, 1);
    let _publisher =
        endless_publisher(&cluster.url(0, "live", "clip"), clip(), cluster.directory());
    let address = free();
    let activated = activator(&cluster, "activated", address, &address.to_string());
    // The first client starts the edge, and waits in the queue of the socket meanwhile.
    let url = format!("rtmp://{address}/live/clip");
    wait::until("the clip is played", WITHIN, || !tracks(&url).is_empty());
    let log = activated.log();
    assert!(log.contains(&format!("rtmp={address}")), "{log}");

    // A socket that no listener has is a mistake, not a port that nobody serves.
    let (passed, other) = (free(), free());
    let mut wrong = activator(&cluster, "wrong", passed, &other.to_string());
    let mut asked = false;
    wait::until("the edge ends", WITHIN, || {
        asked = asked || TcpStream::connect(passed).is_ok();
        !wrong.is_running()
    });
    let log = wrong.log();
    let text = format!("the socket {passed} was passed to this process, and no listener");
    assert!(log.contains(&text), "{log}");
}

/// The socket on which a service manager hears of states.
struct Manager(UnixDatagram);

impl Manager {
    fn new(at: &Path) -> Self {
        let socket = UnixDatagram::bind(at).expect("a new socket");
        let patience = socket.set_read_timeout(Some(WITHIN));
        patience.expect("a time");
        Self(socket)
    }

    /// The next state, without the time that comes with a reload.
    fn hears(&self) -> String {
        let mut bytes = [0; 256];
        let length = self.0.recv(&mut bytes).expect("a state");
        let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
        text.lines().next().unwrap_or_default().to_owned()
    }
}

#[test]
fn a_service_manager_hears_when_nodes_serve_reload_and_end() {
    let cluster = Cluster::start(1, 1);
    let at = cluster.directory().join("notify");
    let manager = Manager::new(&at);
    let at = at.to_str().expect("a path in text");
    let mut edge = Program::tributary_with(
        "managed",
        Path::new(TRIBUTARY),
        cluster.directory(),
        &cluster.edge_arguments("127.0.0.1:0", "node.toml"),
        &[("NOTIFY_SOCKET", at)],
    );
    assert_eq!(manager.hears(), "READY=1");
    edge.signal(Signal::HUP);
    assert_eq!(manager.hears(), "RELOADING=1");
    assert_eq!(manager.hears(), "READY=1");
    edge.signal(Signal::TERM);
    assert_eq!(manager.hears(), "STOPPING=1");
    let status = edge.wait_exit(WITHIN);
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}
