//! The figures of the origin.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tributary_protocol::link::CloseReason;

use crate::exchange::Board;

/// The origin's metrics; clones count into the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) groups: Gauge,
    pub(crate) sessions: Gauge,
    pub(crate) streams: Gauge,
    pub(crate) viewers: Gauge,
    pub(crate) calls: Counter,
    /// Calls that the process before had not answered.
    pub(crate) calls_lost: Counter,
    /// Clients that have come back with their token.
    pub(crate) resumed: Counter,
    pub(crate) long_turns: Counter,
    pub(crate) failures: Counter,
    pub(crate) restarts: Counter,
    pub(crate) shared_objects: Gauge,
    pub(crate) shared_object_messages: Counter,
    pub(crate) shared_object_unreadable: Counter,
    pub(crate) shared_object_refusals: Counter,
    pub(crate) shared_object_floods: Counter,
    pub(crate) relays: Board,
    connects: Family<ResultLabel, Counter>,
    publishes: Family<ResultLabel, Counter>,
    ended: Family<ReasonLabel, Counter>,
}

/// The result of a connect.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConnectResult {
    Accepted,
    Rejected,
}

/// The result of a publish.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PublishResult {
    Started,
    /// A take-over or a return.
    Continued,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl Metrics {
    /// Metrics in `registry`, under names that begin with `tributary_origin_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let origin = registry.sub_registry_with_prefix("tributary_origin");
        origin.register(
            "groups",
            "Application instances that run",
            metrics.groups.clone(),
        );
        origin.register(
            "sessions",
            "Sessions, pending ones included",
            metrics.sessions.clone(),
        );
        origin.register(
            "streams",
            "Live streams with a publisher",
            metrics.streams.clone(),
        );
        origin.register(
            "viewers",
            "Message streams that play",
            metrics.viewers.clone(),
        );
        origin.register(
            "calls",
            "Calls of application methods",
            metrics.calls.clone(),
        );
        origin.register(
            "calls_failed_by_restart",
            "Calls that a lost process had not answered, answered NetConnection.Call.Failed",
            metrics.calls_lost.clone(),
        );
        origin.register(
            "clients_resumed",
            "Clients that have come back with their token and go on as they were",
            metrics.resumed.clone(),
        );
        origin.register(
            "long_turns",
            "Turns of more than 1 ms of groups on the thread of the links",
            metrics.long_turns.clone(),
        );
        origin.register(
            "application_failures",
            "Panics and failed starts of applications",
            metrics.failures.clone(),
        );
        origin.register(
            "group_restarts",
            "Groups restarted on request or by a deployment",
            metrics.restarts.clone(),
        );
        metrics.register_shared_objects(origin);
        metrics.relays.register(origin);
        origin.register("connects", "Connects by result", metrics.connects.clone());
        origin.register(
            "publishes",
            "Publishes by result",
            metrics.publishes.clone(),
        );
        origin.register(
            "sessions_ended",
            "Ended sessions by reason",
            metrics.ended.clone(),
        );
        metrics
    }

    fn register_shared_objects(&self, origin: &mut Registry) {
        origin.register(
            "shared_objects",
            "Shared objects that live",
            self.shared_objects.clone(),
        );
        for (name, help, counter) in [
            (
                "shared_object_messages",
                "Messages of clients about shared objects",
                &self.shared_object_messages,
            ),
            (
                "shared_object_unreadable",
                "Those of them that could not be read",
                &self.shared_object_unreadable,
            ),
            (
                "shared_object_refusals",
                "Changes refused because of a limit",
                &self.shared_object_refusals,
            ),
            (
                "shared_object_floods",
                "Sessions closed because their messages came ten times too fast",
                &self.shared_object_floods,
            ),
        ] {
            origin.register(name, help, counter.clone());
        }
    }

    pub(crate) fn connected(&self, result: ConnectResult) {
        let result = match result {
            ConnectResult::Accepted => "accepted",
            ConnectResult::Rejected => "rejected",
        };
        self.connects.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn published(&self, result: PublishResult) {
        let result = match result {
            PublishResult::Started => "started",
            PublishResult::Continued => "continued",
            PublishResult::Refused => "refused",
        };
        self.publishes.get_or_create(&ResultLabel { result }).inc();
    }

    pub(crate) fn session_ended(&self, reason: CloseReason) {
        self.sessions.dec();
        self.ended
            .get_or_create(&ReasonLabel {
                reason: reason.label(),
            })
            .inc();
    }
}
