//! Fuzz bodies for the readers of a peer's bytes below the commands: handshake, chunk streams,
//! media, aggregates, FLV. They are ordinary functions, which the tests run too.

#[path = "chunker.rs"]
mod chunker;

use bytes::{Bytes, BytesMut};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{ReadError, ReadLimits, Reader, Writer, shared},
    flv,
    handshake::{ClientHandshake, Error, HandshakeKind, RANDOM, ServerHandshake},
    media,
    message::{aggregate, control::ControlMessage, user_control::UserControl},
};

use chunker::Decisions;

/// Gives any bytes to either side of a handshake: the result is the same whole and in pieces.
pub(crate) fn handshake(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let step = usize::from(step) * 13 + 1;
    let server = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut handshake = ServerHandshake::new(&[7; RANDOM]);
        drive(pieces, BytesMut::new(), |input, out| {
            handshake.read(input, out)
        })
    };
    let whole = server(&mut [data].into_iter());
    assert_eq!(whole, server(&mut data.chunks(step)));
    if let Ok((answer, _)) = &whole {
        assert!([0, 3073].contains(&answer.len()));
    }
    for kind in [HandshakeKind::Simple, HandshakeKind::Digest] {
        let client = |pieces: &mut dyn Iterator<Item = &[u8]>| {
            let mut out = BytesMut::new();
            let mut handshake = ClientHandshake::new(kind, &[7; RANDOM], &mut out);
            drive(pieces, out, |input, out| handshake.read(input, out))
        };
        assert_eq!(
            client(&mut [data].into_iter()),
            client(&mut data.chunks(step))
        );
    }
}

/// The output of one side of the handshake, and the number of bytes that it left unread.
fn drive(
    pieces: &mut dyn Iterator<Item = &[u8]>,
    mut out: BytesMut,
    mut read: impl FnMut(&mut &[u8], &mut BytesMut) -> Result<bool, Error>,
) -> Result<(BytesMut, usize), Error> {
    let mut left = 0;
    for mut piece in pieces {
        read(&mut piece, &mut out)?;
        left += piece.len();
    }
    Ok((out, left))
}

/// Gives any bytes to a chunk reader: the result is the same whole and in pieces, and limits hold.
pub(crate) fn chunk_reader(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let limits = ReadLimits {
        partial: usize::MAX,
        ..ReadLimits::default()
    };
    let whole = read([data], limits);
    assert_eq!(whole, read(data.chunks(usize::from(step) + 1), limits));
    assert_eq!(whole, read(data.chunks(1), limits));
    for message in &whole.0 {
        media::classify(message.kind, &message.payload);
    }
    let tight = ReadLimits {
        message: 5000,
        partial: 1000,
        chunk_streams: 3,
    };
    let _ = read(data.chunks(usize::from(step) + 1), tight);
}

fn read<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limits: ReadLimits,
) -> (Vec<Message>, Result<(), ReadError>) {
    let mut reader = Reader::new(limits);
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
            assert!(
                messages
                    .last()
                    .is_some_and(|m| m.payload.len() <= limits.message as usize)
            );
        }
        assert!(piece.is_empty());
        assert!(reader.partial_bytes() <= limits.partial);
    }
    (messages, Ok(()))
}

/// Reads the chunks of a legal peer in pieces of any size, and the chunks that our own writers make
/// of the same messages.
pub(crate) fn chunk_roundtrip(data: &[u8]) {
    let mut decisions = Decisions(data);
    let step = decisions.below(700) + 1;
    let chunk_size = [1, 100, 128, 4096][decisions.below(4)];
    let chunked = chunker::chunk(&mut decisions);
    let expected = (chunked.messages, Ok(()));
    let limits = ReadLimits::default();
    assert_eq!(read([&chunked.bytes[..]], limits), expected);
    assert_eq!(read(chunked.bytes.chunks(step), limits), expected);

    let mut writer = Writer::new();
    let mut out = BytesMut::new();
    writer.set_chunk_size(chunk_size, &mut out);
    for (n, message) in expected.0.iter().enumerate() {
        let csid = ChunkStreamId([3, 6, 64, 320][n % 3]);
        if n % 5 == 4 {
            let encoded = shared::encode(message, ChunkStreamId::VIDEO, chunk_size);
            let encoded = encoded.at(RtmpTimestamp(0)).at(message.timestamp);
            assert_eq!(encoded.payload(), message.payload);
            out.extend_from_slice(&encoded.header(message.stream));
            out.extend_from_slice(encoded.body());
        } else if csid != ChunkStreamId::VIDEO {
            writer.write(csid, message, &mut out);
        } else {
            writer.write_full(csid, message, &mut out);
        }
    }
    assert_eq!(read(out.chunks(step), limits), expected);
}

/// Reads any bytes as an FLV file, as the payload of an aggregate, and as that of any other
/// message.
pub(crate) fn flv_aggregate(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let whole = read_flv([data]);
    assert_eq!(whole, read_flv(data.chunks(usize::from(step) + 1)));
    let mut file = flv::header(true, true).to_vec();
    for message in &whole.0 {
        flv::put_tag(&mut file, message);
    }
    assert_eq!(read_flv([&file[..]]), (whole.0, Ok(())));

    let payload = Bytes::copy_from_slice(data);
    let mut message = Message {
        kind: MessageType::AGGREGATE,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(u32::from(step)),
        payload,
    };
    let mut length = 0;
    for (n, sub) in aggregate::split(&message).enumerate() {
        assert!(n > 0 || sub.timestamp == message.timestamp);
        length += 11 + sub.payload.len();
    }
    assert!(length <= data.len());
    for kind in 0..=u8::MAX {
        message.kind = MessageType(kind);
        classify(&message);
    }
}

fn classify(message: &Message) {
    let class = media::classify(message.kind, &message.payload);
    assert!(!(class.is_audio() && class.is_video()));
    assert!(!class.is_key() || class.is_video() && !class.is_header());
    if let Some(tracks) = media::tracks(message.kind, &message.payload) {
        assert!(tracks.contains(class.track) && tracks.iter().count() >= 1);
        assert!(!tracks.all_headers() || class.is_header());
    }
    if message.kind == MessageType::USER_CONTROL {
        if let Some(event) = UserControl::decode(&message.payload) {
            let written = event.to_message().payload;
            assert!(message.payload.starts_with(&written));
        }
    } else if let Some(Ok(control)) = ControlMessage::decode(message.kind, &message.payload) {
        let written = control.to_message();
        let again = ControlMessage::decode(written.kind, &written.payload);
        assert_eq!(again, Some(Ok(control)));
    }
}

fn read_flv<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Message>, Result<(), flv::FlvError>) {
    let mut reader = flv::FlvReader::default();
    let mut messages = Vec::new();
    for mut piece in pieces {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Err(error)),
            }
        }
    }
    (messages, Ok(()))
}
