//! State of the link thread that belongs to no lane and no origin.

use std::{cell::Cell, sync::Arc};

use tokio::sync::Notify;
use tributary_node::transport::{CloseCode, Link};
use tributary_protocol::link::FrameError;

use super::{
    metrics::LinkMetrics,
    sessions::SessionLanes,
    stage::{LinkStage, Stages},
};
use crate::fanout::Streams;

/// State for every task of the link thread. No task keeps a borrow across a wait.
pub(super) struct Shared {
    pub(super) streams: Arc<Streams>,
    pub(super) metrics: LinkMetrics,
    pub(super) sessions: SessionLanes,
    /// Notified when a lane may have settled: the stop of the edge waits for it.
    pub(super) progress: Notify,
    pub(super) stages: Stages,
    /// The count of changes that came from origins, by which an export notices them.
    changes: Cell<u64>,
    processes: Cell<u64>,
    incarnation: Cell<u64>,
}

impl Shared {
    pub(super) fn new(streams: Arc<Streams>, metrics: LinkMetrics, stage: LinkStage) -> Self {
        Self {
            stages: Stages::new(stage),
            changes: Cell::new(0),
            streams,
            sessions: SessionLanes::new(metrics.sessions.clone()),
            metrics,
            progress: Notify::new(),
            processes: Cell::new(0),
            incarnation: Cell::new(0),
        }
    }

    /// A number for a process of an origin that has none yet.
    pub(super) fn new_process(&self) -> u64 {
        self.processes.set(self.processes.get() + 1);
        self.processes.get()
    }

    /// The incarnation of the next link. It rises over all origins: an origin that is removed and
    /// added again has seen earlier links of this edge.
    pub(super) fn next_incarnation(&self) -> u64 {
        self.incarnation.set(self.incarnation.get() + 1);
        self.incarnation.get()
    }

    /// The numbers of the newest process and of the newest link.
    pub(super) fn numbers(&self) -> (u64, u64) {
        (self.processes.get(), self.incarnation.get())
    }

    /// Lets the numbers of processes and links go on behind these.
    pub(super) fn continue_at(&self, processes: u64, incarnation: u64) {
        self.processes.set(processes);
        self.incarnation.set(incarnation);
    }

    /// Counts a change that an origin has brought about.
    pub(super) fn note_change(&self) {
        self.changes.set(self.changes.get() + 1);
    }

    pub(super) fn changes(&self) -> u64 {
        self.changes.get()
    }

    /// Closes a link whose peer broke the protocol: its frames cannot be trusted.
    pub(super) fn protocol_error(&self, link: &Link, error: &FrameError) {
        tracing::error!(origin = %link.peer().name, %error, "link closed: protocol error");
        self.metrics.protocol_errors.inc();
        link.close(CloseCode::Protocol);
    }
}
