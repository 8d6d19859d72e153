//! The origin tier: application instances, their clients and live streams.

pub mod link;
pub mod live;
