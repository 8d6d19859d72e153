//! The parts of hooks that all sessions of an edge share.

use std::{fmt, sync::Arc, time::Instant};

use tributary_gate::{Caller, FieldTooLong, HookEvent, HookFault, HookRequest, HookSettings};
use tributary_web::{HttpClient, OutboundThread, Roots};

use super::{
    card::{Card, EdgeName},
    lines::Lines,
    owed::Owed,
    services::{Services, WebServices},
};
use crate::metrics::HookMetrics;

/// The hooks of an edge; clones share all. They cost nothing until the first request.
#[derive(Clone)]
pub(crate) struct Hooks(Arc<SharedHooks>);

struct SharedHooks {
    services: Box<dyn Services>,
    thread: OutboundThread,
    metrics: HookMetrics,
    owed: Owed,
    lines: Lines,
    name: EdgeName,
}

/// The hooks of one application.
#[derive(Clone, Debug)]
pub(crate) struct OfApplication {
    pub(crate) application: Arc<str>,
    pub(crate) settings: Arc<HookSettings>,
}

/// The hooks for one session; clones share all but the card.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    pub(super) hooks: Hooks,
    pub(super) of: OfApplication,
    pub(super) card: Arc<Card>,
}

impl Hooks {
    /// The hooks of an edge that services know by this name and process.
    pub(crate) fn new(metrics: HookMetrics, edge: &str, process: u64) -> Self {
        let thread = OutboundThread::default();
        let client = HttpClient::new(thread.clone(), Roots::System);
        let name = EdgeName {
            edge: edge.to_owned(),
            process: format!("{process:016x}"),
        };
        Self::with(Box::new(WebServices::new(client)), thread, metrics, name)
    }

    pub(super) fn with(
        services: Box<dyn Services>,
        thread: OutboundThread,
        metrics: HookMetrics,
        name: EdgeName,
    ) -> Self {
        Self(Arc::new(SharedHooks {
            services,
            thread,
            metrics,
            owed: Owed::default(),
            lines: Lines::default(),
            name,
        }))
    }

    pub(super) fn services(&self) -> &dyn Services {
        &*self.0.services
    }

    pub(super) fn metrics(&self) -> &HookMetrics {
        &self.0.metrics
    }

    /// The done-hooks that are under way.
    pub(crate) fn owed(&self) -> &Owed {
        &self.0.owed
    }

    /// Runs work on the thread of outgoing requests.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.0.thread.spawn(work);
    }
}

impl Teller {
    /// The requests of an event.
    pub(super) fn requests(&self, event: &HookEvent<'_>) -> Result<Vec<HookRequest>, FieldTooLong> {
        self.of.settings.requests(&self.caller(), event)
    }

    fn caller(&self) -> Caller<'_> {
        self.card.caller(&self.hooks.0.name)
    }

    /// Counts a request's result, and writes a line about a service that fails.
    pub(super) fn note_failure(
        &self,
        hook: &'static str,
        host: &str,
        fault: HookFault,
        cause: Option<&str>,
    ) {
        let Some(omitted) = self.hooks.0.lines.pass(host, Instant::now()) else {
            return;
        };
        let application = &*self.of.application;
        tracing::warn!(application, hook, host, %fault, cause, omitted, "a hook has failed");
    }

    /// Writes a line about a done-hook that is given up.
    pub(super) fn note_lost(&self, hook: &'static str, host: &str) {
        self.hooks.metrics().lose(hook);
        // Not to be hidden by the lines of the attempts before.
        let key = format!("{host} lost");
        let Some(omitted) = self.hooks.0.lines.pass(&key, Instant::now()) else {
            return;
        };
        let application = &*self.of.application;
        tracing::warn!(application, hook, host, omitted, "a done-hook is lost");
    }
}

impl Default for Hooks {
    fn default() -> Self {
        Self::new(HookMetrics::default(), "", 0)
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("owed", &self.0.owed.number())
            .finish_non_exhaustive()
    }
}
