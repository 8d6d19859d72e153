//! The share of time for which a thread is busy.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::runtime::{Handle, RuntimeMetrics};

/// The load of a thread that runs a current-thread runtime. Any thread may read it.
pub struct ThreadLoad {
    runtime: RuntimeMetrics,
    measured: Mutex<Measured>,
}

/// A measurement, valid for [`PERIOD`].
#[derive(Clone, Copy)]
struct Measured {
    at: Instant,
    /// The busy time until then.
    busy: Duration,
    share: f64,
}

/// The time between two measurements.
const PERIOD: Duration = Duration::from_millis(100);

impl ThreadLoad {
    /// The load of the thread whose runtime is the current one.
    pub fn of_current_runtime() -> Self {
        let runtime = Handle::current().metrics();
        let measured = Measured {
            at: Instant::now(),
            busy: runtime.worker_total_busy_duration(0),
            share: 0.0,
        };
        Self {
            runtime,
            measured: Mutex::new(measured),
        }
    }

    /// The busy share, 0 to 1, of the time since the measurement before, at least 100 ms. Time
    /// in which the thread was ready and another ran counts as busy.
    pub fn share(&self, now: Instant) -> f64 {
        // The value is whole at any time.
        let mut measured = self.measured.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = now.saturating_duration_since(measured.at);
        if elapsed >= PERIOD {
            let busy = self.runtime.worker_total_busy_duration(0);
            let spent = busy.saturating_sub(measured.busy);
            *measured = Measured {
                at: now,
                busy,
                share: (spent.as_secs_f64() / elapsed.as_secs_f64()).min(1.0),
            };
        }
        measured.share
    }
}

impl fmt::Debug for ThreadLoad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLoad").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_works_is_busy_and_one_that_sleeps_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let load = ThreadLoad::of_current_runtime();
            let begun = Instant::now();
            while begun.elapsed() < 2 * PERIOD {
                std::hint::spin_loop();
                tokio::task::yield_now().await;
            }
            // The runtime counts a busy time when it next waits.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let worked = load.share(Instant::now());
            tokio::time::sleep(5 * PERIOD).await;
            let slept = load.share(Instant::now());
            assert!(worked > slept && slept < 0.5, "{worked} {slept}");
        });
    }
}
