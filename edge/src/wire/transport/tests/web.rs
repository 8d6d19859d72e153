//! WebSockets with a client of tungstenite, which is another state machine than the transport's.

use std::{
    io::{Read, Write},
    net,
    thread::{self, JoinHandle},
};

use socket2::SockRef;
use tokio::net::TcpSocket;
use tributary_protocol::websocket::WebSocketFault;
use tungstenite::{
    Message, WebSocket,
    protocol::{CloseFrame, Role},
};

use super::{
    tls::{Ends, numbered, read, write},
    *,
};

/// The sizes of messages that a client sends in turn.
const MESSAGES: [usize; 6] = [1, 125, 126, 65_535, 65_536, 300_000];

fn client<S: Read + Write>(stream: S) -> WebSocket<S> {
    WebSocket::from_raw_socket(stream, Role::Client, None)
}

/// A transport, and a thread that runs its client over plain TCP.
async fn plain<T: Send + 'static>(
    run: impl FnOnce(WebSocket<net::TcpStream>) -> T + Send + 'static,
) -> (Transport, JoinHandle<T>) {
    serve(pair().await, run)
}

fn serve<T: Send + 'static>(
    (transport, peer): (Transport, TcpStream),
    run: impl FnOnce(WebSocket<net::TcpStream>) -> T + Send + 'static,
) -> (Transport, JoinHandle<T>) {
    let peer = peer.into_std().unwrap();
    peer.set_nonblocking(false).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    let client = thread::spawn(move || run(client(peer)));
    (transport.into_web(Vec::new()), client)
}

