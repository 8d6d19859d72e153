//! Figures, limits and pings, as an application orders them.

use std::time::{Duration, Instant};

use tributary_protocol::{
    MessageStreamId, MessageType,
    link::{Bandwidth, FromSession, Statistics, ToSession},
};

use super::support::{Edge, media};

async fn statistics(edge: &mut Edge) -> Statistics {
    loop {
        if let (_, FromSession::Statistics(statistics)) = edge.told().await {
            return statistics;
        }
    }
}

fn message(length: usize) -> tributary_protocol::Message {
    tributary_protocol::Message {
        stream: MessageStreamId::CONNECTION,
        ..media(MessageType::DATA_AMF0, 0, vec![7; length])
    }
}

#[tokio::test]
async fn figures_are_told_at_once_and_every_five_seconds() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    for _ in 0..3 {
        peer.say(ToSession::Message {
            message: message(1_000),
            after: None,
        });
    }
    let asked = Instant::now();
    peer.say(ToSession::Watch);
    let first = statistics(&mut edge).await;
    // The connect; its answer and the three messages.
    assert_eq!((first.messages_in, first.messages_out), (1, 4));
    assert_eq!(first.received, Some(4), "frames of the lane");
    assert!(first.bytes_in > 3_000, "the handshake counts: {first:?}");
    assert_eq!(first.round_trip_ms, None);
    client.connection.notify("hello", Vec::new());
    let reading = tokio::spawn(async move { while client.try_event().await.is_some() {} });
    let second = statistics(&mut edge).await;
    assert!(asked.elapsed() >= Duration::from_secs(5));
    assert!(second.bytes_out > 6_000, "{second:?}");
    assert_eq!((second.messages_in, second.queued), (2, 0));
    assert!(second.round_trip_ms.is_some(), "it was pinged for that");
    reading.abort();
}

#[tokio::test]
async fn a_client_is_sent_no_more_than_its_pace_and_not_blamed_for_it() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    peer.say(ToSession::Bandwidth(Bandwidth {
        to_client: Some(50_000),
        from_client: None,
    }));
    let begun = Instant::now();
    for _ in 0..6 {
        peer.say(ToSession::Message {
            message: message(20_000),
            after: None,
        });
        client.event().await;
    }
    // The first bytes are the burst; the debt of the last ones is not waited for.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(1_500), "{took:?}");
    peer.say(ToSession::Bandwidth(Bandwidth::default()));
    let begun = Instant::now();
    for _ in 0..20 {
        peer.say(ToSession::Message {
            message: message(20_000),
            after: None,
        });
        client.event().await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "no limit any more"
    );
}

#[tokio::test]
async fn a_client_is_read_no_faster_than_its_pace() {
    let mut edge = Edge::start();
    let (mut client, peer) = edge.session().await;
    peer.say(ToSession::Bandwidth(Bandwidth {
        to_client: None,
        from_client: Some(100_000),
    }));
    peer.say(ToSession::Watch);
    statistics(&mut edge).await;
    let begun = Instant::now();
    let writer = tokio::spawn(async move {
        for _ in 0..10 {
            let csid = tributary_protocol::ChunkStreamId(3);
            client.connection.send(csid, &message(40_000));
            client.send().await;
        }
        client
    });
    for _ in 0..10 {
        loop {
            if let (_, FromSession::Message { message, .. }) = edge.told().await {
                peer.park.remove(crate::link::handle::Park::cost(&message));
                break;
            }
        }
    }
    // One read takes 64 KiB at most.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(2_500), "{took:?}");
    writer.await.unwrap();
}
