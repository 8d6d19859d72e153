//! The origin's end of its links.
//!
//! ```text
//! thread, serve, orders -> drain, peer_links -> moving -> hand_over
//!                            └──► edges -> edge, gathering -> lane -> feeds
//!                                   └────────┴─────────────────┴──► shared -> residents
//! ```
//!
//! `thread` accepts links, and `serve` handles the streams of each: `node::link` drives both. An
//! `edge` has lanes; a `lane` carries the sessions of one group and has its edge's `feeds`. `peers` are the
//! other origins of the cluster, to which `moving` brings groups. No module imports one to its left.

mod config;
mod drain;
mod edge;
mod edges;
mod elsewhere;
mod feeds;
mod gathering;
mod hand_over;
mod lane;
mod lanes;
mod metrics;
mod moves;
mod moving;
mod orders;
mod peer_links;
mod peers;
mod residents;
mod serve;
mod shared;
mod states;
mod thread;

pub use thread::LinkError;

pub(crate) use config::{ClusterLink, LinkConfig};
pub(crate) use metrics::LinkMetrics;
pub(crate) use thread::{RunningLink, start};
