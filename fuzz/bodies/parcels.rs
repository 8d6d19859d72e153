//! Conditions for any bytes that are read as parcels, and for machines that move to another process in
//! the middle of their work. `tunnel.rs` and `link.rs` move theirs by themselves.

#[allow(clippy::duplicate_mod, reason = "a test may include several bodies")]
#[path = "chunker.rs"]
mod chunker;
#[allow(clippy::duplicate_mod, reason = "a test may include several bodies")]
#[path = "moving.rs"]
mod moving;

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadError, ReadLimits, Reader, Writer},
    handshake::{ClientHandshake, HandshakeKind, RANDOM},
    link::{EdgeLane, EdgeLaneLimits, Rate},
    media,
    message::user_control::UserControl,
    parcel::{Carried, unpack},
    ring::{Cursor, Ring, RingLimits},
    session::{ConnectionLimits, Error, ServerConnection, ServerEvent},
    tunnel::{Tunnel, TunnelId, TunnelKind},
    websocket::{WebSocketEvent, WebSocketReader},
};

use chunker::Decisions;
use moving::moved;

/// Reads bytes as the parcel of a machine, or as the work of machines that move in the middle of it.
pub(crate) fn parcels(data: &[u8]) {
    let Some((&which, data)) = data.split_first() else {
        return;
    };
    let now = now();
    match which % 12 {
        0 => held(data, now, reader_limits(), read_on),
        1 => held(data, now, (), write_on),
        2 => held(data, now, connection_limits(), |it, input| {
            converse(it, now, input)
        }),
        3 => held(data, now, (), unmask_on),
        4 => held(data, now, ANSWER, |it, input| request_on(it, now, input)),
        5 => held::<TunnelId>(data, now, (), |id, _| assert!(id.open_answer().len() == 37)),
        6 => held(data, now, lane_limits(), |it, input| {
            transmit_on(it, now, input)
        }),
        7 => moved_reader(data, now),
        8 => moved_writer(data, now),
        9 => moved_frames(data, now),
        10 => moved_connection(data, now),
        _ => held(data, now, (), watch_on),
    }
}

