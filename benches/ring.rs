//! The ring: pushing encoded messages, and moving one cursor or a thousand over them.

use std::{hint::black_box, time::Duration};

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::shared::{self, SharedChunks},
    media::{self, Class},
    ring::{Cursor, Ring, RingLimits, Start},
};

const MAX_LAG: Duration = Duration::from_secs(4);

/// Two seconds of 25 frames and 50 audio packets a second, with their headers in force.
const MESSAGES: u32 = 150;

fn message(number: u32) -> (Class, RtmpTimestamp, SharedChunks) {
    let (kind, payload) = match number % 3 {
        0 if number.is_multiple_of(MESSAGES) => (MessageType::VIDEO, &b"\x17\x01\x00\x00\x00"[..]),
        0 => (MessageType::VIDEO, &b"\x27\x01\x00\x00\x00"[..]),
        _ => (MessageType::AUDIO, &b"\xaf\x01"[..]),
    };
    let message = Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp(number * 40 / 3),
        payload: Bytes::from([payload, &[0; 1000]].concat()),
    };
    let class = media::classify(kind, &message.payload);
    let encoded = shared::encode(&message, ChunkStreamId::VIDEO, 65_536);
    (class, message.timestamp, encoded)
}

fn ring() -> Ring<SharedChunks> {
    let mut ring = Ring::new(RingLimits::default());
    for (kind, payload) in [
        (MessageType::VIDEO, &b"\x17\x00\x00\x00\x00h"[..]),
        (MessageType::AUDIO, &b"\xaf\x00\x12\x10"[..]),
    ] {
        let (_, timestamp, _) = message(0);
        let header = Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp,
            payload: Bytes::from_static(payload),
        };
        let class = media::classify(kind, payload);
        let encoded = shared::encode(&header, ChunkStreamId::VIDEO, 65_536);
        ring.push_header(class, timestamp, encoded);
    }
    ring
}

fn filled() -> Ring<SharedChunks> {
    let mut ring = ring();
    for (class, timestamp, encoded) in (0..MESSAGES).map(message) {
        ring.push(class, timestamp, encoded);
    }
    ring
}

fn push(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(u64::from(MESSAGES)));
    group.bench_function("push", |b| {
        // In a full ring each new message removes another.
        let mut ring = Ring::new(RingLimits {
            messages: 1000,
            ..RingLimits::default()
        });
        let mut number = 0;
        b.iter_batched(
            || {
                let messages: Vec<_> = (number..number + MESSAGES).map(message).collect();
                number += MESSAGES;
                messages
            },
            |messages| {
                for (class, timestamp, encoded) in messages {
                    black_box(ring.push(class, timestamp, encoded));
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

fn next(c: &mut Criterion) {
    let ring = filled();
    let start = ring.join(Start::KeyFrame);
    let mut group = c.benchmark_group("ring");
    for count in [1_usize, 1000] {
        let mut cursors: Vec<Cursor> = vec![start; count];
        let deliveries = count as u64 * u64::from(MESSAGES);
        group.throughput(Throughput::Elements(deliveries));
        group.bench_function(format!("next, {count} cursors"), |b| {
            b.iter(|| {
                cursors.fill(start);
                // As in fan-out: every cursor reads the new message before the next one comes.
                for cursor in &mut cursors {
                    while let Some(delivery) = ring.next(cursor, MAX_LAG) {
                        black_box(&delivery);
                    }
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, push, next);
criterion_main!(benches);
