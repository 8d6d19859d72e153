//! Frames of audiences that either end refuses, and statistics of connections.

use super::*;
use crate::{
    link::{
        AudienceId, FrameError, MAX_AUDIENCES, credit,
        lane_frame::{AudienceFrame, AudienceHead, AudiencePiece, ToEdge},
    },
    shared_object::Flags,
};

const A: AudienceId = AudienceId(1);

#[test]
fn an_origin_that_breaks_the_rules_is_an_error() {
    let begin = || AudienceFrame::Begin {
        name: "a".into(),
        persistent: false,
    };
    let join = |session| AudienceFrame::Join {
        session: SessionId(session),
        flags: Flags::TEMPORARY,
        aside: false,
    };
    let piece = |head: Option<(Option<u64>, u32)>, size: usize| {
        AudienceFrame::Send(AudiencePiece {
            head: head.map(|(all_but, length)| AudienceHead {
                all_but: all_but.map(SessionId),
                encoding: None,
                length,
            }),
            data: vec![0; size].into(),
        })
    };
    let first = || piece(Some((None, 20)), 10);
    let unknown = FrameError::Audience(1);
    let cases = [
        ("begun twice", vec![begin(), begin()], unknown),
        ("joined before", vec![join(1)], unknown),
        ("sent to before", vec![first()], unknown),
        ("ended before", vec![AudienceFrame::End], unknown),
        (
            "ended twice",
            vec![begin(), AudienceFrame::End, AudienceFrame::End],
            unknown,
        ),
        (
            "unknown session",
            vec![begin(), join(9)],
            FrameError::Session(9),
        ),
        (
            "unknown author",
            vec![begin(), piece(Some((Some(9), 4)), 4)],
            FrameError::Session(9),
        ),
        (
            "ended in the middle",
            vec![begin(), first(), AudienceFrame::End],
            unknown,
        ),
        ("two at a time", vec![begin(), first(), first()], unknown),
        ("no beginning", vec![begin(), piece(None, 1)], unknown),
        (
            "too much",
            vec![begin(), first(), piece(None, 11)],
            FrameError::Value,
        ),
        (
            "too long",
            vec![begin(), piece(Some((None, 1 << 24)), 1)],
            FrameError::TooLong,
        ),
    ];
    for (name, frames, error) in cases {
        let mut edge = EdgeLane::default();
        let open = OpenSession {
            peer: "192.0.2.1:1".parse().unwrap(),
            protocol: "rtmp".into(),
            connect: Bytes::new(),
            claims: None,
        };
        edge.send(SessionId(1), FromSession::Open(open));
        let mut wire = Vec::new();
        for frame in frames {
            let audience = A;
            ToEdge::Audience { audience, frame }.encode(&mut wire);
        }
        assert_eq!(edge.handle_bytes(start(), &wire), Err(error), "{name}");
    }
}

/// Only an origin sends frames of audiences, and only an edge sends statistics.
#[test]
fn frames_of_the_other_direction_are_errors() {
    use crate::link::lane_frame::ToOrigin;
    let frame = AudienceFrame::End;
    let audience = A;
    let mut wire = Vec::new();
    ToEdge::Audience { audience, frame }.encode(&mut wire);
    let mut origin = OriginLane::new(1 << 16, CreditBudget::new(1 << 20));
    let error = FrameError::Unexpected(0x3a);
    assert_eq!(origin.handle_bytes(start(), &wire), Err(error));
    wire.clear();
    let statistics = crate::link::Statistics::default();
    let session = SessionId(1);
    let event = FromSession::Statistics(statistics);
    let told = ToOrigin::Session { session, event };
    told.encode(&mut wire);
    let error = FrameError::Unexpected(0x25);
    assert_eq!(EdgeLane::default().handle_bytes(start(), &wire), Err(error));
    let mut origin = OriginLane::new(1 << 16, CreditBudget::new(1 << 20));
    assert_eq!(
        origin.handle_bytes(start(), &wire),
        Err(FrameError::Session(1)),
        "of a session that never was"
    );
}

#[test]
fn a_lane_has_a_bounded_number_of_audiences() {
    let mut edge = EdgeLane::default();
    let mut wire = Vec::new();
    for n in 0..=MAX_AUDIENCES as u32 {
        let frame = AudienceFrame::Begin {
            name: String::new(),
            persistent: false,
        };
        let audience = AudienceId(n);
        ToEdge::Audience { audience, frame }.encode(&mut wire);
    }
    let error = FrameError::Audience(MAX_AUDIENCES as u32);
    assert_eq!(edge.handle_bytes(start(), &wire), Err(error));
}

/// An order about a session's connection reaches it in its order.
#[test]
fn statistics_are_asked_for_and_the_newest_is_told() {
    use crate::link::{Bandwidth, Statistics};
    let mut pair = Pair::new(5, credit::PROCESS_BUDGET);
    let session = pair.open(1);
    pair.steps(20);
    let bandwidth = Bandwidth {
        to_client: Some(1000),
        from_client: None,
    };
    let orders = [
        ToSession::Watch,
        ToSession::Bandwidth(bandwidth),
        ToSession::Ping,
    ];
    for order in &orders {
        pair.origin.send(session, order.clone());
    }
    while let Some(bytes) = pair.origin.poll_transmit(pair.now) {
        pair.edge.handle_bytes(pair.now, &bytes).unwrap();
    }
    let events: Vec<_> = std::iter::from_fn(|| pair.edge.poll_event()).collect();
    assert_eq!(
        events,
        orders.map(|order| EdgeEvent::Session { session, order })
    );
    pair.disconnect();
    for bytes_in in 1..=3 {
        let statistics = Statistics {
            bytes_in,
            ..Statistics::default()
        };
        pair.edge.send(session, FromSession::Statistics(statistics));
    }
    pair.connect();
    while let Some(bytes) = pair.edge.poll_transmit(pair.now) {
        pair.origin.handle_bytes(pair.now, &bytes).unwrap();
    }
    let told: Vec<_> = std::iter::from_fn(|| pair.origin.poll_event()).collect();
    let last = matches!(
        told[..],
        [OriginEvent::Session {
            event: FromSession::Statistics(Statistics { bytes_in: 3, .. }),
            ..
        }]
    );
    assert!(last, "{told:?}");
}
