//! The done-hooks of an edge that are under way.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

/// The count of done-hooks, and of questions that may bring some; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owed(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    number: AtomicUsize,
    bytes: AtomicUsize,
    /// Notified when the number falls to zero.
    none: Notify,
}

/// A done-hook in the count.
#[derive(Debug)]
pub(crate) struct Owing {
    of: Owed,
    bytes: usize,
}

/// Bytes of all done-hooks under way, with [`COST`] for each. Reason: while a service is down, each
/// waits for its attempts; a usual one has less than 1 KiB.
const MAX_OWED: usize = 64 * 1024 * 1024;

/// Bytes that a done-hook counts besides its request.
const COST: usize = 512;

impl Owed {
    /// Counts a question, whose number its sessions bound.
    pub(super) fn hold(&self) -> Owing {
        self.count(0)
    }

    /// Counts a done-hook with this many bytes; `None` if there is no room.
    pub(super) fn owe(&self, bytes: usize) -> Option<Owing> {
        let bytes = bytes + COST;
        let before = self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
        let owing = self.count(bytes);
        (before + bytes <= MAX_OWED).then_some(owing)
    }

    fn count(&self, bytes: usize) -> Owing {
        self.0.number.fetch_add(1, Ordering::AcqRel);
        let of = self.clone();
        Owing { of, bytes }
    }

    /// The number of done-hooks and questions under way.
    pub(crate) fn number(&self) -> usize {
        self.0.number.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub(crate) async fn none(&self) {
        loop {
            let none = self.0.none.notified();
            if self.number() == 0 {
                return;
            }
            none.await;
        }
    }
}

impl Drop for Owing {
    fn drop(&mut self) {
        let counts = &self.of.0;
        counts.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if counts.number.fetch_sub(1, Ordering::AcqRel) == 1 {
            counts.none.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_end_comes_with_the_last_one_and_bytes_are_bounded() {
        let owed = Owed::default();
        owed.none().await;
        let question = owed.hold();
        let first = owed.owe(MAX_OWED - COST).expect("there is room");
        assert!(owed.owe(0).is_none());
        assert_eq!(owed.number(), 2);
        drop(first);
        let last = owed.owe(100).expect("there is room again");
        drop(question);
        let waits = owed.clone();
        let waits = tokio::spawn(async move { waits.none().await });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        drop(last);
        waits.await.expect("it ends");
        assert_eq!(owed.0.bytes.load(Ordering::Acquire), 0);
    }
}
