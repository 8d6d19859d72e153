//! Tributary, a two-tier RTMP server.

fn main() {}
