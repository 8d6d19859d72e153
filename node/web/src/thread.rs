//! The thread that connections are made on.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::{runtime, sync::Notify};

/// One thread of the process, called `web`, for connections to others; it begins at the first use.
/// It ends with the last of its clones, and its work ends with it.
#[derive(Clone, Default)]
pub struct OutboundThread {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    handle: OnceLock<Option<runtime::Handle>>,
    stop: Arc<Notify>,
}

/// Threads that look up names, which the system does one at a time each.
const LOOKUPS: usize = 4;

impl OutboundThread {
    /// Runs `work` there. Without a thread (the system gave none) it is dropped.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        match self.shared.handle() {
            Some(handle) => drop(handle.spawn(work)),
            None => tracing::error!("no thread for outgoing connections"),
        }
    }
}

impl Shared {
    fn handle(&self) -> Option<&runtime::Handle> {
        self.handle.get_or_init(|| self.begin().ok()).as_ref()
    }

    fn begin(&self) -> std::io::Result<runtime::Handle> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(LOOKUPS)
            .build()?;
        let handle = runtime.handle().clone();
        let stop = Arc::clone(&self.stop);
        std::thread::Builder::new()
            .name("web".to_owned())
            .spawn(move || {
                runtime.block_on(stop.notified());
                // A lookup that hangs does not hold up the end of the process.
                runtime.shutdown_background();
            })?;
        Ok(handle)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

impl fmt::Debug for OutboundThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OutboundThread")
    }
}
