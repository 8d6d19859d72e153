//! Fixed bytes of every frame, both ways.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    GroupName, LaneId, Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    TransactionId,
    amf::ObjectEncoding,
    link::{
        AudienceId, Bandwidth, ClientClaims, CloseReason, Control, FeedPlace, Filter, FromSession,
        Generation, HandedOver, Hello, LiveId, MoveFrame, MoveStep, OpenSession, Record,
        RelayAddress, Source, Statistics, TakeoverKey, Target, ToSession, WriterId,
        frame::{FrameReader, MAX_BODY},
        lane_frame::{
            AudienceFrame, AudienceHead, AudiencePiece, ContentsHead, ContentsPiece, Fragment,
            Head, LaneAnswer, Member, OpenLane, Reached, RestoreFrame, ToEdge, ToOrigin,
        },
    },
    shared_object::Flags,
};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn frame(wire: &[u8]) -> crate::link::frame::Frame {
    let mut reader = FrameReader::new(MAX_BODY);
    reader.push(wire);
    let frame = reader.poll_frame().unwrap().expect("a whole frame");
    assert_eq!(reader.held(), 0, "bytes after the frame");
    frame
}

fn of_move(step: MoveStep) -> Control {
    Control::Move(MoveFrame { id: 7, step })
}

const SESSION: SessionId = SessionId(5);
const STREAM: MessageStreamId = MessageStreamId(1);
const AUDIENCE: AudienceId = AudienceId(7);

/// `docs/link.md` shows the same bytes.
fn to_origin() -> Vec<(&'static str, ToOrigin)> {
    let head = Head {
        kind: MessageType::COMMAND_AMF0,
        stream: STREAM,
        timestamp: RtmpTimestamp(1000),
        length: 3,
        generation: Generation(2),
        after: None,
        member: None,
    };
    vec![
        ("12 01 07", ToOrigin::Ack(7)),
        (
            "20 10 05 04 c0000201 1f90 04 72746d70 020007",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Open(OpenSession {
                    peer: "192.0.2.1:8080".parse().unwrap(),
                    protocol: "rtmp".into(),
                    connect: Bytes::from_static(&[2, 0, 7]),
                    claims: None,
                }),
            },
        ),
        (
            "21 0d 05 01 14 01 000003e8 03 02 616263",
            ToOrigin::Fragment {
                session: SESSION,
                fragment: Fragment {
                    head: Some(head),
                    data: Bytes::from_static(b"abc"),
                },
            },
        ),
        (
            "21 04 05 00 6263",
            ToOrigin::Fragment {
                session: SESSION,
                fragment: Fragment {
                    head: None,
                    data: Bytes::from_static(b"bc"),
                },
            },
        ),
        (
            "22 02 05 00",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Close(CloseReason::Client),
            },
        ),
        (
            "23 03 05 01 01",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Stalled {
                    stream: STREAM,
                    stalled: true,
                },
            },
        ),
        ("24 00", ToOrigin::End),
        (
            "26 0d 05 03 626f62 07 7b2261223a317d",
            ToOrigin::Claims {
                session: SESSION,
                claims: Arc::new(ClientClaims {
                    user: Some("bob".into()),
                    json: Some("{\"a\":1}".into()),
                }),
            },
        ),
        (
            "25 0a 05 4064 40c8 01 02 00 00 0d",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Statistics(STATISTICS),
            },
        ),
        (
            "25 0b 05 4064 40c8 01 02 00 00 0d 03",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Statistics(Statistics {
                    received: Some(3),
                    ..STATISTICS
                }),
            },
        ),
        (
            "2f 11 05 000102030405060708090a0b0c0d0e0f",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Reconnects(TakeoverKey::new([
                    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15,
                ])),
            },
        ),
        (
            "27 10 05 04 c0000201 1f90 04 72746d70 020007",
            ToOrigin::Restore(RestoreFrame::Session {
                session: SESSION,
                open: OpenSession {
                    peer: "192.0.2.1:8080".parse().unwrap(),
                    protocol: "rtmp".into(),
                    connect: Bytes::from_static(&[2, 0, 7]),
                    claims: None,
                },
            }),
        ),
        (
            "28 04 05 03 6162",
            ToOrigin::Restore(RestoreFrame::Record {
                session: SESSION,
                record: RECORD,
            }),
        ),
        (
            "29 11 05 4008000000000000 4010000000000000",
            ToOrigin::Restore(RestoreFrame::Unanswered {
                session: SESSION,
                transactions: vec![TransactionId(3.0), TransactionId(4.0)],
            }),
        ),
        (
            "2a 06 09 000003e8 32",
            ToOrigin::Restore(RestoreFrame::Reached(Reached {
                live: LiveId(9),
                time: RtmpTimestamp(1000),
                age_ms: 50,
            })),
        ),
        (
            "2b 10 00 05 00000002 00000000 05 626f617264",
            ToOrigin::Restore(RestoreFrame::Uses {
                session: SESSION,
                name: "board".into(),
                flags: Flags::PERSISTENT,
            }),
        ),
        (
            "2b 0a 01 03 05 626f617264 6162",
            ToOrigin::Restore(RestoreFrame::Contents(ContentsPiece {
                head: Some(ContentsHead {
                    name: "board".into(),
                    persistent: false,
                    length: 3,
                }),
                data: Bytes::from_static(b"ab"),
            })),
        ),
        (
            "2b 02 02 63",
            ToOrigin::Restore(RestoreFrame::Contents(ContentsPiece {
                head: None,
                data: Bytes::from_static(b"c"),
            })),
        ),
        ("2c 00", ToOrigin::Restore(RestoreFrame::End)),
        (
            "4055 0a 05 01 07 72746d703a2f2f",
            ToOrigin::Session {
                session: SESSION,
                event: FromSession::Relay {
                    stream: STREAM,
                    address: RelayAddress::new("rtmp://").unwrap(),
                },
            },
        ),
    ]
}

