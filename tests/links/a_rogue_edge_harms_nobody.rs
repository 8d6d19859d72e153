//! Violations by an edge with a valid certificate harm that edge alone.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tributary_node::{
    link::greet as greet_raw,
    transport::{Link, LinkError, StreamKind},
};
use tributary_protocol::{
    MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::Value,
    link::{
        CloseReason, FromSession, Generation,
        lane_frame::{Fragment, Head, LaneAnswer, ToOrigin},
    },
};

use crate::{
    a_newer_link_fences_an_older::{greet, open_lane, opening, write},
    rig::{Ca, Edge, Origin, PATIENCE, RawEdge},
};

/// Waits until the origin closes a link for breaking the protocol.
async fn is_closed(link: &Link, what: &str) {
    let closed = timeout(PATIENCE, link.closed()).await;
    let closed = closed.unwrap_or_else(|_| panic!("{what} is borne"));
    assert_eq!(closed, LinkError::Closed(1), "{what}");
}

fn fragment(session: u64, length: Option<u32>, data: &'static [u8]) -> ToOrigin {
    ToOrigin::Fragment {
        session: SessionId(session),
        fragment: Fragment {
            head: length.map(|length| Head {
                kind: MessageType::COMMAND_AMF0,
                stream: MessageStreamId(0),
                timestamp: RtmpTimestamp(0),
                length,
                generation: Generation(0),
                after: None,
                member: None,
            }),
            data: Bytes::from_static(data),
        },
    }
}

#[tokio::test]
async fn frames_that_break_the_lane_close_that_link_alone() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let honest = Edge::of(&ca, "edge", &origin);
    let mut client = honest.connect("counter/raw").await;
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let cases: Vec<(&str, Vec<ToOrigin>)> = vec![
        ("a session number used again", vec![opening(2), opening(2)]),
        ("a message of no session", vec![fragment(9, Some(1), b"x")]),
        (
            "the end of no session",
            vec![ToOrigin::Session {
                session: SessionId(9),
                event: FromSession::Close(CloseReason::Client),
            }],
        ),
        (
            "a piece of no message",
            vec![opening(1), fragment(1, None, b"x")],
        ),
        (
            "more than declared",
            vec![opening(1), fragment(1, Some(1), b"xy")],
        ),
        ("an acknowledgement of nothing", vec![ToOrigin::Ack(1)]),
    ];
    let mut incarnation = 0;
    let mut calls = 0;
    for (what, frames) in cases {
        incarnation += 1;
        let (link, _send, _recv) = greet(&rogue, incarnation, 1).await;
        let (mut lane, _answers, answer) = open_lane(&link, 1, None).await;
        assert_eq!(answer, LaneAnswer::Open { received: 0 });
        write(&mut lane, &frames).await;
        is_closed(&link, what).await;
        calls += 1;
        let number = Value::Number(f64::from(calls));
        assert_eq!(
            client.call("count", number.clone()).await,
            number,
            "after {what}"
        );
    }
    // The rogue's sessions end with the grace time.
    origin.until("tributary_origin_sessions", 1.0).await;
    origin.until("tributary_origin_link_lanes", 1.0).await;
    origin.until("tributary_origin_link_up", 1.0).await;
}

#[tokio::test]
async fn bytes_that_are_no_frames_close_that_link_alone() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let honest = Edge::of(&ca, "edge", &origin);
    let mut client = honest.connect("counter/raw").await;
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let garbage: [(&str, &'static [u8]); 4] = [
        ("an unknown frame", &[0x3f, 0]),
        ("a frame of the other direction", &[0x30, 1, 1]),
        ("a frame that is too long", &[0x21, 0x80, 0x00, 0x50, 0x00]),
        ("a frame that ends inside a field", &[0x22, 1, 5]),
    ];
    for (epoch, (what, bytes)) in garbage.into_iter().enumerate() {
        let (link, _send, _recv) = greet(&rogue, epoch as u64, 1).await;
        let (mut lane, _answers, _) = open_lane(&link, 1, None).await;
        let _ = lane.write(&mut [Bytes::from_static(bytes)]).await;
        is_closed(&link, what).await;
        // A feed has to begin with FeedOpen, although later unknown frames are skipped.
        let (link, _send, _recv) = greet(&rogue, epoch as u64, 2).await;
        let mut feed = link.open_feed().await.unwrap();
        let _ = feed
            .write(&mut [Bytes::from_static(&[0x40, 0x41, 6, 9, 0, 0, 0, 0, 1])])
            .await;
        is_closed(&link, "a feed that does not begin with its opening").await;
        // A control stream has to begin with Hello.
        let link = rogue.dial().await;
        let (mut send, _recv) = link.open_lane(StreamKind::Control).await.unwrap();
        let _ = send.write(&mut [Bytes::from_static(&[0x05, 1, 1])]).await;
        is_closed(&link, "a control stream that does not begin with hello").await;
    }
    assert_eq!(
        client.call("count", Value::Number(1.0)).await,
        Value::Number(1.0)
    );
}

