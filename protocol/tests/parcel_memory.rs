//! The memory that a parcel takes, counted by the allocator: some times its own length, whatever it
//! states.

#[path = "parcels/machines.rs"]
#[expect(dead_code, reason = "the tests of parcels use all of it")]
mod machines;

use std::time::Instant;

use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_protocol::{
    link::{EdgeLane, EdgeLaneLimits, FromSession, Rate, lane_frame::ToOrigin},
    parcel::{ParcelWriter, unpack},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The bytes for each byte of a parcel. Reason: an event of 11 bytes, with its field, is an element of
/// some 100 in a queue that may be half empty.
const TIMES: usize = 24;

/// The bytes of parcels as short as may be: the machine and what the importer has.
const BESIDE: usize = 4096;

fn held() -> usize {
    dhat::HeapStats::get().curr_bytes
}

/// The most bytes that were held at once since the profiler began, beyond `before`.
fn most_since(before: usize) -> usize {
    dhat::HeapStats::get().max_bytes.saturating_sub(before)
}

// One test: the allocator's figures are those of the whole process.
#[test]
fn parcels_take_memory_by_their_bytes() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let now = Instant::now();
    let samples = machines::samples(now);
    let longest = samples.iter().map(|sample| sample.parcel.len()).max();
    let longest = longest.expect("samples") + 8;
    let mut random = StdRng::seed_from_u64(0x6d65_6d6f);
    let profiler = dhat::Profiler::builder().testing().build();
    let before = held();
    for n in 0..30_000 {
        let sample = &samples[n % samples.len()];
        let mut parcel = sample.parcel.to_vec();
        let place = random.random_range(0..parcel.len());
        let end = (place + random.random_range(1..5)).min(parcel.len());
        parcel[place..end].fill([0, 1, 0x7f, 0xff][n % 4]);
        let _ = (sample.again)(&parcel, now);
    }
    let most = most_since(before);
    assert!(most <= longest * TIMES + BESIDE, "{most} bytes");
    drop(profiler);

    many_small_parts(now);
}

/// Events, sessions, turns and audiences of the fewest bytes.
fn many_small_parts(now: Instant) {
    let parcel = lane_of_small_parts(now);
    let profiler = dhat::Profiler::builder().testing().build();
    let before = held();
    let limits = EdgeLaneLimits {
        rate: Rate::default(),
        sessions: 100_000,
    };
    let lane = unpack::<EdgeLane>(&parcel, now, limits, usize::MAX).expect("a lane");
    assert_eq!(lane.session_count(), 2000);
    let most = most_since(before);
    assert!(
        most <= parcel.len() * TIMES + BESIDE,
        "{most} bytes for {}",
        parcel.len()
    );
    drop(lane);
    drop(profiler);
}

fn lane_of_small_parts(now: Instant) -> bytes::Bytes {
    let mut parcel = ParcelWriter::new(now);
    parcel.number(1, 1_000_000_u64);
    for id in 0..2000_u64 {
        parcel.record(2, |parcel| {
            parcel.number(1, id);
            let mut event = Vec::new();
            let stalled = FromSession::Stalled {
                stream: tributary_protocol::MessageStreamId(1),
                stalled: true,
            };
            let session = tributary_protocol::SessionId(id);
            let frame = ToOrigin::Session {
                session,
                event: stalled,
            };
            frame.encode(&mut event);
            for _ in 0..id % 70 {
                parcel.bytes(2, &event);
            }
            parcel.number(4, 0_u64);
            parcel.number(5, 0_u64);
        });
    }
    for over in 2000..20_000_u64 {
        parcel.number(3, over);
    }
    parcel.record(5, |parcel| {
        for audience in 0..10_000_u64 {
            parcel.number(1, audience);
        }
    });
    parcel.record(6, |parcel| {
        parcel.number(1, 0_u64);
        parcel.number(2, 0_u64);
        parcel.bytes(4, &[]);
    });
    parcel.number(7, 0_u64);
    parcel.finish().expect("a parcel")
}