const RECORD: Record = Record {
    part: 3,
    bytes: Bytes::from_static(b"ab"),
};

/// Statistics from an edge for an origin without counted frames.
const STATISTICS: Statistics = Statistics {
    bytes_in: 100,
    bytes_out: 200,
    messages_in: 1,
    messages_out: 2,
    messages_dropped: 0,
    queued: 0,
    round_trip_ms: Some(12),
    received: None,
};

fn order(order: ToSession) -> ToEdge {
    ToEdge::Session {
        session: SESSION,
        order,
    }
}

fn to_edge() -> Vec<(&'static str, ToEdge)> {
    let head = Head {
        kind: MessageType::COMMAND_AMF0,
        stream: STREAM,
        timestamp: RtmpTimestamp(0),
        length: 1,
        generation: Generation(0),
        after: Some(FeedPlace(64)),
        member: None,
    };
    let of_object = Head {
        kind: MessageType::SHARED_OBJECT_AMF0,
        stream: MessageStreamId::CONNECTION,
        after: None,
        member: Some(Member {
            audience: AUDIENCE,
            flags: Flags::PERSISTENT,
            encoding: Some(ObjectEncoding::Amf3),
        }),
        ..head
    };
    vec![
        ("12 02 4040", ToEdge::Ack(64)),
        (
            "13 05 05 80004000",
            ToEdge::Credit {
                session: SESSION,
                offset: 16_384,
            },
        ),
        (
            "21 0d 05 03 14 01 00000000 01 00 4040 61",
            ToEdge::Fragment {
                session: SESSION,
                fragment: Fragment {
                    head: Some(head),
                    data: Bytes::from_static(b"a"),
                },
            },
        ),
        (
            "22 02 05 08",
            order(ToSession::Close(CloseReason::Application)),
        ),
        ("30 01 05", order(ToSession::Accept)),
        (
            "31 03 05 01 09",
            order(ToSession::Attach {
                stream: STREAM,
                source: Source {
                    live: LiveId(9),
                    publication: 0,
                    name: None,
                },
            }),
        ),
        (
            "31 04 05 01 09 07",
            order(ToSession::Attach {
                stream: STREAM,
                source: Source {
                    live: LiveId(9),
                    publication: 7,
                    name: None,
                },
            }),
        ),
        (
            "31 08 05 01 09 00 03 63616d",
            order(ToSession::Attach {
                stream: STREAM,
                source: Source {
                    live: LiveId(9),
                    publication: 0,
                    name: Some("cam".into()),
                },
            }),
        ),
        ("32 02 05 01", order(ToSession::Detach { stream: STREAM })),
        (
            "33 05 05 01 02 09 04",
            order(ToSession::AcceptPublish {
                stream: STREAM,
                generation: Generation(2),
                target: Target {
                    live: LiveId(9),
                    writer: WriterId(4),
                },
            }),
        ),
        (
            "34 03 05 01 02",
            order(ToSession::StopPublish {
                stream: STREAM,
                generation: Generation(2),
            }),
        ),
        (
            "4054 04 05 01 02 00",
            order(ToSession::PublishRead {
                stream: STREAM,
                generation: Generation(2),
                read: false,
            }),
        ),
        (
            "35 03 05 01 05",
            order(ToSession::Filter {
                stream: STREAM,
                filter: Filter {
                    audio: true,
                    video: false,
                    paused: true,
                },
            }),
        ),
        (
            "21 15 05 05 13 00 00000000 01 00 07 00000002 00000000 02 61",
            ToEdge::Fragment {
                session: SESSION,
                fragment: Fragment {
                    head: Some(of_object),
                    data: Bytes::from_static(b"a"),
                },
            },
        ),
        ("3b 01 05", order(ToSession::Watch)),
        (
            "3c 04 05 5000 00",
            order(ToSession::Bandwidth(Bandwidth {
                to_client: Some(4096),
                from_client: None,
            })),
        ),
        ("3d 01 05", order(ToSession::Ping)),
        ("3e 04 05 03 6162", order(ToSession::Remember(RECORD))),
        ("3f 02 05 07", order(ToSession::Handled(7))),
        ("4050 01 05", order(ToSession::Restored)),
        (
            "4051 03 05 0a 09",
            order(ToSession::Continues {
                live: LiveId(10),
                was: LiveId(9),
            }),
        ),
        (
            "4057 05 05 01 14 6869",
            order(ToSession::Repeat(Message {
                stream: MessageStreamId(1),
                kind: MessageType::COMMAND_AMF0,
                timestamp: RtmpTimestamp(0),
                payload: Bytes::from_static(b"hi"),
            })),
        ),
        (
            "4056 04 01 02 6f32",
            ToEdge::HandedOver(HandedOver {
                settled: true,
                origin: "o2".into(),
            }),
        ),
    ]
    .into_iter()
    .chain(audience())
    .collect()
}

