//! A thread that groups run on, and its load.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{runtime::Builder, task::LocalSet};
use tributary_node::queue;

/// A thread that runs groups.
pub(super) struct Worker {
    jobs: queue::Sender<GroupStart>,
    pub(super) load: Load,
}

/// The load of a worker: its groups and their clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Load {
    units: Arc<AtomicUsize>,
    /// The long turns of the groups beside the link; `None` on a worker, where they disturb nothing
    /// but groups.
    long_turns: Option<Arc<AtomicUsize>>,
}

/// Starts a group. It runs on the worker's thread, since its results stay there.
pub(super) type GroupStart = Box<dyn FnOnce() + Send>;

/// No worker takes another group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// Long turns that are held against the thread of the links: each sends one group elsewhere. Reason:
/// a turn that another program interrupts counts too, and must not keep groups away for long.
pub(super) const MOST_LONG_TURNS: usize = 16;

/// Groups that wait to be started by one worker. Reason: starting one takes microseconds; this
/// many mean that the worker hangs in an application.
pub(super) const JOBS: usize = 65_536;

impl Worker {
    pub(super) fn start(index: usize, stack: usize, jobs: usize) -> io::Result<Self> {
        let (jobs, inbox) = queue::queue::<GroupStart>(jobs);
        let runtime = Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new()
            .name(format!("group-{index}"))
            .stack_size(stack)
            .spawn(move || {
                LocalSet::new().block_on(&runtime, run_jobs(inbox));
            })?;
        Ok(Self::new(jobs, Load::default()))
    }

    pub(super) fn new(jobs: queue::Sender<GroupStart>, load: Load) -> Self {
        Self { jobs, load }
    }

    /// Whether a group that moves fits with certainty, although others start meanwhile.
    pub(super) fn has_room(&self) -> bool {
        self.jobs.weight() < JOBS / 2
    }

    pub(super) fn spawn<F, R>(&self, start: F) -> Result<(), NoRoom>
    where
        F: FnOnce(Load) -> R + Send + 'static,
        R: Future<Output = ()> + 'static,
    {
        let load = self.load.clone();
        // Counted at once: many groups may be opened before the worker starts them.
        load.add(1);
        let job: GroupStart = Box::new(move || {
            tokio::task::spawn_local(start(load));
        });
        self.jobs.push(job, 1).map_err(|_| {
            self.load.remove(1);
            NoRoom
        })
    }
}

/// Starts groups until the queue ends.
pub(super) async fn run_jobs(mut inbox: queue::Receiver<GroupStart>) {
    while let Some(job) = inbox.next().await {
        job();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs.close();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker")
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

impl Load {
    /// A load beside the link, whose long turns are counted there.
    pub(super) fn beside_link(long_turns: &Arc<AtomicUsize>) -> Self {
        Self {
            units: Arc::default(),
            long_turns: Some(Arc::clone(long_turns)),
        }
    }

    pub(super) fn add(&self, units: usize) {
        self.units.fetch_add(units, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, units: usize) {
        self.units.fetch_sub(units, Ordering::Relaxed);
    }

    /// Whether it is that of the thread of the links.
    pub(super) fn is_beside_link(&self) -> bool {
        self.long_turns.is_some()
    }

    /// Notes a long turn. Returns whether it held the link up.
    pub(super) fn note_long_turn(&self) -> bool {
        if let Some(count) = &self.long_turns {
            let one_more = |count| (count < MOST_LONG_TURNS).then_some(count + 1);
            // At the most, the next groups start elsewhere already.
            let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        }
        self.is_beside_link()
    }

    pub(super) fn get(&self) -> usize {
        self.units.load(Ordering::Relaxed)
    }
}
