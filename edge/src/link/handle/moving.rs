//! The way of sessions to another process, and from it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use tokio::sync::oneshot;
use tributary_node::queue;
use tributary_protocol::{
    SessionId,
    link::{CloseReason, ToSession},
};

use super::{FromOrigin, INBOX, Park, SessionLink, ToLane, Upstream};
use crate::{
    link::{
        moved::{MoveError, MovedLinks},
        publish::{MovedFeed, PublishFeed, PublishSource},
    },
    objects::HubOut,
};

/// The distance of the session numbers of a process that has left from those that the next one gives.
/// Reason: the next process gives fewer, also all later ones, and a frame of the link has 62 bits.
const LEAST_APART: u64 = 1 << 40;
const MOST_APART: u64 = 1 << 59;

/// A step on the way of the links to another process, or from it.
#[derive(Debug)]
pub enum Movement {
    /// The lanes are to stand still. Then [`Self::Mark`] follows.
    Freeze {
        number: u64,
        commands: queue::Sender<ToLane>,
        done: oneshot::Sender<()>,
    },
    /// The lanes stand still: each inbox gets [`FromOrigin::Freeze`].
    Mark {
        number: u64,
        done: oneshot::Sender<()>,
    },
    Export {
        next_session: u64,
        exported: oneshot::Sender<Result<MovedLinks, MoveError>>,
    },
    Thaw,
    Leave(oneshot::Sender<()>),
    /// A session that has come has its driver, at the worker with this hub.
    Adopt {
        session: SessionId,
        hub: Option<Arc<HubOut>>,
    },
    /// A publish that has come has its client.
    AdoptFeed(Box<PublishSource>),
    /// All sessions that come have come: these have no driver.
    Adopted(Vec<SessionId>),
}

/// The inboxes and parks of sessions that have come from another process, until their drivers
/// adopt them. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Berths(Arc<Mutex<BerthTable>>);

type BerthTable = HashMap<SessionId, (queue::Receiver<FromOrigin>, Arc<Park>)>;

impl Berths {
    fn table(&self) -> MutexGuard<'_, BerthTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream {
    /// Stops the links where they are. Lanes leave their streams, feeds that arrive are not read, and
    /// all commands that were queued before are handled. Then [`FromOrigin::Freeze`] is queued behind
    /// everything in each session's inbox, and the call returns. Control streams go on, and feeds of
    /// publishes until they have sent what they have.
    ///
    /// A session that opens afterwards waits, and gets the mark as well.
    pub async fn freeze(&self) {
        let (done, is_done) = oneshot::channel();
        let commands = self.lanes.clone();
        let number = self.freezes.fetch_or(1, Ordering::AcqRel) | 1;
        self.order(Movement::Freeze {
            number,
            commands,
            done,
        });
        // Without a link thread nothing moves.
        let _ = is_done.await;
    }

    /// The state of the links, after [`Self::freeze`]. Everything that sessions have said before the call is
    /// in it. The links stay as they are.
    ///
    /// # Errors
    /// The link thread has ended, the links are not frozen, or a lane cannot be exported.
    pub async fn export(&self) -> Result<MovedLinks, MoveError> {
        let (exported, links) = oneshot::channel();
        self.order(Movement::Export {
            next_session: self.next.load(Ordering::Relaxed),
            exported,
        });
        links.await.unwrap_or(Err(MoveError::Ended))
    }

    /// Whether the links stand still, or are about to, in the freeze with this number.
    pub fn is_frozen(&self, number: u64) -> bool {
        self.freezes.load(Ordering::Acquire) == number
    }

    /// Ends a freeze: lanes and feeds go on over the same links.
    pub fn thaw(&self) {
        // Marks that sessions have not read yet are none of the next freeze.
        let next = |number: u64| Some((number + 1) & !1);
        let _ = self
            .freezes
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        self.order(Movement::Thaw);
    }

    /// Another process has the state of the links: from here on nothing of it is said to an origin,
    /// and no origin is dialled. Links stay up until their origins fence them, 10 s at most. Events of
    /// dropped sessions and publishes are ignored; sessions that open get [`FromOrigin::NoOrigin`].
    ///
    /// The sessions and publishes are dropped after the call has returned.
    pub async fn leave(&self) {
        // The other process gives the next numbers. Sessions that follow have some of their own.
        let apart = rand::random_range(LEAST_APART..MOST_APART);
        self.next.fetch_add(apart, Ordering::Relaxed);
        let (done, is_done) = oneshot::channel();
        self.order(Movement::Leave(done));
        // Without a link thread nothing is said.
        let _ = is_done.await;
    }

    /// The end of a session that has come from another process. A session that has not, or that was
    /// adopted before, is closed with [`CloseReason::OriginLost`].
    ///
    /// The session joins its shared objects at the hub of this upstream: its seat has to be there
    /// before the hub's next turn.
    pub fn adopt(&self, session: SessionId) -> SessionLink {
        let berth = self.berths.table().remove(&session);
        let (inbox, park) = berth.unwrap_or_else(|| {
            let (inbox, answers) = queue::queue_within(INBOX, &self.excess);
            let close = ToSession::Close(CloseReason::OriginLost);
            let _ = inbox.push_final(FromOrigin::Order(close));
            (answers, Arc::default())
        });
        let hub = self.hub.clone();
        self.order(Movement::Adopt { session, hub });
        SessionLink::new(session, self.lanes.clone(), inbox, park)
    }

    /// The feed of a publish that has come from another process.
    pub fn adopt_feed(&self, moved: MovedFeed) -> PublishFeed {
        let (feed, source) = PublishFeed::arrived(moved);
        self.order(Movement::AdoptFeed(Box::new(source)));
        feed
    }

    /// Every session that comes from another process has been adopted: the others are closed in their
    /// lanes with [`CloseReason::Transport`]. The links dial from here on.
    pub fn adopted(&self) {
        let left = std::mem::take(&mut *self.berths.table());
        let mut left: Vec<_> = left.into_keys().collect();
        left.sort_unstable();
        self.order(Movement::Adopted(left));
    }

    /// Prepares the inbox of a session that comes, with the bytes that wait in its lane. `None` if it
    /// has come already, or its number is still to be given.
    pub(crate) fn berth(
        &self,
        session: SessionId,
        parked: usize,
    ) -> Option<(queue::Sender<FromOrigin>, Arc<Park>)> {
        let (inbox, answers) = queue::queue_within(INBOX, &self.excess);
        let park = Arc::new(Park::default());
        park.add(parked);
        let number = session.0;
        let is_given = number < self.next.load(Ordering::Relaxed) || number >= LEAST_APART;
        let berth = (answers, Arc::clone(&park));
        let is_new = self.berths.table().insert(session, berth).is_none();
        (is_given && is_new).then_some((inbox, park))
    }

    /// Lets session numbers go on at this one.
    pub(crate) fn continue_at(&self, next_session: u64) {
        self.next.store(next_session, Ordering::Relaxed);
    }

    fn order(&self, movement: Movement) {
        // It is queued at any fill level: there is one for each step, session and publish. Without a
        // link thread it is dropped.
        let _ = self.lanes.push_final(ToLane::Move(movement));
    }
}
