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
    /// The journal, until the connect is accepted: with it the session can move to another lane.
    pub(in crate::link) journal: Option<Box<Journal>>,
    /// The shared objects that the session uses.
    pub(super) audiences: Vec<AudienceId>,
    /// The hub's place that was queued in the inbox last.
    place: u64,
}

/// The session's inbox or its worker's hub is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InboxFull;

/// Bytes that an item counts in a session's inbox besides its payload.
pub(super) const ITEM: usize = 64;

impl LaneSession {
    /// A session that joins a lane; it is in no other. Without a journal it does not move to another.
    pub(in crate::link) fn new(session: LinkSession, journal: Option<Box<Journal>>) -> Self {
        Self {
            session,
            journal,
            audiences: Vec::new(),
            place: 0,
        }
    }

    /// Queues an item of this weight, [`ITEM`] not counted. An inbox without a reader drops it.
    pub(super) fn push(&self, item: FromOrigin, weight: usize) -> Result<(), InboxFull> {
        match self.session.inbox.push(item, weight + ITEM) {
            Err(PushError::Full(_)) => Err(InboxFull),
            Ok(()) | Err(PushError::Closed(_)) => Ok(()),
        }
    }

    /// Queues a place: the items that follow wait until the hub has passed it.
    pub(super) fn push_place(&mut self, place: u64) -> Result<(), InboxFull> {
        if place <= self.place {
            return Ok(());
        }
        self.place = place;
        self.push(FromOrigin::After(place), 0)
    }

    /// Takes the session out of its lane. A session that is not accepted waits for another lane.
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
