//! The memory of a connection, counted by the allocator: half open, idle, and after a long message.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadLimits, Reader, Writer},
    handshake::{ClientHandshake, HandshakeKind, RANDOM},
    message::user_control::UserControl,
    session::{ConnectionLimits, ServerConnection, ServerEvent},
};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

fn held() -> usize {
    dhat::HeapStats::get().curr_bytes
}

fn allocations() -> u64 {
    dhat::HeapStats::get().total_blocks
}

fn command(stream: u32, length: usize) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(stream),
        timestamp: RtmpTimestamp(0),
        payload: Bytes::from(vec![0; length]),
    }
}

/// The bytes that a client sends up to C2, and the chunks after it.
fn client_bytes() -> (BytesMut, BytesMut) {
    let mut hello = BytesMut::new();
    ClientHandshake::new(HandshakeKind::Simple, &[2; RANDOM], &mut hello);
    let mut rest = BytesMut::zeroed(1536);
    let mut writer = Writer::new();
    writer.set_chunk_size(4096, &mut rest);
    for message in [command(0, 700), command(0, 60)] {
        writer.write(ChunkStreamId(3), &message, &mut rest);
    }
    let length = UserControl::SetBufferLength {
        stream: MessageStreamId(1),
        milliseconds: 3000,
    };
    writer.write_full(ChunkStreamId::CONTROL, &length.to_message(), &mut rest);
    (hello, rest)
}

/// A server that has answered connect and createStream.
fn open(connection: &mut ServerConnection, now: Instant, hello: &[u8], rest: &[u8]) {
    connection.handle_input(now, hello).expect("C0 and C1");
    drop(connection.take_output());
    connection.handle_input(now, rest).expect("C2 and commands");
    connection.begin(ServerConnection::CHUNK_SIZE, ServerConnection::WINDOW);
    while let Some(event) = connection.poll_event() {
        if let ServerEvent::Message(_) = event {
            connection.send(ChunkStreamId::COMMAND, &command(0, 300));
            connection.send(ChunkStreamId::STATUS, &command(1, 200));
        }
    }
    drop(connection.take_output());
}

// One test: the allocator's figures are those of the whole process.
#[test]
fn connections_hold_little() {
    let _profiler = dhat::Profiler::builder().testing().build();
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let now = Instant::now();
    let (hello, rest) = client_bytes();
    assert!(
        size_of::<ServerConnection>() <= 640,
        "{}",
        size_of::<ServerConnection>()
    );

    // Half open, at every stage of it.
    for sent in [0, 1, 2, 1536, 1537] {
        let before = held();
        let mut connection = ServerConnection::new([1; RANDOM], now, ConnectionLimits::default());
        connection
            .handle_input(now, &hello[..sent])
            .expect("part of a handshake");
        let half_open = held() - before + size_of::<ServerConnection>();
        assert!(half_open <= 4096, "{half_open} bytes after {sent}");
        drop(connection.take_output());
        let waiting = held() - before;
        assert!(
            sent < 1537 || waiting == 0,
            "{waiting} bytes while C2 is awaited"
        );
    }

    // Idle.
    let before = held();
    let mut connection = ServerConnection::new([1; RANDOM], now, ConnectionLimits::default());
    open(&mut connection, now, &hello, &rest);
    let idle = held() - before;
    assert!(idle <= 512, "{idle} bytes on the heap");

    // After a long message in small pieces, and a long answer.
    let mut writer = Writer::new();
    let mut bytes = BytesMut::new();
    writer.set_chunk_size(4096, &mut bytes);
    writer.write_full(ChunkStreamId(3), &command(0, 1_000_000), &mut bytes);
    for piece in bytes.chunks(1000) {
        connection.handle_input(now, piece).expect("valid chunks");
    }
    drop(bytes);
    let event = connection.poll_event();
    assert!(
        matches!(event, Some(ServerEvent::Message(message)) if message.payload.len() == 1_000_000)
    );
    assert_eq!(connection.poll_event(), None);
    connection.send(ChunkStreamId::COMMAND, &command(0, 1_000_000));
    drop(connection.take_output());
    drop(writer);
    let after = held() - before;
    // The test's own harness allocates now and then, some hundred bytes; a buffer that is kept would
    // be thousands.
    assert!(
        after <= idle + 2048,
        "{after} bytes after a long message, {idle} before"
    );
    drop(connection);

    declared_lengths_allocate_nothing();
    whole_messages_take_one_allocation();
}

/// 64 messages of 16 MiB each are promised, and one byte of each arrives.
fn declared_lengths_allocate_nothing() {
    let before = held();
    let mut reader = Reader::new(ReadLimits::default());
    let mut set = &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1][..];
    assert_eq!(reader.read(&mut set), Ok(None));
    for id in 3..66_u8 {
        let header = [0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0, b'x'];
        let basic = if id < 64 { vec![id] } else { vec![0, id - 64] };
        let bytes = [&basic[..], &header].concat();
        assert_eq!(reader.read(&mut &bytes[..]), Ok(None));
    }
    let promised = held() - before;
    assert!(promised <= 16 * 1024, "{promised} bytes");
}

/// A message that is one chunk, all of it here, is copied once and leaves nothing behind.
fn whole_messages_take_one_allocation() {
    let mut bytes = BytesMut::new();
    let mut writer = Writer::new();
    for _ in 0..1000 {
        writer.write(ChunkStreamId(3), &command(0, 100), &mut bytes);
    }
    let mut reader = Reader::new(ReadLimits::default());
    let before = allocations();
    let mut input = &bytes[..];
    while let Some(message) = reader.read(&mut input).expect("valid chunks") {
        drop(message);
    }
    // And one for the chunk stream.
    assert_eq!(allocations() - before, 1001);
}
