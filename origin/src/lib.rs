//! The origin tier: application instances, their clients and live streams.

pub mod app;
pub mod config;
pub mod deploy;
pub mod group;
pub mod link;
pub mod live;
pub mod metrics;
mod outgoing;
pub mod run;
pub mod session;
pub mod store;
#[cfg(any(test, feature = "test"))]
pub mod test;

pub use config::{Config, Flags};
pub use run::{LIVE, Running, Start, StartError, start};
