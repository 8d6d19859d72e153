//! The headers in force: the messages that a decoder needs before the next frame.

use std::sync::Arc;

use super::Item;
use crate::{
    RtmpTimestamp,
    media::{Class, Codec, Kind, TrackSet},
};

/// A header in force.
#[derive(Clone, Debug)]
pub(super) struct StreamHeader<T> {
    pub(super) class: Class,
    pub(super) item: T,
}

/// A set of headers that entries share by reference.
pub(super) type HeaderSet<T> = Arc<[StreamHeader<T>]>;

/// The headers in force at the end of a ring, metadata first, the rest in order of arrival.
///
/// A header is in force for the frames of its codec. While its track carries another codec it
/// rests; it is in force again when the track returns to its codec without a new header. The end of
/// its track ends it. A header in doubt is dropped at the next sync point, unless its source
/// repeats it before.
#[derive(Debug)]
pub(super) struct InForce<T> {
    known: Vec<Known<T>>,
    /// The headers of `known` that do not rest.
    set: HeaderSet<T>,
}

/// A header, and the conditions under which it ends.
#[derive(Debug)]
struct Known<T> {
    header: StreamHeader<T>,
    codec: Option<Codec>,
    /// The tracks of a multitrack message that have not ended.
    tracks: Option<TrackSet>,
    in_doubt: bool,
    rests: bool,
}

/// The headers that come into doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The headers of media. Metadata stays: its source ends it by empty metadata.
    Media,
    /// All headers.
    All,
}

impl<T: Item> InForce<T> {
    pub(super) fn new() -> Self {
        Self {
            known: Vec::new(),
            set: Arc::from([]),
        }
    }

    /// The set, each header with its time of arrival.
    pub(super) fn set(&self) -> &HeaderSet<T> {
        &self.set
    }

    /// Whether this very header is in force. Its source repeats it: it is no longer in doubt.
    pub(super) fn confirm(&mut self, class: Class, item: &T) -> bool {
        let mut known = self.known.iter_mut();
        let found = known.find(|known| known.header.class == class && known.header.item.says(item));
        let Some(found) = found else {
            return false;
        };
        found.in_doubt = false;
        if std::mem::take(&mut found.rests) {
            self.rebuild();
        }
        true
    }

    /// Puts a header in force in place of the one of its kind and track. A header that is too large
    /// to be repeated only ends the old one.
    pub(super) fn replace(&mut self, class: Class, item: T) {
        self.known.retain(|known| known.header.class != class);
        if item.len() <= MAX_HEADER_BYTES {
            let metadata = class.kind == Kind::Metadata;
            let place = if metadata { 0 } else { self.known.len() };
            let several = matches!(class.kind, Kind::AudioHeaders | Kind::VideoHeaders);
            let known = Known {
                codec: item.codec(),
                tracks: several.then(|| item.tracks()).flatten(),
                header: StreamHeader { class, item },
                in_doubt: false,
                rests: false,
            };
            self.known.insert(place, known);
        }
        self.bound();
        self.rebuild();
    }

    /// Takes a message into account that is about to be appended: the end of a track ends its
    /// headers, and headers of another codec rest.
    pub(super) fn observe(&mut self, class: Class, item: &T) {
        match class.kind {
            Kind::AudioEnd | Kind::VideoEnd => self.end(class, item),
            Kind::Metadata | Kind::Data | Kind::VideoMetadata | Kind::MultichannelConfig => {}
            _ => self.note_codec(class, item),
        }
    }

    /// Puts headers in doubt.
    pub(super) fn doubt(&mut self, which: Doubt) {
        for known in &mut self.known {
            let metadata = known.header.class.kind == Kind::Metadata;
            known.in_doubt |= which == Doubt::All || !metadata;
        }
    }

    /// Drops the headers in doubt: their source has had the time to repeat them.
    pub(super) fn settle(&mut self) {
        let before = self.known.len();
        self.known.retain(|known| !known.in_doubt);
        if self.known.len() < before {
            self.rebuild();
        }
    }

    /// The set with the times for a repetition before a message of this time.
    pub(super) fn stamped(&self, timestamp: RtmpTimestamp) -> HeaderSet<T> {
        let at = |header: &StreamHeader<T>| StreamHeader {
            class: header.class,
            item: header.item.at(header.class.repeated_at(timestamp)),
        };
        self.set.iter().map(at).collect()
    }

    fn end(&mut self, class: Class, item: &T) {
        if self.known.is_empty() {
            return;
        }
        let ended = item.tracks();
        let before = self.known.len();
        self.known.retain_mut(|known| {
            let header = known.header.class;
            if header.is_audio() != class.is_audio() || header.is_video() != class.is_video() {
                return true;
            }
            match (&mut known.tracks, &ended) {
                (Some(tracks), Some(ended)) => tracks.remove(ended),
                (Some(tracks), None) => tracks.remove_track(class.track),
                (None, Some(ended)) => !ended.contains(header.track),
                (None, None) => header.track != class.track,
            }
        });
        if self.known.len() < before {
            self.rebuild();
        }
    }

    fn note_codec(&mut self, class: Class, item: &T) {
        if self.known.is_empty() {
            return;
        }
        let Some(codec) = item.codec() else {
            return;
        };
        let mut changed = false;
        for known in &mut self.known {
            let header = known.header.class;
            let same_track = header.track == class.track
                && header.is_audio() == class.is_audio()
                && header.is_video() == class.is_video();
            // Other tracks of a multitrack message may still need the header.
            if !same_track || known.tracks.is_some() {
                continue;
            }
            let rests = known.codec.is_some_and(|own| own != codec);
            changed |= std::mem::replace(&mut known.rests, rests) != rests;
        }
        if changed {
            self.rebuild();
        }
    }

    /// Drops the oldest headers beyond the limits. Metadata is the first of all and goes last.
    fn bound(&mut self) {
        let length = |known: &Known<T>| known.header.item.len();
        let mut bytes: usize = self.known.iter().map(length).sum();
        while self.known.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            let metadata = self.known[0].header.class.kind == Kind::Metadata;
            let oldest = usize::from(self.known.len() > 1 && metadata);
            bytes -= length(&self.known.remove(oldest));
        }
    }

    fn rebuild(&mut self) {
        let awake = self.known.iter().filter(|known| !known.rests);
        self.set = awake.map(|known| known.header.clone()).collect();
    }
}

/// The most headers known at once, resting ones included. Reason: Enhanced RTMP has 256 tracks of
/// each kind; a peer that uses them all must not make every key frame repeat a thousand headers to
/// every viewer.
pub(super) const MAX_HEADERS: usize = 64;

/// The most payload bytes of the headers together. Reason: they are repeated to each joining
/// viewer.
pub(super) const MAX_HEADER_BYTES: usize = 1024 * 1024;
