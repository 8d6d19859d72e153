//! Machines in the middle of their work, always the same ones.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    chunk::{ReadLimits, Reader, Writer},
    handshake::{ClientHandshake, HandshakeKind, RANDOM},
    link::{
        AudienceId, CloseReason, EdgeLane, EdgeLaneLimits, FromSession, Generation, OpenSession,
        Rate, ToSession,
        lane_frame::{
            AudienceFrame, AudienceHead, AudiencePiece, Fragment, Head, Statistics, ToEdge,
        },
    },
    media,
    parcel::{Carried, ParcelError, pack, unpack},
    ring::{Cursor, Filter, Ring, RingLimits, Start},
    session::{ConnectionLimits, ServerConnection},
    shared_object::Flags,
    tunnel::{Reception, Tunnel, TunnelId, TunnelKind},
    websocket::WebSocketReader,
};

/// A parcel, with its name and the number of its body in `fuzz/bodies/parcels.rs`.
pub(crate) struct Sample {
    pub(crate) name: &'static str,
    pub(crate) which: u8,
    pub(crate) parcel: Bytes,
    /// Reads the parcel and makes it again.
    pub(crate) again: fn(&[u8], Instant) -> Result<Bytes, ParcelError>,
}

/// All samples, made at `now`.
pub(crate) fn samples(now: Instant) -> Vec<Sample> {
    let mut samples = vec![
        reader("reader-in-header", now, CHUNKS.len() - 4),
        reader("reader-in-payload", now, CHUNKS.len()),
        sample("writer", 1, &writer(), now, |parcel, now| {
            again::<Writer>(parcel, now, ())
        }),
        sample("connection", 2, &connection(now), now, |parcel, now| {
            again::<ServerConnection>(parcel, now, connection_limits())
        }),
    ];
    for (name, frames) in FRAMES {
        let mut reader = WebSocketReader::default();
        let mut bytes = frames.to_vec();
        let mut rest = &mut bytes[..];
        while reader.read(&mut rest).expect("frames").is_some() {}
        samples.push(sample(name, 3, &reader, now, |parcel, now| {
            again::<WebSocketReader>(parcel, now, ())
        }));
    }
    for (name, is_answered) in [("tunnel-waiting", true), ("tunnel-receiving", false)] {
        let tunnel = tunnel(now, is_answered);
        samples.push(sample(name, 4, &tunnel, now, |parcel, now| {
            again::<Tunnel>(parcel, now, 100)
        }));
    }
    let id = TunnelId {
        worker: 3,
        secret: 0x0123_4567_89ab_cdef_fedc_ba98_7654_3210,
    };
    samples.push(sample("tunnel-id", 5, &id, now, |parcel, now| {
        again::<TunnelId>(parcel, now, ())
    }));
    samples.push(sample("cursor", 11, &cursor(), now, |parcel, now| {
        again::<Cursor>(parcel, now, ())
    }));
    samples.push(sample("lane", 6, &lane(now), now, |parcel, now| {
        again::<EdgeLane>(parcel, now, lane_limits())
    }));
    samples
}

fn sample(
    name: &'static str,
    which: u8,
    machine: &impl Carried,
    now: Instant,
    again: fn(&[u8], Instant) -> Result<Bytes, ParcelError>,
) -> Sample {
    Sample {
        name,
        which,
        parcel: pack(machine, now).expect("it can move"),
        again,
    }
}

fn again<M: Carried>(parcel: &[u8], now: Instant, limits: M::Limits) -> Result<Bytes, ParcelError> {
    let machine = unpack::<M>(parcel, now, limits, usize::MAX)?;
    Ok(pack(&machine, now).expect("it can move on"))
}

/// Set Chunk Size; a whole message; a begun one with an extended timestamp; the begin of another header.
const CHUNKS: &[u8] = b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\x04\
    \x03\0\x03\xe8\0\0\x02\x14\x01\0\0\0ab\
    \x43\0\0\x14\0\0\x01\x14c\
    \x40\x40\0\0\x07\0\0\x09\x08abcd\
    \x04\xff\xff\xff\0\0\x09\x09\x01\0\0\0\x01\x02\x03\x04abcd\
    \xc4\x01\x02\x03\x04ab";

