//! Publishes and feeds go on in another process of their edge, with their numbers.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::task::JoinHandle;
use tributary_node::{
    feed::FeedStream,
    link::ControlSink,
    transport::{RecvStream, SendStream},
};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::Value,
    command::Command,
    link::{Control, feed::Feed},
};

use crate::{
    a_newer_link_fences_an_older::{greet, open_lane, opening, write},
    feeds_and_their_viewers::{play, publish},
    rig::{Ca, Client, Edge, Origin, PATIENCE, RawEdge},
    unread_publishes::send,
};

fn media(kind: MessageType, head: [u8; 2], number: u32) -> Message {
    Message {
        kind,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(number * 20),
        payload: [&head[..], &[0, 0, 0], &number.to_be_bytes()]
            .concat()
            .into(),
    }
}

pub(crate) fn audio(number: u32) -> Message {
    media(MessageType::AUDIO, [0xaf, 1], number)
}

/// A viewer at another edge, which shows the payloads that its feed brings.
struct Viewer {
    seen: Arc<Mutex<Vec<bytes::Bytes>>>,
    _tasks: [JoinHandle<()>; 2],
    _lane: (SendStream, RecvStream),
}

impl Viewer {
    async fn play(ca: &Ca, name: &str, origin: &Origin) -> Self {
        let edge = RawEdge::new(ca, name, origin);
        let (link, mut control, _recv) = greet(&edge, 7, 1).await;
        let beat = tokio::spawn(async move {
            // The endpoint lives as long as the link.
            let _endpoint = edge;
            let _recv = _recv;
            let load = Control::Heartbeat {
                sessions: 1,
                groups: 1,
            };
            while control.write(&load).await.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        let (mut lane, orders, _) = open_lane(&link, 1, None).await;
        write(&mut lane, &[opening(1)]).await;
        let create = Command::new("createStream", TransactionId(2.0)).with(Value::Null);
        send(&mut lane, 0, create).await;
        let play = Command::new("play", TransactionId(0.0)).with("cam");
        send(&mut lane, 1, play).await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sees = Arc::clone(&seen);
        let reads = tokio::spawn(async move {
            while let Ok(recv) = link.accept_feed().await {
                let mut feed = FeedStream::new(recv, 1 << 20);
                while let Ok(Some(frame)) = feed.next().await {
                    if let Feed::Message(message) = frame {
                        sees.lock().expect("no panic").push(message.message.payload);
                    }
                }
            }
        });
        Self {
            seen,
            _tasks: [beat, reads],
            _lane: (lane, orders),
        }
    }

    fn seen(&self) -> Vec<bytes::Bytes> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Waits for a message.
    async fn until(&self, payload: &[u8]) {
        let begun = Instant::now();
        while !self.seen().iter().any(|seen| seen == payload) {
            assert!(begun.elapsed() < PATIENCE, "{:?}", self.seen().last());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The numbers of the media messages with this head.
    fn numbers(&self, head: [u8; 2]) -> Vec<u32> {
        let seen = self.seen();
        let of_head = seen.iter().filter(|seen| seen.starts_with(&head));
        let number = |seen: &bytes::Bytes| u32::from_be_bytes(*seen.last_chunk().expect("4 bytes"));
        of_head.map(number).collect()
    }
}

/// A publisher that is older than its ring, of audio alone: each message arrives once.
#[tokio::test]
async fn a_publish_goes_on_with_its_numbers_move_after_move() {
    const HEAD: [u8; 2] = [0xaf, 1];
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("counter/raw").await;
    publisher.feed = Some(publish(&mut publisher, "cam").await);
    let viewer = Viewer::play(&ca, "viewer", &origin).await;
    let mut number = 0;
    let mut say = |publisher: &Client, count| {
        let feed = publisher.feed.as_ref().expect("it publishes");
        for _ in 0..count {
            feed.push(audio(number));
            number += 1;
        }
        number - 1
    };
    let last = say(&publisher, 1);
    viewer.until(&audio(last).payload).await;
    for _ in 0..50 {
        // More than a ring of 4,096 messages holds, and no more at once than it holds of 10 s.
        let last = say(&publisher, 100);
        viewer.until(&audio(last).payload).await;
    }
    let mut last = 0;
    for _ in 0..3 {
        say(&publisher, 10);
        edge = edge.replace(&mut [&mut publisher]).await;
        last = say(&publisher, 10);
        viewer.until(&audio(last).payload).await;
    }
    assert_eq!(viewer.numbers(HEAD), (0..=last).collect::<Vec<_>>());
    assert_eq!(origin.figure("tributary_origin_link_feeds_in"), 1.0);
    // Its end is its end.
    publisher.feed = None;
    origin.until("tributary_origin_link_feeds_in", 0.0).await;
    edge.until("tributary_edge_link_feeds_out", 0.0).await;
}

/// Headers are in force for viewers that join after the moves.
#[tokio::test]
async fn a_viewer_that_joins_after_a_move_gets_the_headers_from_before() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("counter/raw").await;
    let feed = publish(&mut publisher, "cam").await;
    let header = Message {
        payload: b"\x17\0\0\0\0header".to_vec().into(),
        ..media(MessageType::VIDEO, [0x17, 0], 0)
    };
    let (key, inter) = ([0x17, 1], [0x27, 1]);
    feed.push(header.clone());
    feed.push(media(MessageType::VIDEO, key, 1));
    feed.push(media(MessageType::VIDEO, inter, 2));
    publisher.feed = Some(feed);
    let first = Viewer::play(&ca, "first", &origin).await;
    first
        .until(&media(MessageType::VIDEO, inter, 2).payload)
        .await;
    for _ in 0..2 {
        edge = edge.replace(&mut [&mut publisher]).await;
    }
    let feed = publisher.feed.as_ref().expect("it publishes");
    feed.push(media(MessageType::VIDEO, inter, 3));
    feed.push(media(MessageType::VIDEO, key, 4));
    feed.push(media(MessageType::VIDEO, inter, 5));
    first
        .until(&media(MessageType::VIDEO, inter, 5).payload)
        .await;
    let second = Viewer::play(&ca, "second", &origin).await;
    second
        .until(&media(MessageType::VIDEO, inter, 5).payload)
        .await;
    assert_eq!(second.seen()[0], header.payload);
    // Two groups of pictures, as every feed begins.
    assert_eq!(second.numbers(key), [1, 4]);
    // For a viewer that was there before, video has gone on at once.
    assert_eq!(first.numbers(key), [1, 4]);
    assert_eq!(first.numbers(inter), [2, 3, 5]);
    drop(edge);
}

/// The feed of a stream comes to the process that has its viewers.
#[tokio::test]
async fn the_feed_of_a_viewer_follows_it() {
    const FEEDS: &str = "tributary_edge_link_feeds_in";
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let mut edge = Edge::of(&ca, "edge", &origin);
    let mut publisher = edge.connect("live/room").await;
    publisher.feed = Some(publish(&mut publisher, "cam").await);
    let mut viewer = edge.connect("live/room").await;
    play(&mut viewer, "cam").await;
    for number in 0..3 {
        if number > 0 {
            edge = edge.replace(&mut [&mut publisher, &mut viewer]).await;
        }
        let feed = publisher.feed.as_ref().expect("it publishes");
        feed.push(audio(number));
        edge.until(FEEDS, 1.0).await;
    }
    assert_eq!(origin.figure("tributary_origin_link_feeds_out"), 1.0);
    drop(viewer);
    edge.until(FEEDS, 0.0).await;
}
