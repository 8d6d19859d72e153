//! The threads that groups run on.

use std::{
    future::Future,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tokio::{runtime::Builder, task::LocalSet};
use tributary_node::queue;

/// Threads with a current-thread runtime each; a group stays where it starts.
#[derive(Debug)]
pub(super) enum Workers {
    Threads(Vec<Worker>),
    /// The `LocalSet` of the caller that opens a group.
    #[cfg(any(test, feature = "test"))]
    Local,
}

pub(super) struct Worker {
    jobs: queue::Sender<Job>,
    load: Load,
}

/// The load of a worker: its groups and their clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Load(Arc<AtomicUsize>);

/// Starts a group. It runs on the worker's thread, since its results stay there.
type Job = Box<dyn FnOnce() + Send>;

/// No worker takes another group now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

/// Groups that wait to be started by one worker. Reason: starting one takes microseconds; this
/// many mean that the worker hangs in an application.
const JOBS: usize = 65_536;

impl Workers {
    /// This many threads with so many bytes of stack each.
    pub(super) fn start(count: usize, stack: usize) -> io::Result<Self> {
        Self::with_room(count, stack, JOBS)
    }

    /// As [`Workers::start`], with room for this many groups that wait to be started by each.
    pub(super) fn with_room(count: usize, stack: usize, jobs: usize) -> io::Result<Self> {
        let workers: io::Result<Vec<Worker>> = (0..count)
            .map(|index| Worker::start(index, stack, jobs))
            .collect();
        workers.map(Self::Threads)
    }

    #[cfg(any(test, feature = "test"))]
    pub(super) fn local() -> Self {
        Self::Local
    }

    /// Runs a group on the worker with the least to do.
    pub(super) fn spawn<F, R>(&self, start: F) -> Result<(), NoRoom>
    where
        F: FnOnce(Load) -> R + Send + 'static,
        R: Future<Output = ()> + 'static,
    {
        match self {
            Self::Threads(workers) => {
                let Some(worker) = workers.iter().min_by_key(|worker| worker.load.get()) else {
                    return Err(NoRoom);
                };
                let load = worker.load.clone();
                // Counted at once: many groups may be opened before the worker starts them.
                load.add(1);
                let job: Job = Box::new(move || {
                    tokio::task::spawn_local(start(load));
                });
                worker.jobs.push(job, 1).map_err(|_| {
                    worker.load.remove(1);
                    NoRoom
                })
            }
            #[cfg(any(test, feature = "test"))]
            Self::Local => {
                tokio::task::spawn_local(start(Load::default()));
                Ok(())
            }
        }
    }
}

impl Worker {
    fn start(index: usize, stack: usize, jobs: usize) -> io::Result<Self> {
        let (jobs, mut inbox) = queue::queue::<Job>(jobs);
        let runtime = Builder::new_current_thread().enable_time().build()?;
        thread::Builder::new()
            .name(format!("group-{index}"))
            .stack_size(stack)
            .spawn(move || {
                LocalSet::new().block_on(&runtime, async move {
                    while let Some(job) = inbox.next().await {
                        job();
                    }
                });
            })?;
        Ok(Self {
            jobs,
            load: Load::default(),
        })
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
    pub(super) fn add(&self, units: usize) {
        self.0.fetch_add(units, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, units: usize) {
        self.0.fetch_sub(units, Ordering::Relaxed);
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}
