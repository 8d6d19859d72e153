//! The words between the link and a worker's hub, in one order.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use tributary_node::queue::{self, PushError};
use tributary_protocol::{
    LaneId, SessionId, amf::ObjectEncoding, link::AudienceId, shared_object::Flags,
};

use super::ObjectMessage;

/// An audience of a lane of this edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObjectKey(pub LaneId, pub AudienceId);

/// One thing the link says to a worker about objects, by lane and audience.
#[derive(Debug)]
pub enum ToHub {
    /// A session is a member, or stands otherwise than before.
    Join {
        /// The audience.
        audience: ObjectKey,
        /// The session.
        session: SessionId,
        /// What goes into every message to it.
        flags: Flags,
        /// Messages to all pass it by.
        aside: bool,
    },
    /// A session is a member no more.
    Leave {
        /// The audience.
        audience: ObjectKey,
        /// The session.
        session: SessionId,
    },
    /// A message for those members that do not stand aside.
    Deliver(Delivery),
}

/// A message to the members of one object.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The audience.
    pub audience: ObjectKey,
    /// The message.
    pub message: Arc<ObjectMessage>,
    /// All members but this one.
    pub all_but: Option<SessionId>,
    /// Members of this encoding only.
    pub encoding: Option<ObjectEncoding>,
}

/// The link's end of a worker's hub.
#[derive(Debug)]
pub struct HubOut {
    queue: queue::Sender<ToHub>,
    handed: AtomicU64,
}

/// What may wait for one worker, in bytes. Reason: a worker that is this far behind is overloaded;
/// what gathers of one object leaves in one write, so that it takes a lot.
pub(crate) const HUB: usize = 32 * 1024 * 1024;

/// What anything in the hub's queue counts besides its payload, in bytes.
const ITEM: usize = 128;

/// The worker does not keep up.
#[derive(Debug)]
pub(crate) struct HubFull;

impl HubOut {
    /// The link's end, and the queue that the hub reads.
    pub(super) fn new() -> (Arc<Self>, queue::Receiver<ToHub>) {
        let (queue, receiver) = queue::queue(HUB);
        let handed = AtomicU64::new(0);
        (Arc::new(Self { queue, handed }), receiver)
    }

    /// Hands something to the worker; returns its place.
    pub(crate) fn hand(&self, what: ToHub) -> Result<u64, HubFull> {
        let pushed = match &what {
            ToHub::Deliver(delivery) => {
                let weight = delivery.message.size() + ITEM;
                self.queue.push(what, weight)
            }
            ToHub::Join { .. } | ToHub::Leave { .. } => self.queue.push_control(what),
        };
        // A worker that is gone has no clients.
        if let Err(PushError::Full(_)) = pushed {
            return Err(HubFull);
        }
        Ok(self.handed.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
