//! The drain of a process: one signal and many watchers.
//!
//! Two ends of a [`CancellationToken`]: a [`Watch`] goes to every part of the process, and only the
//! owner of the [`Signal`] can begin the drain.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Makes the two ends of a drain.
pub fn channel() -> (Signal, Watch) {
    let token = CancellationToken::new();
    (Signal(token.clone()), Watch(token))
}

/// Begins the drain. A drop begins it too, since the owner is gone.
#[derive(Debug)]
pub struct Signal(CancellationToken);

/// Receives the signal. Clones are cheap.
#[derive(Clone, Debug)]
pub struct Watch(CancellationToken);

impl Signal {
    /// Notifies every watcher. A second call has no effect.
    pub fn begin(&self) {
        self.0.cancel();
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        self.begin();
    }
}

impl Watch {
    /// Waits for the begin of the drain. Cancel safe.
    pub async fn signaled(&self) {
        self.0.cancelled().await;
    }

    /// Whether the drain has begun.
    pub fn is_signaled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// Handles SIGTERM and SIGINT from now on. The future ends at the first one, with its name. It
/// needs a runtime.
pub fn terminated() -> std::io::Result<impl Future<Output = &'static str>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn late_watchers_and_orphans_know() {
        let (signal, watch) = channel();
        assert!(!watch.is_signaled());
        signal.begin();
        watch.clone().signaled().await;
        assert!(watch.is_signaled());

        let (signal, watch) = channel();
        drop(signal);
        assert!(watch.is_signaled());
        watch.signaled().await;
    }
}
