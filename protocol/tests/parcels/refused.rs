//! Machines that do not move: they have not settled, or do not fit the importer.

use std::time::Instant;

use bytes::Bytes;
use tributary_protocol::{
    SessionId,
    chunk::{ReadLimits, Reader},
    handshake::RANDOM,
    link::{
        CloseReason, EdgeLane, EdgeLaneLimits, FromSession, OpenSession, Rate, ToSession,
        lane_frame::ToEdge,
    },
    parcel::{Carried, ParcelError, pack, unpack},
    session::{ConnectionLimits, ServerConnection},
    tunnel::Tunnel,
};

use crate::{machines::samples, now};

fn sample(name: &str, now: Instant) -> Bytes {
    let mut all = samples(now).into_iter();
    let found = all.find(|sample| sample.name == name);
    found.expect("a sample").parcel
}

/// The bound that the sample exceeds, with its record.
fn exceeded<M: Carried>(name: &str, limits: M::Limits) -> (&'static str, &'static str) {
    let now = now();
    match unpack::<M>(&sample(name, now), now, limits, usize::MAX).err() {
        Some(ParcelError::Limit { record, bound }) => (record, bound),
        error => panic!("{name}: {error:?}"),
    }
}

#[test]
fn state_beyond_the_importers_limits_is_refused() {
    let reader = |limits| exceeded::<Reader>("reader-in-header", limits);
    let usual = ReadLimits::default();
    for (limits, expected) in [
        (
            ReadLimits {
                message: 8,
                ..usual
            },
            ("a chunk stream of the reader", "bytes of a message"),
        ),
        (
            ReadLimits {
                partial: 7,
                ..usual
            },
            ("the chunk reader", "bytes of incomplete messages"),
        ),
        (
            ReadLimits {
                chunk_streams: 3,
                ..usual
            },
            ("the chunk reader", "chunk streams"),
        ),
    ] {
        assert_eq!(reader(limits), expected);
    }
    let slow = ConnectionLimits {
        chunks_per_second: 10,
        ..ConnectionLimits::default()
    };
    let connection = exceeded::<ServerConnection>("connection", slow);
    assert_eq!(connection, ("the work budget", "chunks ahead of the rate"));
    let tunnel = exceeded::<Tunnel>("tunnel-waiting", 6);
    assert_eq!(tunnel, ("the tunnel", "bytes of an answer"));
    let few = EdgeLaneLimits {
        rate: Rate::default(),
        sessions: 2,
    };
    let lane = exceeded::<EdgeLane>("lane", few);
    assert_eq!(lane, ("the lane", "sessions"));
}

#[test]
fn a_parcel_beyond_its_readers_bound_is_refused() {
    let now = now();
    let parcel = sample("connection", now);
    let limits = ConnectionLimits::default();
    let limit = parcel.len() - 1;
    let refused = unpack::<ServerConnection>(&parcel, now, limits, limit).err();
    assert_eq!(refused, Some(ParcelError::TooLong { limit }));
}

fn unsettled(machine: &impl Carried, now: Instant) -> &'static str {
    match pack(machine, now) {
        Err(ParcelError::Unsettled { state }) => state,
        packed => panic!("{packed:?}"),
    }
}

#[test]
fn a_machine_that_has_not_settled_stays() {
    let now = now();
    let mut connection = ServerConnection::new([1; RANDOM], now, ConnectionLimits::default());
    let state = unsettled(&connection, now);
    assert_eq!(state, "the handshake is not done");
    // C0, C1 and C2 of a simple handshake, and a message.
    let mut client = vec![0; 1 + 2 * 1536];
    client[0] = 3;
    client.extend(b"\x03\0\0\0\0\0\x01\x14\0\0\0\0a");
    connection.handle_input(now, &client).expect("a client");
    let state = unsettled(&connection, now);
    assert_eq!(state, "events of the connection have not been handled");
    while connection.poll_event().is_some() {}
    assert!(pack(&connection, now).is_ok());
    assert!(connection.handle_input(now, b"\xc4").is_err());
    let state = unsettled(&connection, now);
    assert_eq!(state, "the connection has failed");

    let mut lane = EdgeLane::default();
    let session = SessionId(1);
    let open = OpenSession {
        peer: "192.0.2.1:1935".parse().expect("an address"),
        protocol: "rtmp".into(),
        connect: Bytes::new(),
        claims: None,
    };
    lane.connected(0).expect("a new lane");
    lane.send(session, FromSession::Open(open));
    while lane.poll_transmit(now).is_some() {}
    // The origin closes the session.
    let close = ToEdge::Session {
        session,
        order: ToSession::Close(CloseReason::Application),
    };
    let mut frame = Vec::new();
    close.encode(&mut frame);
    lane.handle_bytes(now, &frame).expect("a frame");
    let state = unsettled(&lane, now);
    assert_eq!(state, "events of the lane have not been handled");
    while lane.poll_event().is_some() {}
    assert!(pack(&lane, now).is_ok());
}
