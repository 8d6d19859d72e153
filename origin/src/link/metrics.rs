//! Counters and gauges of the origin's links.

use std::ops::Deref;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tributary_node::link::LinkCounts;
pub(super) use tributary_node::metrics::Counted;

/// The edge that a figure belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct EdgeLabel {
    /// From its certificate.
    pub(crate) edge: String,
}

/// An edge, with its zone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PlaceLabel {
    /// From its certificate.
    pub(crate) edge: String,
    /// Its `edge.zone`.
    pub(crate) zone: String,
}

/// The figures of the links; clones count into the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkMetrics {
    counts: LinkCounts<EdgeLabel>,
    /// Links that are up.
    pub(crate) links: Gauge,
    /// Links that were lost.
    pub(crate) lost: Counter,
    /// Links refused, by their certificate or hello.
    pub(crate) refused: Counter,
    /// Client connections that each edge with a link is meant for.
    pub(crate) capacity: Family<PlaceLabel, Gauge>,
    /// Lanes that went on over a new link.
    pub(crate) resumed: Counter,
    /// Groups that live here away from their home.
    pub(crate) displaced: Gauge,
    /// Messages of shared objects for one member.
    pub(crate) member_messages: Counter,
    /// Messages of shared objects that became part of another.
    pub(crate) audience_merged: Counter,
    /// Times an audience needed a snapshot.
    pub(crate) audience_lapses: Counter,
    /// Malformed data messages of publishers.
    pub(crate) data_faulty: Counter,
    /// Groups that have gone elsewhere, or that were to.
    pub(crate) moves: MoveMetrics,
}

/// The figures of groups that move; clones count into the same.
#[derive(Clone, Debug)]
pub(crate) struct MoveMetrics {
    /// By their outcome.
    pub(crate) moves: Family<OutcomeLabel, Counter>,
    /// Groups that other origins have moved here.
    pub(crate) arrived: Counter,
    /// Sessions that edges have brought, in moved groups and after a start.
    pub(crate) brought: Counter,
    /// Seconds for which moved groups stood still.
    pub(crate) frozen: Histogram,
    /// Other origins with a link.
    pub(crate) peers: Gauge,
}

/// The outcome of a move.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct OutcomeLabel {
    /// `moved`, `refused` by either origin, or `late`: nothing was heard of its arrival.
    pub(crate) outcome: &'static str,
}

/// The bounds of the buckets, in seconds.
const FROZEN: [f64; 9] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2.0, 5.0];

impl Default for MoveMetrics {
    fn default() -> Self {
        Self {
            moves: Family::default(),
            arrived: Counter::default(),
            brought: Counter::default(),
            frozen: Histogram::new(FROZEN),
            peers: Gauge::default(),
        }
    }
}

impl MoveMetrics {
    fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("tributary_origin_cluster");
        r.register(
            "moves",
            "Groups that were to move to another origin",
            self.moves.clone(),
        );
        r.register(
            "groups_arrived",
            "Groups that other origins have moved here",
            self.arrived.clone(),
        );
        r.register(
            "sessions_brought",
            "Sessions that edges have brought from another process",
            self.brought.clone(),
        );
        r.register(
            "move_frozen_seconds",
            "Time for which groups that have moved stood still",
            self.frozen.clone(),
        );
        r.register(
            "origins_linked",
            "Other origins with a link",
            self.peers.clone(),
        );
    }
}

impl LinkMetrics {
    /// Makes the figures known under their names.
    pub(crate) fn register(&self, registry: &mut Registry) {
        self.moves.register(registry);
        let r = registry.sub_registry_with_prefix("tributary_origin_link");
        self.counts.register(r);
        r.register("up", "Links that are up", self.links.clone());
        r.register("lost", "Links lost", self.lost.clone());
        let faulty = "Malformed data messages of publishers";
        r.register("data_faulty", faulty, self.data_faulty.clone());
        r.register("refused", "Links refused", self.refused.clone());
        r.register(
            "capacity",
            "Client connections that a linked edge is meant for, by its zone",
            self.capacity.clone(),
        );
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
        r.register(
            "member_messages",
            "Messages of shared objects for one member",
            self.member_messages.clone(),
        );
        r.register(
            "audience_merged",
            "Messages to all members of an object that became part of the one before",
            self.audience_merged.clone(),
        );
        r.register(
            "audience_lapses",
            "Times a lane could not keep messages to the members of an object",
            self.audience_lapses.clone(),
        );
    }
}

impl Deref for LinkMetrics {
    type Target = LinkCounts<EdgeLabel>;

    fn deref(&self) -> &Self::Target {
        &self.counts
    }
}