/// A parcel of any bytes is refused, or is a machine that can move on and takes any input. The first two
/// bytes are the parcel's length.
fn held<M: Carried>(data: &[u8], now: Instant, limits: M::Limits, work: impl FnOnce(M, &[u8])) {
    let Some((length, data)) = data.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes(*length)).min(data.len());
    let (parcel, input) = data.split_at(length);
    match unpack::<M>(parcel, now, limits, MOST) {
        Ok(machine) => {
            moved(&machine, now, limits);
            work(machine, input);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The bound of a parcel here.
const MOST: usize = 4096;

/// The bytes of the longest answer of a tunnel.
const ANSWER: usize = 100;

fn reader_limits() -> ReadLimits {
    ReadLimits {
        message: 5000,
        partial: 1000,
        chunk_streams: 5,
    }
}

fn connection_limits() -> ConnectionLimits {
    ConnectionLimits {
        chunks_per_second: 100,
        ..ConnectionLimits::default()
    }
}

fn lane_limits() -> EdgeLaneLimits {
    EdgeLaneLimits {
        rate: Rate::default(),
        sessions: 100,
    }
}

fn read_on(mut reader: Reader, mut input: &[u8]) {
    while let Ok(Some(message)) = reader.read(&mut input) {
        assert!(message.payload.len() <= 5000);
    }
    assert!(reader.partial_bytes() <= 1000 || !input.is_empty());
}

fn write_on(mut writer: Writer, input: &[u8]) {
    let mut out = BytesMut::new();
    writer.write(ChunkStreamId(3), &message(input), &mut out);
    assert!(out.len() >= input.len());
}

fn unmask_on(mut reader: WebSocketReader, input: &[u8]) {
    let mut input = input.to_vec();
    let mut rest = &mut input[..];
    while let Ok(Some(_)) = reader.read(&mut rest) {}
}

fn request_on(mut tunnel: Tunnel, now: Instant, input: &[u8]) {
    let _ = tunnel.handle_request(TunnelKind::Idle, 1, 2, now);
    tunnel.take_body(1, 0, input);
    if tunnel.answer_at(true).is_some() {
        tunnel.answer(BytesMut::from(input));
    }
}

/// A reader in a ring of any numbers around its own.
fn watch_on(mut cursor: Cursor, input: &[u8]) {
    let mut ring = Ring::new(RingLimits {
        messages: 5,
        ..RingLimits::default()
    });
    ring.continue_at(cursor.position().saturating_sub(3));
    for (n, &byte) in input.iter().enumerate() {
        let mut message = message(&[byte, 1]);
        message.kind = MessageType([8, 9, 18][n % 3]);
        let class = media::classify(message.kind, &message.payload);
        ring.push(class, message.timestamp, message);
        if byte.is_multiple_of(2) {
            while ring.next(&mut cursor, Duration::from_secs(1)).is_some() {}
        }
    }
}

fn transmit_on(mut lane: EdgeLane, now: Instant, input: &[u8]) {
    let received = input.first().copied().unwrap_or_default();
    if lane.connected(u64::from(received)).is_ok() {
        let _ = lane.handle_bytes(now, input);
        while lane.poll_transmit(now).is_some() {}
        while lane.poll_event().is_some() {}
        lane.disconnected();
    }
}

/// Reads any bytes as chunks: a reader that moves after each piece reads what the other reads.
fn moved_reader(data: &[u8], now: Instant) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let chunked = chunker::chunk(&mut Decisions(data)).bytes;
    let limits = ReadLimits {
        partial: usize::MAX,
        ..ReadLimits::default()
    };
    // Few moves where the bytes are many.
    let long = usize::from(step) + 1 + chunked.len() / 100;
    for (bytes, step) in [(data, usize::from(step) + 1), (&chunked, long)] {
        let mut stays = Reader::new(limits);
        let mut moves = Reader::new(limits);
        for piece in bytes.chunks(step) {
            let (whole, again) = (read(&mut stays, piece), read(&mut moves, piece));
            assert_eq!(whole, again);
            if whole.is_err() {
                break;
            }
            assert_eq!(stays.chunks(), moves.chunks());
            moves = moved(&moves, now, limits);
        }
    }
}

fn read(reader: &mut Reader, mut piece: &[u8]) -> Result<Vec<Message>, ReadError> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut piece)? {
        messages.push(message);
    }
    Ok(messages)
}

/// Writes messages: a writer that moves after each writes the same bytes.
fn moved_writer(data: &[u8], now: Instant) {
    let (mut stays, mut moves) = (Writer::new(), Writer::new());
    for (n, message) in chunker::chunk(&mut Decisions(data))
        .messages
        .iter()
        .enumerate()
    {
        let csid = ChunkStreamId([3, 6, 64, 320][n % 3]);
        let write = |writer: &mut Writer| {
            let mut out = BytesMut::new();
            match n % 7 {
                3 => writer.set_chunk_size(1 << (n % 20), &mut out),
                5 => writer.write_full(csid, message, &mut out),
                _ => writer.write(csid, message, &mut out),
            }
            out
        };
        assert_eq!(write(&mut stays), write(&mut moves));
        assert_eq!(stays.chunk_size(), moves.chunk_size());
        moves = moved(&moves, now, ());
    }
}

