//! A reader in a parcel.

use super::{ChunkStream, Reader};
use crate::{
    ChunkStreamId, MessageStreamId, MessageType,
    chunk::{MAX_CHUNK_SIZE, MAX_MESSAGE_LENGTH, ReadLimits, header::MAX_HEADER},
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

const CHUNK_SIZE: u16 = 1;
const CHUNKS: u16 = 2;
const STREAM: u16 = 3;
const CURRENT: u16 = 4;
const LEFT: u16 = 5;
const STASH: u16 = 6;

/// The limits are those in force at the reader; a publisher's are higher.
impl Carried for Reader {
    const NAME: &'static str = "the chunk reader";
    type Limits = ReadLimits;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(CHUNK_SIZE, self.chunk_size);
        parcel.number(CHUNKS, self.chunks);
        parcel.carry_all(STREAM, &self.streams);
        parcel.number(CURRENT, self.current as u64);
        parcel.number(LEFT, self.left as u64);
        parcel.bytes(STASH, &self.stash[..usize::from(self.stashed)]);
    }

    fn import(parcel: &mut ParcelReader<'_>, limits: ReadLimits) -> Result<Self, ParcelError> {
        let mut reader = Self::new(limits);
        reader.chunk_size = parcel.number(CHUNK_SIZE)?;
        parcel.require(
            (1..=MAX_CHUNK_SIZE).contains(&reader.chunk_size),
            CHUNK_SIZE,
        )?;
        reader.chunks = parcel.count(CHUNKS)?;
        while let Some(stream) = parcel.carried_if::<ChunkStream>(STREAM, limits)? {
            parcel.fits(reader.streams.len() < limits.chunk_streams, "chunk streams")?;
            let is_new = reader.streams.iter().all(|known| known.id != stream.id);
            parcel.require(is_new, STREAM)?;
            reader.partial += stream.partial.len();
            parcel.fits(
                reader.partial <= limits.partial,
                "bytes of incomplete messages",
            )?;
            reader.streams.push(stream);
        }
        reader.current = parcel.number(CURRENT)?;
        let is_known = reader.current < reader.streams.len().max(1);
        parcel.require(is_known, CURRENT)?;
        reader.left = parcel.number(LEFT)?;
        parcel.require(reader.may_be_left(), LEFT)?;
        let stash = parcel.bytes(STASH)?;
        let is_header = stash.len() <= MAX_HEADER && (reader.left == 0 || stash.is_empty());
        parcel.require(is_header, STASH)?;
        reader.stash[..stash.len()].copy_from_slice(stash);
        reader.stashed = stash.len() as u8;
        Ok(reader)
    }
}

impl Reader {
    /// Whether a chunk with so many bytes to come can be under way.
    fn may_be_left(&self) -> bool {
        let room = self
            .streams
            .get(self.current)
            .map_or(0, ChunkStream::missing);
        self.left <= room.min(self.chunk_size as usize)
    }
}

impl ChunkStream {
    /// The bytes of the message that are not there.
    fn missing(&self) -> usize {
        self.length as usize - self.partial.len()
    }
}

const ID: u16 = 1;
const TIMESTAMP: u16 = 2;
const DELTA: u16 = 3;
const LENGTH: u16 = 4;
const MESSAGE_STREAM: u16 = 5;
const KIND: u16 = 6;
const EXTENDED: u16 = 7;
const PARTIAL: u16 = 8;

impl Carried for ChunkStream {
    const NAME: &'static str = "a chunk stream of the reader";
    type Limits = ReadLimits;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(ID, self.id);
        parcel.number(TIMESTAMP, self.timestamp);
        parcel.number(DELTA, self.delta);
        parcel.number(LENGTH, self.length);
        parcel.number(MESSAGE_STREAM, self.stream.0);
        parcel.number(KIND, self.kind.0);
        parcel.flag(EXTENDED, self.extended);
        parcel.bytes(PARTIAL, &self.partial);
    }

    fn import(parcel: &mut ParcelReader<'_>, limits: ReadLimits) -> Result<Self, ParcelError> {
        let id = parcel.number(ID)?;
        let ids = ChunkStreamId::MIN.0..=ChunkStreamId::MAX.0;
        parcel.require(ids.contains(&id), ID)?;
        let timestamp = parcel.number(TIMESTAMP)?;
        let delta = parcel.number(DELTA)?;
        let length = parcel.number(LENGTH)?;
        parcel.require(length <= MAX_MESSAGE_LENGTH, LENGTH)?;
        parcel.fits(length <= limits.message, "bytes of a message")?;
        let stream = MessageStreamId(parcel.number(MESSAGE_STREAM)?);
        let kind = MessageType(parcel.number(KIND)?);
        let extended = parcel.flag(EXTENDED)?;
        let partial = parcel.bytes(PARTIAL)?;
        let is_part = partial.is_empty() || partial.len() < length as usize;
        parcel.require(is_part, PARTIAL)?;
        Ok(Self {
            id,
            timestamp,
            delta,
            length,
            stream,
            kind,
            extended,
            partial: partial.to_vec(),
        })
    }
}
