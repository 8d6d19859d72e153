//! The thread the links run on.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    sync::mpsc::{self, RecvTimeoutError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::task::spawn_local;
use tributary_node::{
    drain,
    link::accept,
    tls::Role,
    transport::{BindError, Endpoint},
};
use tributary_protocol::link::Control;

use super::{
    config::LinkConfig, edges::Edges, kept::kept, metrics::LinkMetrics, orders, shared::Shared,
};
use crate::{cluster::ClusterOrders, group::Groups};

/// The links at work.
#[derive(Debug)]
pub(crate) struct RunningLink {
    /// The address bound.
    pub(crate) address: SocketAddr,
    thread: JoinHandle<()>,
    /// Closed when the thread ends.
    ended: mpsc::Receiver<()>,
    drain: drain::Watch,
}

impl RunningLink {
    /// Waits until the links are closed, after the drain. A turn of a group may block the thread:
    /// from the drain on, this waits no longer than an end takes, and leaves the thread.
    pub(crate) fn join(self) {
        let mut late = None;
        while self.ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            if !self.drain.is_signaled() {
                continue;
            }
            if Instant::now() > *late.get_or_insert_with(|| Instant::now() + END) {
                return tracing::warn!("a group's turn blocks the link thread; it is left behind");
            }
        }
        if self.thread.join().is_err() {
            tracing::error!("the link thread panicked");
        }
    }
}

/// Starts the links on a thread of their own. Groups of short turns run there too while it has
/// little to do.
pub(crate) fn start(
    config: LinkConfig,
    groups: Groups,
    metrics: LinkMetrics,
    orders: ClusterOrders,
    drain: drain::Watch,
) -> Result<RunningLink, LinkError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(LinkError::Thread)?;
    let (bound, address) = mpsc::sync_channel(1);
    let (running, ended) = mpsc::sync_channel(0);
    let watch = drain.clone();
    let work = move || {
        let _running = running;
        let local = tokio::task::LocalSet::new();
        local.block_on(&runtime, async move {
            let wanted: &[Role] = match config.cluster {
                Some(_) => &[Role::Edge, Role::Origin],
                None => &[Role::Edge],
            };
            let endpoint = match Endpoint::accepting(config.address, &config.identity, wanted) {
                Ok(endpoint) => endpoint,
                Err(error) => return drop(bound.send(Err(error))),
            };
            let address = endpoint.local_addr().unwrap_or(config.address);
            let _ = bound.send(Ok(address));
            let shared = Rc::new(Shared::new(config, groups, metrics));
            run(&shared, &endpoint, orders, drain).await;
        });
    };
    let thread = std::thread::Builder::new().name("link".into()).spawn(work);
    let thread = thread.map_err(LinkError::Thread)?;
    match address.recv() {
        Ok(Ok(address)) => Ok(RunningLink {
            address,
            thread,
            ended,
            drain: watch,
        }),
        Ok(Err(error)) => Err(LinkError::Bind(error)),
        Err(_) => Err(LinkError::Thread(io::Error::other("the link thread ended"))),
    }
}

/// Accepts links until the drain. Returns when every group has ended and the edges have received
/// that.
async fn run(shared: &Rc<Shared>, endpoint: &Endpoint, orders: ClusterOrders, drain: drain::Watch) {
    let edges = Edges::new(Rc::clone(shared));
    spawn_local(shared.groups.run_beside_link());
    spawn_local(tick(Rc::clone(&edges)));
    spawn_local(announce_displaced(Rc::clone(&edges)));
    spawn_local(announce_kept(Rc::clone(&edges)));
    spawn_local(orders::follow(Rc::clone(&edges), orders));
    for origin in shared.config.cluster.iter().flat_map(|it| &it.origins) {
        spawn_local(Edges::dial_origin(Rc::downgrade(&edges), origin.clone()));
    }
    let may_end = async {
        drain.signaled().await;
        if edges.shared.config.cluster.is_some() {
            // Links that are lost meanwhile may come back.
            edges.drain_within(DRAIN).await;
        }
    };
    tokio::select! {
        () = accept(endpoint, &edges) => {}
        () = may_end => {}
    }
    shut_down(&edges, endpoint).await;
}

