//! The thread the links run on.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use tributary_node::drain;

use super::{LinkConfig, LinkMetrics, Upstream, driver::Driver};
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

/// The links at work.
#[derive(Debug)]
pub struct Running {
    /// Where clients' drivers open sessions.
    pub upstream: Upstream,
    /// Whether any origin can be reached.
    pub readiness: Readiness,
    thread: JoinHandle<()>,
}

impl Running {
    /// Waits until the links are closed: after the drain, and after every clone of the upstream
    /// and every session is gone.
    pub fn join(self) {
        drop(self.upstream);
        if self.thread.join().is_err() {
            tracing::error!("the link thread panicked");
        }
    }
}

/// Starts the links on a thread of their own: QUIC batches best where nothing else runs.
pub fn start(
    config: LinkConfig,
    epoch: u64,
    streams: Arc<Streams>,
    metrics: LinkMetrics,
    drain: drain::Watch,
) -> io::Result<Running> {
    let (upstream, commands) = Upstream::new();
    let readiness = Readiness::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let ready = readiness.clone();
    let thread = std::thread::Builder::new()
        .name("link".into())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            let driver = Driver::new(config, epoch, streams, metrics, ready);
            local.block_on(&runtime, driver.run(commands, drain));
        })?;
    Ok(Running {
        upstream,
        readiness,
        thread,
    })
}
