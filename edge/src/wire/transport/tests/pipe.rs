//! A transport whose other end is a pipe.

use bytes::BytesMut;

use super::{super::pipe::PipeBudget, *};

fn pipe() -> (Transport, Arc<Pipe>) {
    let pipe = Pipe::new(Arc::new(PipeBudget::default()));
    (Transport::pipe(Arc::clone(&pipe)), pipe)
}

#[tokio::test]
async fn a_pipe_takes_a_bounded_part_in_each_direction() {
    let (transport, pipe) = pipe();
    let mut taken = 0;
    let blocked = loop {
        match transport.try_write(&[1; 5000]) {
            Ok(bytes) => taken += bytes,
            blocked => break blocked,
        }
    };
    assert!(is_blocked(&blocked) && taken == 64 * 1024, "{blocked:?}");
    assert!(!is_ready(&transport, Interest::WRITABLE).await);
    let mut answer = BytesMut::zeroed(1);
    pipe.take(&mut answer);
    assert_eq!(answer.len(), 1 + taken);
    ready(&transport, Interest::WRITABLE).await;
    let pieces = [IoSlice::new(b""), IoSlice::new(b"more")];
    assert_eq!(transport.try_write_vectored(&pieces).unwrap(), 4);

    assert!(is_blocked(&transport.try_read(&mut [0; 8])));
    pipe.push(&[2; 60_000]);
    assert_eq!(pipe.room(), 64 * 1024 - 60_000);
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut [0; 50_000]).unwrap(), 50_000);
    assert_eq!(transport.try_read(&mut [0; 50_000]).unwrap(), 10_000);
    pipe.push(b"last");
    pipe.end(None);
    assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 4);
    ready(&transport, Interest::READABLE).await;
    assert_eq!(transport.try_read(&mut [0; 8]).unwrap(), 0);
}

#[tokio::test]
async fn bytes_in_a_pipe_wake_its_session_and_its_requests() {
    let (transport, pipe) = pipe();
    let (waits, pushes) = (ready(&transport, Interest::READABLE), async {
        tokio::task::yield_now().await;
        pipe.push(b"x");
    });
    assert!(tokio::join!(waits, pushes).0.is_readable());
    let (changed, writes) = (pipe.changed(), async {
        tokio::task::yield_now().await;
        transport.try_write(b"y").unwrap();
    });
    tokio::join!(changed, writes);
    assert!(pipe.has_output() && !pipe.is_finished());
    drop(transport);
    assert!(!pipe.is_finished(), "the last bytes are still to be taken");
    pipe.take(&mut BytesMut::new());
    assert!(pipe.is_finished());
    assert_eq!(pipe.room(), usize::MAX, "bytes of the client are dropped");
}
