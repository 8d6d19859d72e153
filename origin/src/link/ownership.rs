//! The machine that knows which groups are here, as the tasks of the link thread share it.

use std::cell::{Ref, RefCell};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tributary_protocol::{cluster::Ownership, link::Control};

/// The ownership of this origin.
pub(super) struct SharedOwnership {
    machine: RefCell<Ownership>,
    has_news: Notify,
    displaced: Gauge,
}

impl SharedOwnership {
    pub(super) fn new(machine: Ownership, displaced: Gauge) -> Self {
        Self {
            machine: RefCell::new(machine),
            has_news: Notify::new(),
            displaced,
        }
    }

    /// The machine, to look at. No task keeps it across a wait.
    pub(super) fn get(&self) -> Ref<'_, Ownership> {
        self.machine.borrow()
    }

    /// Changes the machine.
    pub(super) fn change<R>(&self, change: impl FnOnce(&mut Ownership) -> R) -> R {
        let mut machine = self.machine.borrow_mut();
        let changed = change(&mut machine);
        self.displaced.set(machine.displaced_count() as i64);
        if machine.has_news() {
            self.has_news.notify_one();
        }
        changed
    }

    /// Waits until groups have come or gone. Returns the frames about them for every edge, and those for every
    /// other origin.
    pub(super) async fn news(&self) -> (Vec<Control>, Vec<Control>) {
        self.has_news.notified().await;
        self.machine.borrow_mut().take_news()
    }
}
