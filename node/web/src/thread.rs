//! The thread of connections to other servers.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use tokio::{runtime, sync::Notify};

/// The thread `web` of the process, for connections to other servers; it starts at the first use.
/// It ends with the last of its clones, and so does its work.
#[derive(Clone, Default)]
pub struct OutboundThread {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    handle: OnceLock<Option<runtime::Handle>>,
    stop: Arc<Notify>,
}

/// Threads that look up names; the system looks up one name on each.
const LOOKUPS: usize = 4;

impl OutboundThread {
    /// Runs `work` on the thread. If the system gives no thread, the work is dropped.
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
                // A lookup that hangs does not delay the end of the process.
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
