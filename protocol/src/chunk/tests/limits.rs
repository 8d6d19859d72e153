//! The refusals of a reader, and the bytes that it holds.

use super::*;

fn full(csid: u8, length: u32, kind: u8) -> Vec<u8> {
    let [_, a, b, c] = length.to_be_bytes();
    vec![csid, 0, 0, 0, a, b, c, kind, 0, 0, 0, 0]
}

#[test]
fn what_is_no_chunk_stream_is_refused() {
    let partial = [full(7, 200, 9), vec![0; 128]].concat();
    let chunk_stream = ChunkStreamId(7);
    let inside = |format| ReadError::HeaderInMessage {
        chunk_stream,
        format,
    };
    let unknown = |format| ReadError::UnknownChunkStream {
        chunk_stream,
        format,
    };
    let size = |size: u32| [full(2, 4, 1), size.to_be_bytes().to_vec()].concat();
    let table: Vec<(&str, Vec<u8>, ReadError)> = vec![
        ("format 2 opens", vec![0x87], unknown(2)),
        ("format 3 opens", vec![0xc7], unknown(3)),
        (
            "another length inside",
            [partial.clone(), full(7, 300, 9)].concat(),
            inside(0),
        ),
        (
            "a shorter one",
            [partial.clone(), full(7, 100, 9)].concat(),
            inside(0),
        ),
        (
            "the same header again",
            [partial.clone(), full(7, 200, 9)].concat(),
            inside(0),
        ),
        (
            "format 1 inside",
            [partial.clone(), vec![0x47, 0, 0, 0, 0, 0, 100, 9]].concat(),
            inside(1),
        ),
        (
            "format 2 inside",
            [partial, vec![0x87, 0, 0, 0]].concat(),
            inside(2),
        ),
        ("chunk size 0", size(0), ReadError::ChunkSize { size: 0 }),
        (
            "high bit",
            size(0x8000_0080),
            ReadError::ChunkSize { size: 0x8000_0080 },
        ),
        (
            "chunk size of three bytes",
            [full(2, 3, 1), vec![0, 0, 1]].concat(),
            ReadError::ShortControl {
                kind: MessageType::SET_CHUNK_SIZE,
            },
        ),
        (
            "empty abort",
            full(2, 0, 2),
            ReadError::ShortControl {
                kind: MessageType::ABORT,
            },
        ),
    ];
    for (name, bytes, error) in table {
        assert_eq!(read(&bytes), Err(error), "{name}");
        assert_eq!(
            read_pieces(bytes.chunks(1)).map(|_| ()),
            Err(error),
            "{name}"
        );
        assert!(!error.is_limit());
    }
}

#[test]
fn chunk_sizes_are_capped_and_small_ones_allowed() {
    for (size, expected) in [
        (1, 1),
        (127, 127),
        (0x00ff_ffff, 0x00ff_ffff),
        (0x0100_0000, 0x00ff_ffff),
        (0x7fff_ffff, 0x00ff_ffff),
    ] {
        let bytes = [full(2, 4, 1), u32::to_be_bytes(size).to_vec()].concat();
        let (messages, reader) = read_pieces([&bytes[..]]).expect("a sound chunk size");
        assert_eq!(messages, []);
        assert_eq!(reader.chunk_size(), expected);
    }
}

#[test]
fn limits_are_kept() {
    let limits = ReadLimits {
        message: 1000,
        partial: 300,
        chunk_streams: 4,
    };
    let mut reader = Reader::new(limits);
    let error = reader.read(&mut &full(3, 1001, 20)[..]);
    let chunk_stream = ChunkStreamId(3);
    assert_eq!(
        error,
        Err(ReadError::MessageTooLong {
            chunk_stream,
            length: 1001
        })
    );

    let mut reader = Reader::new(limits);
    for csid in 3..5 {
        let bytes = [full(csid, 1000, 20), vec![0; 128]].concat();
        assert_eq!(reader.read(&mut &bytes[..]), Ok(None));
    }
    assert_eq!(reader.partial_bytes(), 256);
    let bytes = [full(5, 1000, 20), vec![0; 128]].concat();
    let error = reader.read(&mut &bytes[..]);
    assert_eq!(error, Err(ReadError::PartialBudget { limit: 300 }));

    let mut reader = Reader::new(limits);
    for csid in 3..7 {
        assert!(
            reader
                .read(&mut &full(csid, 0, 20)[..])
                .is_ok_and(|message| message.is_some())
        );
    }
    let error = reader
        .read(&mut &full(7, 0, 20)[..])
        .expect_err("a fifth chunk stream");
    assert_eq!(error, ReadError::TooManyChunkStreams { limit: 4 });
    assert!(error.is_limit());
}

#[test]
fn limits_can_be_raised_inside_a_message() {
    let mut reader = Reader::new(ReadLimits {
        partial: 200,
        ..ReadLimits::default()
    });
    let bytes = [full(3, 300, 20), vec![5; 128]].concat();
    assert_eq!(reader.read(&mut &bytes[..]), Ok(None));
    reader.set_limits(ReadLimits::default());
    let bytes = [vec![0xc3], vec![5; 128], vec![0xc3], vec![5; 44]].concat();
    let message = reader
        .read(&mut &bytes[..])
        .expect("valid chunks")
        .expect("a message");
    assert_eq!(message.payload, vec![5; 300]);
    assert_eq!(reader.partial_bytes(), 0);
}

#[test]
fn a_finished_message_leaves_an_exact_buffer() {
    let mut reader = Reader::new(ReadLimits::default());
    let mut bytes = full(3, 100_000, 20);
    for chunk in vec![7; 100_000].chunks(128) {
        bytes.extend_from_slice(chunk);
        bytes.push(0xc3);
    }
    bytes.pop();
    for mut piece in bytes.chunks(1000) {
        if let Some(message) = reader.read(&mut piece).expect("valid chunks") {
            assert_eq!(message.payload.len(), 100_000);
            // Turned into a vector, the payload has no spare byte.
            assert_eq!(Vec::from(message.payload).capacity(), 100_000);
            return;
        }
    }
    panic!("the message is not complete");
}
