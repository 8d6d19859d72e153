//! The moments at which clients connect.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tokio::time::sleep_until;

/// The times at which clients come: each when the one before it is served, or at a rate.
pub(super) struct Turns {
    interval: Option<Duration>,
    next: Cell<Instant>,
}

impl Turns {
    pub(super) fn new(rate: Option<f64>) -> Self {
        Self {
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            next: Cell::new(Instant::now()),
        }
    }

    /// Waits for the next client's time. Times that a slow server misses are not made up for.
    pub(super) async fn next(&self) {
        if let Some(interval) = self.interval {
            let at = self.next.get().max(Instant::now() - interval);
            self.next.set(at + interval);
            sleep_until(at.into()).await;
        }
    }
}
