//! Orders of operators to an origin in a cluster, on the way to the thread of the links.

use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tributary_protocol::{GroupName, cluster::MoveError};

/// The way to the thread of the links.
#[derive(Clone, Debug)]
pub(crate) struct ClusterHandle(mpsc::Sender<ClusterOrder>);

/// The orders, as the thread of the links takes them.
pub(crate) type ClusterOrders = mpsc::Receiver<ClusterOrder>;

/// An order, with the way back for its outcome.
#[derive(Debug)]
pub(crate) enum ClusterOrder {
    Status(oneshot::Sender<ClusterStatus>),
    Group(GroupName, oneshot::Sender<Option<GroupStatus>>),
    Move {
        group: GroupName,
        /// The name of the other origin.
        to: String,
        done: oneshot::Sender<Result<MovedGroup, MoveError>>,
    },
    /// Takes no new groups, and moves those that are here to other origins. The answer comes at once.
    Drain {
        /// The time for applications that do not expect to be moved to become idle.
        within: Duration,
        begun: oneshot::Sender<ClusterStatus>,
    },
    /// Takes groups again.
    Undrain(oneshot::Sender<ClusterStatus>),
}

/// An origin of a cluster, as it knows itself and the others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClusterStatus {
    pub(crate) cluster: String,
    /// The name on this origin's certificate.
    pub(crate) origin: String,
    pub(crate) state: OriginState,
    pub(crate) sessions: u64,
    pub(crate) groups: u64,
    pub(crate) edges: Vec<LinkedEdge>,
    /// The other origins.
    pub(crate) origins: Vec<OtherOrigin>,
    /// The groups that a drain has not moved.
    pub(crate) staying: Vec<StayingGroup>,
}

/// The attitude of an origin to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum OriginState {
    Up,
    /// It moves its groups away.
    Draining,
    /// It has moved those that can be moved.
    Drained,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct LinkedEdge {
    pub(crate) name: String,
    pub(crate) is_linked: bool,
    pub(crate) sessions: u64,
    pub(crate) groups: u64,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct OtherOrigin {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    pub(crate) is_linked: bool,
    pub(crate) takes_groups: bool,
    pub(crate) sessions: u64,
    pub(crate) groups: u64,
}

/// A group that a drain has not moved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StayingGroup {
    pub(crate) group: String,
    pub(crate) why: String,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GroupStatus {
    pub(crate) group: String,
    /// The origin at which it is.
    pub(crate) origin: String,
    pub(crate) sessions: u64,
    /// The edges that have sessions of it.
    pub(crate) edges: Vec<String>,
    /// Whether it has stored data here, which does not move.
    pub(crate) has_data: bool,
}

/// A group that has moved.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MovedGroup {
    pub(crate) group: String,
    pub(crate) to: String,
    pub(crate) sessions: u64,
    /// The time from the order until the group went on.
    pub(crate) took_ms: f64,
    /// The time for which it stood still.
    pub(crate) frozen_ms: f64,
}

/// Orders that wait at most. Reason: operators give them by hand.
const ORDERS: usize = 64;

impl ClusterHandle {
    /// A way to the thread of the links, which takes the orders.
    pub(crate) fn new() -> (Self, ClusterOrders) {
        let (orders, taken) = mpsc::channel(ORDERS);
        (Self(orders), taken)
    }

    /// Gives an order and waits for its outcome; none if the origin stops.
    pub(crate) async fn ask<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<T>) -> ClusterOrder,
    ) -> Option<T> {
        let (done, outcome) = oneshot::channel();
        self.0.send(order(done)).await.ok()?;
        outcome.await.ok()
    }
}
