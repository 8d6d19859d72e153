//! A reader of an FLV file in pieces.

use std::fmt;

use bytes::Bytes;

use super::{BACK_POINTER, TAG_HEADER};
use crate::{Message, MessageStreamId, MessageType, RtmpTimestamp};

/// Reads the tags of an FLV file from pieces of any size.
///
/// It holds at most one tag, and allocates for the tag only as the bytes of it arrive.
#[derive(Debug)]
pub struct FlvReader {
    state: State,
    /// A header's first bytes.
    stash: Vec<u8>,
    limit: usize,
}

#[derive(Debug)]
enum State {
    /// The file header's first nine bytes.
    FileHeader,
    /// The bytes to be skipped: the rest of a longer file header, or a back pointer.
    Skip(usize),
    TagHeader,
    Tag {
        message: Message,
        length: usize,
        payload: Vec<u8>,
    },
}

impl FlvReader {
    /// The longest tag that [`Self::default`] accepts: 16 MiB, more than the format can state.
    pub const TAG_LIMIT: usize = 16 * 1024 * 1024;

    /// A reader at the start of a file that accepts tags of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            state: State::FileHeader,
            stash: Vec::new(),
            limit,
        }
    }

    /// Consumes bytes from `input` up to the end of the next tag and returns it as a message of
    /// message stream 0; `None` once `input` is empty. The reader skips the back pointer after a
    /// tag: in files that were cut or joined it is wrong.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, FlvError> {
        loop {
            match &mut self.state {
                State::FileHeader => {
                    let Some(header) = self.take(input, FILE_HEADER) else {
                        return Ok(None);
                    };
                    self.state = State::Skip(file_header(&header)?);
                }
                State::Skip(left) => {
                    let count = input.len().min(*left);
                    *input = &input[count..];
                    *left -= count;
                    if *left > 0 {
                        return Ok(None);
                    }
                    self.state = State::TagHeader;
                }
                State::TagHeader => {
                    let Some(header) = self.take(input, TAG_HEADER) else {
                        return Ok(None);
                    };
                    self.begin(&header)?;
                }
                State::Tag {
                    message,
                    length,
                    payload,
                } => {
                    let count = input.len().min(*length - payload.len());
                    let (bytes, rest) = input.split_at(count);
                    payload.extend_from_slice(bytes);
                    *input = rest;
                    if payload.len() < *length {
                        return Ok(None);
                    }
                    message.payload = Bytes::from(std::mem::take(payload));
                    let message = message.clone();
                    self.state = State::Skip(BACK_POINTER);
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Whether the bytes so far end after a complete tag, with or without its back pointer.
    pub fn is_between_tags(&self) -> bool {
        match self.state {
            State::Skip(left) => left <= BACK_POINTER,
            State::TagHeader => self.stash.is_empty(),
            State::FileHeader | State::Tag { .. } => false,
        }
    }

    /// A header of `length` bytes, once all of it has arrived.
    fn take(&mut self, input: &mut &[u8], length: usize) -> Option<Vec<u8>> {
        let (bytes, rest) = input.split_at(input.len().min(length - self.stash.len()));
        self.stash.extend_from_slice(bytes);
        *input = rest;
        (self.stash.len() == length).then(|| std::mem::take(&mut self.stash))
    }

    fn begin(&mut self, header: &[u8]) -> Result<(), FlvError> {
        let &[kind, a, b, c, x, y, z, high, ..] = header else {
            return Err(FlvError::NotFlv);
        };
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > self.limit {
            return Err(FlvError::TagTooLong { length });
        }
        // Bit 5 marks an encrypted tag, whose payload cannot be sent.
        if kind & 0x20 != 0 {
            return Err(FlvError::Encrypted);
        }
        let message = Message {
            kind: MessageType(kind & 0x1f),
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(u32::from_be_bytes([high, x, y, z])),
            payload: Bytes::new(),
        };
        self.state = State::Tag {
            message,
            length,
            payload: Vec::new(),
        };
        Ok(())
    }
}

impl Default for FlvReader {
    fn default() -> Self {
        Self::new(Self::TAG_LIMIT)
    }
}

/// Checks the file header; returns the bytes between it and the first tag.
fn file_header(header: &[u8]) -> Result<usize, FlvError> {
    let &[b'F', b'L', b'V', 1, _, a, b, c, d] = header else {
        return Err(FlvError::NotFlv);
    };
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    match length.checked_sub(FILE_HEADER) {
        Some(more) if more <= MAX_HEADER => Ok(more + BACK_POINTER),
        _ => Err(FlvError::NotFlv),
    }
}

/// The file header without the back pointer behind it.
const FILE_HEADER: usize = 9;

/// The most bytes between header and tags. Reason: no program writes more.
const MAX_HEADER: usize = 4096;

/// The reason for which the reader refuses bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlvError {
    /// The file header is malformed.
    NotFlv,
    /// A tag is longer than the limit.
    TagTooLong {
        /// The length in its header.
        length: usize,
    },
    /// A tag is encrypted.
    Encrypted,
}

impl fmt::Display for FlvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFlv => f.write_str("not an FLV file"),
            Self::TagTooLong { length } => write!(f, "tag of {length} bytes is too long"),
            Self::Encrypted => f.write_str("encrypted tag"),
        }
    }
}

impl std::error::Error for FlvError {}
