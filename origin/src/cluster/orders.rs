//! Orders of operators to an origin in a cluster, on the way to the thread of the links.

use std::{fmt, time::Duration};

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};
use tributary_protocol::GroupName;

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

/// The reason for which a group was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MoveError {
    /// The origin has no link to one of this name; these it has.
    NoLink {
        to: String,
        linked: Vec<String>,
    },
    /// It is the name of this origin.
    SameOrigin,
    /// It may be at another origin.
    NotHere {
        at: Option<String>,
    },
    /// No edge that has clients of it has a link to this origin.
    NoEdge,
    HasData,
    /// Its application has its clients closed.
    Closes,
    IsMoving,
    TooManyEdges,
    /// Another edge has come to the group while the other origin was asked.
    Changed,
    /// The other origin does not take it.
    Refused {
        by: String,
        why: String,
    },
    NoAnswer {
        by: String,
    },
    /// The group has stopped here, and the other origin has not said that it goes on.
    NotArrived {
        at: String,
    },
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

impl MoveError {
    /// How the operator may go on.
    pub(crate) fn remedy(&self) -> String {
        match self {
            Self::NoLink { linked, .. } if linked.is_empty() => {
                "name the other origins in cluster.origins, and see that they run".into()
            }
            Self::NoLink { linked, .. } => format!("name one of {}", linked.join(", ")),
            Self::SameOrigin => "name another origin with --to".into(),
            Self::NotHere { at: Some(at) } => format!("ask {at}, which has it"),
            Self::NotHere { at: None } => {
                "ask the origin that has it: `tributary cluster status` says which".into()
            }
            Self::NoEdge => "wait until the link of one of its edges is back".into(),
            Self::HasData => {
                "restart its origin in place: its clients go on when it is back".into()
            }
            Self::Closes => "wait until its clients have gone".into(),
            Self::IsMoving => "wait until it has moved".into(),
            Self::TooManyEdges => "move it while fewer edges have sessions of it".into(),
            Self::Changed => "try again".into(),
            Self::Refused { .. } => "remove the reason, or name another origin".into(),
            Self::NoAnswer { .. } => "see the log of that origin, and try again".into(),
            Self::NotArrived { .. } => {
                "see the log of that origin; its edges bring the sessions there as soon as they can"
                    .into()
            }
        }
    }
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink { to, .. } => write!(f, "this origin has no link to an origin {to:?}"),
            Self::SameOrigin => f.write_str("it is at this origin already"),
            Self::NotHere { .. } => f.write_str("it has no clients at this origin"),
            Self::NoEdge => {
                f.write_str("none of the edges that have its clients has a link to this origin")
            }
            Self::HasData => f.write_str(
                "it has stored data at this origin, which does not move without a registry",
            ),
            Self::Closes => f.write_str(
                "its application has its clients closed (applications.NAME.restore = \"close\")",
            ),
            Self::IsMoving => f.write_str("it is about to move, or its origin to stop"),
            Self::TooManyEdges => f.write_str("too many edges have sessions of it"),
            Self::Changed => f.write_str("clients of another edge have come to it meanwhile"),
            Self::Refused { by, why } => write!(f, "{by} does not take it: {why}"),
            Self::NoAnswer { by } => write!(f, "{by} does not answer"),
            Self::NotArrived { at } => write!(
                f,
                "it has stopped here, and {at} has not said that it goes on there"
            ),
        }
    }
}

impl std::error::Error for MoveError {}
