//! The drain of a process: one signal and many watchers.
//!
//! Two ends of a [`CancellationToken`]: a [`Watch`] goes to every part of the process, and only the
//! owner of the [`Signal`] can begin the drain.

use std::io;

use tokio::signal::unix::{Signal as UnixSignal, SignalKind, signal};
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

/// A signal that asks the process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, of a supervisor.
    Terminate,
    /// SIGINT, of a person at the terminal.
    Interrupt,
}

/// The signals that ask the process to end, from now on.
#[derive(Debug)]
pub struct Stops {
    terminate: UnixSignal,
    interrupt: UnixSignal,
}

impl Stops {
    /// Handles SIGTERM and SIGINT from now on. It needs a runtime.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one. Cancel safe.
    pub async fn next(&mut self) -> Stop {
        tokio::select! {
            _ = self.terminate.recv() => Stop::Terminate,
            _ = self.interrupt.recv() => Stop::Interrupt,
        }
    }
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
