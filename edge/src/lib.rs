//! The edge tier: terminates RTMP clients and carries their sessions to origins.

pub mod admission;
mod client;
pub mod config;
pub mod departure;
pub mod door;
pub mod fanout;
pub mod link;
mod listener;
pub mod metrics;
pub mod objects;
mod policies;
mod requests;
pub mod routing;
pub mod run;
mod spread;
mod start;
mod thread;
pub mod tls;
mod tunnel;
mod wire;
mod worker;

pub use config::{Config, Flags};
pub use metrics::Metrics;
pub use policies::Policies;
pub use start::{Running, Start, StartError, start};
