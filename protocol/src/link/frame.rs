//! The frames of control streams, lanes and feeds: `type`, `length`, body.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{FrameError, varint};

/// One frame, body undecoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u64,
    pub body: Bytes,
}

/// The longest frame body on a control stream or a lane, in bytes. Reason: a session with a long
/// message must not delay its group by more than one fragment.
pub const MAX_BODY: usize = 16 * 1024;

/// The longest body that leaves the reader as a copy, in bytes. Reason: a body that is kept, as live
/// media is, must not keep the reader's buffer with it, which is larger.
const MAX_COPIED: usize = 256 * 1024;

/// Cuts a QUIC stream into frames. Holds no memory while it has no partial frame.
#[derive(Debug)]
pub struct FrameReader {
    buffer: BytesMut,
    max_body: usize,
}

impl FrameReader {
    /// A reader that refuses bodies longer than `max_body` bytes.
    pub fn new(max_body: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_body,
        }
    }

    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn poll_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some((kind, kind_size)) = varint::peek(&self.buffer) else {
            return Ok(self.empty());
        };
        let Some((length, length_size)) = varint::peek(&self.buffer[kind_size..]) else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| FrameError::TooLong)?;
        if length > self.max_body {
            return Err(FrameError::TooLong);
        }
        let head = kind_size + length_size;
        if self.buffer.len() < head + length {
            return Ok(None);
        }
        self.buffer.advance(head);
        let body = if length <= MAX_COPIED {
            let body = Bytes::copy_from_slice(&self.buffer[..length]);
            self.buffer.advance(length);
            body
        } else {
            self.buffer.split_to(length).freeze()
        };
        Ok(Some(Frame { kind, body }))
    }

    /// Takes the bytes that were taken in and not read.
    pub fn take_rest(&mut self) -> Option<Bytes> {
        let rest = std::mem::take(&mut self.buffer);
        (!rest.is_empty()).then(|| rest.freeze())
    }

    /// The bytes of the partial frame.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn empty(&mut self) -> Option<Frame> {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        None
    }
}

/// Appends a frame; the caller keeps the receiver's limit for the body.
pub fn encode(kind: u64, body: &[u8], out: &mut impl BufMut) {
    head(kind, body.len(), out);
    out.put_slice(body);
}

/// Appends the head of a frame whose body follows.
pub fn head(kind: u64, length: usize, out: &mut impl BufMut) {
    varint::encode(kind, out);
    varint::encode(length as u64, out);
}

/// Appends a string: its length, its bytes.
pub fn put_str(text: &str, out: &mut impl BufMut) {
    varint::encode(text.len() as u64, out);
    out.put_slice(text.as_bytes());
}

/// Takes `length` bytes off the front of `input`.
pub fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], FrameError> {
    let (front, rest) = input
        .split_at_checked(length)
        .ok_or(FrameError::Truncated)?;
    *input = rest;
    Ok(front)
}

/// Takes one byte off the front of `input`.
pub fn take_u8(input: &mut &[u8]) -> Result<u8, FrameError> {
    Ok(take(input, 1)?[0])
}

/// Takes a big-endian 32-bit number off the front of `input`.
pub fn take_u32(input: &mut &[u8]) -> Result<u32, FrameError> {
    take(input, 4)?
        .try_into()
        .map(u32::from_be_bytes)
        .map_err(|_| FrameError::Truncated)
}

/// Takes a varint that must fit 32 bits.
pub fn take_varint_u32(input: &mut &[u8]) -> Result<u32, FrameError> {
    u32::try_from(varint::decode(input)?).map_err(|_| FrameError::Value)
}

/// Takes a string of at most `max` bytes.
pub fn take_str<'a>(input: &mut &'a [u8], max: usize) -> Result<&'a str, FrameError> {
    let length = usize::try_from(varint::decode(input)?).map_err(|_| FrameError::TooLong)?;
    if length > max {
        return Err(FrameError::TooLong);
    }
    std::str::from_utf8(take(input, length)?).map_err(|_| FrameError::Value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_from_any_split() {
        let mut wire = Vec::new();
        encode(0x21, b"hello", &mut wire);
        encode(0x4123, b"", &mut wire);
        encode(1, &[7; 300], &mut wire);
        for split in 0..=wire.len() {
            let mut reader = FrameReader::new(MAX_BODY);
            let mut frames = Vec::new();
            for part in [&wire[..split], &wire[split..]] {
                reader.push(part);
                while let Some(frame) = reader.poll_frame().unwrap() {
                    frames.push((frame.kind, frame.body.len()));
                }
            }
            assert_eq!(
                frames,
                [(0x21, 5), (0x4123, 0), (1, 300)],
                "split at {split}"
            );
            assert_eq!(reader.held(), 0);
        }
    }

    #[test]
    fn a_declared_length_over_the_limit_is_refused_before_it_arrives() {
        let mut reader = FrameReader::new(10);
        let mut wire = Vec::new();
        head(1, 11, &mut wire);
        reader.push(&wire);
        assert_eq!(reader.poll_frame(), Err(FrameError::TooLong));
    }
}
