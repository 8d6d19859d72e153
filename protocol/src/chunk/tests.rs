//! One table of bytes and meanings, read whole and split at every byte, and written again.

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

fn read_all(reader: &mut Reader, mut input: &[u8]) -> Result<Vec<Message>, ReadError> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty());
    Ok(messages)
}

#[test]
fn what_is_written_reads_back() {
    let mut writer = Writer::new();
    let mut out = BytesMut::new();
    let mut expected = Vec::new();
    for (n, size) in [
        0usize, 1, 127, 128, 129, 256, 257, 5000, 70_000, 70_000, 70_000,
    ]
    .iter()
    .enumerate()
    {
        let message = message(9, 1, 0x00ff_fff0 + 8 * n as u32, &vec![n as u8; *size]);
        writer.write(ChunkStreamId(7), &message, &mut out);
        expected.push(message);
    }
    let whole = read_all(&mut Reader::new(ReadLimits::default()), &out);
    assert_eq!(whole.as_ref(), Ok(&expected));
    let mut reader = Reader::new(ReadLimits::default());
    let mut split = Vec::new();
    for byte in out.chunks(1) {
        split.extend(read_all(&mut reader, byte).expect("valid chunks"));
    }
    assert_eq!(split, expected);
    assert!(reader.is_between_messages());
}

#[test]
fn the_shared_encoding_reads_back() {
    for timestamp in [0, 0x00ff_fffe, 0x00ff_ffff, 0x0100_0000, u32::MAX] {
        for size in [0, 1, 128, 129, 1000] {
            let original = message(8, 5, 77, &vec![1; size]);
            let encoded =
                shared::encode(&original, ChunkStreamId::AUDIO, 128).at(RtmpTimestamp(timestamp));
            let mut bytes = encoded.header(MessageStreamId(5)).to_vec();
            bytes.extend_from_slice(encoded.body());
            assert_eq!(bytes.len(), encoded.wire_len());
            let expected = message(8, 5, timestamp, &original.payload);
            let read = read_all(&mut Reader::new(ReadLimits::default()), &bytes);
            assert_eq!(read, Ok(vec![expected]));
            assert_eq!(encoded.payload(), original.payload);
        }
    }
}
