//! A hello of the same process with a higher incarnation closes the older link, and no other hello
//! does.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::timeout;
use tributary_node::{
    link::{self, ControlReceiver, ControlSender},
    transport::{Link, LinkError, RecvStream, SendStream, StreamKind},
};
use tributary_protocol::{
    GroupName, LaneId, SessionId,
    link::{
        CloseReason, FromSession,
        frame::{FrameReader, MAX_BODY},
        lane_frame::{LaneAnswer, OpenLane, ToOrigin},
    },
};

use crate::rig::{Ca, Origin, PATIENCE, RawEdge, open};

pub(crate) async fn greet(
    edge: &RawEdge,
    epoch: u64,
    incarnation: u64,
) -> (Link, ControlSender, ControlReceiver) {
    let link = edge.dial().await;
    let hello = edge.hello(epoch, incarnation);
    let greeted = link::greet(&link, hello).await;
    let greeted = greeted.expect("the origin's hello");
    (link, greeted.send, greeted.recv)
}

pub(crate) async fn open_lane(
    link: &Link,
    lane: u64,
    resume: Option<u64>,
) -> (SendStream, RecvStream, LaneAnswer) {
    let (mut send, mut recv) = link.open_lane(StreamKind::Lane).await.unwrap();
    let open = OpenLane {
        lane: LaneId(lane),
        group: GroupName::from_app("counter/raw").unwrap(),
        home: "origin".into(),
        resume,
        only_if_living: false,
        restore: false,
    };
    let mut out = BytesMut::new();
    open.encode(&mut out);
    send.write(&mut [out.freeze()]).await.unwrap();
    let mut reader = FrameReader::new(MAX_BODY);
    let mut pieces: Vec<Bytes> = Vec::new();
    loop {
        if let Some(frame) = reader.poll_frame().unwrap() {
            return (send, recv, LaneAnswer::decode(&frame).unwrap());
        }
        let read = timeout(PATIENCE, recv.read(&mut pieces)).await;
        assert!(read.expect("an answer in time").unwrap(), "the lane ended");
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
    }
}

pub(crate) async fn write(send: &mut SendStream, frames: &[ToOrigin]) {
    let mut out = BytesMut::new();
    for frame in frames {
        frame.encode(&mut out);
    }
    // The tests notice a closed link elsewhere.
    let _ = send.write(&mut [out.freeze()]).await;
}

pub(crate) fn opening(session: u64) -> ToOrigin {
    ToOrigin::Session {
        session: SessionId(session),
        event: FromSession::Open(open("counter/raw")),
    }
}

const SESSIONS: &str = "tributary_origin_sessions";

#[tokio::test]
async fn a_higher_incarnation_resumes_and_the_older_link_is_closed() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = RawEdge::new(&ca, "raw", &origin);
    let (older, _send, _recv) = greet(&edge, 7, 1).await;
    let (mut lane, _answers, answer) = open_lane(&older, 1, None).await;
    assert_eq!(answer, LaneAnswer::Open { received: 0 });
    write(&mut lane, &[opening(1), opening(2)]).await;
    origin.until(SESSIONS, 2.0).await;
    let (newer, _send, _recv) = greet(&edge, 7, 2).await;
    let closed = timeout(PATIENCE, older.closed()).await.unwrap();
    assert_eq!(closed, LinkError::Closed(3));
    let (mut lane, _answers, answer) = open_lane(&newer, 1, Some(0)).await;
    assert_eq!(answer, LaneAnswer::Open { received: 2 });
    let close = ToOrigin::Session {
        session: SessionId(1),
        event: FromSession::Close(CloseReason::Client),
    };
    write(&mut lane, &[close]).await;
    origin.until(SESSIONS, 1.0).await;
}

