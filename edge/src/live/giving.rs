//! The old process's side: live clients are given away.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{
    runtime::Handle,
    sync::mpsc,
    time::{error::Elapsed, timeout_at},
};

use crate::{
    link::{MoveError, MovedLinks, Upstream},
    moving::{Moved, ON_THE_WAY, Stage, WorkerOrder},
    run::Controls,
};

/// The live clients of an edge, for a replacement of its program. Its operations block: call them on
/// a thread of their own.
#[derive(Clone, Debug)]
pub struct LiveClients {
    pub(crate) controls: Arc<Controls>,
    pub(crate) upstream: SharedUpstream,
    pub(crate) runtime: Handle,
}

/// The upstream of an edge, until the edge ends: the links end with the last upstream.
#[derive(Clone, Debug)]
pub(crate) struct SharedUpstream(Arc<Mutex<Option<Upstream>>>);

impl SharedUpstream {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self(Arc::new(Mutex::new(Some(upstream))))
    }

    /// The upstream, unless the edge ends.
    pub(crate) fn get(&self) -> Option<Upstream> {
        let upstream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        upstream.clone()
    }

    /// Lets the links end.
    pub(crate) fn end(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Clients that stand still. A drop lets them go on.
#[derive(Debug)]
pub struct Frozen {
    of: LiveClients,
    upstream: Upstream,
    clients: mpsc::Receiver<Moved>,
    /// The time at which the freeze is given up.
    until: tokio::time::Instant,
    has_left: bool,
}

/// The clients that follow those that have gone: they were younger, or wait for a service.
#[derive(Debug)]
pub struct Followers(mpsc::Receiver<Moved>);

impl LiveClients {
    /// Lets all clients stand still, until `until` at most.
    pub fn freeze(&self, until: Instant) -> io::Result<Frozen> {
        let upstream = self.upstream.get();
        let upstream = upstream.ok_or_else(|| io::Error::other("the edge ends"))?;
        let (out, clients) = mpsc::channel(ON_THE_WAY);
        let frozen = Frozen {
            of: self.clone(),
            upstream,
            clients,
            until: until.into(),
            has_left: false,
        };
        self.begin(|| Stage::Freezes(Some(out.clone())))?;
        drop(out);
        self.controls.listeners().tunnels().hurry(true);
        frozen.within(frozen.upstream.freeze())?;
        Ok(frozen)
    }

    /// Lets all workers begin a stage, and waits until they have.
    fn begin(&self, stage: impl Fn() -> Stage) -> io::Result<()> {
        begin(&self.controls.workers, stage)
    }
}

impl Frozen {
    /// Waits for clients; none once all are out.
    ///
    /// # Errors
    /// A session does not come to a stand-still in time.
    pub fn next_clients(&mut self) -> io::Result<Vec<Moved>> {
        let (until, clients) = (self.until, &mut self.clients);
        let mut next = Vec::new();
        let received = clients.recv_many(&mut next, ON_THE_WAY);
        let received = async { timeout_at(until, received).await };
        let received = self.of.runtime.block_on(received);
        received.map_err(|_| io::Error::other("a client does not come to a stand-still"))?;
        let failed = |item: &Moved| matches!(item, Moved::Failed(_));
        match next.iter().position(failed).map(|at| next.swap_remove(at)) {
            Some(Moved::Failed(error)) => Err(error),
            _ => Ok(next),
        }
    }

    /// The state of the links. All clients are out.
    ///
    /// # Errors
    /// A part of it cannot move as it is.
    pub fn links(&self) -> Result<MovedLinks, MoveError> {
        let links = self.within(self.upstream.export());
        links.map_err(|_| MoveError::Unsettled)?
    }

    fn within<T>(&self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        // The timer is made within the runtime.
        let work = async { timeout_at(self.until, work).await };
        self.of.runtime.block_on(work)
    }

    /// Leaves the clients to another process.
    pub fn leave(mut self) -> Followers {
        self.has_left = true;
        let (out, followers) = mpsc::channel(ON_THE_WAY);
        self.of.runtime.block_on(self.upstream.leave());
        if let Err(error) = self.of.begin(|| Stage::Left(out.clone())) {
            // Its clients are in the other process in any case.
            tracing::error!(%error, "a worker does not leave its clients");
        }
        Followers(followers)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // Sessions that wait for their turn in the queue do not go.
        self.clients.close();
        if self.has_left {
            return;
        }
        self.of.controls.listeners().tunnels().hurry(false);
        self.upstream.thaw();
        if let Err(error) = self.of.begin(|| Stage::Serves) {
            tracing::error!(%error, "the clients of a worker do not go on");
        }
    }
}

impl Followers {
    /// Waits for the next ones; none once none is left.
    pub fn next_clients(&mut self) -> Vec<Moved> {
        let mut next = Vec::new();
        self.0.blocking_recv_many(&mut next, ON_THE_WAY);
        next
    }
}

/// Lets workers begin a stage, and waits until they have.
pub(super) fn begin(
    workers: &[mpsc::Sender<WorkerOrder>],
    stage: impl Fn() -> Stage,
) -> io::Result<()> {
    let (done, mut begun) = mpsc::channel(workers.len().max(1));
    for worker in workers {
        let order = WorkerOrder::Begin {
            stage: stage(),
            done: done.clone(),
        };
        let sent = worker.blocking_send(order);
        sent.map_err(|_| io::Error::other("a worker has ended"))?;
    }
    drop(done);
    let mut count = 0;
    while begun.blocking_recv().is_some() {
        count += 1;
    }
    match count == workers.len() {
        true => Ok(()),
        false => Err(io::Error::other("a worker has ended")),
    }
}