#[tokio::test]
async fn a_name_that_is_not_on_the_certificate_is_refused() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let link = rogue.dial().await;
    let mut hello = rogue.hello(1, 1);
    hello.node = "edge".into();
    assert!(greet_raw(&link, hello).await.is_err());
    is_closed(&link, "another's name").await;
}

/// Lanes and session numbers belong to an edge: equal numbers of another edge are other sessions.
#[tokio::test]
async fn an_edge_cannot_name_sessions_of_another() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let (one, two) = (
        RawEdge::new(&ca, "one", &origin),
        RawEdge::new(&ca, "two", &origin),
    );
    let (link_one, _s1, _r1) = greet(&one, 1, 1).await;
    let (mut lane_one, _a1, _) = open_lane(&link_one, 1, None).await;
    write(&mut lane_one, &[opening(1)]).await;
    origin.until("tributary_origin_sessions", 1.0).await;
    let (link_two, _s2, _r2) = greet(&two, 1, 1).await;
    let (_lane, _answers, answer) = open_lane(&link_two, 1, Some(0)).await;
    assert_eq!(answer, LaneAnswer::Unknown, "the lane of another edge");
    let (mut lane_two, _a2, _) = open_lane(&link_two, 1, None).await;
    write(&mut lane_two, &[opening(1)]).await;
    origin.until("tributary_origin_sessions", 2.0).await;
    let close = ToOrigin::Session {
        session: SessionId(1),
        event: FromSession::Close(CloseReason::Client),
    };
    write(&mut lane_two, &[close]).await;
    origin.until("tributary_origin_sessions", 1.0).await;
    assert!(!link_one.is_closed());
}

#[tokio::test]
async fn a_feed_of_no_publish_is_stopped_and_its_link_lives() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let (link, _send, _recv) = greet(&rogue, 1, 1).await;
    let mut feed = link.open_feed().await.unwrap();
    let open = Bytes::from_static(&[0x40, 0x40, 3, 1, 1, 1]);
    let mut written = feed.write(&mut [open]).await;
    for _ in 0..1000 {
        if written.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
        let message = Bytes::from_static(&[0x40, 0x41, 6, 8, 0, 0, 0, 0, 1]);
        written = feed.write(&mut [message]).await;
    }
    assert!(written.is_err(), "the origin stops the feed");
    assert!(!link.is_closed());
    origin.until("tributary_origin_link_feeds_in", 0.0).await;
}

#[tokio::test]
async fn a_flood_of_streams_that_are_reset_closes_the_link() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let honest = Edge::of(&ca, "edge", &origin);
    let mut client = honest.connect("counter/raw").await;
    let rogue = RawEdge::new(&ca, "rogue", &origin);
    let (link, _send, _recv) = greet(&rogue, 1, 1).await;
    let flood = async {
        let mut count = 0_u64;
        while let Ok(mut feed) = link.open_feed().await {
            let _ = feed.write(&mut [Bytes::from_static(&[0x40])]).await;
            feed.reset();
            count += 1;
        }
        count
    };
    let count = timeout(3 * PATIENCE, flood).await;
    match count {
        Ok(count) => assert!(count >= 20_000, "{count}"),
        // A slow machine holds a flood down by itself.
        Err(_) => assert!(!link.is_closed()),
    }
    assert_eq!(
        client.call("count", Value::Number(1.0)).await,
        Value::Number(1.0)
    );
}
