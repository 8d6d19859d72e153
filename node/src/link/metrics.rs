//! Metrics of either end of links, and the traffic of one link.

use std::{cell::Cell, fmt::Debug, hash::Hash};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::transport::Link;

/// A label that names the peer.
pub trait PeerLabel: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static {}

impl<T: Clone + Debug + Eq + Hash + EncodeLabelSet + Send + Sync + 'static> PeerLabel for T {}

/// Counters and gauges of both tiers, by peer if `P` names one. Clones share the counts.
#[derive(Clone, Debug)]
pub struct LinkCounts<P: PeerLabel> {
    /// UDP payload received from a peer.
    pub bytes_in: Family<P, Counter>,
    /// UDP payload sent to a peer.
    pub bytes_out: Family<P, Counter>,
    /// Open lanes, those of lost links included.
    pub lanes: Gauge,
    /// Feeds being received.
    pub feeds_in: Gauge,
    /// Feeds being sent.
    pub feeds_out: Gauge,
    /// Feeds reset and begun again because the link was too slow.
    pub feeds_reset: Counter,
    /// Messages of shared objects to all of an audience; each crosses a link once.
    pub audience_messages: Counter,
    /// Links closed because the peer violated the protocol.
    pub protocol_errors: Counter,
}

impl<P: PeerLabel> Default for LinkCounts<P> {
    fn default() -> Self {
        Self {
            bytes_in: Family::default(),
            bytes_out: Family::default(),
            lanes: Gauge::default(),
            feeds_in: Gauge::default(),
            feeds_out: Gauge::default(),
            feeds_reset: Counter::default(),
            audience_messages: Counter::default(),
            protocol_errors: Counter::default(),
        }
    }
}

impl<P: PeerLabel> LinkCounts<P> {
    /// Registers the metrics, in a registry with the tier's prefix.
    pub fn register(&self, registry: &mut Registry) {
        let counters = [
            (
                "feeds_reset",
                "Feeds begun again after falling behind",
                &self.feeds_reset,
            ),
            (
                "audience_messages",
                "Messages of shared objects to all members; each crosses a link once",
                &self.audience_messages,
            ),
            (
                "protocol_errors",
                "Links closed because the peer violated the link's protocol",
                &self.protocol_errors,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let gauges = [
            ("lanes", "Lanes open", &self.lanes),
            ("feeds_in", "Feeds being received", &self.feeds_in),
            ("feeds_out", "Feeds being sent", &self.feeds_out),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let bytes = [
            (
                "in_bytes",
                "UDP payload received from a peer",
                &self.bytes_in,
            ),
            ("out_bytes", "UDP payload sent to a peer", &self.bytes_out),
        ];
        for (name, help, family) in bytes {
            registry.register(name, help, family.clone());
        }
    }
}

/// The bytes of one link, counted for its peer.
#[derive(Debug)]
pub struct Traffic {
    sent: Counter,
    received: Counter,
    /// The bytes that are counted so far, sent and received.
    counted: Cell<(u64, u64)>,
}

impl Traffic {
    /// The traffic of a new link to this peer.
    pub fn new<P: PeerLabel>(counts: &LinkCounts<P>, peer: &P) -> Self {
        Self {
            sent: counts.bytes_out.get_or_create(peer).clone(),
            received: counts.bytes_in.get_or_create(peer).clone(),
            counted: Cell::default(),
        }
    }

    /// Counts the bytes since the last call.
    pub fn count(&self, link: &Link) {
        let (sent, received) = link.bytes();
        let before = self.counted.replace((sent, received));
        self.sent.inc_by(sent - before.0);
        self.received.inc_by(received - before.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
    struct Name {
        peer: &'static str,
    }

    #[test]
    fn every_figure_has_a_name() {
        let counts = LinkCounts::default();
        counts.bytes_in.get_or_create(&Name { peer: "a" }).inc();
        let mut registry = Registry::default();
        counts.register(registry.sub_registry_with_prefix("tier_link"));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "tier_link_in_bytes_total{peer=\"a\"} 1",
            "tier_link_lanes 0",
            "tier_link_audience_messages_total 0",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
