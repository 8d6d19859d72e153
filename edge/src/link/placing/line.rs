//! The sessions that wait for a place, and the time to try them again.

use std::{
    cell::{Cell, RefCell},
    time::Instant,
};

use tokio::sync::Notify;
use tributary_protocol::{GroupName, Message, SessionId, link::Generation};

use super::waiting::WaitingRoom;
use crate::link::{journal::JournalFull, session::Waiting};

/// The waiting sessions, and their next trial.
#[derive(Default)]
pub(super) struct WaitingLine {
    room: RefCell<WaitingRoom>,
    /// An origin fares otherwise than before: every waiting session may have a place.
    changed: Cell<bool>,
    /// There is something to place, or to be waited for.
    wake: Notify,
    /// When waiting sessions are looked at next.
    look_at: Cell<Option<Instant>>,
}

/// Sessions that may wait for an origin at once. Reason: while no origin can be reached, clients
/// that reconnect must not fill the edge's memory; beyond it they are refused at once.
const MAX_WAITING: usize = 20_000;

impl WaitingLine {
    pub(super) fn is_full(&self) -> bool {
        self.room.borrow().len() >= MAX_WAITING
    }

    /// Lets a session wait, at most until then.
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

    /// A session waits no more.
    pub(super) fn remove(&self, session: SessionId) -> Option<Waiting> {
        self.room.borrow_mut().remove(session)
    }

    /// The sessions that wait for a group, those with the same wish together and in order.
    pub(super) fn take(&self, group: &GroupName) -> Vec<Vec<Waiting>> {
        self.room.borrow_mut().take(group)
    }

    /// Lets every waiting session be tried again.
    pub(super) fn try_all(&self) {
        self.changed.set(true);
        self.wake.notify_one();
    }

    /// Waits for a change or the end of a wait; the groups whose sessions are to be tried again.
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

/// Waits until then, or for ever.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
