//! One session in a lane.

use tributary_node::queue::PushError;
use tributary_protocol::{SessionId, link::AudienceId};

use crate::link::{
    handle::FromOrigin,
    journal::Journal,
    session::{LinkSession, Waiting},
};

/// A session's end at its lane.
#[derive(Debug)]
pub(in crate::link) struct LaneSession {
    pub(in crate::link) session: LinkSession,
    /// Until the connect is accepted: the session can be opened in another lane.
    pub(in crate::link) journal: Option<Box<Journal>>,
    /// The shared objects that the session uses.
    pub(super) audiences: Vec<AudienceId>,
    /// The place in the hub that its inbox has an item of.
    place: u64,
}

/// The session's inbox holds its limit, or its worker's hub does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InboxFull;

/// The weight of an item without a payload in a session's inbox, in bytes.
pub(super) const ITEM: usize = 64;

impl LaneSession {
    /// The session of a lane; it was not in one, or has left the one before.
    pub(super) fn new(session: LinkSession, journal: Box<Journal>) -> Self {
        Self {
            session,
            journal: Some(journal),
            audiences: Vec::new(),
            place: 0,
        }
    }

    /// Queues an item of this weight besides the item's own. An inbox without a reader drops it.
    pub(super) fn push(&self, item: FromOrigin, weight: usize) -> Result<(), InboxFull> {
        match self.session.inbox.push(item, weight + ITEM) {
            Err(PushError::Full(_)) => Err(InboxFull),
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
        }
    }

    /// Lets the items that follow wait until the hub has passed a place.
    pub(super) fn push_place(&mut self, place: u64) -> Result<(), InboxFull> {
        if place <= self.place {
            return Ok(());
        }
        self.place = place;
        self.push(FromOrigin::After(place), 0)
    }

    /// The session out of its lane: what waits for another, if it was not accepted.
    pub(in crate::link) fn leave(self, id: SessionId) -> Result<Waiting, LinkSession> {
        let Self {
            session, journal, ..
        } = self;
        match journal {
            Some(journal) => Ok(Waiting {
                id,
                session,
                journal,
            }),
            None => Err(session),
        }
    }
}
