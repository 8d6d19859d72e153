//! WebSockets that move to another process.

use std::time::{Duration, Instant};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};
use tributary_protocol::{MessageType, link::CloseReason, ring::RingLimits, session::ClientEvent};

use super::{
    pair::{finish, replace},
    playing::{KEY, Source},
    support::{Client, Edge, LONG, STREAM, own_address},
    web::{event, frame, next, send, serving, session},
};
use crate::config::Protocol;

fn edge() -> Edge {
    Edge::start_with(&serving(&[Protocol::Ws]))
}

fn call(client: &mut Client) -> Vec<u8> {
    client.connection.notify("count", Vec::new());
    frame(0x82, &client.connection.take_output())
}

#[tokio::test]
async fn a_frame_may_be_split_at_any_byte() {
    for at in 0..12 {
        let (mut old, mut new) = (edge(), edge());
        let (mut client, peer) = session(&mut old, own_address(), "", 100).await;
        let bytes = call(&mut client);
        client.socket.write_all(&bytes[..at]).await.expect("read");
        // The session has read it, as a ping before it shows.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut peers = vec![peer];
        let standing = old.freeze(&[&peers[0]]).await;
        client.socket.write_all(&bytes[at..]).await.expect("room");
        let _replaced = finish(&mut old, &mut new, standing, &mut peers).await;
        assert_eq!(new.command(&peers[0]).await.0.name, "count", "{at}");
        let ping = frame(0x89, b"still there");
        client.socket.write_all(&ping).await.expect("read");
        let pong = next(&mut client.socket).await;
        assert_eq!(pong, (0x8a, b"still there".to_vec()));
        peers[0].accept();
        let event = event(&mut client).await;
        assert!(matches!(event, ClientEvent::Accepted(_)), "{event:?}");
        send(&mut client).await;
        let close = frame(0x88, &1001_u16.to_be_bytes());
        client.socket.write_all(&close).await.expect("read");
        let answer = next(&mut client.socket).await;
        assert_eq!(answer, (0x88, 1001_u16.to_be_bytes().to_vec()));
        assert_eq!(new.closed().await, CloseReason::Client);
    }
}

/// The socket is full, and a frame has left in half: the answer to a ping waits for its end.
#[tokio::test]
async fn the_answer_to_a_ping_waits_for_the_end_of_a_frame() {
    let (mut old, mut new) = (edge(), edge());
    let (mut client, peer) = session(&mut old, own_address(), "", 100).await;
    let mut source = Source::with(RingLimits {
        bytes: 1 << 30,
        ..RingLimits::default()
    });
    source.attach(&peer, STREAM);
    for n in 0..500_u32 {
        source.push(
            MessageType::VIDEO,
            [KEY, &vec![n as u8; 40_000][..]].concat(),
        );
    }
    let mut sent = 0;
    while sent < old.metrics.wire_bytes_out.get() {
        sent = old.metrics.wire_bytes_out.get();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let read = old.metrics.bytes_in.get();
    let ping = frame(0x89, b"behind it");
    let bytes = [ping, call(&mut client)].concat();
    client.socket.write_all(&bytes).await.expect("read");
    old.until("it is read", |metrics| metrics.bytes_in.get() > read)
        .await;
    assert_eq!(old.command(&peer).await.0.name, "count");
    let mut peers = vec![peer];
    let _replaced = replace(&mut old, &mut new, &mut peers).await;
    peers[0].command(&tributary_protocol::command::Command::new(
        "last",
        tributary_protocol::TransactionId(0.0),
    ));
    let mut has_pong = false;
    let all = timeout(LONG, async {
        loop {
            let (first, payload) = long_frame(&mut client).await;
            match first {
                0x8a => {
                    assert_eq!(payload, b"behind it");
                    has_pong = true;
                }
                0x82 => {
                    let now = Instant::now();
                    let taken = client.connection.handle_input(now, &payload);
                    taken.expect("sound bytes");
                }
                other => panic!("a frame of {other}"),
            }
            while let Some(event) = client.connection.poll_event() {
                match event {
                    ClientEvent::Message(message) => assert_eq!(message.payload.len(), 40_006),
                    ClientEvent::Command { .. } => return,
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    all.await.expect("in time");
    assert!(has_pong);
}

/// A frame of any length.
async fn long_frame(client: &mut Client) -> (u8, Vec<u8>) {
    let socket = &mut client.socket;
    let first = socket.read_u8().await.expect("a frame");
    let length = match socket.read_u8().await.expect("a length") {
        126 => socket.read_u16().await.expect("a length").into(),
        127 => socket.read_u64().await.expect("a length"),
        short => u64::from(short),
    };
    let mut payload = vec![0; usize::try_from(length).expect("a length")];
    socket.read_exact(&mut payload).await.expect("a payload");
    (first, payload)
}
