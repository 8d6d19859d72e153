//! The kernel's merging of writes.

use std::{net::TcpListener, os::fd::AsFd, time::Instant};

use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::net::TcpStream;
use tributary_protocol::session::{ConnectionLimits, ServerConnection};

use super::{Transport, Wire};

/// A wire, and its socket under another descriptor.
async fn wire() -> (Wire, std::os::fd::OwnedFd, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (socket, _) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.set_nodelay(true).unwrap();
    let watched = socket.as_fd().try_clone_to_owned().unwrap();
    let socket = TcpStream::from_std(socket).unwrap();
    let session = ServerConnection::new([0; _], Instant::now(), ConnectionLimits::default());
    let wire = Wire::new(Transport::plain(socket), session, Counter::default());
    (wire, watched, client)
}

#[tokio::test]
async fn writes_are_merged_while_a_stream_permits_it() {
    let (wire, socket, _client) = wire().await;
    let merges = || !SockRef::from(&socket).tcp_nodelay().unwrap();
    assert!(!merges());
    wire.let_merge(true);
    wire.let_merge(true);
    assert!(merges());
    wire.let_merge(false);
    assert!(merges(), "another stream permits it");
    wire.let_merge(false);
    assert!(!merges());
    wire.let_merge(true);
    assert!(merges());
}

#[tokio::test]
async fn a_client_that_calls_gets_every_write_at_once() {
    let (wire, socket, _client) = wire().await;
    let merges = || !SockRef::from(&socket).tcp_nodelay().unwrap();
    wire.let_merge(true);
    assert!(merges());
    wire.refuse_merging();
    assert!(!merges());
    wire.let_merge(false);
    wire.let_merge(true);
    assert!(!merges(), "it does not come back");
}
