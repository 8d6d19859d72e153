//! One origin as this edge knows it.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use tokio::sync::watch;
use tributary_node::{
    link::OriginAddress,
    queue,
    tls::Peer,
    transport::{IDLE, Link, LinkError},
};
use tributary_protocol::link::{Control, Hello};

use super::{head::OriginProcess, metrics::OriginLabel};
use tributary_protocol::cluster::routing::OriginId;

/// One origin: its link, if it is up, and the figures of the process that was greeted last.
pub(super) struct Origin {
    pub(super) id: OriginId,
    pub(super) configured: OriginAddress,
    link: watch::Sender<Option<Link>>,
    control: RefCell<Option<queue::Sender<Control>>>,
    peer: RefCell<Option<Peer>>,
    epoch: Cell<Option<u64>>,
    /// The number of the process that was greeted last, unique over all origins of this edge.
    process: Cell<u64>,
    grace: Cell<Duration>,
    /// The features that the process supports.
    features: Cell<u64>,
}

/// The longest time for which a link stays up once another process has its lanes. Reason: its
/// origin fences it as soon as the other process greets; nothing is said to it until then.
pub(super) const LEFT_LINKS: Duration = Duration::from_secs(10);

impl Origin {
    pub(super) fn new(id: OriginId, configured: OriginAddress) -> Self {
        Self {
            id,
            configured,
            link: watch::channel(None).0,
            control: RefCell::default(),
            peer: RefCell::default(),
            epoch: Cell::new(None),
            process: Cell::new(0),
            grace: Cell::new(Duration::ZERO),
            features: Cell::default(),
        }
    }

    /// The name by which the edges call the origin.
    pub(super) fn name(&self) -> &str {
        self.configured.known_as()
    }

    /// The label of the origin's figures.
    pub(super) fn label(&self) -> OriginLabel {
        OriginLabel {
            origin: self.name().to_owned(),
        }
    }

    /// Whether the origin answers to `host`, of which `bare` is the part before the port.
    pub(super) fn is_named(&self, host: &str, bare: &str) -> bool {
        let peer = self.peer.borrow();
        self.name().eq_ignore_ascii_case(host)
            || self.name().eq_ignore_ascii_case(bare)
            || peer.as_ref().is_some_and(|peer| peer.answers_to(bare))
    }

    /// Whether the process that was greeted last has this feature.
    pub(super) fn has(&self, feature: u64) -> bool {
        self.features.get() & feature != 0
    }

    #[cfg(test)]
    pub(super) fn set_features(&self, features: u64) {
        self.features.set(features);
    }

    /// The process that was greeted last, for another process of this edge.
    pub(super) fn greeted_process(&self) -> Option<OriginProcess> {
        Some(OriginProcess {
            epoch: self.epoch.get()?,
            process: self.process.get(),
            grace: self.grace.get(),
            features: self.features.get(),
            peer: self.peer.borrow().clone()?,
        })
    }

    /// Records the process that another process of this edge has greeted last.
    pub(super) fn restore(&self, greeted: OriginProcess) {
        self.epoch.set(Some(greeted.epoch));
        self.process.set(greeted.process);
        self.grace.set(greeted.grace);
        self.features.set(greeted.features);
        *self.peer.borrow_mut() = Some(greeted.peer);
    }

    /// The time at which the groups of the origin may start elsewhere, if no link comes in place of
    /// that of the process before, which is up.
    pub(super) fn free_after_move(&self, now: Instant) -> Instant {
        self.free_at(&LinkError::Reset, now) + LEFT_LINKS
    }

    pub(super) fn process(&self) -> u64 {
        self.process.get()
    }

    /// The link of the origin, and its changes.
    pub(super) fn links(&self) -> watch::Receiver<Option<Link>> {
        self.link.subscribe()
    }

    /// Waits until the origin's task has noticed the end of its link.
    pub(super) async fn link_closed(&self) {
        let mut links = self.links();
        // The origin owns the sender, which lives longer than the wait.
        let _ = links
            .wait_for(|link| link.as_ref().is_none_or(|link| !link.is_closed()))
            .await;
    }

    /// Whether the origin has a link.
    pub(super) fn is_linked(&self) -> bool {
        self.link.borrow().is_some()
    }

    /// Waits until the origin has a link.
    pub(super) async fn linked(&self) {
        // The origin owns the sender, which lives longer than the wait.
        let _ = self.links().wait_for(Option::is_some).await;
    }

    /// Waits until the origin has no link.
    pub(super) async fn unlinked(&self) {
        // The origin owns the sender, which lives longer than the wait.
        let _ = self.links().wait_for(Option::is_none).await;
    }

    /// Queues a control frame. Without a link the frame is dropped.
    pub(super) fn send(&self, control: Control) {
        if let Some(queue) = &*self.control.borrow() {
            // A link whose control queue is full is about to be given up.
            let _ = queue.push(control, 1);
        }
    }

    /// Records the hello of a link. Returns whether the process is another than before.
    pub(super) fn greeted(&self, hello: &Hello, peer: Peer) -> bool {
        self.features.set(hello.features);
        self.grace
            .set(Duration::from_millis(u64::from(hello.grace_ms)));
        *self.peer.borrow_mut() = Some(peer);
        self.epoch.replace(Some(hello.epoch)) != Some(hello.epoch)
    }

    pub(super) fn set_process(&self, process: u64) {
        self.process.set(process);
    }

    /// Sets the queue of control frames; without one, frames are dropped.
    pub(super) fn set_control(&self, control: Option<queue::Sender<Control>>) {
        *self.control.borrow_mut() = control;
    }

    /// Sets the link for lanes and feeds; without one, they wait.
    pub(super) fn set_link(&self, link: Option<Link>) {
        let _ = self.link.send_replace(link);
    }

    /// The time at which the groups of the lost origin may start elsewhere. The origin has given
    /// them up by then: the grace time after it last received bytes of this edge.
    pub(super) fn free_at(&self, error: &LinkError, now: Instant) -> Instant {
        let silent = if *error == LinkError::TimedOut {
            Duration::ZERO
        } else {
            IDLE
        };
        now + self.grace.get() + silent + Duration::from_secs(1)
    }
}