fn reader(name: &'static str, now: Instant, end: usize) -> Sample {
    let mut reader = Reader::new(ReadLimits::default());
    let mut input = &CHUNKS[..end];
    while reader.read(&mut input).expect("chunks").is_some() {}
    sample(name, 0, &reader, now, |parcel, now| {
        again::<Reader>(parcel, now, ReadLimits::default())
    })
}

fn message(timestamp: u32, length: usize) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(timestamp),
        payload: vec![7; length].into(),
    }
}

fn writer() -> Writer {
    let mut writer = Writer::new();
    let mut out = BytesMut::new();
    writer.set_chunk_size(4096, &mut out);
    for (csid, timestamp, length) in [
        (3, 1000, 20),
        (3, 1040, 30),
        (400, 0x0100_0000, 5),
        (2, 0, 6),
    ] {
        writer.write(ChunkStreamId(csid), &message(timestamp, length), &mut out);
    }
    writer
}

fn connection_limits() -> ConnectionLimits {
    ConnectionLimits {
        chunks_per_second: 100,
        ..ConnectionLimits::default()
    }
}

/// A connection that has answered its connect, with a ping under way, output and work ahead of its rate.
fn connection(now: Instant) -> ServerConnection {
    let start = now - Duration::from_millis(1500);
    let mut connection = ServerConnection::new([1; RANDOM], start, connection_limits());
    let mut out = BytesMut::new();
    let mut client = ClientHandshake::new(HandshakeKind::Simple, &[2; RANDOM], &mut out);
    let read = connection.handle_input(start, &out.split());
    read.expect("C0 and C1");
    let done = client.read(&mut &connection.take_output()[..], &mut out);
    assert_eq!(done, Ok(true));
    connection.handle_input(start, &out).expect("C2");
    connection.begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
    let acknowledgement = b"\x02\0\0\0\0\0\x04\x03\0\0\0\0\0\0\0\x07";
    let limit = b"\x02\0\0\0\0\0\x05\x06\0\0\0\0\0\x10\0\0\0";
    let begun = b"\x03\0\0\0\0\0\x90\x14\0\0\0\0abcdef";
    let input = [
        &acknowledgement[..],
        limit,
        &acknowledgement.repeat(140),
        begun,
    ];
    connection
        .handle_input(start, &input.concat())
        .expect("messages");
    while connection.poll_event().is_some() {}
    drop(connection.take_output());
    connection.note_written_shared(1000);
    connection.send_ping(now - Duration::from_millis(250));
    connection.send(ChunkStreamId::COMMAND, &message(0, 3));
    connection
}

const FRAMES: [(&str, &[u8]); 4] = [
    ("frames-in-head", b"\x02\x81\0\0\0\0a\x80\xfe\x01"),
    ("frames-in-data", b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f"),
    ("frames-in-control", b"\x89\x83\x01\x02\x03\x04ab"),
    ("frames-closed", b"\x88\x80\0\0\0\0"),
];

/// A tunnel with a repeated request, and an answer or a request under way.
fn tunnel(now: Instant, is_answered: bool) -> Tunnel {
    let start = now - Duration::from_millis(70);
    let mut tunnel = Tunnel::new(start - Duration::from_secs(2));
    for sequence in 0..2 {
        let kind = TunnelKind::Idle;
        let new = tunnel.handle_request(kind, sequence, 1, start);
        assert_eq!(new, Ok(Reception::New));
        tunnel.take_body(sequence, 0, b"\0");
        tunnel.answer(BytesMut::from(&b"\0answer"[..][..sequence as usize * 7]));
    }
    if !is_answered {
        let new = tunnel.handle_request(TunnelKind::Send, 2, 500, now);
        assert_eq!(new, Ok(Reception::New));
        assert_eq!(tunnel.take_body(2, 0, b"abc"), b"abc");
    }
    let old = tunnel.handle_request(TunnelKind::Idle, 0, 1, now);
    assert_eq!(old, Ok(Reception::Old));
    tunnel
}

/// A cursor behind a key frame, of a reader that has turned audio off.
fn cursor() -> Cursor {
    let mut ring = Ring::new(RingLimits::default());
    ring.continue_at(300);
    let mut cursor = ring.join(Start::KeyFrame);
    for payload in [&b"\x17\x01\0\0\0"[..], b"\x27\x01\0\0\0"] {
        let message = Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(40),
            payload: Bytes::from_static(payload),
        };
        let class = media::classify(message.kind, &message.payload);
        ring.push(class, message.timestamp, message);
    }
    cursor.set_filter(Filter {
        audio: false,
        ..Filter::default()
    });
    while ring.next(&mut cursor, Duration::MAX).is_some() {}
    cursor
}

