//! The origin tier: application instances, their clients and live streams.

pub mod app;
pub mod group;
pub mod link;
pub mod live;
pub mod metrics;
