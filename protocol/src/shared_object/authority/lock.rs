//! The application's lock of an object, and the items that wait.

use std::{collections::VecDeque, fmt::Debug, hash::Hash};

use super::{Access, Handled, SharedObjectMessage, batch::ChangeBatch};

/// While the object is locked, the application's changes gather in one batch. Members' items wait;
/// they also wait while the store is behind.
#[derive(Debug)]
pub(super) struct ObjectLock<M> {
    /// The count of the application's locks.
    depth: u32,
    /// The application's changes since its first lock.
    changes: Option<ChangeBatch<M>>,
    waiting: VecDeque<Waiting<M>>,
}

/// An item of a member that waits.
#[derive(Debug)]
pub(super) enum Waiting<M> {
    Messages {
        member: M,
        access: Access,
        messages: Vec<SharedObjectMessage>,
        /// The report once they are handled; none if nobody waits for it.
        handled: Option<Handled<M>>,
    },
    Gone(M),
}

impl<M: Copy + Eq + Hash + Debug> ObjectLock<M> {
    pub(super) fn new() -> Self {
        Self {
            depth: 0,
            changes: None,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn depth(&self) -> u32 {
        self.depth
    }

    /// Whether the application has changes that have not left.
    pub(super) fn has_changes(&self) -> bool {
        self.changes.is_some()
    }

    /// The reports of this member's messages are not waited for any more.
    pub(super) fn forget_reports(&mut self, of: M) {
        for item in &mut self.waiting {
            if let Waiting::Messages {
                member, handled, ..
            } = item
                && *member == of
            {
                *handled = None;
            }
        }
    }

    /// Takes one lock; returns their count.
    pub(super) fn lock(&mut self) -> u32 {
        self.depth = self.depth.saturating_add(1);
        self.depth
    }

    /// Gives one lock back; returns their count.
    pub(super) fn unlock(&mut self) -> u32 {
        self.depth = self.depth.saturating_sub(1);
        self.depth
    }

    /// Gives all locks but one back; returns their count before.
    pub(super) fn unlock_to_one(&mut self) -> u32 {
        let depth = self.depth;
        self.depth = depth.min(1);
        depth
    }

    /// The batch for the application's next change.
    pub(super) fn take_changes(&mut self) -> Option<ChangeBatch<M>> {
        self.changes.take()
    }

    /// Keeps a batch until the last unlock; returns it if there is no lock.
    pub(super) fn keep_changes(&mut self, batch: ChangeBatch<M>) -> Option<ChangeBatch<M>> {
        if self.depth == 0 {
            return Some(batch);
        }
        self.changes = Some(batch);
        None
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether messages of this member wait.
    pub(super) fn has_messages_of(&self, member: M) -> bool {
        let of = |waiting: &Waiting<M>| matches!(waiting, Waiting::Messages { member: other, .. } if *other == member);
        self.waiting.iter().any(of)
    }

    pub(super) fn wait(&mut self, item: Waiting<M>) {
        self.waiting.push_back(item);
    }

    /// The next item that waits.
    pub(super) fn next_waiting(&mut self) -> Option<Waiting<M>> {
        let next = self.waiting.pop_front();
        if self.waiting.is_empty() {
            // An idle object keeps no memory.
            self.waiting = VecDeque::new();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_gather_while_there_is_a_lock() {
        let mut lock = ObjectLock::<u8>::new();
        assert!(lock.keep_changes(ChangeBatch::of_application()).is_some());
        assert_eq!((lock.lock(), lock.lock()), (1, 2));
        assert!(lock.keep_changes(ChangeBatch::of_application()).is_none());
        assert!(lock.has_changes());
        assert_eq!((lock.unlock_to_one(), lock.depth()), (2, 1));
        assert_eq!((lock.unlock(), lock.unlock()), (0, 0));
        assert!(lock.take_changes().is_some() && !lock.has_changes());
    }

    #[test]
    fn items_wait_in_order() {
        let mut lock = ObjectLock::<u8>::new();
        lock.wait(Waiting::Messages {
            member: 1,
            access: Access { write: true },
            messages: Vec::new(),
            handled: None,
        });
        lock.wait(Waiting::Gone(2));
        assert!(lock.has_messages_of(1) && !lock.has_messages_of(2));
        let first = lock.next_waiting();
        assert!(matches!(first, Some(Waiting::Messages { member: 1, .. })));
        assert!(matches!(lock.next_waiting(), Some(Waiting::Gone(2))));
        assert!(!lock.has_waiting());
    }
}