fn audience() -> Vec<(&'static str, ToEdge)> {
    let head = AudienceHead {
        all_but: Some(SESSION),
        encoding: None,
        length: 3,
    };
    let of_amf0 = AudienceHead {
        all_but: None,
        encoding: Some(ObjectEncoding::Amf0),
        length: 1,
    };
    let piece = |head, data: &'static [u8]| {
        AudienceFrame::Send(AudiencePiece {
            head,
            data: Bytes::from_static(data),
        })
    };
    let frames = [
        (
            "36 08 07 01 05 626f617264",
            AudienceFrame::Begin {
                name: "board".into(),
                persistent: true,
            },
        ),
        (
            "37 0b 07 05 00000002 00000000 00",
            AudienceFrame::Join {
                session: SESSION,
                flags: Flags::PERSISTENT,
                aside: false,
            },
        ),
        ("38 02 07 05", AudienceFrame::Leave { session: SESSION }),
        ("39 07 07 03 05 03 616263", piece(Some(head), b"abc")),
        ("39 04 07 05 01 61", piece(Some(of_amf0), b"a")),
        ("39 04 07 00 6263", piece(None, b"bc")),
        ("3a 01 07", AudienceFrame::End),
    ];
    let of = |(bytes, frame)| {
        let audience = AUDIENCE;
        (bytes, ToEdge::Audience { audience, frame })
    };
    frames.into_iter().map(of).collect()
}

fn control() -> Vec<(&'static str, Control)> {
    let group = GroupName::from_app("live/a").unwrap();
    vec![
        (
            "01 20 01 05 6564676531 0000000000000007 03 00 00 02 6575 4064 07 6f726967696e31 00",
            Control::Hello(Hello {
                node: "edge1".into(),
                epoch: 7,
                incarnation: 3,
                connection: 0,
                features: 0,
                zone: "eu".into(),
                capacity: 100,
                known_as: "origin1".into(),
                grace_ms: 0,
            }),
        ),
        (
            "02 02 05 01",
            Control::Heartbeat {
                sessions: 5,
                groups: 1,
            },
        ),
        ("03 01 09", Control::Ping(9)),
        ("04 01 09", Control::Pong(9)),
        ("05 02 43e8", Control::GoAway { within_ms: 1000 }),
        (
            "06 0a 01 01 06 6c6976652f61 00",
            Control::Displaced {
                complete: true,
                added: vec![group.clone()],
                removed: vec![],
            },
        ),
        (
            "07 0b 01 6f 01 01 06 6c6976652f61",
            Control::Living {
                origin: "o".into(),
                complete: true,
                groups: vec![group.clone()],
            },
        ),
        (
            "09 0a 01 6f 01 06 6c6976652f61",
            Control::AtHome {
                origin: "o".into(),
                groups: vec![group.clone()],
            },
        ),
        (
            "0a 09 01 01 06 6c6976652f61",
            Control::Kept {
                anew: true,
                groups: vec![group.clone()],
            },
        ),
        (
            "4080 14 0000000000000007 06 6c6976652f61 05 01 02 6531",
            of_move(MoveStep::Offer {
                group,
                sessions: 5,
                edges: vec!["e1".into()],
            }),
        ),
        (
            "4081 08 0000000000000007",
            of_move(MoveStep::Answer { refused: None }),
        ),
        (
            "4081 0b 0000000000000007 02 6e6f",
            of_move(MoveStep::Answer {
                refused: Some("no".into()),
            }),
        ),
        (
            "4082 0a 0000000000000007 6869",
            of_move(MoveStep::State(Bytes::from_static(b"hi"))),
        ),
        (
            "4083 09 0000000000000007 02",
            of_move(MoveStep::Commit { state: 2 }),
        ),
        ("4084 08 0000000000000007", of_move(MoveStep::Withdraw)),
        (
            "4085 09 0000000000000007 05",
            of_move(MoveStep::Arrived { sessions: 5 }),
        ),
        (
            "08 03 01 6f 01",
            Control::LivingEnd {
                origin: "o".into(),
                resumed: true,
            },
        ),
    ]
}

