//! The counts of hooks: requests to services.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tributary_node::metrics::Counted;

/// Counters and gauges of hooks; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct HookMetrics(Arc<HookFigures>);

#[derive(Debug)]
struct HookFigures {
    requests: Family<Result, Counter>,
    seconds: Family<Hook, Histogram, fn() -> Histogram>,
    waiting: Family<Hook, Gauge>,
    lost: Family<Hook, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Hook {
    hook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result {
    hook: &'static str,
    result: &'static str,
}

/// The upper bounds of the histogram, in seconds. The longest `timeout` is 30 s.
const SECONDS: [f64; 11] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0,
];

impl Default for HookFigures {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            waiting: Family::default(),
            lost: Family::default(),
        }
    }
}

impl HookMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        let figures = &self.0;
        registry.register(
            "hook_requests",
            "Requests of hooks, by their results",
            figures.requests.clone(),
        );
        registry.register(
            "hook_seconds",
            "Times from a request of a hook to its result, in seconds",
            figures.seconds.clone(),
        );
        registry.register(
            "hook_waiting",
            "Requests of hooks that have no result yet",
            figures.waiting.clone(),
        );
        registry.register(
            "hook_lost",
            "Done-hooks that no attempt has delivered",
            figures.lost.clone(),
        );
    }

    /// Counts a request as one without a result, until the guard is dropped.
    pub(crate) fn begin(&self, hook: &'static str) -> Counted {
        Counted::new(&self.0.waiting.get_or_create(&Hook { hook }))
    }

    /// Counts a request's result.
    pub(crate) fn count(&self, hook: &'static str, result: &'static str, time: Duration) {
        let figures = &self.0;
        let label = Result { hook, result };
        figures.requests.get_or_create(&label).inc();
        let seconds = figures.seconds.get_or_create(&Hook { hook });
        seconds.observe(time.as_secs_f64());
    }

    /// Counts done-hooks that are given up.
    pub(crate) fn lose(&self, hook: &'static str) {
        self.0.lost.get_or_create(&Hook { hook }).inc();
    }

    #[cfg(test)]
    pub(crate) fn counted(&self, hook: &'static str, result: &'static str) -> u64 {
        let label = Result { hook, result };
        self.0.requests.get_or_create(&label).get()
    }

    #[cfg(test)]
    pub(crate) fn lost(&self, hook: &'static str) -> u64 {
        self.0.lost.get_or_create(&Hook { hook }).get()
    }
}
