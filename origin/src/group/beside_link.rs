//! Groups on the thread of the links.
//!
//! A message of a client wakes the thread of the links, and its answer leaves from there. A group
//! whose turns take microseconds runs on that thread too while it has little else to do: the message
//! and the answer then wake no other thread. A group that turns out to be hot goes on at a worker
//! (`super::heat`).

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tributary_node::{load::ThreadLoad, queue};

use super::worker::{GroupStart, JOBS, Load, Worker};

/// The thread of the links as a worker for groups.
#[derive(Debug)]
pub(super) struct BesideLink {
    worker: Worker,
    jobs: Mutex<Option<queue::Receiver<GroupStart>>>,
    /// Long turns that have not sent a group elsewhere yet.
    long_turns: Arc<AtomicUsize>,
    /// Set once the thread runs groups.
    thread: OnceLock<ThreadLoad>,
}

/// The groups and clients of the thread at which it takes no further group. Reason: groups that start
/// at once are not busy yet.
const MOST_UNITS: usize = 4096;

/// The busy share of the thread from which on it takes no further group.
const MOST_BUSY: f64 = 0.5;

impl BesideLink {
    pub(super) fn new() -> Self {
        let (sender, jobs) = queue::queue(JOBS);
        let long_turns = Arc::default();
        Self {
            worker: Worker::new(sender, Load::beside_link(&long_turns)),
            jobs: Mutex::new(Some(jobs)),
            long_turns,
            thread: OnceLock::new(),
        }
    }

    /// The queue of groups to start, for the thread of the links, which calls this once.
    pub(super) fn begin(&self) -> Option<queue::Receiver<GroupStart>> {
        let jobs = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let _ = self.thread.set(ThreadLoad::of_current_runtime());
        Some(jobs)
    }

    /// The thread, if it takes another group now. Each long turn keeps one group away.
    pub(super) fn worker(&self) -> Option<&Worker> {
        let thread = self.thread.get()?;
        let (order, read) = (Ordering::Relaxed, Ordering::Relaxed);
        let owes = self
            .long_turns
            .fetch_update(order, read, |count| count.checked_sub(1))
            .is_ok();
        let has_room =
            self.worker.load.get() < MOST_UNITS && thread.share(Instant::now()) < MOST_BUSY;
        (has_room && !owes).then_some(&self.worker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_turn_sends_the_next_group_elsewhere() {
        let beside = BesideLink::new();
        assert!(beside.worker().is_none(), "no thread runs its groups yet");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let _entered = runtime.enter();
        assert!(beside.begin().is_some());
        assert!(beside.begin().is_none());
        assert!(beside.worker().is_some());
        let load = Load::beside_link(&beside.long_turns);
        assert!(load.note_long_turn());
        assert!(load.note_long_turn());
        for taken in [false, false, true, true] {
            assert_eq!(beside.worker().is_some(), taken);
        }
        assert!(
            !Load::default().note_long_turn(),
            "on a worker it is no harm"
        );
    }
}
