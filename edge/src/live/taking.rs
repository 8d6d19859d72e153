//! The new process's side: live clients are taken over.

use std::{
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tributary_gate::HookAnswer;
use tributary_protocol::{SessionId, parcel::ParcelError};

use super::giving::{SharedUpstream, begin};
use crate::{
    link::{MoveError, MovedLinks},
    moving::{
        LinksToTake, Moved, MovedArrival, MovedClient, ON_THE_WAY, Stage, StateOfLinks, WorkerOrder,
    },
    run::Controls,
    spread::Spread,
};

/// An edge that takes the clients of another process over. Its operations block: call them on a
/// thread of their own.
#[derive(Debug)]
pub struct Taking {
    controls: Arc<Controls>,
    upstream: SharedUpstream,
    reached: Option<oneshot::Receiver<()>>,
    links: Mutex<Option<oneshot::Sender<LinksToTake>>>,
    spread: Mutex<Spread>,
    done: mpsc::Sender<Vec<Result<(), ParcelError>>>,
    outcomes: Mutex<mpsc::Receiver<Vec<Result<(), ParcelError>>>>,
}

/// The clients that have been taken, and those that could not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub clients: usize,
    pub refused: usize,
}

/// The reason for which nothing is taken over.
#[derive(Debug)]
pub enum TakeError {
    /// A part of this edge has ended.
    Ended,
    /// The links cannot go on here.
    Links(MoveError),
}

impl Taking {
    pub(crate) fn new(
        controls: Arc<Controls>,
        upstream: SharedUpstream,
        links: StateOfLinks,
    ) -> Self {
        let (done, outcomes) = mpsc::channel(ON_THE_WAY + controls.workers.len());
        Self {
            spread: Mutex::new(Spread::new(controls.workers.len())),
            controls,
            upstream,
            reached: Some(links.reached),
            links: Mutex::new(Some(links.state)),
            done,
            outcomes: Mutex::new(outcomes),
        }
    }

    /// Waits until an origin can be reached; `false` if none can in time.
    pub async fn reaches_an_origin(&mut self, within: Duration) -> bool {
        match self.reached.take() {
            Some(reached) => matches!(timeout(within, reached).await, Ok(Ok(()))),
            None => false,
        }
    }

    /// Takes the links: all of them, or none.
    pub fn take_links(&self, moved: MovedLinks) -> Result<(), TakeError> {
        let links = self
            .links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let links = links.ok_or(TakeError::Ended)?;
        let (answer, answered) = oneshot::channel();
        links.send((moved, answer)).map_err(|_| TakeError::Ended)?;
        let taken = answered.blocking_recv().map_err(|_| TakeError::Ended)?;
        taken.map_err(TakeError::Links)
    }

    /// Takes clients, whose links have been taken, and waits for all. Answers of services follow their
    /// sessions.
    pub fn take_clients(
        &self,
        clients: impl IntoIterator<Item = Moved>,
    ) -> Result<Taken, TakeError> {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = Taken::default();
        let mut batches = self
            .controls
            .workers
            .iter()
            .map(|_| Vec::new())
            .collect::<Vec<_>>();
        let mut awaited = 0;
        for moved in clients {
            let (client, is_for_requests) = match moved {
                Moved::Client(client) => (client, false),
                Moved::Requests(client) => (client, true),
                Moved::Failed(_) => continue,
                Moved::Answer { session, answer } => {
                    self.pass_on(session, &answer)?;
                    continue;
                }
            };
            let (worker, arrival) = self.place(client, is_for_requests);
            batches[worker].push(arrival);
            if batches[worker].len() == ON_THE_WAY {
                if awaited == ON_THE_WAY {
                    taken.count(outcomes.blocking_recv());
                    awaited -= 1;
                }
                self.give(worker, std::mem::take(&mut batches[worker]))?;
                awaited += 1;
            }
        }
        for (worker, batch) in batches.into_iter().enumerate() {
            if !batch.is_empty() {
                self.give(worker, batch)?;
                awaited += 1;
            }
        }
        for _ in 0..awaited {
            taken.count(outcomes.blocking_recv());
        }
        Ok(taken)
    }

    /// The worker of a client.
    fn place(&self, client: MovedClient, is_for_requests: bool) -> (usize, MovedArrival) {
        let permit = self.controls.admission().adopt();
        let mut spread = self.spread.lock().unwrap_or_else(PoisonError::into_inner);
        // The load of the first worker is not known here, and few clients come together.
        let (worker, slot) = spread.next(0.0);
        let arrival = MovedArrival {
            client,
            is_for_requests,
            permit,
            slot,
        };
        (worker, arrival)
    }

    /// Gives clients to a worker.
    fn give(&self, worker: usize, arrivals: Vec<MovedArrival>) -> Result<(), TakeError> {
        let done = self.done.clone();
        self.order(worker, WorkerOrder::Take { arrivals, done })
    }

    fn order(&self, worker: usize, order: WorkerOrder) -> Result<(), TakeError> {
        let sent = self.controls.workers[worker].blocking_send(order);
        sent.map_err(|_| TakeError::Ended)
    }

    /// Dials the origins without links of another process: none come.
    pub fn begin_links(&self) {
        drop(
            self.links
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(),
        );
    }

    /// Begins to serve the clients; dials the origins.
    pub fn begin(&self) -> io::Result<()> {
        if let Some(upstream) = self.upstream.get() {
            upstream.adopted();
        }
        self.begin_links();
        begin(&self.controls.workers, || Stage::Serves)
    }

    /// Takes items that follow.
    pub fn follow(&self, moved: Vec<Moved>) -> Result<(), TakeError> {
        let taken = self.take_clients(moved)?;
        if taken.refused > 0 {
            tracing::warn!("a client that followed could not be taken");
        }
        Ok(())
    }

    /// Nothing follows any more: sessions that wait for the answer of a service go on without one.
    pub fn end(&self) {
        for worker in 0..self.controls.workers.len() {
            // A worker that has ended has no sessions.
            let _ = self.order(worker, WorkerOrder::EndAnswers);
        }
    }

    /// Passes the answer of a service on to the session that waits for it.
    fn pass_on(&self, session: SessionId, answer: &HookAnswer) -> Result<(), TakeError> {
        for worker in 0..self.controls.workers.len() {
            let answer = answer.clone();
            self.order(worker, WorkerOrder::Answer { session, answer })?;
        }
        Ok(())
    }
}

impl std::ops::Add for Taken {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            clients: self.clients + other.clients,
            refused: self.refused + other.refused,
        }
    }
}

impl Taken {
    /// Counts the outcomes of a batch; none shows that a worker has ended, which ends this process too.
    fn count(&mut self, outcomes: Option<Vec<Result<(), ParcelError>>>) {
        for outcome in outcomes.unwrap_or_default() {
            match outcome {
                Ok(()) => self.clients += 1,
                Err(error) => {
                    tracing::warn!(%error, "a client could not be taken");
                    self.refused += 1;
                }
            }
        }
    }
}

impl fmt::Display for TakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended => f.write_str("a part of this edge has ended"),
            Self::Links(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TakeError {}
