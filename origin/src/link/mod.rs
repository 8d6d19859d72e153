//! The origin's end of its links.
//!
//! ```text
//! thread, serve -> edges -> edge -> lane -> feeds
//!                    └────────┴──────┴──► shared -> residents
//! ```
//!
//! `thread` accepts links, and `serve` answers what each of them brings: `node::link` drives both.
//! An `edge` has lanes; a `lane` carries the sessions of one group and has its edge's `feeds`. Nothing imports what stands left of it.

mod config;
mod edge;
mod edges;
mod elsewhere;
mod feeds;
mod lane;
mod metrics;
mod residents;
mod serve;
mod shared;
mod thread;

pub use thread::StartError;

pub(crate) use config::LinkConfig;
pub(crate) use metrics::LinkMetrics;
pub(crate) use thread::{Running, start};
