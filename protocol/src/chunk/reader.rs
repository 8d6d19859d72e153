//! From bytes to messages: assembly per chunk stream, under limits.

use bytes::Bytes;

use super::{
    DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE,
    header::{Basic, ChunkHead, MAX_HEADER},
    limits::{ReadError, ReadLimits},
};
use crate::{ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp};

mod parcel;

/// Assembles messages from the chunks of one peer.
///
/// It keeps incomplete messages itself, so the caller's buffer is free after each call. It
/// allocates for a message only as the bytes of it arrive. It handles Set Chunk Size and Abort
/// Message and does not return them.
///
/// Between two chunks a message is incomplete exactly while its chunk stream holds some of its
/// bytes. Only format 3 continues it: the reader refuses a header of format 0, 1 or 2 there, even
/// one with the same values. Reason: peers differ on whether it continues or starts again, and a
/// reader that guesses loses its place.
#[derive(Debug)]
pub struct Reader {
    streams: Vec<ChunkStream>,
    /// The chunk stream of the chunk under way, or of the last one.
    current: usize,
    /// The payload bytes of that chunk still to come; 0 between chunks.
    left: usize,
    /// A header's first bytes, and bytes that turned out to be no repeated timestamp.
    stash: [u8; MAX_HEADER],
    stashed: u8,
    chunk_size: u32,
    /// The bytes of incomplete messages.
    partial: usize,
    chunks: u64,
    limits: ReadLimits,
}

/// The fields that a chunk stream keeps from one header to the next.
#[derive(Debug, Default)]
struct ChunkStream {
    id: u32,
    /// The time of the last message begun.
    timestamp: u32,
    /// The last timestamp field, extended or not, which a format 3 header repeats. After format 0
    /// it is the timestamp itself (5.3.1.2.4).
    delta: u32,
    length: u32,
    stream: MessageStreamId,
    kind: MessageType,
    /// Whether the last format 0, 1 or 2 header had an extended timestamp.
    extended: bool,
    /// The bytes of an incomplete message that have arrived.
    partial: Vec<u8>,
}

impl Reader {
    /// A reader at the start of a connection, right after the handshake.
    pub fn new(limits: ReadLimits) -> Self {
        Self {
            streams: Vec::new(),
            current: 0,
            left: 0,
            stash: [0; MAX_HEADER],
            stashed: 0,
            chunk_size: DEFAULT_CHUNK_SIZE,
            partial: 0,
            chunks: 0,
            limits,
        }
    }

