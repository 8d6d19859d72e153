//! The state of the link thread that no edge owns: settings, groups, figures, memory.

use std::{fmt, time::Instant};

use tokio::sync::Notify;
use tributary_node::transport::{CloseCode, Link, LinkError};
use tributary_protocol::{
    GroupName,
    cluster::{ClusterStart, Ownership},
    link::{OpenSession, credit::CreditBudget},
};

use super::{
    config::LinkConfig, known_edges::KnownEdges, metrics::LinkMetrics, ownership::SharedOwnership,
    states,
};
use crate::group::{Groups, OpenRefused};

/// State that every task of the link thread may use. No task keeps a borrow across a wait.
pub(super) struct Shared {
    pub(super) config: LinkConfig,
    pub(super) groups: Groups,
    pub(super) metrics: LinkMetrics,
    pub(super) budget: CreditBudget,
    pub(super) ownership: SharedOwnership,
    /// Notified when a lane may have nothing left to send: the stop of the process waits for that.
    pub(super) progress: Notify,
}

impl Shared {
    pub(super) fn new(config: LinkConfig, groups: Groups, metrics: LinkMetrics) -> Self {
        let (name, now) = (&config.identity.peer().name, Instant::now());
        let ownership = match &config.cluster {
            Some(cluster) => {
                let start = ClusterStart {
                    edges: KnownEdges::read(&cluster.edges),
                    states: states::take(&cluster.states),
                };
                let others = cluster.origins.iter().map(|it| it.known_as().to_owned());
                Ownership::in_cluster(name, others.collect(), start, now)
            }
            None => Ownership::alone(name, now),
        };
        Self {
            budget: CreditBudget::new(config.message_budget),
            config,
            groups,
            ownership: SharedOwnership::new(ownership, metrics.displaced.clone()),
            metrics,
            progress: Notify::new(),
        }
    }

    /// Counts and logs a link that is refused.
    pub(super) fn refused(&self, who: &str, error: &LinkError) {
        if error.is_orderly() {
            // An edge looks whether it can reach this origin, before it takes the place of another.
            tracing::debug!(from = who, %error, "a link ends before its greeting");
            return;
        }
        self.metrics.refused.inc();
        tracing::warn!(from = who, %error, "link refused");
    }

    /// Closes a link whose peer broke the protocol: no later bytes of it can be trusted.
    pub(super) fn protocol_error(&self, link: &Link, error: &dyn fmt::Display) {
        tracing::error!(edge = %link.peer().name, %error, "link closed: protocol error");
        self.metrics.protocol_errors.inc();
        link.close(CloseCode::Protocol);
    }

    /// Counts and logs a connect whose group could not be opened.
    pub(super) fn note_refused(&self, group: &GroupName, open: &OpenSession, why: OpenRefused) {
        self.groups.count_refused();
        let address = open.peer;
        tracing::info!(
            %address,
            application = group.application(),
            instance = group.instance(),
            reason = why.reason().label(),
            "session refused",
        );
    }
}
