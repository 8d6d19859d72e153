//! The edge tier: terminates RTMP clients and carries their sessions to origins.

pub mod routing;
