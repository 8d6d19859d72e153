//! The links between the origins of a cluster.
//!
//! Each origin dials those that its configuration names. A link serves both ends: two origins that name each
//! other have two, and either will do. It has a control stream and nothing else.

use std::{
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::time::timeout;
use tributary_node::{
    backoff::Backoff,
    link::{
        ControlDriver, GREETING, Greeted, OriginAddress, answer, connect, control_queue, greet,
        run_control,
    },
    queue,
    transport::{CloseCode, Link, LinkError},
};
use tributary_protocol::link::{Control, Hello, features};

use super::{
    edges::Edges,
    peers::{OpenLink, PeerOrigin},
};

/// One link to another origin.
struct PeerLink {
    edges: Rc<Edges>,
    peer: Rc<PeerOrigin>,
    link: Link,
    /// Its number.
    number: u64,
    /// The process at the other end.
    epoch: u64,
}

/// The pauses between dials of an origin.
const REDIAL: Duration = Duration::from_millis(100);
const REDIAL_MOST: Duration = Duration::from_secs(2);

/// The age of a link after which the pauses start over.
const HEALTHY: Duration = Duration::from_secs(10);

impl PeerLink {
    /// Notes that the link is up; the frames that begin it, and those that are queued.
    fn up(&self) -> (Vec<Control>, queue::Receiver<Control>) {
        let (control, queued) = control_queue();
        if !self.peer.is_linked() {
            self.edges.shared.metrics.moves.peers.inc();
        }
        self.peer.add(OpenLink {
            number: self.number,
            epoch: self.epoch,
            link: self.link.clone(),
            control,
        });
        let (name, number, epoch) = (&self.peer.name, self.number, self.epoch);
        self.edges
            .decide(|it, now, _| it.origin_linked(name, number, epoch, now));
        tracing::info!(
            origin = self.peer.name,
            "link to an origin of the cluster is up"
        );
        let mut first = self.edges.shared.ownership.get().told_to_origin();
        if self.edges.takes_nothing() {
            first.push(Control::GoAway { within_ms: 0 });
        }
        (first, queued)
    }

    fn down(&self, error: &LinkError) {
        let number = self.number;
        let mut links = self.peer.links.borrow_mut();
        let before = links.len();
        links.retain(|open| open.number != number);
        if links.is_empty() && before > 0 {
            self.edges.shared.metrics.moves.peers.dec();
        }
        drop(links);
        let name = &self.peer.name;
        self.edges
            .decide(|it, now, _| it.origin_lost(name, number, now));
        tracing::info!(origin = self.peer.name, %error, "link to an origin of the cluster is lost");
    }
}

impl ControlDriver for PeerLink {
    fn handle(&self, control: Control) -> Result<(), LinkError> {
        let peer = &self.peer;
        match control {
            Control::Heartbeat { sessions, groups } => {
                peer.sessions.set(sessions);
                peer.groups.set(groups);
            }
            Control::Displaced {
                complete,
                added,
                removed,
            } => {
                let link = (peer.name.as_str(), self.number);
                self.edges.decide(|it, now, here| {
                    it.origin_has(link, complete, added, &removed, now, here);
                });
            }
            Control::Living { .. } => {
                let ownership = &self.edges.shared.ownership;
                ownership.change(|it| it.origin_gathers(&peer.name, self.number, true));
            }
            Control::LivingEnd { .. } => {
                let ownership = &self.edges.shared.ownership;
                ownership.change(|it| it.origin_gathers(&peer.name, self.number, false));
            }
            Control::GoAway { .. } => {
                let ownership = &self.edges.shared.ownership;
                ownership.change(|it| it.origin_leaves(&peer.name));
            }
            Control::Move(frame) => {
                let from = &peer.name;
                self.edges
                    .decide(|it, now, here| it.handle_move(from, frame, now, here));
            }
            _ => {}
        }
        Ok(())
    }

    fn heartbeat(&self) -> Control {
        self.edges.heartbeat()
    }

    fn send(&self, control: Control) {
        self.peer.tell(control);
    }
}

impl Edges {
    fn peer_hello(&self) -> Hello {
        let config = &self.shared.config;
        Hello {
            node: config.identity.peer().name.clone(),
            epoch: config.epoch,
            incarnation: 0,
            connection: 0,
            features: features::PEER,
            zone: String::new(),
            capacity: 0,
            known_as: self.proof_of(config.identity.peer().name.as_str(), config.epoch),
            grace_ms: 0,
        }
    }

    /// The proof of an origin that it has the secret of this cluster.
    fn proof_of(&self, origin: &str, epoch: u64) -> String {
        let cluster = self.shared.config.cluster.as_ref();
        cluster.map_or_else(String::new, |it| it.key.proof(&it.name, origin, epoch))
    }

    /// The link to another origin, from its greeting on.
    fn peer_link(self: &Rc<Self>, link: &Link, hello: &Hello) -> Result<PeerLink, LinkError> {
        if hello.features & features::PEER == 0 {
            let why = "the origin is in no cluster: set cluster.name in its configuration";
            return Err(LinkError::Refused(why.into()));
        }
        if hello.node == self.shared.config.identity.peer().name {
            let why = "it has this origin's own name: each origin needs its own certificate";
            return Err(LinkError::Refused(why.into()));
        }
        if hello.known_as != self.proof_of(&hello.node, hello.epoch) {
            let why = "its cluster.name or the secret of its cluster is another";
            return Err(LinkError::Refused(why.into()));
        }
        let number = self.peers.links.get() + 1;
        self.peers.links.set(number);
        Ok(PeerLink {
            edges: Rc::clone(self),
            peer: self.peers.linked(&hello.node),
            link: link.clone(),
            number,
            epoch: hello.epoch,
        })
    }

    /// Serves a link that another origin has dialled.
    pub(super) async fn serve_origin(self: Rc<Self>, link: Link) {
        let decide = |hello: &Hello| Ok((self.peer_link(&link, hello)?, self.peer_hello()));
        let greeting = timeout(GREETING, answer(&link, decide)).await;
        match greeting.unwrap_or(Err(LinkError::TimedOut)) {
            Ok((peer_link, greeted)) => {
                carry(&peer_link, greeted).await;
            }
            Err(error) => {
                self.shared.refused(&link.peer().name, &error);
                link.close(CloseCode::Protocol);
            }
        }
    }

    /// Keeps a link to another origin.
    pub(super) async fn dial_origin(edges: Weak<Self>, origin: OriginAddress) {
        let mut random = StdRng::from_os_rng();
        let mut pauses = Backoff::new(REDIAL, REDIAL_MOST, HEALTHY);
        let mut last_error = None;
        while let Some(edges) = edges.upgrade() {
            let identity = edges.shared.config.identity.clone();
            let error = match connect(&identity, &origin).await {
                Ok((link, endpoint)) => {
                    let error = edges.carry_dialled(&link, &mut pauses).await;
                    link.close(CloseCode::Shutdown);
                    endpoint.close().await;
                    error
                }
                Err(error) => error,
            };
            drop(edges);
            let text = error.to_string();
            if last_error.as_ref() != Some(&text) && !error.is_orderly() {
                tracing::warn!(%origin, error = text, "no link to an origin of the cluster; dialling goes on");
                last_error = Some(text);
            }
            tokio::time::sleep(pauses.ended(Instant::now(), &mut random)).await;
        }
    }

    async fn carry_dialled(self: &Rc<Self>, link: &Link, pauses: &mut Backoff) -> LinkError {
        let greeted = timeout(GREETING, greet(link, self.peer_hello())).await;
        let greeted = greeted.unwrap_or(Err(LinkError::TimedOut));
        let begun =
            greeted.and_then(|greeted| Ok((self.peer_link(link, &greeted.hello)?, greeted)));
        match begun {
            Ok((peer_link, greeted)) => {
                pauses.began(Instant::now());
                carry(&peer_link, greeted).await
            }
            Err(error) => error,
        }
    }
}

/// Runs the control stream of a link until it is gone.
async fn carry(peer_link: &PeerLink, greeted: Greeted) -> LinkError {
    let Greeted {
        mut send, mut recv, ..
    } = greeted;
    let (first, queued) = peer_link.up();
    let error = tokio::select! {
        error = peer_link.link.closed() => error,
        error = run_control(peer_link, &mut send, &mut recv, first, queued) => error,
    };
    peer_link.down(&error);
    error
}