fn lane_limits() -> EdgeLaneLimits {
    let rate = Rate {
        bytes_per_second: 1000,
        burst: 40,
    };
    EdgeLaneLimits {
        rate,
        sessions: 100,
    }
}

/// A lane with sessions of every kind, frames without an acknowledgement, and messages under way in
/// both directions.
fn lane(now: Instant) -> EdgeLane {
    let mut lane = EdgeLane::new(lane_limits().rate);
    lane.connected(0).expect("a new lane");
    for session in 1..=4 {
        let open = OpenSession {
            peer: "192.0.2.1:1935".parse().expect("an address"),
            protocol: "rtmp".into(),
            connect: Bytes::from_static(b"connect"),
            claims: None,
        };
        lane.send(SessionId(session), FromSession::Open(open));
    }
    transmit(&mut lane, now);
    let send = |lane: &mut EdgeLane, session, length| {
        let event = FromSession::Message {
            generation: Generation(2),
            message: message(40, length),
        };
        lane.send(SessionId(session), event);
    };
    // Sessions 1 and 2 use up their rate, session 3 stays at rest, session 4 is over.
    for _ in 0..2 {
        send(&mut lane, 1, 60);
    }
    send(&mut lane, 2, 16_400);
    lane.send(SessionId(2), FromSession::Statistics(Statistics::default()));
    lane.send(SessionId(4), FromSession::Close(CloseReason::Client));
    transmit(&mut lane, now);
    let mut frames = BytesMut::new();
    for frame in to_edge() {
        frame.encode(&mut frames);
    }
    lane.handle_bytes(now, &frames).expect("frames");
    while lane.poll_event().is_some() {}
    lane.disconnected();
    lane.send(SessionId(3), FromSession::Close(CloseReason::Timeout));
    lane
}

fn transmit(lane: &mut EdgeLane, now: Instant) {
    while lane.poll_transmit(now).is_some() {}
    while lane.poll_event().is_some() {}
}

/// Frames of the origin: an acknowledgement, an accepted session, messages that have begun.
fn to_edge() -> Vec<ToEdge> {
    let audience = AudienceId(9);
    let of = |frame| ToEdge::Audience { audience, frame };
    let flags = Flags([2, 0]);
    let join = |session| AudienceFrame::Join {
        session: SessionId(session),
        flags,
        aside: false,
    };
    let head = Head {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(77),
        length: 100,
        generation: Generation(0),
        after: None,
        member: None,
    };
    let fragment = Fragment {
        head: Some(head),
        data: Bytes::from_static(b"begun"),
    };
    let piece = AudiencePiece {
        head: Some(AudienceHead {
            all_but: Some(SessionId(1)),
            encoding: None,
            length: 50,
        }),
        data: Bytes::from_static(b"to all"),
    };
    vec![
        // All frames but the last.
        ToEdge::Ack(6),
        ToEdge::Session {
            session: SessionId(1),
            order: ToSession::Accept,
        },
        ToEdge::Fragment {
            session: SessionId(1),
            fragment,
        },
        of(AudienceFrame::Begin {
            name: "board".into(),
            persistent: true,
        }),
        of(join(1)),
        of(AudienceFrame::Send(piece)),
        of(join(2)),
        of(AudienceFrame::Leave {
            session: SessionId(1),
        }),
    ]
}
