//! What both tiers of Tributary share and is not protocol.

pub mod backoff;
pub mod cert;
pub mod config;
pub mod drain;
pub mod queue;
pub mod tls;
pub mod transport;
