//! The threads that groups run on.

use std::io;

use super::{
    beside_link::BesideLink,
    worker::{JOBS, Load, NoRoom, Worker, run_jobs},
};
use crate::app::Runs;

/// Threads with a current-thread runtime each.
#[derive(Debug)]
pub(super) enum Workers {
    Threads {
        workers: Vec<Worker>,
        beside: BesideLink,
    },
    /// The `LocalSet` of the caller that opens a group.
    #[cfg(any(test, feature = "test"))]
    Local,
}

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
        Ok(Self::Threads {
            workers: workers?,
            beside: BesideLink::new(),
        })
    }

    /// Runs the groups beside the link on the thread and `LocalSet` of the caller, until the
    /// workers are dropped.
    pub(super) fn run_beside_link(&self) -> impl Future<Output = ()> + use<> {
        let jobs = match self {
            Self::Threads { beside, .. } => beside.begin(),
            #[cfg(any(test, feature = "test"))]
            Self::Local => None,
        };
        async move {
            if let Some(jobs) = jobs {
                run_jobs(jobs).await;
            }
        }
    }

    #[cfg(any(test, feature = "test"))]
    pub(super) fn local() -> Self {
        Self::Local
    }

    /// Whether a worker takes another group now.
    pub(super) fn has_worker(&self) -> bool {
        match self {
            Self::Threads { workers, .. } => least(workers).is_some_and(Worker::has_room),
            #[cfg(any(test, feature = "test"))]
            Self::Local => true,
        }
    }

    /// Runs a group on the worker with the least to do, or beside the link.
    pub(super) fn spawn<F, R>(&self, runs: Runs, start: F) -> Result<(), NoRoom>
    where
        F: FnOnce(Load) -> R + Send + 'static,
        R: Future<Output = ()> + 'static,
    {
        match self {
            Self::Threads { workers, beside } => {
                let worker = match runs {
                    Runs::BesideLink => beside.worker().or_else(|| least(workers)),
                    Runs::OnWorker => least(workers),
                };
                worker.ok_or(NoRoom)?.spawn(start)
            }
            #[cfg(any(test, feature = "test"))]
            Self::Local => {
                tokio::task::spawn_local(start(Load::default()));
                Ok(())
            }
        }
    }
}

/// The worker with the least to do.
fn least(workers: &[Worker]) -> Option<&Worker> {
    workers.iter().min_by_key(|worker| worker.load.get())
}
