//! The settings in force that may change while the edge runs.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;

use crate::{Config, Policies, config::WebOrigins};

/// The settings in force for clients.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) policies: Arc<Policies>,
    /// Lag beyond which a viewer jumps; live streams keep that of their first viewer.
    pub(crate) max_lag: Duration,
    /// Messages per second that a client may send towards its origin; sessions keep theirs.
    pub(crate) message_rate: u32,
    /// The sites whose pages may open WebSockets.
    pub(crate) web_origins: WebOrigins,
}

/// The receiver of settings: each worker has one.
pub(crate) type Receiver = watch::Receiver<Arc<InForce>>;

impl InForce {
    pub(crate) fn new(config: &Config, policies: Policies) -> Arc<Self> {
        Arc::new(Self {
            policies: Arc::new(policies),
            max_lag: config.max_lag.get(),
            message_rate: config.session_messages_per_second,
            web_origins: config.web_origins.clone(),
        })
    }
}
