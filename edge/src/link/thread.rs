//! The link thread, from the first dial until the drain.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_local;
use tributary_node::{drain, link::OriginAddress, queue};
use tributary_protocol::cluster::routing::{Health, Rendezvous};

use super::{
    arrival::ArrivedLinks,
    config::LinkConfig,
    diallers::Diallers,
    handle::{ToLane, Upstream},
    metrics::LinkMetrics,
    moved::{MoveError, MovedLinks},
    origin::Origin,
    ownership::Ownership,
    placing::Placing,
    probe,
    readiness::Readiness,
    shared::Shared,
    stage::LinkStage,
};
use crate::fanout::Streams;

mod moving;

/// The links, not yet at work.
#[derive(Debug)]
pub struct Links {
    config: LinkConfig,
    epoch: u64,
    streams: Arc<Streams>,
    metrics: LinkMetrics,
    readiness: Readiness,
    commands: queue::Receiver<ToLane>,
    drain: drain::Watch,
    /// The state of another process's links, which these take over.
    arrived: Option<ArrivedLinks>,
}

/// The parts of the links at work.
struct LinkThread {
    /// The epoch of the edge.
    epoch: u64,
    shared: Rc<Shared>,
    placing: Rc<Placing>,
    ownership: Rc<Ownership>,
    diallers: Diallers<Ownership>,
}

/// Commands of clients that are handled before lanes and links get a turn.
const COMMANDS: usize = 256;

/// The period of the search for idle lanes.
const SWEEP: Duration = Duration::from_secs(1);

/// The time at a stop in which lanes send the rest.
const REST_LEAVES: Duration = Duration::from_millis(500);

impl Links {
    /// Makes the links, and the upstream through which clients' drivers open sessions. `epoch` is
    /// drawn at each start of the process.
    pub fn new(
        config: LinkConfig,
        epoch: u64,
        streams: Arc<Streams>,
        metrics: LinkMetrics,
        drain: drain::Watch,
    ) -> (Self, Upstream) {
        let (upstream, commands) = Upstream::new();
        let links = Self {
            config,
            epoch,
            streams,
            metrics,
            readiness: Readiness::default(),
            commands,
            drain,
            arrived: None,
        };
        (links, upstream)
    }

    /// As [`Self::new`], in place of another process of this edge, whose epoch goes on. The links dial
    /// after [`Upstream::adopted`].
    ///
    /// # Errors
    /// The state of the links is refused as a whole: the other process goes on.
    pub fn taking(
        config: LinkConfig,
        moved: &MovedLinks,
        streams: Arc<Streams>,
        metrics: LinkMetrics,
        drain: drain::Watch,
    ) -> Result<(Self, Upstream), MoveError> {
        let (mut links, upstream) = Self::new(config, 0, streams, metrics, drain);
        links.take(moved, &upstream)?;
        Ok((links, upstream))
    }

    /// Takes the place of another process of this edge, whose epoch goes on. `upstream` is the one of
    /// these links, which do not run yet; they dial after [`Upstream::adopted`].
    ///
    /// # Errors
    /// The state of the links is refused as a whole: the other process goes on.
    pub(crate) fn take(
        &mut self,
        moved: &MovedLinks,
        upstream: &Upstream,
    ) -> Result<(), MoveError> {
        let arrived = ArrivedLinks::read(moved, &self.config, upstream)?;
        self.epoch = arrived.epoch();
        self.arrived = Some(arrived);
        Ok(())
    }

    /// Waits until one of the origins can be reached.
    pub(crate) async fn reach_one(&self) {
        probe::reach_one(&self.config).await;
    }

    /// The live streams of the edge.
    pub(crate) fn streams(&self) -> Arc<Streams> {
        Arc::clone(&self.streams)
    }

