//! Ports for programs that cannot choose one themselves.

use std::net::{SocketAddr, TcpListener};

/// An address with a port that was free a moment ago.
pub(crate) fn free() -> SocketAddr {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    free.expect("a free port")
}
