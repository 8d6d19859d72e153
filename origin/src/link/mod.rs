//! The origin's end of its links: lanes, feeds, and the sessions in them.

mod driver;
mod edges;
mod elsewhere;
mod lane;
mod metrics;
mod rate;
mod run;
mod serve;

pub use metrics::{EdgeLabel, LinkMetrics, PlaceLabel};
pub use run::{LinkConfig, Running, StartError, start};
