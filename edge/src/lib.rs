//! The edge tier: terminates RTMP clients and carries their sessions to origins.

pub mod admission;
mod client;
pub mod config;
pub mod departure;
pub mod door;
pub mod fanout;
#[cfg(test)]
mod golden;
pub mod handover;
mod hooks;
mod in_force;
pub mod link;
mod listener;
mod listeners;
pub mod live;
pub mod metrics;
pub mod moving;
pub mod objects;
mod policies;
mod reload;
mod requests;
pub mod run;
mod spread;
mod start;
mod thread;
pub mod tls;
mod tunnel;
mod wire;
mod worker;

pub use config::{Config, Flags};
pub use listeners::InheritedListener;
pub use metrics::Metrics;
pub use policies::Policies;
pub use reload::Reloader;
pub use start::{ClientSockets, OwedHooks, Running, Start, StartError, start};
