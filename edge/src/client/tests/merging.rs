//! The sockets of viewers to which the kernel may merge writes (Nagle's algorithm), as the kernel
//! shows them.

use std::{collections::BTreeMap, fs, net::SocketAddr, os::fd::OwnedFd};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use socket2::SockRef;
use tributary_node::config::{Application, Delivery};
use tributary_protocol::{MessageType, session::ClientEvent};

use super::{
    playing::{KEY, Source},
    support::{Client, Edge, Peer, STREAM, config},
};

/// Viewers of a worker from which on the kernel may merge the writes to each, and fewer than which it
/// may not.
const MANY: usize = 64;
const FEW: usize = 32;

/// A stream of an edge with one worker, and its viewers.
struct Audience {
    edge: Edge,
    source: Source,
    viewers: Vec<Viewer>,
}

struct Viewer {
    client: Client,
    peer: Peer,
    /// The edge's socket of the client.
    accepted: OwnedFd,
}

impl Audience {
    fn of(delivery: Delivery) -> Self {
        let application = Application {
            delivery,
            ..Application::default()
        };
        let applications = BTreeMap::from([("live".to_owned(), application)]);
        Self {
            edge: Edge::start_for(&config(), &applications),
            source: Source::new(),
            viewers: Vec::new(),
        }
    }

    /// Lets viewers join or leave until there are so many; the last to join leaves first.
    async fn resize(&mut self, count: usize) {
        let leaving = self.viewers.len().saturating_sub(count);
        self.viewers.truncate(count);
        for _ in 0..leaving {
            self.edge.closed().await;
        }
        while self.viewers.len() < count {
            let (client, peer) = self.edge.session().await;
            self.source.attach(&peer, STREAM);
            let accepted = accepted(&client);
            self.viewers.push(Viewer {
                client,
                peer,
                accepted,
            });
        }
        let watch = |metrics: &crate::Metrics| metrics.viewers.get() == count as i64;
        self.edge.until("all watch", watch).await;
    }

    /// The number of viewers whose writes the kernel may merge, once each has a further message.
    async fn merged(&mut self) -> usize {
        self.source.push(MessageType::VIDEO, KEY);
        let mut merged = 0;
        for viewer in &mut self.viewers {
            while !matches!(viewer.client.event().await, ClientEvent::Message(_)) {}
            let socket = SockRef::from(&viewer.accepted);
            merged += usize::from(!socket.tcp_nodelay().unwrap());
        }
        merged
    }
}

/// The edge's socket of a client: the edge runs in this process.
fn accepted(client: &Client) -> OwnedFd {
    let process = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let wanted = client.socket.local_addr().unwrap();
    let found = fs::read_dir("/proc/self/fd").unwrap().find_map(|entry| {
        let number = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let socket = pidfd_getfd(&process, number, PidfdGetfdFlags::empty()).ok()?;
        let peer: Option<SocketAddr> = SockRef::from(&socket).peer_addr().ok()?.as_socket();
        (peer == Some(wanted)).then_some(socket)
    });
    found.expect("the edge has accepted it")
}

#[tokio::test]
async fn the_kernel_merges_writes_to_many_viewers_of_a_standard_stream_who_only_watch() {
    let mut audience = Audience::of(Delivery::Standard);
    audience.resize(MANY - 1).await;
    assert_eq!(audience.merged().await, 0);
    audience.resize(MANY).await;
    assert_eq!(audience.merged().await, MANY);

    let caller = &mut audience.viewers[0];
    caller.client.connection.notify("calls", Vec::new());
    caller.client.send().await;
    assert_eq!(audience.edge.command(&caller.peer).await.0.name, "calls");
    assert_eq!(audience.merged().await, MANY - 1);

    audience.resize(FEW).await;
    assert_eq!(audience.merged().await, FEW - 1);
    audience.resize(FEW - 1).await;
    assert_eq!(audience.merged().await, 0);
    audience.resize(MANY - 1).await;
    assert_eq!(audience.merged().await, 0, "so many do not begin it");
}

#[tokio::test]
async fn the_kernel_merges_nothing_of_other_deliveries() {
    for delivery in [Delivery::Interactive, Delivery::Broadcast] {
        let mut audience = Audience::of(delivery);
        audience.resize(MANY).await;
        assert_eq!(audience.merged().await, 0, "{delivery:?}");
    }
}
