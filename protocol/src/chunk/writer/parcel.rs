//! A writer in a parcel.

use super::{LastHeader, Writer};
use crate::{
    ChunkStreamId, MessageStreamId, MessageType, RtmpTimestamp,
    chunk::{MAX_CHUNK_SIZE, MAX_MESSAGE_LENGTH, header},
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

const CHUNK_SIZE: u16 = 1;
const STREAM: u16 = 2;

/// Chunk streams of a writer that moves. Reason: an edge writes on those that
/// [`ChunkStreamId`] names, of which there are seven.
const MAX_WRITTEN_STREAMS: usize = 64;

impl Carried for Writer {
    const NAME: &'static str = "the chunk writer";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(CHUNK_SIZE, self.chunk_size);
        parcel.carry_all(STREAM, &self.streams);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut writer = Self::new();
        writer.chunk_size = parcel.number(CHUNK_SIZE)?;
        parcel.require(
            (1..=MAX_CHUNK_SIZE).contains(&writer.chunk_size),
            CHUNK_SIZE,
        )?;
        while let Some(last) = parcel.carried_if::<LastHeader>(STREAM, ())? {
            parcel.fits(writer.streams.len() < MAX_WRITTEN_STREAMS, "chunk streams")?;
            let is_new = writer.streams.iter().all(|known| known.id != last.id);
            parcel.require(is_new, STREAM)?;
            writer.streams.push(last);
        }
        Ok(writer)
    }
}

const ID: u16 = 1;
const TIMESTAMP: u16 = 2;
const DELTA: u16 = 3;
const LENGTH: u16 = 4;
const KIND: u16 = 5;
const MESSAGE_STREAM: u16 = 6;

impl Carried for LastHeader {
    const NAME: &'static str = "a chunk stream of the writer";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(ID, self.id.0);
        parcel.number(TIMESTAMP, self.timestamp.0);
        parcel.number_if(DELTA, self.delta);
        parcel.number(LENGTH, self.length);
        parcel.number(KIND, self.kind.0);
        parcel.number(MESSAGE_STREAM, self.stream.0);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let id = ChunkStreamId(parcel.number(ID)?);
        let ids = ChunkStreamId::MIN..=ChunkStreamId::MAX;
        parcel.require(ids.contains(&id), ID)?;
        let timestamp = RtmpTimestamp(parcel.number(TIMESTAMP)?);
        let delta = parcel.number_if(DELTA)?;
        parcel.require(delta.is_none_or(|delta| delta < header::EXTENDED), DELTA)?;
        let length = parcel.number(LENGTH)?;
        parcel.require(length <= MAX_MESSAGE_LENGTH, LENGTH)?;
        Ok(Self {
            id,
            timestamp,
            delta,
            length,
            kind: MessageType(parcel.number(KIND)?),
            stream: MessageStreamId(parcel.number(MESSAGE_STREAM)?),
        })
    }
}
