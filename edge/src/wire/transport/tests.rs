use std::task::Poll;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

use super::*;

/// A bound that no step of these tests reaches.
const LONG: Duration = Duration::from_secs(20);

/// A transport, and the peer's end of it.
async fn pair() -> (Transport, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (peer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (Transport::plain(accepted.unwrap().0), peer.unwrap())
}

async fn ready(transport: &Transport, interest: Interest) -> Ready {
    let ready = timeout(LONG, transport.ready(interest)).await;
    ready.expect("in time").expect("the connection is there")
}

/// Whether an operation of the interest may make progress now.
async fn is_ready(transport: &Transport, interest: Interest) -> bool {
    let mut ready = std::pin::pin!(transport.ready(interest));
    poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx).is_ready())).await
}

fn is_blocked(result: &io::Result<usize>) -> bool {
    matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[tokio::test]
async fn a_read_that_leaves_room_has_emptied_the_connection() {
    let (transport, mut peer) = pair().await;
    peer.write_all(&[7; 30]).await.unwrap();
    ready(&transport, Interest::READABLE).await;
    let mut buffer = [0; 20];
    assert_eq!(transport.try_read(&mut buffer).unwrap(), 20);
    assert!(is_ready(&transport, Interest::READABLE).await);
    assert_eq!(transport.try_read(&mut buffer).unwrap(), 10);
    assert!(!is_ready(&transport, Interest::READABLE).await);
    assert!(is_blocked(&transport.try_read(&mut buffer)));
    drop(peer);
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut buffer).unwrap(), 0);
}

#[tokio::test]
async fn a_full_connection_takes_a_part_and_holds_nothing() {
    let (transport, mut peer) = pair().await;
    let bytes = vec![3; 64 * 1024];
    ready(&transport, Interest::WRITABLE).await;
    let mut taken = 0;
    let end = loop {
        match transport.try_write(&bytes) {
            Ok(part) => taken += part,
            blocked => break blocked,
        }
    };
    assert!(is_blocked(&end), "{end:?}");
    assert_eq!(transport.unsent(), 0);
    assert!(transport.try_flush().unwrap());
    let mut got = vec![0; taken];
    peer.read_exact(&mut got).await.unwrap();
    ready(&transport, Interest::WRITABLE).await;
    let pieces = [IoSlice::new(b"one "), IoSlice::new(b"two")];
    assert_eq!(transport.try_write_vectored(&pieces).unwrap(), 7);
    peer.read_exact(&mut got[..7]).await.unwrap();
    assert_eq!(&got[..7], b"one two");
}

#[tokio::test]
async fn a_shutdown_comes_behind_what_was_sent() {
    let (transport, mut peer) = pair().await;
    ready(&transport, Interest::WRITABLE).await;
    assert_eq!(transport.try_write(b"last").unwrap(), 4);
    transport.shutdown().unwrap();
    let mut got = Vec::new();
    peer.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
    // The other direction is still open.
    peer.write_all(b"x").await.unwrap();
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 1);
}

#[tokio::test]
async fn an_unwatched_connection_wakes_nobody_and_is_read_all_the_same() {
    let (transport, mut peer) = pair().await;
    transport.watch(false).unwrap();
    peer.write_all(b"first").await.unwrap();
    let mut buffer = [0; 20];
    let by = std::time::Instant::now() + LONG;
    let taken = loop {
        match transport.try_read(&mut buffer) {
            Ok(bytes) => break bytes,
            blocked => assert!(is_blocked(&blocked), "{blocked:?}"),
        }
        assert!(std::time::Instant::now() < by, "the bytes do not come");
        assert!(!is_ready(&transport, Interest::READABLE | Interest::WRITABLE).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    assert_eq!(&buffer[..taken], b"first");
    assert_eq!(transport.try_write(b"answer").unwrap(), 6);
    let mut got = [0; 6];
    peer.read_exact(&mut got).await.unwrap();
    assert_eq!(&got, b"answer");
    // Bytes that came before the socket is watched are reported.
    peer.write_all(b"second").await.unwrap();
    transport.watch(true).unwrap();
    transport.watch(true).unwrap();
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut buffer).unwrap(), 6);
    transport.watch(false).unwrap();
    drop(peer);
    transport.watch(true).unwrap();
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut buffer).unwrap(), 0);
}

#[test]
fn the_plain_transport_is_hardly_larger_than_its_socket() {
    assert!(size_of::<Transport>() <= size_of::<TcpStream>() + 3 * size_of::<usize>());
}

mod pipe;
mod tls;
mod web;