#[test]
fn every_lane_frame_has_its_bytes() {
    for (bytes, value) in to_origin() {
        let mut out = Vec::new();
        value.encode(&mut out);
        assert_eq!(out, hex(bytes), "{value:?} encodes");
        assert_eq!(ToOrigin::decode(&frame(&hex(bytes))), Ok(value));
    }
    for (bytes, value) in to_edge() {
        let mut out = Vec::new();
        value.encode(&mut out);
        assert_eq!(out, hex(bytes), "{value:?} encodes");
        assert_eq!(ToEdge::decode(&frame(&hex(bytes))), Ok(value));
    }
}

#[test]
fn every_control_frame_has_its_bytes() {
    for (bytes, value) in control() {
        let mut out = Vec::new();
        value.encode(&mut out);
        assert_eq!(out, hex(bytes), "{value:?} encodes");
        assert_eq!(Control::decode(&frame(&hex(bytes))), Ok(value));
    }
}

#[test]
fn a_lane_opens_and_is_answered() {
    let group = GroupName::from_app("live/a").unwrap();
    for (bytes, resume) in [("10 0b 07 06 6c6976652f61 01 6f", None), ("", Some(9))] {
        let open = OpenLane {
            lane: LaneId(7),
            group: group.clone(),
            home: "o".into(),
            resume,
            only_if_living: false,
            restore: false,
        };
        let mut out = Vec::new();
        open.encode(&mut out);
        assert!(bytes.is_empty() || out[2..].starts_with(&hex(bytes)[2..]));
        assert_eq!(OpenLane::decode(&frame(&out)), Ok(open));
    }
    for (bytes, answer) in [
        ("11 02 00 05", LaneAnswer::Open { received: 5 }),
        ("11 02 01 00", LaneAnswer::Unknown),
        ("11 03 02 40fa", LaneAnswer::Wait { retry_ms: 250 }),
        ("11 02 03 00", LaneAnswer::Refused),
    ] {
        let mut out = Vec::new();
        answer.encode(&mut out);
        assert_eq!(out, hex(bytes));
        assert_eq!(LaneAnswer::decode(&frame(&out)), Ok(answer));
    }
}

#[test]
fn truncated_frames_are_errors_never_panics() {
    let lanes = to_origin().into_iter().map(|(bytes, _)| hex(bytes));
    let edges = to_edge().into_iter().map(|(bytes, _)| hex(bytes));
    let controls = control().into_iter().map(|(bytes, _)| hex(bytes));
    for wire in lanes.chain(edges).chain(controls) {
        let whole = frame(&wire);
        for cut in 0..whole.body.len() {
            let frame = crate::link::frame::Frame {
                kind: whole.kind,
                body: whole.body.slice(..cut),
            };
            let _ = ToOrigin::decode(&frame);
            let _ = ToEdge::decode(&frame);
            let _ = Control::decode(&frame);
            let _ = OpenLane::decode(&frame);
            let _ = LaneAnswer::decode(&frame);
        }
    }
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = FrameReader::new(MAX_BODY);
            reader.push(&bytes);
            while let Ok(Some(frame)) = reader.poll_frame() {
                let _ = ToOrigin::decode(&frame);
                let _ = ToEdge::decode(&frame);
                let _ = Control::decode(&frame);
            }
        }
    }
}
