//! One table of bytes and meanings: read whole, split at every byte, and written again where the
//! bytes are those of this writer.

mod limits;
mod recorded;

use bytes::{Bytes, BytesMut};

use super::{ReadError, ReadLimits, Reader, Writer, shared};
use crate::{ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp};

fn message(kind: u8, stream: u32, timestamp: u32, payload: &[u8]) -> Message {
    Message {
        kind: MessageType(kind),
        stream: MessageStreamId(stream),
        timestamp: RtmpTimestamp(timestamp),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// The messages that a new reader makes of bytes in these pieces.
fn read_pieces<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(Vec<Message>, Reader), ReadError> {
    let mut reader = Reader::new(ReadLimits::default());
    let mut messages = Vec::new();
    for mut piece in pieces {
        while let Some(message) = reader.read(&mut piece)? {
            messages.push(message);
        }
        assert!(piece.is_empty());
    }
    Ok((messages, reader))
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, ReadError> {
    read_pieces([bytes]).map(|(messages, _)| messages)
}

struct Case {
    name: &'static str,
    /// Chunks, header and payload in turn.
    bytes: Vec<u8>,
    messages: Vec<Message>,
    /// The chunk stream, if this writer makes the same bytes.
    written: Option<u32>,
}

fn case(
    name: &'static str,
    chunks: &[&[u8]],
    messages: Vec<Message>,
    written: Option<u32>,
) -> Case {
    Case {
        name,
        bytes: chunks.concat(),
        messages,
        written,
    }
}

/// Formats, ids and times.
fn headers() -> Vec<Case> {
    vec![
        case(
            "format 0",
            &[&[0x03, 0, 0x03, 0xe8, 0, 0, 2, 20, 1, 0, 0, 0], b"ab"],
            vec![message(20, 1, 1000, b"ab")],
            Some(3),
        ),
        case(
            "two-byte id",
            &[
                &[0x00, 0xff, 0, 0, 0, 0, 0, 1, 9, 0x04, 0x03, 0x02, 0x01],
                b"a",
            ],
            vec![message(9, 0x0102_0304, 0, b"a")],
            Some(319),
        ),
        case(
            "three-byte id",
            &[&[0x01, 0xff, 0xff, 0, 0, 0, 0, 0, 1, 9, 0, 0, 0, 0], b"a"],
            vec![message(9, 0, 0, b"a")],
            Some(65_599),
        ),
        case(
            "all formats",
            &[
                &[0x03, 0, 0x03, 0xe8, 0, 0, 2, 8, 1, 0, 0, 0],
                b"ab",
                &[0x43, 0, 0, 20, 0, 0, 1, 8],
                b"c",
                &[0x83, 0, 0, 40],
                b"d",
                &[0xc3],
                b"e",
            ],
            vec![
                message(8, 1, 1000, b"ab"),
                message(8, 1, 1020, b"c"),
                message(8, 1, 1060, b"d"),
                message(8, 1, 1100, b"e"),
            ],
            Some(3),
        ),
        case(
            "format 3 after format 0 repeats the time as a delta",
            &[
                &[0x03, 0, 0x03, 0xe8, 0, 0, 1, 8, 1, 0, 0, 0],
                b"a",
                &[0xc3],
                b"b",
                &[0xc3],
                b"c",
            ],
            vec![
                message(8, 1, 1000, b"a"),
                message(8, 1, 2000, b"b"),
                message(8, 1, 3000, b"c"),
            ],
            None,
        ),
        case(
            "time going back takes format 0",
            &[
                &[0x03, 0, 0x03, 0xe8, 0, 0, 1, 8, 1, 0, 0, 0],
                b"a",
                &[0x03, 0, 0x03, 0xe7, 0, 0, 1, 8, 1, 0, 0, 0],
                b"b",
            ],
            vec![message(8, 1, 1000, b"a"), message(8, 1, 999, b"b")],
            Some(3),
        ),
        case(
            "time wraps",
            &[
                &[
                    0x03, 0xff, 0xff, 0xff, 0, 0, 1, 8, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xf0,
                ],
                b"a",
                &[0x83, 0, 0, 0x20],
                b"b",
            ],
            vec![message(8, 1, 0xffff_fff0, b"a"), message(8, 1, 0x10, b"b")],
            Some(3),
        ),
        case(
            "format 1 opens a chunk stream, as librtmp does",
            &[&[0x42, 0, 0, 9, 0, 0, 6, 4], &[0, 6, 0, 0, 0x0d, 0x0f]],
            vec![message(4, 0, 9, &[0, 6, 0, 0, 0x0d, 0x0f])],
            None,
        ),
        case(
            "empty messages",
            &[
                &[0x04, 0, 0, 0, 0, 0, 0, 8, 1, 0, 0, 0],
                &[0x84, 0, 0, 5],
                &[0xc4],
                &[0x44, 0, 0, 1, 0, 0, 1, 8],
                b"a",
            ],
            vec![
                message(8, 1, 0, b""),
                message(8, 1, 5, b""),
                message(8, 1, 10, b""),
                message(8, 1, 11, b"a"),
            ],
            Some(4),
        ),
    ]
}

/// Messages of several chunks.
fn assembly() -> Vec<Case> {
    let long: Vec<u8> = (0..300).map(|n| (n % 251) as u8).collect();
    vec![
        case(
            "three chunks",
            &[
                &[0x06, 0, 0, 7, 0, 1, 44, 9, 1, 0, 0, 0],
                &long[..128],
                &[0xc6],
                &long[128..256],
                &[0xc6],
                &long[256..],
            ],
            vec![message(9, 1, 7, &long)],
            Some(6),
        ),
        case(
            "audio inside video",
            &[
                &[0x07, 0, 0, 7, 0, 1, 44, 9, 1, 0, 0, 0],
                &long[..128],
                &[0x06, 0, 0, 8, 0, 0, 3, 8, 1, 0, 0, 0],
                b"abc",
                &[0xc7],
                &long[128..256],
                &[0x86, 0, 0, 1],
                b"def",
                &[0xc7],
                &long[256..],
            ],
            vec![
                message(8, 1, 8, b"abc"),
                message(8, 1, 9, b"def"),
                message(9, 1, 7, &long),
            ],
            None,
        ),
        case(
            "an aborted message",
            &[
                &[0x07, 0, 0, 7, 0, 1, 44, 9, 1, 0, 0, 0],
                &long[..128],
                &[0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0],
                &[0, 0, 0, 7],
                &[0x47, 0, 0, 5, 0, 0, 2, 9],
                b"ab",
                &[0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0],
                &[0, 0, 0, 9],
            ],
            vec![message(9, 1, 12, b"ab")],
            None,
        ),
        case(
            "a chunk size that changes inside a message",
            &[
                &[0x07, 0, 0, 7, 0, 1, 44, 9, 1, 0, 0, 0],
                &long[..128],
                &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0],
                &[0, 0, 0, 100],
                &[0xc7],
                &long[128..228],
                &[0xc2],
                &[0x7f, 0xff, 0xff, 0xff],
                &[0xc7],
                &long[228..],
            ],
            vec![message(9, 1, 7, &long)],
            None,
        ),
        case(
            "chunks of one byte",
            &[
                &[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0],
                &[0, 0, 0, 1],
                &[0x03, 0, 0, 0, 0, 0, 3, 20, 0, 0, 0, 0],
                b"a",
                &[0xc3],
                b"b",
                &[0xc3],
                b"c",
            ],
            vec![message(20, 0, 0, b"abc")],
            None,
        ),
    ]
}

/// Extended timestamps, repeated on format 3 and not.
fn extended() -> Vec<Case> {
    const FULL: &[u8] = &[
        0x07, 0xff, 0xff, 0xff, 0, 0, 130, 9, 1, 0, 0, 0, 0x01, 0x02, 0x03, 0x04,
    ];
    const TIME: &[u8] = &[0x01, 0x02, 0x03, 0x04];
    let body = [b'x'; 128];
    let whole = |end: &[u8]| message(9, 1, 0x0102_0304, &[&body, end].concat());
    let full_delta = [
        &[0x07, 0, 0, 5, 0, 0, 0, 9, 1, 0, 0, 0][..],
        &[0x47, 0xff, 0xff, 0xff, 0, 0, 130, 9, 0x01, 0, 0, 0],
    ]
    .concat();
    let delta = || {
        vec![
            message(9, 1, 5, b""),
            message(9, 1, 0x0100_0005, &[b'x'; 130]),
        ]
    };
    vec![
        case(
            "repeated",
            &[FULL, &body, &[0xc7], TIME, b"yz"],
            vec![whole(b"yz")],
            Some(7),
        ),
        case(
            "not repeated",
            &[FULL, &body, &[0xc7], b"yz"],
            vec![whole(b"yz")],
            None,
        ),
        case(
            "not repeated, and the payload looks as if",
            &[
                FULL,
                &body,
                &[0xc7],
                &[0x01, 0x02],
                &[0x47, 0, 0, 1, 0, 0, 1, 9],
                b"a",
            ],
            vec![whole(&[1, 2]), message(9, 1, 0x0102_0305, b"a")],
            None,
        ),
        case(
            "not repeated, and the payload and the next header look as if",
            &[
                &[
                    0x07, 0xff, 0xff, 0xff, 0, 0, 129, 9, 1, 0, 0, 0, 0x01, 0x83, 0, 1,
                ],
                &body,
                &[0xc7],
                &[0x01],
                // A format 2 header: 0x83, 0, 0, 5.
                &[0x83, 0, 0, 5],
                b"b",
            ],
            vec![
                message(9, 1, 0x0183_0001, &[&body[..], &[1]].concat()),
                message(8, 1, 5, b"b"),
            ],
            None,
        ),
        case(
            "a delta, repeated",
            &[&full_delta, &[b'x'; 128], &[0xc7, 0x01, 0, 0, 0], b"xx"],
            delta(),
            None,
        ),
        case(
            "a delta, with the time repeated",
            &[&full_delta, &[b'x'; 128], &[0xc7, 0x01, 0, 0, 5], b"xx"],
            delta(),
            None,
        ),
        case(
            "a delta, not repeated",
            &[&full_delta, &[b'x'; 128], &[0xc7], b"xx"],
            delta(),
            None,
        ),
        case(
            "a new message with it repeated",
            &[
                FULL,
                &body,
                &[0xc7],
                TIME,
                b"yz",
                &[0xc7],
                TIME,
                &body,
                &[0xc7],
                TIME,
                b"yz",
            ],
            vec![
                whole(b"yz"),
                Message {
                    timestamp: RtmpTimestamp(0x0204_0608),
                    ..whole(b"yz")
                },
            ],
            None,
        ),
        case(
            "a new message without",
            &[FULL, &body, &[0xc7], b"yz", &[0xc7], &body, &[0xc7], b"yz"],
            vec![
                whole(b"yz"),
                Message {
                    timestamp: RtmpTimestamp(0x0204_0608),
                    ..whole(b"yz")
                },
            ],
            None,
        ),
        case(
            "the lowest time that needs it",
            &[
                &[
                    0x03, 0xff, 0xff, 0xff, 0, 0, 1, 8, 1, 0, 0, 0, 0x00, 0xff, 0xff, 0xff,
                ],
                b"a",
            ],
            vec![message(8, 1, 0x00ff_ffff, b"a")],
            Some(3),
        ),
        case(
            "the highest time that does not",
            &[&[0x03, 0xff, 0xff, 0xfe, 0, 0, 1, 8, 1, 0, 0, 0], b"a"],
            vec![message(8, 1, 0x00ff_fffe, b"a")],
            Some(3),
        ),
        case(
            "a delta that would need it takes format 0",
            &[
                &[0x03, 0, 0, 1, 0, 0, 1, 8, 1, 0, 0, 0],
                b"a",
                &[
                    0x03, 0xff, 0xff, 0xff, 0, 0, 1, 8, 1, 0, 0, 0, 0x01, 0, 0, 0,
                ],
                b"b",
            ],
            vec![message(8, 1, 1, b"a"), message(8, 1, 0x0100_0000, b"b")],
            Some(3),
        ),
    ]
}

fn cases() -> Vec<Case> {
    // In one case a one-byte message opens chunk stream 3 first.
    let mut cases: Vec<_> = headers()
        .into_iter()
        .chain(assembly())
        .chain(extended())
        .collect();
    let opened = cases
        .iter_mut()
        .find(|case| case.name.contains("next header look"));
    let case = opened.expect("the case is in the table");
    case.bytes
        .splice(0..0, [0x03, 0, 0, 0, 0, 0, 1, 8, 1, 0, 0, 0, b'a']);
    case.messages.insert(0, message(8, 1, 0, b"a"));
    cases
}

#[test]
fn every_case_reads_whole_and_split_at_every_byte() {
    for Case {
        name,
        bytes,
        messages,
        ..
    } in cases()
    {
        assert_eq!(read(&bytes).as_ref(), Ok(&messages), "{name}");
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let (read, reader) = read_pieces([first, second]).expect(name);
            assert_eq!(read, messages, "{name}, cut at {cut}");
            assert!(reader.is_between_messages(), "{name}, cut at {cut}");
        }
        let (read, reader) = read_pieces(bytes.chunks(1)).expect(name);
        assert_eq!(read, messages, "{name}, byte by byte");
        assert!(reader.is_between_messages(), "{name}");
    }
}

#[test]
fn the_writer_makes_the_same_bytes() {
    for Case {
        name,
        bytes,
        messages,
        written,
    } in cases()
    {
        let Some(id) = written else { continue };
        let mut writer = Writer::new();
        let mut out = BytesMut::new();
        for message in &messages {
            let room = writer.encoded_length(ChunkStreamId(id), message.payload.len());
            let before = out.len();
            writer.write(ChunkStreamId(id), message, &mut out);
            assert!(out.len() - before <= room, "{name}");
        }
        assert_eq!(out, bytes, "{name}");
    }
}

#[test]
fn what_is_written_reads_back_at_any_chunk_size() {
    for chunk_size in [1, 2, 127, 128, 129, 4096, 65_536, u32::MAX] {
        let mut writer = Writer::new();
        let mut out = BytesMut::new();
        writer.set_chunk_size(chunk_size, &mut out);
        let mut expected = Vec::new();
        for (n, size) in [0, 1, 127, 128, 129, 256, 257, 5000, 70_000, 70_000]
            .into_iter()
            .enumerate()
        {
            let message = message(9, 1, 0x00ff_fff0 + 8 * n as u32, &vec![n as u8; size]);
            match n % 3 {
                0 => writer.write_full(ChunkStreamId(7), &message, &mut out),
                _ => writer.write(ChunkStreamId(7), &message, &mut out),
            }
            expected.push(message);
        }
        for step in [1, 1000, usize::MAX] {
            let (messages, reader) = read_pieces(out.chunks(step)).expect("valid chunks");
            assert_eq!(messages, expected);
            assert_eq!(reader.chunk_size(), chunk_size.min(super::MAX_CHUNK_SIZE));
            assert_eq!(writer.chunk_size(), reader.chunk_size());
        }
    }
}

#[test]
fn chunks_are_counted() {
    let mut writer = Writer::new();
    let mut out = BytesMut::new();
    writer.write(ChunkStreamId(3), &message(20, 0, 0, &[0; 1000]), &mut out);
    writer.write(ChunkStreamId(3), &message(20, 0, 0, &[]), &mut out);
    let (_, reader) = read_pieces([&out[..]]).expect("valid chunks");
    assert_eq!(reader.chunks(), 8 + 1);
}

#[test]
fn the_shared_encoding_reads_back() {
    for timestamp in [0, 0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
        for size in [0, 1, 128, 129, 256, 1000] {
            for id in [6, 64, 320] {
                let original = message(8, 9, 77, &vec![1; size]);
                let encoded = shared::encode(&original, ChunkStreamId(id), 128)
                    .at(RtmpTimestamp(0x0200_0000))
                    .at(RtmpTimestamp(timestamp));
                for stream in [0, 5, 0x0102_0304] {
                    let header = encoded.header(MessageStreamId(stream));
                    let bytes = [&header[..], encoded.body()].concat();
                    assert_eq!(bytes.len(), encoded.wire_len());
                    let expected = message(8, stream, timestamp, &original.payload);
                    assert_eq!(read(&bytes), Ok(vec![expected]));
                }
                assert_eq!(encoded.payload(), original.payload);
                assert_eq!(encoded.payload_len(), size);
            }
        }
    }
}

#[test]
fn the_shared_encoding_copies_no_payload_without_need() {
    let short = message(8, 0, 10, &[1; 128]);
    let encoded = shared::encode(&short, ChunkStreamId::AUDIO, 128);
    assert_eq!(encoded.body().as_ptr(), short.payload.as_ptr());
    let moved = encoded.at(RtmpTimestamp(u32::MAX));
    assert_eq!(moved.body().as_ptr(), short.payload.as_ptr());

    let long = message(9, 0, 10, &[1; 129]);
    let encoded = shared::encode(&long, ChunkStreamId::VIDEO, 128);
    assert_eq!(
        encoded.body().as_ptr(),
        encoded.at(RtmpTimestamp(99)).body().as_ptr()
    );
    let moved = encoded.at(RtmpTimestamp(0x0100_0000));
    assert_ne!(encoded.body().as_ptr(), moved.body().as_ptr());
    assert_eq!(moved.body().len(), encoded.body().len() + 4);
}
