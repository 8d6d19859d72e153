//! AMF0 and AMF3 in bytes per second, and rml_amf0 over the same AMF0 bytes.
//!
//! `cargo bench --bench amf`. The group `hostile` shows times: the cost of 16 MiB messages that are
//! refused in the end.

use std::hint::black_box;
use std::io::Cursor;

use bytes::BytesMut;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tributary_protocol::TransactionId;
use tributary_protocol::amf::{Budget, EcmaArray, Object, ObjectEncoding, Value, amf0, amf3};

/// A message of the benches: its name and its values.
type Case = (&'static str, Vec<Value>);

fn cases() -> [Case; 3] {
    [
        ("connect", connect()),
        ("onMetaData", metadata()),
        ("1000 objects", vec![objects()]),
    ]
}

fn connect() -> Vec<Value> {
    let four_ccs = ["av01", "vp09", "hvc1", "avc1", "Opus", "mp4a"];
    let properties = Object::new()
        .with("app", "live/room")
        .with("type", "nonprivate")
        .with("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)")
        .with("swfUrl", "rtmp://example.com/live/room")
        .with("tcUrl", "rtmp://example.com/live/room")
        .with("capabilities", 239.0)
        .with("audioCodecs", 3575.0)
        .with("videoCodecs", 252.0)
        .with("videoFunction", 1.0)
        .with("objectEncoding", 0.0)
        .with("fourCcList", four_ccs.map(Value::from).to_vec());
    let transaction = TransactionId(1.0);
    vec!["connect".into(), transaction.0.into(), properties.into()]
}

fn metadata() -> Vec<Value> {
    let numbers = [
        ("duration", 0.0),
        ("fileSize", 0.0),
        ("width", 1920.0),
        ("height", 1080.0),
        ("videocodecid", 7.0),
        ("videodatarate", 6000.0),
        ("framerate", 59.94),
        ("audiocodecid", 10.0),
        ("audiodatarate", 160.0),
        ("audiosamplerate", 48000.0),
        ("audiosamplesize", 16.0),
        ("audiochannels", 2.0),
    ];
    let mut array: EcmaArray = numbers.into_iter().collect();
    array.properties.push(("stereo".to_owned(), true.into()));
    array
        .properties
        .push(("encoder".to_owned(), "an encoder, version 1.0".into()));
    array.declared = array.properties.len() as u32;
    vec!["@setDataFrame".into(), "onMetaData".into(), array.into()]
}

fn objects() -> Value {
    let object = |index: u32| {
        let object = Object::new()
            .with("id", index)
            .with("name", format!("user {index}"))
            .with("score", f64::from(index) * 1.5)
            .with("online", index.is_multiple_of(2))
            .with("room", "lobby");
        Value::from(object)
    };
    (0..1000).map(object).collect::<Vec<_>>().into()
}

fn amf0_bytes(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    amf0::encode_all(&mut out, ObjectEncoding::Amf0, values);
    out
}

fn amf3_bytes(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    amf3::encode_all(&mut out, values);
    out
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, values) in cases() {
        let bytes = amf0_bytes(&values);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("amf0", name), &bytes, |bencher, bytes| {
            bencher.iter(|| amf0::decode_all(black_box(bytes), &Budget::default()));
        });
        group.bench_with_input(
            BenchmarkId::new("rml_amf0", name),
            &bytes,
            |bencher, bytes| {
                bencher.iter(|| rml_amf0::deserialize(&mut Cursor::new(black_box(bytes))));
            },
        );
        let bytes = amf3_bytes(&values);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(BenchmarkId::new("amf3", name), &bytes, |bencher, bytes| {
            bencher.iter(|| amf3::decode_all(black_box(bytes), &Budget::default()));
        });
    }
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for (name, values) in cases() {
        let bytes = amf0_bytes(&values);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_with_input(
            BenchmarkId::new("amf0", name),
            &values,
            |bencher, values| {
                bencher.iter(|| amf0_bytes(black_box(values)));
            },
        );
        let theirs = rml_amf0::deserialize(&mut Cursor::new(&bytes)).expect("it is AMF0");
        group.bench_with_input(
            BenchmarkId::new("rml_amf0", name),
            &theirs,
            |bencher, values| {
                bencher.iter(|| rml_amf0::serialize(black_box(values)));
            },
        );
        group.throughput(Throughput::Bytes(amf3_bytes(&values).len() as u64));
        group.bench_with_input(
            BenchmarkId::new("amf3", name),
            &values,
            |bencher, values| {
                bencher.iter(|| amf3_bytes(black_box(values)));
            },
        );
    }
}

fn hostile(criterion: &mut Criterion) {
    let size = Budget::MAX_BYTES;
    let messages = [
        ("nulls", vec![0x05; size]),
        ("empty arrays", [0x0A, 0, 0, 0, 0].repeat(size / 5)),
        (
            "empty names",
            [&[0x08, 0, 0, 0, 0][..], &[0, 0, 5].repeat(size / 3 - 2)].concat(),
        ),
        ("nested arrays", [0x0A, 0, 0, 0, 1].repeat(size / 5)),
    ];
    let mut group = criterion.benchmark_group("hostile");
    group.sample_size(10);
    for (name, bytes) in messages {
        group.bench_with_input(BenchmarkId::new("amf0", name), &bytes, |bencher, bytes| {
            bencher.iter(|| amf0::decode_all(black_box(bytes), &Budget::default()).unwrap_err());
        });
    }
}

criterion_group!(benches, decode, encode, hostile);
criterion_main!(benches);
