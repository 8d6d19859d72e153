//! The origin's end of its links.
//!
//! ```text
//! thread, serve, orders -> drain, peer_links -> acts -> edges -> hand_over, edge -> lane -> feeds
//!                                                         └───────────┴────────┴──► shared -> ownership
//! ```
//!
//! `thread` accepts links, and `serve` handles the streams of each: `node::link` drives both. An
//! `edge` has lanes; a `lane` carries the sessions of one group and has its edge's `feeds`. `peers` are the
//! other origins of the cluster. The `ownership` knows which groups are here, and decides which come and go; `acts`
//! does what it orders. No module imports one to its left.

mod acts;
mod config;
mod drain;
mod drained;
mod edge;
mod edges;
mod feeds;
mod hand_over;
mod kept;
mod known_edges;
mod lane;
mod lanes;
mod leaver;
mod metrics;
mod orders;
mod ownership;
mod peer_links;
mod peers;
mod serve;
mod shared;
mod states;
mod thread;

pub use thread::LinkError;

pub(crate) use config::{ClusterLink, LinkConfig};
pub(crate) use metrics::LinkMetrics;
pub(crate) use thread::{RunningLink, start};
