//! The items between the link thread and a worker's hub, in one order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tributary_node::queue::{self, PushError};
use tributary_protocol::{
    LaneId, SessionId, amf::ObjectEncoding, link::AudienceId, shared_object::Flags,
};

use super::ObjectMessage;

/// One audience of one lane of this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(pub LaneId, pub AudienceId);

/// An item of a hub's queue.
#[derive(Debug)]
pub enum ToHub {
    /// A session is a member, or its flags or standing have changed.
    Join {
        audience: ObjectKey,
        session: SessionId,
        /// The flags of the session's Use, which go into every message for it.
        flags: Flags,
        /// Whether the member stands aside.
        aside: bool,
    },
    /// A session is no longer a member.
    Leave {
        audience: ObjectKey,
        session: SessionId,
    },
    /// A message for the members that do not stand aside.
    Deliver(Delivery),
}

/// A message to the members of one object.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub audience: ObjectKey,
    pub message: Arc<ObjectMessage>,
    /// The one member that does not get it.
    pub all_but: Option<SessionId>,
    /// Set if the message is for members of this encoding only.
    pub encoding: Option<ObjectEncoding>,
}

/// The link thread's end of a worker's hub.
#[derive(Debug)]
pub struct HubOut {
    queue: queue::Sender<ToHub>,
    handed: AtomicU64,
}

/// Bytes that wait for one worker. Reason: a worker that is this far behind is overloaded. The
/// messages of one object leave in one write, so that less load never fills the queue.
pub(crate) const HUB: usize = 32 * 1024 * 1024;

/// Bytes that an item of the hub's queue counts besides its payload.
const ITEM: usize = 128;

/// The worker does not keep up: [`HUB`] is reached.
#[derive(Debug)]
pub(crate) struct HubFull;

impl HubOut {
    /// The link thread's end, and the queue that the hub reads.
    pub(super) fn new() -> (Arc<Self>, queue::Receiver<ToHub>) {
        let (queue, receiver) = queue::queue(HUB);
        let handed = AtomicU64::new(0);
        (Arc::new(Self { queue, handed }), receiver)
    }

    /// Queues an item for the worker. Returns its place.
    pub(crate) fn hand(&self, what: ToHub) -> Result<u64, HubFull> {
        let pushed = match &what {
            ToHub::Deliver(delivery) => {
                let weight = delivery.message.size() + ITEM;
                self.queue.push(what, weight)
            }
            ToHub::Join { .. } | ToHub::Leave { .. } => self.queue.push_control(what),
        };
        // A worker that has ended has no clients.
        if let Err(PushError::Full(_)) = pushed {
            return Err(HubFull);
        }
        Ok(self.handed.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