    /// Consumes bytes from `input` up to the end of the next complete message and returns it;
    /// `None` once `input` is empty. After an error the reader is no longer usable.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<Message>, ReadError> {
        loop {
            if self.left == 0 {
                let Some(head) = self.next_head(input)? else {
                    return Ok(None);
                };
                self.begin(&head)?;
                if let Some(payload) = self.take_whole(input) {
                    if let Some(message) = self.finish(payload)? {
                        return Ok(Some(message));
                    }
                    continue;
                }
            }
            self.fill(input)?;
            if self.left > 0 {
                return Ok(None);
            }
            let stream = &mut self.streams[self.current];
            if stream.partial.len() == stream.length as usize {
                let payload = Bytes::from(std::mem::take(&mut stream.partial));
                self.partial -= payload.len();
                if let Some(message) = self.finish(payload)? {
                    return Ok(Some(message));
                }
            }
        }
    }

    /// Sets the limits of incomplete messages, from the next header on.
    pub fn set_limits(&mut self, limits: ReadLimits) {
        self.limits = limits;
    }

    /// The limits in force.
    pub fn limits(&self) -> ReadLimits {
        self.limits
    }

    /// The count of chunks read: the measure of the work that a peer causes.
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The peer's chunk size.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The bytes of incomplete messages.
    pub fn partial_bytes(&self) -> usize {
        self.partial
    }

    /// Whether the bytes so far end between two messages.
    pub fn is_between_messages(&self) -> bool {
        self.partial == 0 && self.left == 0 && self.stashed == 0
    }

    /// The next chunk's header, from the stash first. An incomplete one is stashed.
    #[inline(always)]
    fn next_head(&mut self, input: &mut &[u8]) -> Result<Option<ChunkHead>, ReadError> {
        if self.stashed > 0 {
            return self.next_head_stashed(input);
        }
        if let Some(head) = self.parse(input)? {
            *input = &input[head.used..];
            return Ok(Some(head));
        }
        self.stash[..input.len()].copy_from_slice(input);
        self.stashed = input.len() as u8;
        *input = &[];
        Ok(None)
    }

    fn next_head_stashed(&mut self, input: &mut &[u8]) -> Result<Option<ChunkHead>, ReadError> {
        loop {
            let stashed = usize::from(self.stashed);
            if let Some(head) = self.parse(&self.stash[..stashed])? {
                self.drop_stashed(head.used);
                return Ok(Some(head));
            }
            let Some((&byte, rest)) = input.split_first() else {
                return Ok(None);
            };
            self.stash[stashed] = byte;
            self.stashed += 1;
            *input = rest;
        }
    }

    fn drop_stashed(&mut self, count: usize) {
        self.stash.copy_within(count..usize::from(self.stashed), 0);
        self.stashed -= count as u8;
    }

    /// Reads a header from the front of `bytes`; `None` when it is not complete.
    #[inline(always)]
    fn parse(&self, bytes: &[u8]) -> Result<Option<ChunkHead>, ReadError> {
        let Some(basic) = Basic::parse(bytes) else {
            return Ok(None);
        };
        let known = self.find(basic.id);
        let mut head = ChunkHead {
            format: basic.format,
            id: basic.id,
            known,
            time: 0,
            extended: false,
            length: 0,
            kind: MessageType(0),
            stream: MessageStreamId::CONNECTION,
            used: basic.length,
        };
        match (basic.format, known) {
            (3, Some(index)) => {
                if self.streams[index].extended {
                    match self.streams[index].repeats_timestamp(&bytes[basic.length..]) {
                        Some(true) => head.used += 4,
                        Some(false) => {}
                        None => return Ok(None),
                    }
                }
                Ok(Some(head))
            }
            (2 | 3, None) => Err(ReadError::UnknownChunkStream {
                chunk_stream: ChunkStreamId(basic.id),
                format: basic.format,
            }),
            _ => Ok(head.parse_fields(&bytes[basic.length..]).then_some(head)),
        }
    }

    #[inline(always)]
    fn find(&self, id: u32) -> Option<usize> {
        match self.streams.get(self.current) {
            Some(stream) if stream.id == id => Some(self.current),
            _ => self.streams.iter().position(|stream| stream.id == id),
        }
    }

    /// Takes a header into account: from here on a chunk of `self.left` bytes of `self.current` is
    /// under way.
    #[inline(always)]
    fn begin(&mut self, head: &ChunkHead) -> Result<(), ReadError> {
        let index = match head.known {
            Some(index) => index,
            None => self.add_stream(head.id)?,
        };
        let chunk_stream = ChunkStreamId(head.id);
        let stream = &mut self.streams[index];
        if head.format != 3 {
            if !stream.partial.is_empty() {
                return Err(ReadError::HeaderInMessage {
                    chunk_stream,
                    format: head.format,
                });
            }
            if head.format < 2 && head.length > self.limits.message {
                return Err(ReadError::MessageTooLong {
                    chunk_stream,
                    length: head.length,
                });
            }
            stream.take_header(head);
        } else if stream.partial.is_empty() {
            stream.timestamp = stream.timestamp.wrapping_add(stream.delta);
        }
        self.left = (stream.length as usize - stream.partial.len()).min(self.chunk_size as usize);
        self.current = index;
        self.chunks += 1;
        Ok(())
    }

    #[cold]
    fn add_stream(&mut self, id: u32) -> Result<usize, ReadError> {
        if self.streams.len() >= self.limits.chunk_streams {
            return Err(ReadError::TooManyChunkStreams {
                limit: self.limits.chunk_streams,
            });
        }
        self.streams.push(ChunkStream {
            id,
            ..ChunkStream::default()
        });
        Ok(self.streams.len() - 1)
    }

    /// The whole message, if it is one chunk and all of it has arrived: copied once, without a copy
    /// here.
    #[inline(always)]
    fn take_whole(&mut self, input: &mut &[u8]) -> Option<Bytes> {
        let stream = &self.streams[self.current];
        let left = self.left;
        if left != stream.length as usize || (self.stashed > 0 && left > 0) {
            return None;
        }
        let (payload, rest) = input.split_at_checked(left)?;
        *input = rest;
        self.left = 0;
        Some(Bytes::copy_from_slice(payload))
    }

    /// Moves payload of the chunk under way from the stash and the input to its chunk stream.
    #[inline]
    fn fill(&mut self, input: &mut &[u8]) -> Result<(), ReadError> {
        if self.stashed > 0 {
            let stash = self.stash;
            let count = self.left.min(usize::from(self.stashed));
            self.append(&stash[..count], count)?;
            self.drop_stashed(count);
        }
        let (payload, rest) = input.split_at(self.left.min(input.len()));
        self.append(payload, input.len())?;
        *input = rest;
        Ok(())
    }

    /// Adds payload to the current message. `arrived` bytes of the message may have arrived: room
    /// is made for all of them at once, but for one message only, or every chunk stream would get
    /// it.
    #[inline]
    fn append(&mut self, payload: &[u8], arrived: usize) -> Result<(), ReadError> {
        self.partial += payload.len();
        if self.partial > self.limits.partial {
            return Err(ReadError::PartialBudget {
                limit: self.limits.partial,
            });
        }
        let stream = &mut self.streams[self.current];
        let held = stream.partial.len() + payload.len();
        if stream.partial.capacity() < held {
            stream.grow(
                payload.len(),
                if held == self.partial { arrived } else { 0 },
            );
        }
        stream.partial.extend_from_slice(payload);
        self.left -= payload.len();
        Ok(())
    }

    /// Makes the message of the current chunk stream; a message about chunks is handled here.
    #[inline(always)]
    fn finish(&mut self, payload: Bytes) -> Result<Option<Message>, ReadError> {
        let stream = &self.streams[self.current];
        match stream.kind {
            MessageType::SET_CHUNK_SIZE => self.take_chunk_size(&payload)?,
            MessageType::ABORT => self.abort(&payload)?,
            kind => {
                return Ok(Some(Message {
                    kind,
                    stream: stream.stream,
                    timestamp: RtmpTimestamp(stream.timestamp),
                    payload,
                }));
            }
        }
        Ok(None)
    }

    fn take_chunk_size(&mut self, payload: &[u8]) -> Result<(), ReadError> {
        let size = control_value(MessageType::SET_CHUNK_SIZE, payload)?;
        if size == 0 || size > i32::MAX as u32 {
            return Err(ReadError::ChunkSize { size });
        }
        self.chunk_size = size.min(MAX_CHUNK_SIZE);
        Ok(())
    }

    fn abort(&mut self, payload: &[u8]) -> Result<(), ReadError> {
        let id = control_value(MessageType::ABORT, payload)?;
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            self.partial -= std::mem::take(&mut stream.partial).len();
        }
        Ok(())
    }
}