#[tokio::test]
async fn the_same_or_a_lower_incarnation_is_refused_and_harms_nothing() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = RawEdge::new(&ca, "raw", &origin);
    let (link, _send, _recv) = greet(&edge, 7, 5).await;
    let (mut lane, _answers, _) = open_lane(&link, 1, None).await;
    write(&mut lane, &[opening(1)]).await;
    origin.until(SESSIONS, 1.0).await;
    for incarnation in [5, 4] {
        let other = edge.dial().await;
        let hello = edge.hello(7, incarnation);
        assert!(link::greet(&other, hello).await.is_err());
        let closed = timeout(PATIENCE, other.closed()).await.unwrap();
        assert_eq!(closed, LinkError::Closed(1));
    }
    assert!(!link.is_closed());
    write(&mut lane, &[opening(2)]).await;
    origin.until(SESSIONS, 2.0).await;
}

#[tokio::test]
async fn another_epoch_is_another_process() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let edge = RawEdge::new(&ca, "raw", &origin);
    let (first, _send, _recv) = greet(&edge, 7, 1).await;
    let (mut lane, _answers, _) = open_lane(&first, 1, None).await;
    write(&mut lane, &[opening(1)]).await;
    origin.until(SESSIONS, 1.0).await;
    let (second, _send, _recv) = greet(&edge, 8, 1).await;
    assert!(!first.is_closed());
    let (_lane, _answers, answer) = open_lane(&second, 1, Some(0)).await;
    assert_eq!(
        answer,
        LaneAnswer::Unknown,
        "nothing is resumed with another process"
    );
    // The first link closes, and its session ends with the grace time.
    first.close(tributary_node::transport::CloseCode::Shutdown);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(origin.figure(SESSIONS), 1.0, "within the grace time");
    origin.until(SESSIONS, 0.0).await;
    origin.until("tributary_origin_link_lanes", 0.0).await;
}

/// The stream of a lane can fail without its link: the lane goes on over another one.
#[tokio::test]
async fn a_lane_goes_on_over_another_stream_of_the_same_link() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 15);
    let edge = RawEdge::new(&ca, "raw", &origin);
    let (link, _send, _recv) = greet(&edge, 7, 1).await;
    let (mut lane, answers, _) = open_lane(&link, 1, None).await;
    write(&mut lane, &[opening(1)]).await;
    origin.until(SESSIONS, 1.0).await;
    // Half a frame, which the next stream does not continue.
    lane.write(&mut [Bytes::from_static(&[0x20, 0x10, 0x05])])
        .await
        .unwrap();
    let (mut again, mut recv, answer) = open_lane(&link, 1, Some(0)).await;
    assert_eq!(answer, LaneAnswer::Open { received: 1 });
    write(&mut again, &[opening(2)]).await;
    origin.until(SESSIONS, 2.0).await;
    // All frames towards the edge come over the new stream.
    let mut pieces = Vec::new();
    assert!(
        timeout(PATIENCE, recv.read(&mut pieces))
            .await
            .unwrap()
            .unwrap()
    );
    assert!(!link.is_closed());
    drop(answers);
}

/// An edge abandons a lane when its sessions have gone elsewhere.
#[tokio::test]
async fn a_lane_that_is_not_resumed_ends_with_its_grace_time() {
    let ca = Ca::new();
    let origin = Origin::start(&ca, "origin", 2);
    let edge = RawEdge::new(&ca, "raw", &origin);
    let (link, _send, _recv) = greet(&edge, 7, 1).await;
    let (mut lane, _answers, _) = open_lane(&link, 1, None).await;
    write(&mut lane, &[opening(1)]).await;
    let (mut reset, _others, _) = open_lane(&link, 2, None).await;
    write(&mut reset, &[opening(2)]).await;
    origin.until(SESSIONS, 2.0).await;
    reset.reset();
    origin.until(SESSIONS, 1.0).await;
    let (_newer, _send, _recv) = greet(&edge, 7, 2).await;
    origin.until(SESSIONS, 0.0).await;
    origin.until("tributary_origin_link_lanes", 0.0).await;
}