/// Reads any bytes as frames of a client: a reader that moves after each piece reads the same.
fn moved_frames(data: &[u8], now: Instant) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let (mut stays, mut moves) = (WebSocketReader::default(), WebSocketReader::default());
    for piece in data.chunks(usize::from(step % 16) + 1) {
        let (mut one, mut other) = (piece.to_vec(), piece.to_vec());
        let (mut one, mut other) = (&mut one[..], &mut other[..]);
        loop {
            let event: Result<Option<WebSocketEvent<'_>>, _> = stays.read(&mut one);
            assert_eq!(event, moves.read(&mut other));
            match event {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        moves = moved(&moves, now, ());
    }
}

/// Two connections with the same client, one of which moves after each operation: both say the same.
fn moved_connection(data: &[u8], mut now: Instant) {
    let limits = connection_limits();
    let mut decisions = Decisions(data);
    let chunked = chunker::chunk(&mut Decisions(&data[data.len().min(40)..])).bytes;
    let window = [WINDOW, &chunked].concat();
    let mut input = match decisions.byte() % 3 {
        0 => data,
        1 => &window,
        _ => &chunked[..],
    };
    let (mut stays, mut moves) = (connected(now, limits), connected(now, limits));
    for _ in 0..60 {
        let (operation, value) = (decisions.byte(), decisions.byte());
        if operation % 8 == 7 {
            now += Duration::from_millis(u64::from(value) * 400);
            continue;
        }
        let count = (usize::from(value) * 4).min(input.len());
        let (piece, rest) = input.split_at(count);
        let one = operate(&mut stays, operation, value, piece, now);
        let other = operate(&mut moves, operation, value, piece, now);
        assert_eq!(one, other);
        if operation % 8 < 2 {
            input = rest;
        }
        if one.is_err() {
            return;
        }
        moves = moved(&moves, now, limits);
    }
}

/// A window of 5,000 bytes, so that acknowledgements become due.
const WINDOW: &[u8] = b"\x02\0\0\0\0\0\x04\x05\0\0\0\0\0\0\x13\x88";

/// Does one thing, and tells all that can be seen of the connection after it.
fn operate(
    connection: &mut ServerConnection,
    operation: u8,
    value: u8,
    piece: &[u8],
    now: Instant,
) -> Result<Seen, Error> {
    let result = match operation % 8 {
        0 | 1 => connection.handle_input(now, piece),
        2 => connection.handle_timeout(now),
        3 => {
            connection.send_ping(now);
            Ok(())
        }
        4 => {
            connection.begin(1 << (value % 24), u32::from(value) << 16);
            Ok(())
        }
        5 => {
            let csid = ChunkStreamId(u32::from(value % 8) + 2);
            connection.send(csid, &message(piece));
            Ok(())
        }
        _ => {
            connection.send_user_control(&UserControl::StreamBegin(MessageStreamId(1)));
            connection.note_written_shared(usize::from(value));
            Ok(())
        }
    };
    let seen = Seen {
        events: std::iter::from_fn(|| connection.poll_event()).collect(),
        // Output that is left moves as well.
        output: (!value.is_multiple_of(3)).then(|| connection.take_output()),
        times: [connection.poll_timeout(), connection.throttled_until()],
        awaits_pong: connection.awaits_pong(),
        chunk_size: connection.chunk_size(),
        bytes_sent: connection.bytes_sent(),
        peer_acknowledged: connection.peer_acknowledged(),
    };
    result.map(|()| seen)
}

/// A connection, as its driver sees it.
#[derive(Debug, PartialEq)]
struct Seen {
    events: Vec<ServerEvent>,
    output: Option<BytesMut>,
    times: [Option<Instant>; 2],
    awaits_pong: bool,
    chunk_size: u32,
    bytes_sent: u64,
    peer_acknowledged: Option<u32>,
}

/// Reads on until the input is over, as a driver does.
fn converse(mut connection: ServerConnection, now: Instant, input: &[u8]) {
    let _ = connection.handle_input(now, input);
    while connection.poll_event().is_some() {}
    let _ = connection.handle_timeout(now + Duration::from_secs(100));
    connection.send_ping(now);
    connection.postpone(Duration::from_secs(1));
    connection.take_output();
    let _ = (connection.throttled_until(), connection.poll_timeout());
}

/// A connection after its handshake.
fn connected(now: Instant, limits: ConnectionLimits) -> ServerConnection {
    let mut connection = ServerConnection::new([1; RANDOM], now, limits);
    let mut out = BytesMut::new();
    let mut client = ClientHandshake::new(HandshakeKind::Simple, &[2; RANDOM], &mut out);
    let read = connection.handle_input(now, &out.split());
    read.expect("C0 and C1");
    let done = client.read(&mut &connection.take_output()[..], &mut out);
    assert_eq!(done, Ok(true));
    connection.handle_input(now, &out).expect("C2");
    while connection.poll_event().is_some() {}
    connection
}

fn message(payload: &[u8]) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(payload.len() as u32),
        payload: Bytes::copy_from_slice(payload),
    }
}

/// A moment for all machines.
#[allow(
    clippy::disallowed_methods,
    reason = "`Instant` offers no other beginning"
)]
fn now() -> Instant {
    Instant::now()
}