impl ChunkStream {
    /// Takes over the fields of a header of format 0, 1 or 2. On a new chunk stream, format 1
    /// starts from time 0 on message stream 0: librtmp opens one so.
    #[inline(always)]
    fn take_header(&mut self, head: &ChunkHead) {
        self.extended = head.extended;
        self.delta = head.time;
        self.timestamp = match head.format {
            0 => head.time,
            _ => self.timestamp.wrapping_add(head.time),
        };
        if head.format < 2 {
            self.length = head.length;
            self.kind = head.kind;
        }
        if head.format == 0 {
            self.stream = head.stream;
        }
    }

    /// Whether the bytes after a format 3 basic header repeat the extended timestamp; `None` while
    /// that is open. Some peers leave it out: then these bytes are payload. Continuations carry the
    /// field of the message's header, from some peers its absolute time.
    fn repeats_timestamp(&self, bytes: &[u8]) -> Option<bool> {
        let given = &bytes[..bytes.len().min(4)];
        let begins = |value: u32| value.to_be_bytes().starts_with(given);
        if begins(self.delta) || (!self.partial.is_empty() && begins(self.timestamp)) {
            (given.len() == 4).then_some(true)
        } else {
            Some(false)
        }
    }

    /// Makes room for `needed` bytes and for as much again as has arrived. So bytes are moved a
    /// bounded number of times, and the reserved memory stays within twice of the bytes that have
    /// arrived, and within the message's length.
    fn grow(&mut self, needed: usize, arrived: usize) {
        let held = self.partial.len();
        let here = held + arrived.max(needed);
        let room = (here * 2).max(MIN_ALLOCATION).min(self.length as usize);
        self.partial.reserve_exact(room - held);
    }
}

/// The four-byte value of Set Chunk Size and Abort Message.
fn control_value(kind: MessageType, payload: &[u8]) -> Result<u32, ReadError> {
    match payload.first_chunk() {
        Some(value) => Ok(u32::from_be_bytes(*value)),
        None => Err(ReadError::ShortControl { kind }),
    }
}

/// The least allocation for a message of which only a few bytes have arrived.
const MIN_ALLOCATION: usize = 64;
