//! Chunks that are encoded once and sent to any number of peers.
//!
//! The bytes for a viewer must not depend on its earlier messages, so the header is complete
//! (format 0, absolute time). Only the message stream id differs between viewers. It is a field of
//! the first chunk's header: all bytes behind that header are one [`Bytes`] for all viewers.

use std::ops::Deref;

use bytes::Bytes;

use super::{
    MAX_CHUNK_SIZE, MAX_MESSAGE_LENGTH,
    header::{EXTENDED, MAX_HEADER, chunked_length, continuation_length, put_chunks, put_full},
};
use crate::{ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp};

/// Encodes a message for every peer whose outbound chunk size is `chunk_size` (clamped to 1 to
/// [`MAX_CHUNK_SIZE`]). The message's own stream id is not part of it.
///
/// # Panics
/// If the payload is longer than [`MAX_MESSAGE_LENGTH`], as [`Writer::write`](super::Writer).
pub fn encode(message: &Message, csid: ChunkStreamId, chunk_size: u32) -> SharedChunks {
    let length = message.payload.len();
    assert!(
        length <= MAX_MESSAGE_LENGTH as usize,
        "message of {length} bytes"
    );
    let mut encoded = SharedChunks {
        kind: message.kind,
        timestamp: message.timestamp,
        csid,
        length: length as u32,
        chunk_size: chunk_size.clamp(1, MAX_CHUNK_SIZE),
        body: message.payload.clone(),
    };
    if !encoded.is_one_chunk() {
        encoded.body = encoded.chunked(&message.payload);
    }
    encoded
}

/// A message as chunks, without its first header. A clone shares the payload.
#[derive(Clone, Debug)]
pub struct SharedChunks {
    kind: MessageType,
    timestamp: RtmpTimestamp,
    csid: ChunkStreamId,
    length: u32,
    chunk_size: u32,
    body: Bytes,
}

impl SharedChunks {
    /// The first chunk's header for a viewer that plays on this message stream. It precedes
    /// [`Self::body`].
    #[inline]
    pub fn header(&self, stream: MessageStreamId) -> SharedHeader {
        let mut header = SharedHeader {
            bytes: [0; MAX_HEADER],
            length: 0,
        };
        let mut rest = &mut header.bytes[..];
        put_full(
            &mut rest,
            self.csid,
            self.timestamp.0,
            self.length,
            self.kind,
            stream,
        );
        header.length = (MAX_HEADER - rest.len()) as u8;
        header
    }

    /// All bytes behind the first header: the payload, with the headers of further chunks in it.
    #[inline]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The same message at another time. It shares the body unless that holds several chunks and
    /// one of the two times is an extended one.
    pub fn at(&self, timestamp: RtmpTimestamp) -> Self {
        let mut moved = Self {
            timestamp,
            ..self.clone()
        };
        let extended = self.timestamp.0 >= EXTENDED || timestamp.0 >= EXTENDED;
        if extended && !self.is_one_chunk() && timestamp != self.timestamp {
            moved.body = moved.chunked(&self.payload());
        }
        moved
    }

    pub fn kind(&self) -> MessageType {
        self.kind
    }

    pub fn timestamp(&self) -> RtmpTimestamp {
        self.timestamp
    }

    /// The chunk stream that it is encoded for.
    pub fn chunk_stream(&self) -> ChunkStreamId {
        self.csid
    }

    /// The length of the message's payload.
    pub fn payload_len(&self) -> usize {
        self.length as usize
    }

    /// The message's payload: shared if it is one chunk, otherwise assembled again.
    pub fn payload(&self) -> Bytes {
        if self.is_one_chunk() {
            return self.body.clone();
        }
        let header = continuation_length(self.csid, self.timestamp.0 >= EXTENDED);
        let chunk_size = self.chunk_size as usize;
        let mut payload = Vec::with_capacity(self.length as usize);
        let (first, rest) = self.body.split_at(chunk_size);
        payload.extend_from_slice(first);
        for chunk in rest.chunks(header + chunk_size) {
            payload.extend_from_slice(&chunk[header..]);
        }
        payload.into()
    }

    /// The bytes that one viewer receives.
    pub fn wire_len(&self) -> usize {
        self.header(MessageStreamId::CONNECTION).len() + self.body.len()
    }

    fn is_one_chunk(&self) -> bool {
        self.length <= self.chunk_size
    }

    fn chunked(&self, payload: &[u8]) -> Bytes {
        let extended = (self.timestamp.0 >= EXTENDED).then_some(self.timestamp.0);
        let length = chunked_length(
            self.csid,
            extended.is_some(),
            payload.len(),
            self.chunk_size,
        );
        let mut body = Vec::with_capacity(length);
        put_chunks(&mut body, self.csid, extended, payload, self.chunk_size);
        debug_assert_eq!(body.len(), length);
        body.into()
    }
}

/// A first chunk's header, at most 18 bytes, held inline.
#[derive(Clone, Copy, Debug)]
pub struct SharedHeader {
    bytes: [u8; MAX_HEADER],
    length: u8,
}

impl Deref for SharedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl AsRef<[u8]> for SharedHeader {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
