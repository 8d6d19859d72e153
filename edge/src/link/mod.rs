//! The edge's end of its links: lanes, feeds, and the sessions in them.

mod audiences;
mod config;
mod driver;
mod feeds;
pub mod handle;
mod lane;
mod metrics;
mod origin;
pub mod publish;
mod run;
mod waiting;

pub use config::{LinkConfig, OriginAddress, OriginAddressError};
pub use handle::{OpenRequest, SessionLink, Upstream};
pub use metrics::{LinkMetrics, OriginLabel};
pub use run::{Links, Readiness};
