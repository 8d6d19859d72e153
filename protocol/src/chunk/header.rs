//! Chunk headers (RTMP 1.0, 5.3.1): the basic header, the four message header formats and the
//! extended timestamp.

use bytes::BufMut;

use crate::{ChunkStreamId, MessageStreamId, MessageType};

/// The longest chunk header: three-byte basic header, format 0, extended timestamp.
pub(super) const MAX_HEADER: usize = 3 + 11 + 4;

/// The value of the timestamp field that announces an extended timestamp.
pub(super) const EXTENDED: u32 = 0x00ff_ffff;

/// A basic header: the format of the message header, and the chunk stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Basic {
    /// The format, 0 to 3.
    pub(super) format: u8,
    pub(super) id: u32,
    /// Its length in bytes: 1 to 3.
    pub(super) length: usize,
}

impl Basic {
    /// Reads a basic header; `None` when it is not complete.
    #[inline]
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        let (id, length) = match first & 0x3f {
            0 => (64 + u32::from(*bytes.get(1)?), 2),
            1 => {
                let low = u32::from(*bytes.get(1)?);
                let high = u32::from(*bytes.get(2)?);
                (64 + low + (high << 8), 3)
            }
            id => (u32::from(id), 1),
        };
        Some(Self {
            format: first >> 6,
            id,
            length,
        })
    }
}

/// A complete header.
#[derive(Debug)]
pub(super) struct ChunkHead {
    pub(super) format: u8,
    pub(super) id: u32,
    /// Its position among the known chunk streams.
    pub(super) known: Option<usize>,
    /// Timestamp or delta; unused in format 3.
    pub(super) time: u32,
    pub(super) extended: bool,
    pub(super) length: u32,
    pub(super) kind: MessageType,
    pub(super) stream: MessageStreamId,
    /// The length in bytes.
    pub(super) used: usize,
}

impl ChunkHead {
    /// Reads the message header and extended timestamp of format 0, 1 or 2; false when they are
    /// not complete.
    #[inline(always)]
    pub(super) fn parse_fields(&mut self, bytes: &[u8]) -> bool {
        let length = match self.format {
            0 => 11,
            1 => 7,
            _ => 3,
        };
        if bytes.len() < length {
            return false;
        }
        self.time = u24(bytes);
        self.used += length;
        if self.format < 2 {
            self.length = u24(&bytes[3..]);
            self.kind = MessageType(bytes[6]);
        }
        if self.format == 0 {
            self.stream = MessageStreamId(u32::from_le_bytes([
                bytes[7], bytes[8], bytes[9], bytes[10],
            ]));
        }
        if self.time == EXTENDED {
            let Some(time) = bytes[length..].first_chunk() else {
                return false;
            };
            self.time = u32::from_be_bytes(*time);
            self.extended = true;
            self.used += 4;
        }
        true
    }
}

/// Writes a basic header in its shortest form.
#[inline]
pub(super) fn put_basic(out: &mut impl BufMut, format: u8, csid: ChunkStreamId) {
    debug_assert!(
        (ChunkStreamId::MIN..=ChunkStreamId::MAX).contains(&csid),
        "{csid:?}"
    );
    let format = format << 6;
    match csid.0 {
        0..64 => out.put_u8(format | csid.0 as u8),
        64..320 => out.put_slice(&[format, (csid.0 - 64) as u8]),
        _ => {
            let id = csid.0 - 64;
            out.put_slice(&[format | 1, id as u8, (id >> 8) as u8]);
        }
    }
}

/// The length of the basic header that [`put_basic`] writes.
#[inline]
pub(super) fn basic_length(csid: ChunkStreamId) -> usize {
    match csid.0 {
        0..64 => 1,
        64..320 => 2,
        _ => 3,
    }
}

/// Writes a complete format 0 header, with an extended timestamp where the time needs one.
#[inline]
pub(super) fn put_full(
    out: &mut impl BufMut,
    csid: ChunkStreamId,
    timestamp: u32,
    length: u32,
    kind: MessageType,
    stream: MessageStreamId,
) {
    put_basic(out, 0, csid);
    out.put_uint(u64::from(timestamp.min(EXTENDED)), 3);
    out.put_uint(u64::from(length), 3);
    out.put_u8(kind.0);
    out.put_u32_le(stream.0);
    if timestamp >= EXTENDED {
        out.put_u32(timestamp);
    }
}

/// Splits `payload` into chunks. A format 3 header separates them, with the extended timestamp if
/// the message's header has one. The caller writes the first chunk's header.
pub(super) fn put_chunks(
    out: &mut impl BufMut,
    csid: ChunkStreamId,
    extended: Option<u32>,
    payload: &[u8],
    chunk_size: u32,
) {
    let mut chunks = payload.chunks(chunk_size as usize);
    out.put_slice(chunks.next().unwrap_or_default());
    for chunk in chunks {
        put_basic(out, 3, csid);
        if let Some(timestamp) = extended {
            out.put_u32(timestamp);
        }
        out.put_slice(chunk);
    }
}

/// The count of bytes that [`put_chunks`] writes.
pub(super) fn chunked_length(
    csid: ChunkStreamId,
    extended: bool,
    length: usize,
    chunk_size: u32,
) -> usize {
    let continuations = length.saturating_sub(1) / chunk_size as usize;
    length + continuations * continuation_length(csid, extended)
}

/// The length of the header of a continuation chunk.
pub(super) fn continuation_length(csid: ChunkStreamId, extended: bool) -> usize {
    basic_length(csid) + if extended { 4 } else { 0 }
}

/// Reads three bytes, most significant first. The slice holds at least three.
#[inline]
fn u24(bytes: &[u8]) -> u32 {
    u32::from(bytes[0]) << 16 | u32::from(bytes[1]) << 8 | u32::from(bytes[2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_headers_take_their_shortest_form_and_read_back() {
        let table: &[(u8, u32, &[u8])] = &[
            (0, 2, &[0x02]),
            (1, 63, &[0x7f]),
            (2, 64, &[0x80, 0x00]),
            (3, 319, &[0xc0, 0xff]),
            (0, 320, &[0x01, 0x00, 0x01]),
            (3, 65_599, &[0xc1, 0xff, 0xff]),
        ];
        for &(format, id, bytes) in table {
            let mut out = Vec::new();
            put_basic(&mut out, format, ChunkStreamId(id));
            assert_eq!(out, bytes);
            assert_eq!(basic_length(ChunkStreamId(id)), bytes.len());
            let basic = Basic {
                format,
                id,
                length: bytes.len(),
            };
            assert_eq!(Basic::parse(bytes), Some(basic));
            for cut in 0..bytes.len() {
                assert_eq!(Basic::parse(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn a_long_form_of_a_low_id_is_read() {
        let basic = Basic::parse(&[0x01, 0x05, 0x00]);
        assert_eq!(
            basic,
            Some(Basic {
                format: 0,
                id: 69,
                length: 3
            })
        );
    }
}
