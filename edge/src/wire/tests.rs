//! The kernel's merging of writes, a full socket, and a connection that rests.

use std::{
    net::TcpListener,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use prometheus_client::metrics::counter::Counter;
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream, time::timeout};
use tributary_protocol::session::{ConnectionLimits, ServerConnection};

use super::{Rest, Transport, Upkeep, Wire, WrittenShared};

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
    let rest = Rest::new(&Upkeep::DIRECT, Instant::now());
    let wire = Wire::new(Transport::plain(socket), session, Counter::default(), rest);
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

#[tokio::test]
async fn a_full_socket_blocks_until_it_reports_room_also_without_output() {
    let (wire, _socket, client) = wire().await;
    while wire.write_shared(&[7; 100], 1) == WrittenShared::All {}
    // The rest of a message that was sent in part is not kept here: no output waits.
    assert!(wire.is_blocked());
    for _ in 0..3 {
        assert!(wire.flush(), "there is nothing to send");
        assert!(wire.is_blocked(), "a write would find no room again");
        assert_eq!(wire.write_shared(&[7; 100], 1), WrittenShared::Nothing);
    }
    assert!(wire.stuck_since().is_some());
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..2000 {
        while client.try_read(&mut buffer).is_ok() {}
        let room = wire.transport().ready(Interest::WRITABLE);
        if let Ok(ready) = timeout(Duration::from_millis(10), room).await
            && ready.unwrap().is_writable()
        {
            wire.note_room();
            break;
        }
    }
    assert!(wire.flush());
    assert!(!wire.is_blocked());
    assert_eq!(wire.write_shared(&[7; 100], 1), WrittenShared::All);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_rests_after_two_looks_without_a_write_until_the_next() {
    let (wire, socket, _client) = wire().await;
    let limit = || SockRef::from(&socket).tcp_user_timeout().unwrap();
    wire.transport().ready(Interest::WRITABLE).await.unwrap();
    wire.transport()
        .limit_unacknowledged(Upkeep::DIRECT.unacknowledged);
    let probes = Upkeep::DIRECT.probes.unwrap();
    // The last write of each period, and whether the connection rests after the look at its end.
    let mut now = Instant::now();
    for (writes, rests) in [(true, false), (true, false), (false, true), (true, false)] {
        if writes {
            assert_eq!(wire.write_shared(&[7; 100], 1), WrittenShared::All);
            assert_eq!(limit(), Some(Upkeep::DIRECT.unacknowledged));
        }
        now = wire.next_look().expect("it is written to");
        wire.look_for_rest(now - Duration::from_millis(1));
        wire.look_for_rest(now);
        assert_eq!(limit().is_none(), rests);
        assert_eq!(SockRef::from(&socket).keepalive().unwrap(), rests);
        assert_eq!(wire.next_look().is_none(), rests);
    }
    // Bytes wait for a client that takes none.
    while wire.write_shared(&[7; 1000], 1) == WrittenShared::All {}
    for _ in 0..3 {
        now += probes.look + probes.spread;
        wire.look_for_rest(now);
        assert_eq!(limit(), Some(Upkeep::DIRECT.unacknowledged));
    }
}
