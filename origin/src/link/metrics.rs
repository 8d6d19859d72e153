//! What the origin's links count.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// The edge a figure belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct EdgeLabel {
    /// The name on its certificate.
    pub edge: String,
}

/// An edge, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PlaceLabel {
    /// The name on its certificate.
    pub edge: String,
    /// Its `edge.zone`.
    pub zone: String,
}

/// Counters and gauges of the links; clones count into the same.
#[derive(Clone, Debug, Default)]
pub struct LinkMetrics {
    /// Links that are up.
    pub links: Gauge,
    /// Links that were lost.
    pub lost: Counter,
    /// Links refused, by their certificate or hello.
    pub refused: Counter,
    /// UDP payload received from an edge.
    pub bytes_in: Family<EdgeLabel, Counter>,
    /// UDP payload sent to an edge.
    pub bytes_out: Family<EdgeLabel, Counter>,
    /// Client connections that each edge with a link is meant for.
    pub capacity: Family<PlaceLabel, Gauge>,
    /// Lanes open, those of lost links among them.
    pub lanes: Gauge,
    /// Lanes that went on over a new link.
    pub resumed: Counter,
    /// Groups that live here away from their home.
    pub displaced: Gauge,
    /// Feeds being received.
    pub feeds_in: Gauge,
    /// Feeds being sent.
    pub feeds_out: Gauge,
    /// Feeds given up because the link was too slow, and begun again.
    pub feeds_reset: Counter,
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
        let r = registry.sub_registry_with_prefix("tributary_origin_link");
        r.register("up", "Links that are up", self.links.clone());
        r.register("lost", "Links lost", self.lost.clone());
        r.register("refused", "Links refused", self.refused.clone());
        r.register(
            "in_bytes",
            "UDP payload received from an edge",
            self.bytes_in.clone(),
        );
        r.register(
            "out_bytes",
            "UDP payload sent to an edge",
            self.bytes_out.clone(),
        );
        r.register(
            "capacity",
            "Client connections that a linked edge is meant for, by its zone",
            self.capacity.clone(),
        );
        r.register("lanes", "Lanes open", self.lanes.clone());
        r.register(
            "lanes_resumed",
            "Lanes that went on over a new link",
            self.resumed.clone(),
        );
        r.register(
            "groups_displaced",
            "Groups away from their home",
            self.displaced.clone(),
        );
        r.register("feeds_in", "Feeds being received", self.feeds_in.clone());
        r.register("feeds_out", "Feeds being sent", self.feeds_out.clone());
        r.register(
            "feeds_reset",
            "Feeds begun again after falling behind",
            self.feeds_reset.clone(),
        );
        r.register(
            "protocol_errors",
            "Links closed because the peer broke the link protocol",
            self.protocol_errors.clone(),
        );
    }
}
