//! The edge tier: terminates RTMP clients and carries their sessions to origins.

pub mod admission;
mod client;
pub mod config;
pub mod fanout;
pub mod link;
mod listener;
pub mod metrics;
pub mod routing;
mod run;
mod worker;

pub use config::Config;
pub use metrics::Metrics;
pub use run::{Running, run};
