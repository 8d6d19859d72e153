//! The line of waiting sessions, and the time to place them again.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::Instant,
};

use tokio::sync::Notify;
use tributary_protocol::{GroupName, Message, SessionId, link::Generation};

use super::waiting::WaitingRoom;
use crate::{
    link::{handle::FromOrigin, journal::JournalFull, moved::MoveError, session::Waiting},
    objects::HubOut,
};

#[derive(Default)]
pub(super) struct WaitingLine {
    room: RefCell<WaitingRoom>,
    /// Whether the state of an origin has changed: every waiting session may have a place.
    changed: Cell<bool>,
    /// Notified when there are sessions to place, or another time to wait for.
    wake: Notify,
    /// The time at which waiting sessions are placed again.
    look_at: Cell<Option<Instant>>,
}

/// Sessions that wait for an origin at one time. Reason: while no origin can be reached, clients
/// that reconnect must not fill the edge's memory; further sessions are refused at once.
const MAX_WAITING: usize = 20_000;

impl WaitingLine {
    pub(super) fn is_full(&self) -> bool {
        self.room.borrow().len() >= MAX_WAITING
    }

    /// Adds a session that waits until this time at most.
    pub(super) fn add(&self, session: Waiting, until: Instant) {
        self.room.borrow_mut().add(session, until);
        if self.look_at.get().is_none_or(|at| until < at) {
            self.look_at.set(Some(until));
            self.wake.notify_one();
        }
    }

    /// Appends a message to the journal of a session, if it waits.
    pub(super) fn append(
        &self,
        session: SessionId,
        message: Message,
        generation: Generation,
    ) -> Result<(), JournalFull> {
        match self.room.borrow_mut().journal(session) {
            Some(journal) => journal.append(message, generation),
            None => Ok(()),
        }
    }

    /// Writes the waiting sessions, each in a parcel of its own, in the order of their numbers.
    pub(super) fn export(&self) -> Result<Vec<Vec<u8>>, MoveError> {
        let room = self.room.borrow();
        let sessions = room.in_order().into_iter();
        sessions.map(Waiting::to_parcel).collect()
    }

    /// The worker of a session that has come from another process has this hub.
    pub(super) fn adopt(&self, session: SessionId, hub: Option<Arc<HubOut>>) {
        if let Some(waiting) = self.room.borrow_mut().get_mut(session) {
            waiting.session.hub = hub;
        }
    }

    /// Queues an item behind everything in the inbox of every session.
    pub(super) fn mark_all(&self, item: impl Fn() -> FromOrigin) {
        for waiting in self.room.borrow().in_order() {
            waiting.session.end(item());
        }
    }

    /// Removes a waiting session.
    pub(super) fn remove(&self, session: SessionId) -> Option<Waiting> {
        self.room.borrow_mut().remove(session)
    }

    /// Takes the sessions that wait for a group: one list for each wish, in order of arrival.
    pub(super) fn take(&self, group: &GroupName) -> Vec<Vec<Waiting>> {
        self.room.borrow_mut().take(group)
    }

    /// Lets all waiting sessions be placed again.
    pub(super) fn try_all(&self) {
        self.changed.set(true);
        self.wake.notify_one();
    }

    /// Waits for a change or the end of a wait. Returns the groups whose sessions are to be placed.
    pub(super) async fn due(&self) -> Vec<GroupName> {
        let due = self.room.borrow().due();
        self.look_at.set(due);
        tokio::select! {
            () = self.wake.notified() => {}
            () = until(due) => {}
        }
        let now = (!self.changed.take()).then(Instant::now);
        self.room.borrow().groups(now)
    }
}

/// Waits until this time; without one, for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
