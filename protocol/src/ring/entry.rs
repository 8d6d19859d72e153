//! One message in a ring.

use super::headers::HeaderSet;
use crate::{
    RtmpTimestamp,
    media::{Class, Kind},
};

/// A message with the values that a cursor in front of it needs.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    /// Its number in the stream; none for a repeated header.
    pub(super) seq: Option<u64>,
    pub(super) timestamp: RtmpTimestamp,
    pub(super) class: Class,
    pub(super) item: T,
    /// Milliseconds since the ring's start, never going back.
    pub(super) clock: u64,
    /// Bytes of data messages pushed before this one.
    pub(super) data_before: u64,
    pub(super) publication: Publication,
    /// The headers in force before it; at a sync point they carry its time.
    pub(super) headers: HeaderSet<T>,
    /// Whether a reader can begin at the message.
    pub(super) sync: bool,
}

/// The publication of a live stream that a message belongs to, and the writer of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publication {
    /// The number of the publication's first message; before it, of the next message.
    pub first: u64,
    /// The number of the first message of its newest writer: a publisher that has returned or taken
    /// over.
    pub writer: u64,
}

/// A set of video tracks, one bit each; tracks from 63 on share a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracks(u64);

impl Tracks {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(u64::MAX);

    /// The set with these bits.
    pub(super) fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn insert(&mut self, track: u8) {
        self.0 |= Self::bit(track);
    }

    pub(super) fn contains(self, track: u8) -> bool {
        self.0 & Self::bit(track) != 0
    }

    fn bit(track: u8) -> u64 {
        1 << track.min(63)
    }
}

/// Whether the message is a frame that needs an earlier key frame.
pub(super) fn needs_key(class: Class) -> bool {
    matches!(class.kind, Kind::VideoInter | Kind::VideoDisposable)
}
