//! The stage of the links on their way from one process to another.

use std::cell::Cell;

use tokio::sync::watch;

/// The stages of the links' life.
///
/// ```text
///                freeze                  leave
///  Running ───────────────────► Frozen ─────────► Left        the process before
///     ▲    ◄───────────────────
///     │          thaw
///     └── adopted ── Arriving                                 its successor
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkStage {
    /// Lanes are carried.
    Running,
    /// Lanes stand still, and can be exported.
    Frozen,
    /// Another process has the lanes: nothing of them may be said to an origin.
    Left,
    /// The lanes have come from another process, and their sessions are coming.
    Arriving,
}

/// The stage, and the tasks that wait for another.
#[derive(Debug)]
pub(super) struct Stages {
    /// The same as that of `changes`, for a look at each message.
    now: Cell<LinkStage>,
    changes: watch::Sender<LinkStage>,
}

impl Stages {
    pub(super) fn new(stage: LinkStage) -> Self {
        Self {
            now: Cell::new(stage),
            changes: watch::channel(stage).0,
        }
    }

    pub(super) fn now(&self) -> LinkStage {
        self.now.get()
    }

    /// Whether lanes are carried.
    pub(super) fn is_running(&self) -> bool {
        self.now() == LinkStage::Running
    }

    /// Whether another process has the lanes.
    pub(super) fn has_left(&self) -> bool {
        self.now() == LinkStage::Left
    }

    pub(super) fn set(&self, stage: LinkStage) {
        self.now.set(stage);
        self.changes.send_replace(stage);
    }

    /// Waits until lanes are carried.
    pub(super) async fn runs(&self) {
        if !self.is_running() {
            self.wait(|stage| stage == LinkStage::Running).await;
        }
    }

    /// Waits until lanes are not carried.
    pub(super) async fn stops(&self) {
        self.wait(|stage| stage != LinkStage::Running).await;
    }

    /// Waits until another process has the lanes.
    pub(super) async fn left(&self) {
        self.wait(|stage| stage == LinkStage::Left).await;
    }

    async fn wait(&self, is_it: impl Fn(LinkStage) -> bool) {
        // The sender lives longer than the wait.
        let mut changes = self.changes.subscribe();
        let _ = changes.wait_for(|stage| is_it(*stage)).await;
    }
}