/// Sends numbered bytes in messages, then receives twice as many.
fn exchange<S: Read + Write>(mut client: WebSocket<S>, bytes: usize) -> Vec<u8> {
    let sent = numbered(bytes);
    let (mut rest, mut sizes) = (&sent[..], MESSAGES.into_iter().cycle());
    while !rest.is_empty() {
        let (now, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
        client.send(Message::binary(now.to_vec())).unwrap();
        rest = later;
    }
    let mut got = Vec::new();
    while got.len() < 2 * bytes {
        match client.read().unwrap() {
            Message::Binary(payload) => {
                assert!(payload.len() <= 64 * 1024 - 4);
                got.extend_from_slice(&payload);
            }
            other => panic!("{other:?}"),
        }
    }
    got
}

/// As [`pair`], with buffers in the kernel that do not grow.
async fn narrow_pair() -> (Transport, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    SockRef::from(&listener)
        .set_send_buffer_size(32 * 1024)
        .unwrap();
    let peer = TcpSocket::new_v4().unwrap();
    peer.set_recv_buffer_size(32 * 1024).unwrap();
    let peer = peer.connect(listener.local_addr().unwrap());
    let (peer, accepted) = tokio::join!(peer, listener.accept());
    (Transport::plain(accepted.unwrap().0), peer.unwrap())
}

async fn cross(transport: &Transport, bytes: usize, room: usize) {
    assert!(read(transport, bytes, room).await == numbered(bytes));
    write(transport, &[&numbered(bytes)]).await;
    let (head, body) = (&numbered(bytes)[..1], &numbered(bytes)[1..]);
    write(transport, &[head, body]).await;
    assert_eq!(transport.unsent(), 0);
}

#[tokio::test]
async fn bytes_cross_in_messages_with_and_without_tls() {
    let ends = Ends::new(&[&rustls::version::TLS13]);
    for (bytes, room) in [
        (1, 64 * 1024),
        (3000, 1),
        (65_532, 7),
        (65_533, 64 * 1024),
        (200_000, 1000),
        (6_000_000, 64 * 1024),
    ] {
        let expected = [numbered(bytes), numbered(bytes)].concat();
        let (transport, peer) = plain(move |client| exchange(client, bytes)).await;
        cross(&transport, bytes, room).await;
        assert!(peer.join().unwrap() == expected, "{bytes} bytes");

        let run = move |stream| exchange(client(stream), bytes);
        let (transport, peer) = ends.pair(run).await;
        cross(&transport.into_web(Vec::new()), bytes, room).await;
        assert!(peer.join().unwrap() == expected, "{bytes} bytes over TLS");
    }
}

#[tokio::test]
async fn a_frame_that_was_taken_in_part_goes_first_and_bounds_what_is_held() {
    let (read_now, may_read) = std::sync::mpsc::sync_channel::<()>(0);
    let (transport, peer) = serve(narrow_pair().await, move |mut client| {
        for number in 0..100 {
            client.send(Message::Ping(vec![number; 50].into())).unwrap();
        }
        may_read.recv().unwrap();
        let (mut got, mut pongs) = (Vec::new(), Vec::new());
        loop {
            match client.read() {
                Ok(Message::Binary(payload)) => got.extend_from_slice(&payload),
                Ok(Message::Pong(payload)) => pongs.push((got.len(), payload[0])),
                Ok(Message::Close(frame)) => break (got, pongs, frame),
                other => panic!("{other:?}"),
            }
        }
    });
    let bytes = numbered(1 << 20);
    let mut taken = 0;
    let mut refused = 0;
    while refused < 20 {
        match transport.try_write(&bytes) {
            Ok(count) => (taken, refused) = (taken + count, 0),
            Err(_) => refused += 1,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let held = transport.unsent();
    assert!(held > 0 && held <= 64 * 1024, "{held}");
    // The pings come, and their answers wait.
    for _ in 0..10 {
        let _ = timeout(
            Duration::from_millis(20),
            transport.ready(Interest::READABLE),
        )
        .await;
        assert!(is_blocked(&transport.try_read(&mut [0; 1000])));
    }
    assert!(transport.unsent() <= held + 127, "the last answer alone");
    assert!(is_blocked(&transport.try_write(b"more")));
    assert!(!transport.try_flush().unwrap());
    read_now.send(()).unwrap();
    while !transport.try_flush().unwrap() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(transport.unsent(), 0);
    transport.shutdown().unwrap();
    let (got, pongs, frame) = peer.join().unwrap();
    assert_eq!(got.len(), taken);
    assert_eq!(pongs, [(taken, 99)], "behind the frame");
    assert_eq!(u16::from(frame.unwrap().code), 1000);
}

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [1, 2, 3, 4];
    let masked = payload.iter().zip(mask.iter().cycle());
    let masked = masked.map(|(byte, key)| byte ^ key);
    let mut frame = vec![first, 0x80 | payload.len() as u8];
    frame.extend(mask);
    frame.extend(masked);
    frame
}

#[tokio::test]
async fn bytes_that_came_with_the_request_are_read_first() {
    let frames = [
        frame(2, b"one "),
        frame(0, b"two "),
        frame(0x89, b"ping"),
        frame(0x80, b"three"),
    ]
    .concat();
    for split in 0..=frames.len() {
        for room in [1, 5, 100] {
            let (transport, mut peer) = pair().await;
            let transport = transport.into_web(frames[..split].to_vec());
            peer.write_all(&frames[split..]).await.unwrap();
            assert_eq!(read(&transport, 13, room).await, b"one two three");
            assert!(is_blocked(&transport.try_read(&mut [0; 100])));
            assert!(!is_ready(&transport, Interest::READABLE).await);
            let mut pong = [0; 6];
            peer.read_exact(&mut pong).await.unwrap();
            assert_eq!(&pong, b"\x8a\x04ping");
        }
    }
}

#[tokio::test]
async fn a_close_frame_comes_back_behind_the_last_bytes() {
    for (code, expected) in [
        (Some(1000), Some(1000)),
        (Some(3001), Some(3001)),
        (None, None),
    ] {
        let (transport, peer) = plain(move |mut client| {
            client.send(Message::binary(&b"last"[..])).unwrap();
            let frame = code.map(|code: u16| CloseFrame {
                code: code.into(),
                reason: "bye".into(),
            });
            client.close(frame).unwrap();
            let Message::Close(answer) = client.read().unwrap() else {
                panic!("not a close frame");
            };
            (answer.map(|frame| u16::from(frame.code)), client.read())
        })
        .await;
        assert_eq!(read(&transport, 4, 100).await, b"last");
        assert!(read(&transport, 1, 8).await.is_empty(), "the end");
        assert!(transport.try_write(b"late").is_err());
        let (answer, end) = peer.join().unwrap();
        assert_eq!(answer, expected);
        assert!(
            matches!(end, Err(tungstenite::Error::ConnectionClosed)),
            "{end:?}"
        );
    }
}

#[tokio::test]
async fn a_shutdown_says_so_and_the_clients_answer_ends_the_connection() {
    let ends = Ends::new(&[&rustls::version::TLS13]);
    let run = |stream| {
        let mut client = client(stream);
        let messages = [client.read(), client.read()];
        (messages.map(Result::unwrap), client.flush())
    };
    let (transport, peer) = ends.pair(run).await;
    let transport = transport.into_web(Vec::new());
    write(&transport, &[b"last"]).await;
    transport.shutdown().unwrap();
    assert!(read(&transport, 1, 8).await.is_empty(), "the end");
    let ([last, close], _) = peer.join().unwrap();
    assert_eq!(last.into_data(), b"last"[..]);
    assert!(matches!(close, Message::Close(Some(frame)) if u16::from(frame.code) == 1000));
}

#[tokio::test]
async fn faults_come_behind_the_bytes_before_them_and_close_with_their_code() {
    for (bytes, label, code) in [
        (b"\x82\x03abc".to_vec(), "websocket_unmasked", 1002),
        (frame(0x81, b"text"), "websocket_text", 1003),
        (frame(0xc2, b"x"), "websocket_frame", 1002),
        (frame(0x80, b"x"), "websocket_frame", 1002),
        (frame(0x83, b"x"), "websocket_frame", 1002),
        (frame(0x09, b"x"), "websocket_frame", 1002),
        (frame(0x88, b"x"), "websocket_frame", 1002),
        (frame(0x88, &[3, 232, 0xff]), "websocket_frame", 1007),
        // A length with its highest bit.
        (
            [&[0x82, 0xff, 0x80][..], &[0; 11]].concat(),
            "websocket_frame",
            1002,
        ),
    ] {
        let (transport, mut peer) = pair().await;
        let transport = transport.into_web(Vec::new());
        let behind = [7; 3000];
        let sent = [&frame(0x82, b"good")[..], &bytes, &behind].concat();
        peer.write_all(&sent).await.unwrap();
        assert_eq!(read(&transport, 4, 100).await, b"good");
        ready(&transport, Interest::READABLE).await;
        let fault = transport.try_read(&mut [0; 100]).unwrap_err();
        let fault: &WebSocketFault = fault.get_ref().unwrap().downcast_ref().unwrap();
        assert_eq!(fault.reason(), label);
        transport.shutdown().unwrap();
        let mut got = [0; 4];
        peer.read_exact(&mut got).await.unwrap();
        assert_eq!(got[..2], [0x88, 2], "{fault}");
        assert_eq!(u16::from_be_bytes([got[2], got[3]]), code, "{fault}");
        // Later bytes are dropped until the client closes its side.
        peer.shutdown().await.unwrap();
        let ends = transport.linger(|it| it.try_read(&mut [0; 4096]));
        timeout(Duration::from_millis(400), ends).await.unwrap();
    }
}

#[tokio::test]
async fn a_length_of_eight_bytes_is_read_as_it_comes() {
    let (transport, mut peer) = pair().await;
    let transport = transport.into_web(Vec::new());
    let head = [&[0x82, 0xff][..], &(1_u64 << 62).to_be_bytes(), &[0; 4]].concat();
    peer.write_all(&head).await.unwrap();
    for _ in 0..10 {
        peer.write_all(&[5; 1000]).await.unwrap();
        assert_eq!(read(&transport, 1000, 1000).await, [5; 1000]);
    }
}

#[test]
fn a_websocket_makes_the_plain_transport_no_larger() {
    assert_eq!(size_of::<Transport>(), size_of::<Lower>());
}
