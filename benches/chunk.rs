//! The chunk reader beside rml_rtmp's on the same bytes, the writer, and the shared encoding.
//!
//! `cargo bench --bench chunk`

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rml_rtmp::{
    chunk_io::{ChunkDeserializer, ChunkSerializer},
    messages::MessagePayload,
    time::RtmpTimestamp as RmlTimestamp,
};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadLimits, Reader, Writer, shared},
};

const MESSAGE_SIZES: [usize; 4] = [64, 1024, 16 * 1024, 64 * 1024];
const CHUNK_SIZES: [u32; 3] = [128, 4096, 65_536];

/// The most that one read of the socket gives.
const READ: usize = 64 * 1024;

/// Bytes of payload per iteration, so that short messages are many.
const VOLUME: usize = 1024 * 1024;

fn messages(size: usize) -> Vec<Message> {
    (0..VOLUME / size)
        .map(|n| Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(40 * (n as u32 + 1)),
            payload: Bytes::from(vec![n as u8; size]),
        })
        .collect()
}

/// The same messages as rml_rtmp writes them, so that the bytes favour neither reader.
fn serialized(size: usize, chunk_size: u32) -> Vec<u8> {
    let mut serializer = ChunkSerializer::new();
    let change = serializer.set_max_chunk_size(chunk_size, RmlTimestamp::new(0));
    let mut bytes = change.expect("a sound chunk size").bytes;
    for message in messages(size) {
        let payload = MessagePayload {
            timestamp: RmlTimestamp::new(message.timestamp.0),
            type_id: message.kind.0,
            message_stream_id: message.stream.0,
            data: message.payload,
        };
        let packet = serializer.serialize(&payload, false, false);
        bytes.extend(packet.expect("a sound message").bytes);
    }
    bytes
}

fn read_ours(bytes: &[u8]) -> usize {
    let mut reader = Reader::new(ReadLimits::default());
    let mut count = 0;
    for mut piece in bytes.chunks(READ) {
        while let Some(message) = reader.read(&mut piece).expect("valid chunks") {
            black_box(&message);
            count += 1;
        }
    }
    count
}

fn read_rml(bytes: &[u8]) -> usize {
    let mut deserializer = ChunkDeserializer::new();
    let mut count = 0;
    for piece in bytes.chunks(READ) {
        let mut next = deserializer.get_next_message(piece).expect("valid chunks");
        while let Some(message) = next {
            if message.type_id == 1 {
                let size = u32::from_be_bytes(message.data[..4].try_into().expect("four bytes"));
                deserializer
                    .set_max_chunk_size(size as usize)
                    .expect("a sound chunk size");
            } else {
                black_box(&message);
                count += 1;
            }
            next = deserializer.get_next_message(&[]).expect("valid chunks");
        }
    }
    count
}

fn reader(c: &mut Criterion) {
    let mut group = c.benchmark_group("reader");
    for chunk_size in CHUNK_SIZES {
        for size in MESSAGE_SIZES {
            let bytes = serialized(size, chunk_size);
            assert_eq!(read_ours(&bytes), VOLUME / size);
            assert_eq!(read_rml(&bytes), VOLUME / size);
            group.throughput(Throughput::Bytes(bytes.len() as u64));
            let case = format!("{size} in {chunk_size}");
            group.bench_with_input(BenchmarkId::new("tributary", &case), &bytes, |b, bytes| {
                b.iter(|| read_ours(bytes));
            });
            group.bench_with_input(BenchmarkId::new("rml_rtmp", &case), &bytes, |b, bytes| {
                b.iter(|| read_rml(bytes));
            });
        }
    }
    group.finish();
}

/// A second of a client that sends 1 Mbit/s in chunks of one byte: 62,500 of them. The time is its
/// share of a core; the edge throttles a client above 500,000 chunks a second.
fn one_byte_chunks(c: &mut Criterion) {
    const CHUNKS: usize = 1_000_000 / 8 / 2;
    let size = 1250;
    let mut bytes = BytesMut::new();
    let mut writer = Writer::new();
    writer.set_chunk_size(1, &mut bytes);
    for message in &messages(size)[..CHUNKS / size] {
        writer.write(ChunkStreamId::VIDEO, message, &mut bytes);
    }
    assert_eq!(read_ours(&bytes), CHUNKS / size);
    c.bench_function("reader/a second of 1 Mbit/s in chunks of 1 byte", |b| {
        b.iter(|| read_ours(&bytes));
    });
}

fn writer(c: &mut Criterion) {
    let mut group = c.benchmark_group("writer");
    group.throughput(Throughput::Bytes(VOLUME as u64));
    for chunk_size in CHUNK_SIZES {
        for size in MESSAGE_SIZES {
            let messages = messages(size);
            let mut out = BytesMut::with_capacity(2 * VOLUME);
            let case = BenchmarkId::from_parameter(format!("{size} in {chunk_size}"));
            group.bench_with_input(case, &messages, |b, messages| {
                b.iter(|| {
                    out.clear();
                    let mut writer = Writer::new();
                    writer.set_chunk_size(chunk_size, &mut out);
                    for message in messages {
                        writer.write(ChunkStreamId::VIDEO, message, &mut out);
                    }
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

fn shared_encoding(c: &mut Criterion) {
    let mut group = c.benchmark_group("shared");
    for chunk_size in CHUNK_SIZES {
        for size in MESSAGE_SIZES {
            let message = messages(size).remove(0);
            let case = BenchmarkId::new("encode", format!("{size} in {chunk_size}"));
            group.bench_with_input(case, &message, |b, message| {
                b.iter(|| shared::encode(message, ChunkStreamId::VIDEO, chunk_size));
            });
        }
    }
    let encoded = shared::encode(&messages(16 * 1024)[0], ChunkStreamId::VIDEO, 65_536);
    group.bench_function("header for a viewer", |b| {
        b.iter(|| {
            (
                encoded.header(black_box(MessageStreamId(1))),
                encoded.body().clone(),
            )
        });
    });
    group.finish();
}

criterion_group!(benches, reader, one_byte_chunks, writer, shared_encoding);
criterion_main!(benches);
