//! The order to a group to stop here and to go on elsewhere.

use std::{collections::HashSet, time::Instant};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::session::LaneKey;

/// The order to a group to stop here and to go on elsewhere, with the clients that its edges bring there. Its
/// lanes take nothing more in; what they had received stands in the mailbox before the order.
#[derive(Debug)]
pub(crate) struct HandOver {
    /// The origin at which it goes on, by its name in the edges' configurations; empty: the next process of
    /// this one.
    pub(crate) to: String,
    /// The lanes whose sessions go on. The other clients' sessions end.
    pub(crate) lanes: HashSet<LaneKey>,
    /// The time until which it may finish what it has begun.
    pub(crate) until: Instant,
    /// Sent once the group has sent its lanes the last of their orders.
    pub(crate) stopped: oneshot::Sender<Stopped>,
}

/// A group that has stopped.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    /// The state that its application leaves for the next instance.
    pub(crate) state: Bytes,
}
