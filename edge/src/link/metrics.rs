//! What the edge's links count.

use std::sync::atomic::AtomicU64;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The origin a figure belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OriginLabel {
    /// What the edges call it.
    pub origin: String,
}

/// Counters and gauges of the links; clones count into the same.
#[derive(Clone, Debug, Default)]
pub struct LinkMetrics {
    /// Whether the link to an origin is up.
    pub up: Family<OriginLabel, Gauge>,
    /// Links that were lost.
    pub lost: Family<OriginLabel, Counter>,
    /// The round trip of a link, in seconds.
    pub round_trip: Family<OriginLabel, Gauge<f64, AtomicU64>>,
    /// UDP payload received from an origin.
    pub bytes_in: Family<OriginLabel, Counter>,
    /// UDP payload sent to an origin.
    pub bytes_out: Family<OriginLabel, Counter>,
    /// Lanes open.
    pub lanes: Gauge,
    /// Sessions in lanes.
    pub sessions: Gauge,
    /// Feeds being received.
    pub feeds_in: Gauge,
    /// Feeds being sent.
    pub feeds_out: Gauge,
    /// Feeds given up because the link was too slow, and begun again.
    pub feeds_reset: Counter,
    /// Times a session waited because it sent more than its rate.
    pub throttled: Counter,
    /// Links closed because the peer broke the protocol.
    pub protocol_errors: Counter,
}

/// Counts one thing for as long as it exists, however it ends.
pub(super) struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl LinkMetrics {
    /// Makes the figures known under their names.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("tributary_edge_link");
        r.register("up", "Whether the link to an origin is up", self.up.clone());
        r.register("lost", "Links lost", self.lost.clone());
        r.register(
            "round_trip_seconds",
            "Round trip of a link",
            self.round_trip.clone(),
        );
        r.register(
            "in_bytes",
            "UDP payload received from an origin",
            self.bytes_in.clone(),
        );
        r.register(
            "out_bytes",
            "UDP payload sent to an origin",
            self.bytes_out.clone(),
        );
        r.register("lanes", "Lanes open", self.lanes.clone());
        r.register("sessions", "Sessions in lanes", self.sessions.clone());
        r.register("feeds_in", "Feeds being received", self.feeds_in.clone());
        r.register("feeds_out", "Feeds being sent", self.feeds_out.clone());
        r.register(
            "feeds_reset",
            "Feeds begun again after falling behind",
            self.feeds_reset.clone(),
        );
        r.register(
            "throttled",
            "Times a session waited because it sent more than its rate",
            self.throttled.clone(),
        );
        r.register(
            "protocol_errors",
            "Links closed because the peer broke the link protocol",
            self.protocol_errors.clone(),
        );
    }
}
