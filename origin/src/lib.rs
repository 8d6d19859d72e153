//! The origin tier: application instances, their clients and live streams.
