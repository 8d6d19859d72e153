use bytes::Bytes;

use super::*;
use crate::MessageStreamId;

fn tag(kind: u8, timestamp: u32, payload: &'static [u8]) -> Message {
    Message {
        kind: MessageType(kind),
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp(timestamp),
        payload: Bytes::from_static(payload),
    }
}

fn file() -> (Vec<u8>, Vec<Message>) {
    let tags = vec![
        tag(18, 0, b"\x02\0\x0aonMetaData\x05"),
        tag(9, 0, b"\x17\0\0\0\0\x01"),
        tag(8, 0x0100_0005, b""),
        tag(9, u32::MAX, b"\x27\x01\0\0\0x"),
    ];
    let mut bytes = header(true, true).to_vec();
    for tag in &tags {
        put_tag(&mut bytes, tag);
    }
    (bytes, tags)
}

#[test]
fn a_tag_is_laid_out_as_specified() {
    let mut bytes = Vec::new();
    put_tag(&mut bytes, &tag(8, 0x0102_0304, b"ab"));
    let expected = [8, 0, 0, 2, 2, 3, 4, 1, 0, 0, 0, b'a', b'b', 0, 0, 0, 13];
    assert_eq!(bytes, expected);
    assert_eq!(header(false, true)[..9], *b"FLV\x01\x01\0\0\0\x09");
}

#[test]
fn a_file_reads_back_in_pieces_of_any_size() {
    let (bytes, tags) = file();
    for step in 1..=bytes.len() {
        let mut reader = FlvReader::default();
        let mut read = Vec::new();
        for mut piece in bytes.chunks(step) {
            while let Some(message) = reader.read(&mut piece).expect("a sound file") {
                read.push(message);
            }
        }
        assert_eq!(read, tags, "in pieces of {step}");
        assert!(reader.is_between_tags());
    }
}

#[test]
fn a_longer_file_header_is_skipped() {
    let (bytes, tags) = file();
    let mut longer = bytes[..9].to_vec();
    longer[8] = 12;
    longer.extend_from_slice(b"abc");
    longer.extend_from_slice(&bytes[9..]);
    let first = FlvReader::default().read(&mut &longer[..]);
    assert_eq!(first, Ok(Some(tags[0].clone())));
}

#[test]
fn what_is_no_file_is_refused() {
    let (bytes, _) = file();
    let table: [(usize, u8, FlvError); 5] = [
        (0, b'X', FlvError::NotFlv),
        (3, 2, FlvError::NotFlv),
        (8, 8, FlvError::NotFlv),
        (5, 1, FlvError::NotFlv),
        (13, 0x32, FlvError::Encrypted),
    ];
    for (place, byte, error) in table {
        let mut changed = bytes.clone();
        changed[place] = byte;
        assert_eq!(FlvReader::default().read(&mut &changed[..]), Err(error));
    }
    let error = FlvReader::new(3).read(&mut &bytes[..]);
    assert_eq!(error, Err(FlvError::TagTooLong { length: 14 }));
}
