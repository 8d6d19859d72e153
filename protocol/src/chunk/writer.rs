//! From messages to bytes for one peer, with compressed headers.

use bytes::{BufMut, BytesMut};

use super::{
    DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE, MAX_MESSAGE_LENGTH,
    header::{EXTENDED, MAX_HEADER, basic_length, chunked_length, put_basic, put_chunks, put_full},
};
use crate::{ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp};

mod parcel;

/// Splits messages into chunks and compresses their headers, for one peer.
///
/// The writer avoids two forms of the specification, because peers read them differently: format 3
/// for the message right after a format 0 (is the delta the timestamp, or 0?), and a delta that
/// needs an extended timestamp (is the delta repeated, or the time?). Format 2 and format 0 are
/// unambiguous in their place.
#[derive(Debug)]
pub struct Writer {
    chunk_size: u32,
    streams: Vec<LastHeader>,
}

/// The last header of a chunk stream, as the peer remembers it.
#[derive(Clone, Copy, Debug)]
struct LastHeader {
    id: ChunkStreamId,
    timestamp: RtmpTimestamp,
    /// `None` after format 0.
    delta: Option<u32>,
    length: u32,
    kind: MessageType,
    stream: MessageStreamId,
}

impl Default for Writer {
    fn default() -> Self {
        Self::new()
    }
}

impl Writer {
    /// A writer at the start of a connection, right after the handshake.
    pub fn new() -> Self {
        Self {
            chunk_size: DEFAULT_CHUNK_SIZE,
            streams: Vec::new(),
        }
    }

    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Writes a Set Chunk Size and uses the new size from the next message on. The size is clamped
    /// to 1 to [`MAX_CHUNK_SIZE`].
    pub fn set_chunk_size(&mut self, size: u32, out: &mut BytesMut) {
        let size = size.clamp(1, MAX_CHUNK_SIZE);
        out.reserve(MAX_HEADER + 4);
        put_full(
            out,
            ChunkStreamId::CONTROL,
            0,
            4,
            MessageType::SET_CHUNK_SIZE,
            MessageStreamId::CONNECTION,
        );
        out.put_u32(size);
        self.streams
            .retain(|last| last.id != ChunkStreamId::CONTROL);
        self.chunk_size = size;
    }

    /// Appends `message` to `out` as chunks of the chunk stream.
    ///
    /// # Panics
    /// If the payload is longer than [`MAX_MESSAGE_LENGTH`]: no reader hands out such a message,
    /// so only the program itself can have made it.
    pub fn write(&mut self, csid: ChunkStreamId, message: &Message, out: &mut BytesMut) {
        let length = message.payload.len();
        assert!(
            length <= MAX_MESSAGE_LENGTH as usize,
            "message of {length} bytes"
        );
        let timestamp = message.timestamp.0;
        out.reserve(MAX_HEADER + chunked_length(csid, true, length, self.chunk_size));
        let extended = self.put_header(csid, message, out).then_some(timestamp);
        put_chunks(out, csid, extended, &message.payload, self.chunk_size);
    }

    /// Like [`Self::write`], always with a complete header: for control messages, which some peers
    /// read before they can read compressed headers.
    pub fn write_full(&mut self, csid: ChunkStreamId, message: &Message, out: &mut BytesMut) {
        self.streams.retain(|last| last.id != csid);
        self.write(csid, message, out);
    }

    /// The most bytes that [`Self::write`] appends for a payload of this length.
    pub fn encoded_length(&self, csid: ChunkStreamId, length: usize) -> usize {
        basic_length(csid) + 15 + chunked_length(csid, true, length, self.chunk_size)
    }

    /// Writes the first chunk's header; true if it has an extended timestamp.
    fn put_header(&mut self, csid: ChunkStreamId, message: &Message, out: &mut BytesMut) -> bool {
        let length = message.payload.len() as u32;
        let mut next = LastHeader {
            id: csid,
            timestamp: message.timestamp,
            delta: None,
            length,
            kind: message.kind,
            stream: message.stream,
        };
        let Some(last) = self.streams.iter_mut().find(|last| last.id == csid) else {
            self.streams.push(next);
            return next.put_full(out);
        };
        let delta = message.timestamp.since(last.timestamp).cast_unsigned();
        if last.stream != next.stream || delta >= EXTENDED {
            *last = next;
            return next.put_full(out);
        }
        next.delta = Some(delta);
        let same_kind = (last.length, last.kind) == (next.length, next.kind);
        if same_kind && last.delta == next.delta {
            put_basic(out, 3, csid);
        } else if same_kind {
            put_basic(out, 2, csid);
            out.put_uint(u64::from(delta), 3);
        } else {
            put_basic(out, 1, csid);
            out.put_uint(u64::from(delta), 3);
            out.put_uint(u64::from(length), 3);
            out.put_u8(message.kind.0);
        }
        *last = next;
        false
    }
}

impl LastHeader {
    fn put_full(&self, out: &mut BytesMut) -> bool {
        put_full(
            out,
            self.id,
            self.timestamp.0,
            self.length,
            self.kind,
            self.stream,
        );
        self.timestamp.0 >= EXTENDED
    }
}