/// Looks at the clock, and ends lanes that no link carries.
async fn tick(edges: Rc<Edges>) {
    loop {
        tokio::time::sleep(TICK).await;
        edges.sweep();
    }
}

/// Notifies every edge of groups that have left their home, or have gone back.
async fn announce_displaced(edges: Rc<Edges>) {
    loop {
        tokio::time::sleep(TOGETHER).await;
        let (for_edges, for_origins) = edges.shared.ownership.news().await;
        for control in &for_edges {
            edges.tell_all(control);
        }
        for control in &for_origins {
            edges.peers.tell_all(control);
        }
    }
}

/// Notifies every edge of groups that have begun to store data; sends the whole list if some have
/// none any more.
async fn announce_kept(edges: Rc<Edges>) {
    let groups = &edges.shared.groups;
    let Some(mut changed) = groups.kept_changed() else {
        return;
    };
    let mut told = *changed.borrow_and_update();
    while changed.changed().await.is_ok() {
        let extent = *changed.borrow_and_update();
        let whole = extent.edition != told.edition;
        let first = if whole { 0 } else { told.count };
        for control in kept(&groups.kept_since(first), whole) {
            edges.tell_all(&control);
        }
        told = extent;
    }
}

/// Ends the groups, lets the lanes send the rest, and closes the links.
async fn shut_down(edges: &Edges, endpoint: &Endpoint) {
    match edges.shared.config.cluster {
        // The next process is soon there: edges keep the groups for it.
        Some(_) => edges.hand_over_all().await,
        None => edges.tell_all(&Control::GoAway { within_ms: 0 }),
    }
    let ended = tokio::time::timeout(GROUPS_END, edges.shared.groups.shutdown()).await;
    if ended.is_err() {
        tracing::warn!("groups did not end in time");
    }
    let _ = tokio::time::timeout(REST_LEAVES, edges.acknowledged()).await;
    endpoint.close().await;
}

/// The time between two looks at the clock and at lanes without a link.
const TICK: Duration = Duration::from_millis(250);

/// The time between two frames about groups that come and go. Reason: each goes to every edge.
const TOGETHER: Duration = Duration::from_millis(20);

/// The time that groups have to end, unless a turn blocks this thread.
const GROUPS_END: Duration = Duration::from_secs(2);

/// The time that lanes have to send the rest.
const REST_LEAVES: Duration = Duration::from_secs(1);

/// The time that the end takes at most, with the close of the endpoint, if no turn blocks the thread; an
/// origin in a cluster moves its groups and hands them over before.
const END: Duration = Duration::from_secs(20);

/// The time that an origin in a cluster has to move its groups to the other origins.
const DRAIN: Duration = Duration::from_secs(10);

/// The links could not be started.
#[derive(Debug)]
#[non_exhaustive]
pub enum LinkError {
    /// The address or the certificate is at fault.
    Bind(BindError),
    /// The thread or its runtime did not start.
    Thread(io::Error),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Thread(error) => write!(f, "cannot start the link thread: {error}"),
        }
    }
}

impl std::error::Error for LinkError {}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, thread};

    use super::*;

    #[test]
    fn a_turn_that_blocks_the_link_thread_does_not_hold_its_end() {
        let (hold, held) = mpsc::sync_channel::<()>(0);
        let (running, ended) = mpsc::sync_channel(0);
        let (signal, drain) = drain::channel();
        let link = RunningLink {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            thread: thread::spawn(move || {
                let _running = running;
                let _ = held.recv();
            }),
            ended,
            drain,
        };
        let (joined, join) = mpsc::sync_channel(1);
        thread::spawn(move || {
            link.join();
            joined.send(())
        });
        let waited = join.recv_timeout(2 * TICK);
        assert_eq!(waited, Err(RecvTimeoutError::Timeout), "before the drain");
        signal.begin();
        let waited = join.recv_timeout(END + Duration::from_secs(10));
        assert_eq!(waited, Ok(()), "it has left the thread");
        drop(hold);
    }
}
