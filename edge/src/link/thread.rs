//! The thread that the links run on, from the first dial until the drain.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::spawn_local;
use tributary_node::{drain, queue, transport::CloseCode};

use super::{
    config::LinkConfig,
    dial::Dialler,
    handle::{ToLane, Upstream},
    metrics::LinkMetrics,
    ownership::Ownership,
    placing::Placing,
    readiness::Readiness,
    shared::Shared,
};
use crate::{fanout::Streams, routing::Rendezvous};

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
}

/// Commands of clients that are followed before lanes and links get a turn.
const COMMANDS: usize = 256;

/// How often idle lanes are looked for.
const SWEEP: Duration = Duration::from_secs(1);

impl Links {
    /// The links, and where clients' drivers open sessions. `epoch` is drawn at each start of the
    /// process.
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
        };
        (links, upstream)
    }

    /// Whether any origin can be reached, as it changes.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Keeps the links until they are closed: after the drain, and after every clone of the
    /// upstream and every session is gone. To be run on a `LocalSet`.
    pub async fn run(self) {
        let shared = Rc::new(Shared::new(self.streams, self.metrics));
        let placement = Box::new(Rendezvous::default());
        let placing = Placing::new(&self.config, Rc::clone(&shared), placement);
        let ownership = Ownership::new(Rc::clone(&shared), Rc::clone(&placing), self.readiness);
        let config = Rc::new(self.config);
        for origin in placing.origins.all() {
            let dialler = Dialler {
                config: Rc::clone(&config),
                epoch: self.epoch,
                shared: Rc::clone(&shared),
                origin,
                observer: Rc::clone(&ownership),
            };
            spawn_local(dialler.run(self.drain.clone()));
        }
        spawn_local(Rc::clone(&placing).place_waiting());
        spawn_local(sweep(Rc::clone(&placing)));
        follow(&placing, self.commands).await;
        // Every client's driver is gone; the events that they sent last still go out.
        let mut drain = self.drain;
        drain.signaled().await;
        finish(&placing).await;
    }
}

/// Follows the commands of clients' drivers until all of them are gone.
async fn follow(placing: &Rc<Placing>, mut commands: queue::Receiver<ToLane>) {
    let mut count: usize = 0;
    while let Some(command) = commands.next().await {
        match command {
            ToLane::Session { session, event } => placing.handle(session, event),
            ToLane::ListObjects(answer) => {
                let _ = answer.send(placing.lanes.objects());
            }
        }
        count = count.wrapping_add(1);
        if count.is_multiple_of(COMMANDS) {
            // The queue is always ready while clients are faster than this.
            tokio::task::yield_now().await;
        }
    }
}

/// Closes lanes that have had no sessions for a while.
async fn sweep(placing: Rc<Placing>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        placing.close_idle(Instant::now());
    }
}

/// Lets the lanes send what they have, within reason, then closes the links.
async fn finish(placing: &Placing) {
    let settled = async {
        while !placing.lanes.are_settled() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), settled).await;
    for origin in placing.origins.all() {
        if let Some(link) = origin.link() {
            link.close(CloseCode::Shutdown);
        }
    }
    // The close leaves with the endpoint's next turn.
    tokio::time::sleep(Duration::from_millis(20)).await;
}
