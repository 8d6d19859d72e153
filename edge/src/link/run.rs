//! The links as whoever runs them sees them.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tributary_node::{drain, queue};

use super::{LinkConfig, LinkMetrics, Upstream, driver::Driver, handle::ToLane};
use crate::fanout::Streams;

/// Whether at least one origin can be reached.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Whether a session could be placed now.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    pub(super) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }
}

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

    /// Says whether any origin can be reached.
    pub fn readiness(&self) -> Readiness {
        self.readiness.clone()
    }

    /// Keeps the links until they are closed: after the drain, and after every clone of the
    /// upstream and every session is gone. To be run on a `LocalSet`.
    pub async fn run(self) {
        let driver = Driver::new(
            self.config,
            self.epoch,
            self.streams,
            self.metrics,
            self.readiness,
        );
        driver.run(self.commands, self.drain).await;
    }
}
