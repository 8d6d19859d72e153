//! The choice of a worker for each client.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// The clients of each worker; the first worker also runs the links.
#[derive(Debug)]
pub(crate) struct Spread {
    clients: Vec<Arc<AtomicUsize>>,
    /// The worker that the last client was given to.
    last: usize,
}

/// A client's count at its worker. Its drop ends the count.
#[derive(Debug)]
pub(crate) struct WorkerSlot(Arc<AtomicUsize>);

/// Clients that the first worker gets before any other. Reason: while there are few, a message that
/// stays on the thread of the links wakes no other thread.
const TOGETHER: usize = 64;

/// The busy share of the first worker from which on it is one of all. Reason: a few clients with
/// much media would hold the links up.
const MOST_BUSY: f64 = 0.5;

impl Spread {
    /// A spread over this many workers, at least one.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            clients: (0..workers.max(1)).map(|_| Arc::default()).collect(),
            last: 0,
        }
    }

    /// The worker of the next client: the first one while it has few and is busy for this small a
    /// share of its time, otherwise one with the fewest, in turn among equals.
    pub(crate) fn next(&mut self, busy: f64) -> (usize, WorkerSlot) {
        let worker = if self.count(0) < TOGETHER && busy < MOST_BUSY {
            0
        } else {
            let workers = self.clients.len();
            let in_turn = (1..=workers).map(|step| (self.last + step) % workers);
            in_turn
                .min_by_key(|&worker| self.count(worker))
                .unwrap_or(0)
        };
        self.last = worker;
        let clients = Arc::clone(&self.clients[worker]);
        clients.fetch_add(1, Ordering::Relaxed);
        (worker, WorkerSlot(clients))
    }

    fn count(&self, worker: usize) -> usize {
        self.clients[worker].load(Ordering::Relaxed)
    }
}

impl WorkerSlot {
    /// The count of one client more at the same worker.
    pub(crate) fn again(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for WorkerSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(spread: &Spread) -> Vec<usize> {
        (0..spread.clients.len())
            .map(|worker| spread.count(worker))
            .collect()
    }

    #[test]
    fn few_clients_stay_together_and_many_are_spread_evenly() {
        let mut spread = Spread::new(3);
        let mut places: Vec<_> = (0..TOGETHER).map(|_| spread.next(0.1).1).collect();
        assert_eq!(counts(&spread), [TOGETHER, 0, 0]);
        places.extend((TOGETHER..2000).map(|_| spread.next(0.1).1));
        assert_eq!(counts(&spread), [667, 667, 666]);
        places.truncate(10);
        assert_eq!(spread.next(0.1).0, 0, "there are few again");
        assert_ne!(spread.next(MOST_BUSY).0, 0, "it has much to do");
        drop(places);
        assert_eq!(counts(&spread), [0, 0, 0]);
    }

    #[test]
    fn one_worker_gets_all() {
        let mut spread = Spread::new(1);
        let places: Vec<_> = (0..1000).map(|_| spread.next(0.1)).collect();
        assert!(places.iter().all(|(worker, _)| *worker == 0));
    }
}
