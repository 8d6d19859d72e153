//! The counts of the edge's links.

use std::{ops::Deref, sync::atomic::AtomicU64};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tributary_node::link::LinkCounts;
pub(super) use tributary_node::metrics::Counted;

/// The label of an origin's figures.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OriginLabel {
    /// The name by which the edges call the origin.
    pub origin: String,
}

/// Counters and gauges of the links; clones share them.
#[derive(Clone, Debug, Default)]
pub struct LinkMetrics {
    counts: LinkCounts<OriginLabel>,
    /// Whether the link to an origin is up.
    pub up: Family<OriginLabel, Gauge>,
    /// Links that were lost.
    pub lost: Family<OriginLabel, Counter>,
    /// The round trip of a link, in seconds.
    pub round_trip: Family<OriginLabel, Gauge<f64, AtomicU64>>,
    /// Sessions in lanes.
    pub sessions: Gauge,
    /// Shared objects that sessions use.
    pub audiences: Gauge,
    /// Groups with stored data at an origin, which start at their home or not at all.
    pub kept: Gauge,
    /// Sessions that went on at another process of their origin.
    pub restored: Counter,
    /// Waits of sessions that sent more than their rate.
    pub throttled: Counter,
}

impl LinkMetrics {
    /// Registers the figures under their names.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("tributary_edge_link");
        self.counts.register(r);
        r.register("up", "Whether the link to an origin is up", self.up.clone());
        r.register("lost", "Links lost", self.lost.clone());
        r.register(
            "round_trip_seconds",
            "Round trip of a link",
            self.round_trip.clone(),
        );
        r.register("sessions", "Sessions in lanes", self.sessions.clone());
        r.register(
            "audiences",
            "Shared objects that sessions use",
            self.audiences.clone(),
        );
        r.register(
            "groups_kept",
            "Groups that start at their home or not at all, since they have stored something there",
            self.kept.clone(),
        );
        r.register(
            "sessions_restored",
            "Sessions that went on at another process of their origin",
            self.restored.clone(),
        );
        r.register(
            "throttled",
            "Times a session waited because it sent more than its rate",
            self.throttled.clone(),
        );
    }
}

impl LinkMetrics {
    /// Removes the figures of an origin that has gone.
    pub(super) fn forget(&self, origin: &OriginLabel) {
        self.up.remove(origin);
        self.lost.remove(origin);
        self.round_trip.remove(origin);
        self.counts.bytes_in.remove(origin);
        self.counts.bytes_out.remove(origin);
    }
}

impl Deref for LinkMetrics {
    type Target = LinkCounts<OriginLabel>;

    fn deref(&self) -> &Self::Target {
        &self.counts
    }
}
