//! The readiness of the edge for clients.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

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
