//! The thread that moves media for applications, so that no busy group delays a frame.

use std::{future::Future, io, thread};

use tokio::{runtime::Builder, sync::oneshot};

/// The runtime of the tasks that copy streams and speak to other servers.
#[derive(Debug)]
pub(super) enum Media {
    Thread {
        handle: tokio::runtime::Handle,
        /// Dropped with this: the thread ends, and every task on it.
        _alive: oneshot::Sender<()>,
    },
    /// No runtime: in a trial no connection is made and no stream plays.
    Nowhere,
    /// The runtime of the caller that spawns.
    #[cfg(any(test, feature = "test"))]
    Local,
}

impl Media {
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (alive, over) = oneshot::channel();
        thread::Builder::new()
            .name("media".to_owned())
            .spawn(move || {
                let _ = runtime.block_on(over);
            })?;
        Ok(Self::Thread {
            handle,
            _alive: alive,
        })
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Thread { handle, .. } => {
                handle.spawn(task);
            }
            Self::Nowhere => drop(task),
            #[cfg(any(test, feature = "test"))]
            Self::Local => {
                tokio::spawn(task);
            }
        }
    }
}
