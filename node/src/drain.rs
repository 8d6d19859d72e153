//! The drain of a process: one signal, many watchers, and the guards that it waits for.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch},
    time::timeout,
};

/// Makes the two ends of a drain.
pub fn channel() -> (Signal, Watch) {
    let (begin, begun) = watch::channel(false);
    let held = Arc::new(Held::default());
    (
        Signal {
            begin,
            held: Arc::clone(&held),
        },
        Watch { begun, held },
    )
}

/// Begins the drain and waits for its end.
#[derive(Debug)]
pub struct Signal {
    begin: watch::Sender<bool>,
    held: Arc<Held>,
}

/// Receives the signal. Clones are cheap and do not delay the drain; a [`Guard`] does.
#[derive(Clone, Debug)]
pub struct Watch {
    begun: watch::Receiver<bool>,
    held: Arc<Held>,
}

/// Delays the end of a drain until it is dropped.
#[derive(Debug)]
pub struct Guard {
    held: Arc<Held>,
}

/// The drain's time has passed with this many guards still held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished(pub usize);

#[derive(Debug, Default)]
struct Held {
    count: AtomicUsize,
    gone: Notify,
}

impl Signal {
    /// Notifies every watcher. A second call has no effect.
    pub fn begin(&self) {
        self.begin.send_replace(true);
    }

    /// Notifies every watcher and waits until no guard is held, `limit` at most.
    pub async fn drain(&self, limit: Duration) -> Result<(), Unfinished> {
        self.begin();
        let result = timeout(limit, self.held.gone()).await;
        result.map_err(|_| Unfinished(self.held.count.load(Ordering::Acquire)))
    }
}

impl Watch {
    /// Waits for the begin of the drain. A dropped signal counts as begun, since its owner is gone.
    /// Cancel safe.
    pub async fn signaled(&mut self) {
        let _ = self.begun.wait_for(|begun| *begun).await;
    }

    /// Whether the drain has begun.
    pub fn is_signaled(&self) -> bool {
        *self.begun.borrow() || self.begun.has_changed().is_err()
    }

    /// A guard: the drain waits until it is dropped.
    pub fn guard(&self) -> Guard {
        self.held.count.fetch_add(1, Ordering::AcqRel);
        Guard {
            held: Arc::clone(&self.held),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.held.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.held.gone.notify_waiters();
        }
    }
}

impl Held {
    async fn gone(&self) {
        loop {
            let gone = self.gone.notified();
            if self.count.load(Ordering::Acquire) == 0 {
                return;
            }
            gone.await;
        }
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the drain's time is up with {} tasks unfinished", self.0)
    }
}

impl std::error::Error for Unfinished {}

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

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_its_guards() {
        let (signal, mut watch) = channel();
        let guard = watch.guard();
        assert!(!watch.is_signaled());
        let worker = tokio::spawn(async move {
            watch.signaled().await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            drop(guard);
        });
        assert_eq!(signal.drain(Duration::from_secs(5)).await, Ok(()));
        worker.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_is_bounded() {
        let (signal, watch) = channel();
        let _held = (watch.guard(), watch.clone().guard());
        let result = signal.drain(Duration::from_secs(5)).await;
        assert_eq!(result, Err(Unfinished(2)));
        assert!(watch.is_signaled());
    }

    #[tokio::test]
    async fn late_watchers_and_orphans_know() {
        let (signal, watch) = channel();
        signal.begin();
        watch.clone().signaled().await;
        assert_eq!(signal.drain(Duration::ZERO).await, Ok(()));

        let (signal, mut watch) = channel();
        drop(signal);
        assert!(watch.is_signaled());
        watch.signaled().await;
    }
}
