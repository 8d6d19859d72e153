//! Code of both tiers of Tributary that is no protocol.

pub mod admin;
pub mod backoff;
pub mod cert;
pub mod config;
pub mod drain;
pub mod encoder;
pub mod feed;
pub mod link;
pub mod load;
pub mod log;
pub mod metrics;
pub mod queue;
pub mod rate;
pub mod tls;
pub mod token;
pub mod transport;
