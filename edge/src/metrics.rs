//! The counts of the edge's clients.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
pub(crate) use tributary_node::metrics::Counted;
use tributary_protocol::{link::CloseReason, ring};

use crate::admission::Refused;

mod hooks;

pub(crate) use hooks::HookMetrics;

/// A label with a reason.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    pub reason: &'static str,
}

/// Counters and gauges of the clients' side; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// TCP connections open.
    pub connections: Gauge,
    /// Clients whose connect the application has accepted.
    pub sessions: Gauge,
    /// Message streams that play.
    pub viewers: Gauge,
    /// Message streams that publish.
    pub publishers: Gauge,
    /// Bytes received from clients.
    pub bytes_in: Counter,
    /// Bytes of RTMP sent to clients.
    pub bytes_out: Counter,
    /// Bytes sent on clients' connections, with the frames of WebSockets, HTTP and TLS around RTMP.
    pub wire_bytes_out: Counter,
    pub dropped: DroppedMetrics,
    /// Copies of shared objects' messages that were sent, one for each member.
    pub object_messages: Counter,
    /// Changes of shared objects that slow members got together with later ones.
    pub object_changes_gathered: Counter,
    /// Connections that ended.
    pub closed: Family<Reason, Counter>,
    /// Faults of clients, in more detail than [`Metrics::closed`].
    pub faults: Family<Reason, Counter>,
    /// Connects that waited because their address had failed too often.
    pub slowed_connects: Counter,
    pub(crate) hooks: HookMetrics,
    /// Aggregates whose rest was dropped.
    pub aggregates_cut_off: Counter,
    /// Connections that were refused.
    pub refused: Family<Reason, Counter>,
    /// Pauses of the acceptor because the process had no descriptors left.
    pub accept_backoffs: Counter,
    /// Requests to reconnect, by an edge that leaves.
    pub reconnect_requests: Counter,
    /// The ends of validity of certificates, in seconds since 1970.
    pub certificate_expiry: Family<CertificateLabel, Gauge>,
}

/// A label with the name of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CertificateLabel {
    pub name: String,
}

/// Messages that viewers did not get, by reason.
#[derive(Clone, Debug, Default)]
pub struct DroppedMetrics {
    by_reason: Family<Reason, Counter>,
}

impl DroppedMetrics {
    /// Adds a viewer's losses.
    pub fn add(&self, dropped: ring::Dropped) {
        let counts = [
            ("lag", dropped.lag),
            ("fell_off", dropped.fell_off),
            ("filter", dropped.filter),
            ("waiting_for_key_frame", dropped.waiting),
        ];
        for (reason, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            self.by_reason
                .get_or_create(&Reason { reason })
                .inc_by(count);
        }
    }

    /// The number of dropped messages with this reason.
    pub fn count(&self, reason: &'static str) -> u64 {
        self.by_reason.get_or_create(&Reason { reason }).get()
    }
}

impl Metrics {
    /// Registers the figures under their names.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("tributary_edge");
        r.register(
            "connections",
            "Client connections open",
            self.connections.clone(),
        );
        r.register(
            "sessions",
            "Clients whose connect was accepted",
            self.sessions.clone(),
        );
        r.register("viewers", "Message streams that play", self.viewers.clone());
        r.register(
            "publishers",
            "Message streams that publish",
            self.publishers.clone(),
        );
        r.register(
            "in_bytes",
            "Bytes received from clients",
            self.bytes_in.clone(),
        );
        r.register("out_bytes", "Bytes sent to clients", self.bytes_out.clone());
        r.register(
            "wire_out_bytes",
            "Bytes sent on clients' connections, with the frames of WebSockets, HTTP and TLS",
            self.wire_bytes_out.clone(),
        );
        r.register(
            "shared_object_messages",
            "Messages of shared objects sent, one for each member",
            self.object_messages.clone(),
        );
        r.register(
            "shared_object_changes_gathered",
            "Changes that a slow member got with later ones",
            self.object_changes_gathered.clone(),
        );
        let dropped = self.dropped.by_reason.clone();
        r.register("dropped_messages", "Messages viewers did not get", dropped);
        r.register(
            "closed",
            "Client connections that ended",
            self.closed.clone(),
        );
        r.register("faults", "Faults in what clients sent", self.faults.clone());
        r.register(
            "slowed_connects",
            "Connects that waited because their address had failed too often",
            self.slowed_connects.clone(),
        );
        self.hooks.register(r);
        r.register(
            "aggregates_cut_off",
            "Aggregates of which the rest was dropped",
            self.aggregates_cut_off.clone(),
        );
        r.register(
            "refused",
            "Client connections that were not taken",
            self.refused.clone(),
        );
        let backoffs = self.accept_backoffs.clone();
        r.register("accept_backoffs", "Waits for want of descriptors", backoffs);
        r.register(
            "reconnect_requests",
            "Clients that were asked to reconnect because the edge leaves",
            self.reconnect_requests.clone(),
        );
        r.register(
            "certificate_expires_seconds",
            "The time at which a certificate for clients ends, in seconds since 1970",
            self.certificate_expiry.clone(),
        );
    }

    /// Notes the end of a certificate's validity, in seconds since 1970.
    pub fn set_certificate_expiry(&self, name: &str, expires: i64) {
        let label = CertificateLabel {
            name: name.to_owned(),
        };
        self.certificate_expiry.get_or_create(&label).set(expires);
    }

    /// Removes the end of a certificate that is gone.
    pub fn forget_certificate(&self, name: &str) {
        let label = CertificateLabel {
            name: name.to_owned(),
        };
        self.certificate_expiry.remove(&label);
    }

    /// Counts the end of a connection.
    pub fn count_closed(&self, reason: CloseReason) {
        let reason = reason.label();
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    /// Counts a fault of a client.
    pub fn count_fault(&self, reason: &'static str) {
        self.faults.get_or_create(&Reason { reason }).inc();
    }

    pub(crate) fn count_refused(&self, refused: Refused) {
        let reason = refused.label();
        self.refused.get_or_create(&Reason { reason }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_a_name() {
        let metrics = Metrics::default();
        metrics.count_closed(CloseReason::Client);
        metrics.dropped.add(ring::Dropped {
            lag: 3,
            ..ring::Dropped::default()
        });
        let mut registry = Registry::default();
        metrics.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "tributary_edge_connections 0",
            "tributary_edge_dropped_messages_total{reason=\"lag\"} 3",
            "tributary_edge_closed_total{reason=\"client_closed\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
