//! A live stream's recent messages, and cursors into them.
//!
//! One [`Ring`] holds a stream's messages once for all readers. A reader is a [`Cursor`], a small
//! value that the ring moves forward. A reader that is too slow loses messages and costs no memory:
//! its cursor jumps to the newest key frame ahead of it. Without such a key frame it gets audio
//! alone until there is one.
//!
//! ```text
//!   kept data │ GOP ............ │ GOP ............ │ GOP ....      <- push
//!   (64 KiB)  base               key                newest key   head
//!                     ^ cursor: delivers, or walks to `until` with data messages alone
//! ```
//!
//! The ring does not depend on the transport: the edge keeps encoded chunks in it ([`SharedChunks`]),
//! the origin whole messages.

mod cursor;
mod entry;
mod filter;
mod headers;
mod moved;
mod publication;
mod read;
mod store;

pub use cursor::{Cursor, Dropped, WantedTracks};
pub use entry::Publication;
pub use filter::Filter;
pub use store::{Ring, RingLimits};

use std::borrow::Cow;

use crate::{
    Message, RtmpTimestamp,
    chunk::shared::SharedChunks,
    media::{self, Class, Codec, TrackSet},
};

/// A message in a ring. Clones share their payload.
pub trait Item: Clone {
    /// The bytes that it keeps in memory.
    fn len(&self) -> usize;

    /// The same message at another time.
    fn at(&self, timestamp: RtmpTimestamp) -> Self;

    /// Whether the other has the same content, at any time.
    fn says(&self, other: &Self) -> bool;

    /// The codec of its track, if the message has one.
    fn codec(&self) -> Option<Codec>;

    /// Its tracks, if it is an Enhanced RTMP multitrack message.
    fn tracks(&self) -> Option<TrackSet>;

    /// Whether it has no payload.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The position at which a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the newest key frame in the ring.
    KeyFrame,
    /// At the newest key frame that has a whole group of pictures behind it, so that a player's
    /// buffer fills at once; without one, at the newest key frame.
    Gop,
    /// At the next message: audio at once, video at its next key frame.
    Live,
}

/// One message for one reader.
#[derive(Clone, Debug)]
pub struct Delivery<'a, T: Clone> {
    /// The message's number in the stream; none for a repeated header.
    pub seq: Option<u64>,
    pub timestamp: RtmpTimestamp,
    pub class: Class,
    pub publication: Publication,
    /// The message, at `timestamp`.
    pub item: Cow<'a, T>,
    /// Whether it is the first after a join or a jump: it does not continue the message before.
    pub restart: bool,
}

impl Item for Message {
    fn len(&self) -> usize {
        self.payload.len()
    }

    fn at(&self, timestamp: RtmpTimestamp) -> Self {
        Self {
            timestamp,
            ..self.clone()
        }
    }

    fn says(&self, other: &Self) -> bool {
        self.kind == other.kind && self.payload == other.payload
    }

    fn codec(&self) -> Option<Codec> {
        media::codec(self.kind, &self.payload)
    }

    fn tracks(&self) -> Option<TrackSet> {
        media::tracks(self.kind, &self.payload)
    }
}

impl Item for SharedChunks {
    fn len(&self) -> usize {
        self.body().len()
    }

    fn at(&self, timestamp: RtmpTimestamp) -> Self {
        Self::at(self, timestamp)
    }

    fn says(&self, other: &Self) -> bool {
        self.kind() == other.kind()
            && self.payload_len() == other.payload_len()
            && self.payload() == other.payload()
    }

    fn codec(&self) -> Option<Codec> {
        // The first chunk has all bytes that decide the codec, and begins the body.
        media::codec(self.kind(), self.body())
    }

    fn tracks(&self) -> Option<TrackSet> {
        media::tracks(self.kind(), &self.payload())
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
