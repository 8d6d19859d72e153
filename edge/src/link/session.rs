//! A session as the link thread holds it, in a lane or on the way to one.

use std::sync::Arc;

use tributary_node::queue;
use tributary_protocol::{
    SessionId,
    link::{CloseReason, ToSession},
};

mod parcel;

pub(super) use parcel::MovedWaiting;

use super::{
    handle::{FromOrigin, Opening, Park},
    journal::Journal,
};
use crate::objects::HubOut;

/// The link thread's end of a session. It moves as a whole from lane to lane.
#[derive(Debug)]
pub(super) struct LinkSession {
    pub(super) inbox: queue::Sender<FromOrigin>,
    pub(super) park: Arc<Park>,
    /// The hub of the session's worker, which gets messages of shared objects.
    pub(super) hub: Option<Arc<HubOut>>,
}

/// A session that waits for a lane.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) id: SessionId,
    pub(super) session: LinkSession,
    pub(super) journal: Box<Journal>,
}

impl LinkSession {
    /// Queues the last item of the session's inbox, or the mark before a freeze.
    pub(super) fn end(&self, item: FromOrigin) {
        // An inbox without a reader drops the item.
        let _ = self.inbox.push_final(item);
    }

    /// Closes the session at this edge.
    pub(super) fn close(&self, reason: CloseReason) {
        self.end(FromOrigin::Order(ToSession::Close(reason)));
    }
}

impl Waiting {
    pub(super) fn new(id: SessionId, opening: Opening) -> Self {
        let Opening {
            request,
            inbox,
            park,
            hub,
        } = opening;
        Self {
            id,
            session: LinkSession { inbox, park, hub },
            journal: Box::new(Journal::new(request)),
        }
    }
}
