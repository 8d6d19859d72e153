//! A published stream crosses to another session's ring, in either order of publish and play, and
//! ends whole.

use std::time::Duration;

use tributary_edge::link::{handle::FromOrigin, publish::PublishFeed};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId, amf::Value,
    command::Command, link::ToSession,
};

use crate::rig::{Ca, Client, Edge, Origin};

fn audio(time: u32) -> Message {
    Message {
        kind: MessageType::AUDIO,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(time),
        payload: vec![0xaf, 1, 0].into(),
    }
}

/// Publishes; returns the feed for the media.
pub(crate) async fn publish(client: &mut Client, name: &str) -> PublishFeed {
    client.stream("publish", name).await;
    loop {
        if let FromOrigin::Order(ToSession::AcceptPublish { target: feed, .. }) =
            client.next().await
        {
            return feed;
        }
    }
}

/// Plays, and waits until the stream is attached.
pub(crate) async fn play(client: &mut Client, name: &str) {
    client.stream("play", name).await;
    while !matches!(
        client.next().await,
        FromOrigin::Order(ToSession::Attach { .. })
    ) {}
}

#[tokio::test]
async fn feeds_come_and_go_with_their_viewers_and_publishers() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let (one, two) = (Edge::of(&ca, "one", &origin), Edge::of(&ca, "two", &origin));
    let mut publisher = one.connect("live/room").await;
    let feed = publish(&mut publisher, "cam").await;
    feed.push(audio(0));
    origin.until("tributary_origin_link_feeds_in", 1.0).await;
    let mut viewers = Vec::new();
    for _ in 0..3 {
        let mut viewer = two.connect("live/room").await;
        play(&mut viewer, "cam").await;
        viewers.push(viewer);
    }
    two.until("tributary_edge_link_feeds_in", 1.0).await;
    assert_eq!(origin.figure("tributary_origin_link_feeds_out"), 1.0);
    drop(viewers);
    two.until("tributary_edge_link_feeds_in", 0.0).await;
    origin.until("tributary_origin_link_feeds_out", 0.0).await;
    drop(feed);
    one.until("tributary_edge_link_feeds_out", 0.0).await;
    origin.until("tributary_origin_link_feeds_in", 0.0).await;
}

/// Writers are counted for each stream: the end of one publish is not the end of another.
#[tokio::test]
async fn the_end_of_one_publish_leaves_the_others_of_its_lane() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = Edge::of(&ca, "edge", &origin);
    let mut publishers = Vec::new();
    for n in 0..8 {
        let mut client = edge.connect("live/room").await;
        let feed = publish(&mut client, &format!("cam{n}")).await;
        feed.push(audio(0));
        publishers.push((client, Some(feed)));
    }
    origin.until("tributary_origin_link_feeds_in", 8.0).await;
    // Each feed ends first, and then the command ends the publish at once: the origin does not wait
    // for a feed that has ended.
    for (n, (client, feed)) in publishers.iter_mut().enumerate() {
        feed.take();
        let left = 7.0 - n as f64;
        origin.until("tributary_origin_link_feeds_in", left).await;
        let started = std::time::Instant::now();
        let command = Command::new("deleteStream", TransactionId(0.0))
            .with(Value::Null)
            .with(1.0);
        client.send(1, &command, 2);
        client.call("createStream", Value::Null).await;
        assert!(
            started.elapsed() < Duration::from_millis(900),
            "{:?}",
            started.elapsed()
        );
    }
}