    /// The edge's readiness, which changes with its links.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Runs the links on a `LocalSet`. Ends after the drain, once every clone of the upstream and
    /// every session is gone.
    pub async fn run(self) {
        let stage = match self.arrived {
            Some(_) => LinkStage::Arriving,
            None => LinkStage::Running,
        };
        let shared = Rc::new(Shared::new(self.streams, self.metrics, stage));
        let placement = Box::new(Rendezvous::default());
        let placing = Placing::new(&self.config, Rc::clone(&shared), placement);
        let ownership = Ownership::new(Rc::clone(&shared), Rc::clone(&placing), self.readiness);
        let drain = self.drain.clone();
        let observer = Rc::clone(&ownership);
        let links = Rc::clone(&shared);
        let diallers = Diallers::new(self.config, self.epoch, links, observer, drain);
        spawn_local(Rc::clone(&placing).place_waiting());
        spawn_local(sweep(Rc::clone(&placing)));
        let thread = LinkThread {
            epoch: self.epoch,
            shared,
            placing,
            ownership,
            diallers,
        };
        match self.arrived {
            Some(arrived) => arrived.settle(&thread.placing),
            None => thread.dial_all(),
        }
        thread.follow(self.commands).await;
        // All clients' drivers have ended; the events that they queued last still leave.
        self.drain.signaled().await;
        let _ = tokio::time::timeout(REST_LEAVES, thread.placing.settled()).await;
        thread.diallers.finish().await;
    }
}

impl LinkThread {
    /// Handles the commands of clients' drivers until all drivers have ended.
    async fn follow(&self, mut commands: queue::Receiver<ToLane>) {
        let mut count: usize = 0;
        while let Some(command) = commands.next().await {
            match command {
                ToLane::Session { session, event } => self.placing.handle(session, event),
                ToLane::OriginsChanged(origins) => self.change_origins(&origins),
                ToLane::ListObjects(answer) => {
                    let _ = answer.send(self.placing.lanes.objects());
                }
                ToLane::Move(movement) => self.make(movement).await,
            }
            count = count.wrapping_add(1);
            if count.is_multiple_of(COMMANDS) {
                // The queue never becomes empty if clients are faster than this loop.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Removes the origins that the list lacks, and adds those that are new in it. An origin that
    /// stays keeps its identity and its link.
    fn change_origins(&self, wanted: &[OriginAddress]) {
        if self.shared.stages.has_left() {
            return;
        }
        let mut present = self.placing.origins.all();
        present.retain(|origin| {
            let stays = wanted.contains(&origin.configured);
            if !stays {
                self.remove_origin(origin);
            }
            stays
        });
        for address in wanted {
            let named = present.iter();
            let mut named = named.filter(|origin| origin.name() == address.known_as());
            match named.next() {
                None => present.push(self.add_origin(address)),
                Some(other) if other.configured == *address => {}
                Some(_) => {
                    tracing::error!(origin = %address, "origin ignored: another has its name");
                }
            }
        }
    }

    fn add_origin(&self, address: &OriginAddress) -> Rc<Origin> {
        tracing::info!(origin = %address, "origin added");
        let origin = self.placing.add_origin(address.clone());
        if self.shared.stages.now() != LinkStage::Arriving {
            self.dial(&origin);
        }
        origin
    }

    fn dial_all(&self) {
        for origin in self.placing.origins.all() {
            self.dial(&origin);
        }
    }

    fn dial(&self, origin: &Rc<Origin>) {
        let lost_until = match self.placing.table().health(origin.id) {
            Health::Lost { until } => Some(until),
            _ => None,
        };
        self.diallers.start(Rc::clone(origin), lost_until);
    }

    fn remove_origin(&self, origin: &Origin) {
        tracing::info!(origin = %origin.configured, "origin removed");
        self.ownership.removed(origin);
        self.diallers.stop(origin.id);
    }
}

/// Closes lanes that have had no sessions for a while.
async fn sweep(placing: Rc<Placing>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        placing.close_idle(Instant::now());
    }
}
