//! The ring's memory: push, retention and eviction.

use std::{collections::VecDeque, time::Duration};

use super::{
    Cursor, Item, Publication, Start,
    entry::{Entry, Tracks, needs_key},
    headers::InForce,
};
use crate::{
    RtmpTimestamp,
    media::{Class, Kind},
};

/// The bounds of a ring. A message that alone exceeds `bytes` is kept, alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLimits {
    /// Payload bytes, with the headers that key frames repeat.
    pub bytes: usize,
    pub messages: usize,
    /// Stream time.
    pub span: Duration,
    /// The stream time by which readers may be late. A group of pictures goes when it is older, but
    /// for the last two groups, which new readers need.
    pub late: Duration,
}

impl Default for RingLimits {
    fn default() -> Self {
        Self {
            bytes: 16 * 1024 * 1024,
            messages: 8192,
            span: Duration::from_secs(30),
            late: Duration::from_secs(30),
        }
    }
}

/// A live stream's recent messages.
#[derive(Debug)]
pub struct Ring<T> {
    pub(super) entries: VecDeque<Entry<T>>,
    /// The place of the first entry; places are contiguous and never used twice.
    pub(super) base: u64,
    /// Cursors before this place have lost their unread messages to [`Ring::clear`].
    pub(super) cleared: u64,
    /// Data messages that have left `entries`, with their places.
    pub(super) kept: VecDeque<(u64, Entry<T>)>,
    /// The places of the sync points in `entries`.
    pub(super) syncs: VecDeque<u64>,
    /// Bytes of all data messages pushed so far.
    pub(super) data_bytes: u64,
    pub(super) next_seq: u64,
    pub(super) publication: Publication,
    pub(super) in_force: InForce<T>,
    /// Whether messages of an older writer still serve readers, until the next sync point.
    pub(super) bridging: bool,
    clock: Clock,
    /// The tracks whose frames can be decoded in the present epoch.
    pub(super) accepted: Tracks,
    /// The lowest video track with key frames, and its last key frame's time: its key frames are
    /// the sync points.
    pub(super) sync_track: Option<(u8, u64)>,
    pub(super) last_video: Option<u64>,
    bytes: usize,
    unfit: u64,
    limits: RingLimits,
}

impl<T: Item> Ring<T> {
    /// An empty ring; its first message has number 0.
    pub fn new(limits: RingLimits) -> Self {
        Self {
            entries: VecDeque::new(),
            base: 0,
            cleared: 0,
            kept: VecDeque::new(),
            syncs: VecDeque::new(),
            data_bytes: 0,
            next_seq: 0,
            publication: Publication::default(),
            in_force: InForce::new(),
            bridging: false,
            clock: Clock::default(),
            accepted: Tracks::ALL,
            sync_track: None,
            last_video: None,
            bytes: 0,
            unfit: 0,
            limits,
        }
    }

    /// Appends a message under the next number.
    pub fn push(&mut self, class: Class, timestamp: RtmpTimestamp, item: T) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.append(Some(seq), class, timestamp, item);
        seq
    }

    /// Appends a message under a number that its source gives. Numbers rise, with gaps. A message
    /// whose number was there already is not appended, and the result is false; a header among them
    /// is in force again if its source has repeated an older one meanwhile.
    pub fn push_at(&mut self, seq: u64, class: Class, timestamp: RtmpTimestamp, item: T) -> bool {
        if seq < self.next_seq {
            if class.is_header() {
                return self.push_header(class, timestamp, item);
            }
            self.in_force.observe(class, &item);
            return false;
        }
        self.next_seq = seq.saturating_add(1);
        self.append(Some(seq), class, timestamp, item);
        true
    }

    /// Appends a header without a number, which its source repeats. False, and no change, if it is
    /// in force already.
    pub fn push_header(&mut self, class: Class, timestamp: RtmpTimestamp, item: T) -> bool {
        if self.in_force.confirm(class, &item) {
            return false;
        }
        self.append(None, class, timestamp, item);
        true
    }

    /// Whether this very header, which its source repeats, is in force.
    pub fn confirm(&mut self, class: Class, item: &T) -> bool {
        self.in_force.confirm(class, item)
    }

    /// The headers and the metadata in force, in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = &T> {
        self.in_force.set().iter().map(|header| &header.item)
    }

    /// The metadata in force.
    pub fn metadata(&self) -> Option<&T> {
        let mut headers = self.in_force.set().iter();
        let found = headers.find(|header| header.class.kind == Kind::Metadata)?;
        Some(&found.item)
    }

    /// Drops messages and headers; numbers continue. Cursors continue at the next message.
    pub fn clear(&mut self) {
        self.base = self.end();
        self.cleared = self.base;
        self.entries.clear();
        self.kept.clear();
        self.bytes = 0;
        self.forget();
    }

    /// The number of the next message.
    pub fn head(&self) -> u64 {
        self.next_seq
    }

    /// Messages in the ring.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the ring has no messages.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes in the ring, with the headers that key frames repeat.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The count of video frames that were dropped because a new epoch had no key frame yet.
    pub fn unfit(&self) -> u64 {
        self.unfit
    }

    /// A new reader. Before its first message it gets the headers in force there.
    pub fn join(&self, start: Start) -> Cursor {
        let newest = self.syncs.back().copied();
        let place = match start {
            Start::Live => None,
            Start::KeyFrame => newest,
            Start::Gop => {
                let before = self.syncs.len().checked_sub(2);
                before.map(|place| self.syncs[place]).or(newest)
            }
        };
        let place = place.unwrap_or_else(|| self.end());
        Cursor::new(place, self.seq_at(place), self.lag_at(place))
    }

    /// The place after the newest entry.
    pub(super) fn end(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    pub(super) fn entry(&self, place: u64) -> Option<&Entry<T>> {
        let index = place.checked_sub(self.base)?;
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Stream time, in milliseconds, from the entry at this place to the newest.
    pub(super) fn lag_at(&self, place: u64) -> u64 {
        match (self.entry(place), self.entries.back()) {
            (Some(entry), Some(newest)) => newest.clock - entry.clock,
            _ => 0,
        }
    }

    /// The number of the first numbered message at or after this place.
    pub(super) fn seq_at(&self, place: u64) -> u64 {
        let numbered = (place..self.end()).find_map(|place| self.entry(place)?.seq);
        numbered.unwrap_or(self.next_seq)
    }

    fn append(&mut self, seq: Option<u64>, class: Class, timestamp: RtmpTimestamp, item: T) {
        if class.is_key() {
            self.accepted.insert(class.track);
        } else if needs_key(class) && !self.accepted.contains(class.track) {
            self.unfit += 1;
            return;
        }
        // Metadata has time 0 in the middle of a stream, too.
        let clock = if class.kind == Kind::Metadata && timestamp == RtmpTimestamp::default() {
            self.clock.now
        } else {
            self.clock.advance(timestamp)
        };
        let sync = self.is_sync(class, clock);
        if sync {
            self.settle();
        }
        self.in_force.observe(class, &item);
        let headers = if sync {
            self.in_force.stamped(timestamp)
        } else {
            self.in_force.set().clone()
        };
        if sync {
            self.syncs.push_back(self.end());
        }
        if class.is_video() {
            self.last_video = Some(clock);
        }
        if class.is_header() {
            self.in_force.replace(class, item.clone());
        }
        let entry = Entry {
            seq,
            timestamp,
            class,
            item,
            clock,
            data_before: self.data_bytes,
            publication: self.publication,
            headers,
            sync,
        };
        if class.kind == Kind::Data {
            self.data_bytes += entry.item.len() as u64;
        }
        self.bytes += weight(&entry);
        self.entries.push_back(entry);
        self.evict();
    }

    /// Whether a reader can begin at this message: a key frame, or, a second after the last sync
    /// point, audio of a stream without video.
    fn is_sync(&mut self, class: Class, clock: u64) -> bool {
        if class.is_key() {
            let leads = self
                .sync_track
                .is_none_or(|(track, last)| class.track <= track || clock - last >= TRACK_GONE_MS);
            if leads {
                self.sync_track = Some((class.track, clock));
            }
            return leads;
        }
        let long_ago = |then: u64| clock - then >= AUDIO_SYNC_MS;
        let last_sync = self.syncs.back().and_then(|&place| self.entry(place));
        class.kind == Kind::Audio
            && self.last_video.is_none_or(long_ago)
            && last_sync.is_none_or(|sync| long_ago(sync.clock))
    }

    /// Evicts messages beyond the limits. The oldest whole group of pictures goes first, if the
    /// rest still serves readers that are a little late; otherwise the oldest message goes.
    fn evict(&mut self) {
        while self.is_over() {
            let group = match self.syncs.get(1) {
                Some(&next) if self.syncs[0] == self.base => next,
                _ => self.base,
            };
            let whole = group > self.base && self.lag_at(group) >= LEFT_MS;
            let until = if whole { group } else { self.base + 1 };
            while self.base < until {
                self.evict_one();
            }
        }
    }

    fn is_over(&self) -> bool {
        let over = self.bytes > self.limits.bytes
            || self.entries.len() > self.limits.messages
            || u128::from(self.lag_at(self.base)) > self.limits.span.as_millis();
        (over || self.is_spare()) && self.entries.len() > 1
    }

    /// Whether neither a late nor a new reader needs the oldest group of pictures.
    fn is_spare(&self) -> bool {
        let next = self.syncs.get(1).filter(|_| self.syncs.len() > 2);
        let late = self.limits.late.as_millis();
        next.is_some_and(|&next| u128::from(self.lag_at(next)) > late)
    }

    fn evict_one(&mut self) {
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        if self.syncs.front() == Some(&self.base) {
            self.syncs.pop_front();
        }
        self.bytes -= weight(&entry);
        if entry.class.kind == Kind::Data {
            self.kept.push_back((self.base, entry));
        }
        self.base += 1;
        let newest = self.data_bytes;
        let too_old = |entry: &Entry<T>| newest - entry.data_before > MAX_KEPT_DATA;
        while self.kept.len() > MAX_KEPT_MESSAGES
            || self.kept.front().is_some_and(|(_, entry)| too_old(entry))
        {
            self.kept.pop_front();
        }
    }
}

/// Stream time that never goes back and never leaps.
#[derive(Debug, Default)]
struct Clock {
    now: u64,
    newest: Option<RtmpTimestamp>,
}

impl Clock {
    /// The stream time of a message. Audio and video are out of order by a little; a source that
    /// sets its time back by more, or leaps ahead, continues from the present stream time.
    fn advance(&mut self, timestamp: RtmpTimestamp) -> u64 {
        let step = self
            .newest
            .map_or(0, |newest| i64::from(timestamp.since(newest)));
        let is_disorder = (-MAX_DISORDER_MS..=0).contains(&step);
        if self.newest.is_none() || !is_disorder {
            self.newest = Some(timestamp);
        }
        self.now += step.clamp(0, MAX_STEP_MS).unsigned_abs();
        self.now
    }
}

/// The bytes that an entry counts against the limit: its payload, the headers that it repeats, and
/// the cost of their set.
fn weight<T: Item>(entry: &Entry<T>) -> usize {
    let headers = &entry.headers;
    let repeated = if entry.sync {
        headers.iter().map(|header| header.item.len()).sum()
    } else {
        0
    };
    let set = if entry.sync || entry.class.is_header() {
        (headers.len() + 1) * HEADER_COST
    } else {
        0
    };
    entry.item.len() + repeated + set
}

/// The bytes of data messages that a jump still delivers, counted back from its target.
pub(super) const MAX_KEPT_DATA: u64 = 64 * 1024;

/// The most data messages kept after their group has gone. Reason: empty ones count no bytes.
const MAX_KEPT_MESSAGES: usize = 1024;

/// The approximate cost of a header in a set beside its payload, in bytes. Every new header and
/// every sync point makes a set.
const HEADER_COST: usize = 128;

/// The interval of sync points in a stream without video, in milliseconds.
const AUDIO_SYNC_MS: u64 = 1000;

/// The time without a key frame after which a track no longer provides the sync points, in
/// milliseconds.
const TRACK_GONE_MS: u64 = 10_000;

/// The stream time that stays when a whole group of pictures goes, in milliseconds. Reason: readers
/// that are late by less than the usual latency cap must not fall off because of a long group.
const LEFT_MS: u64 = 5000;

/// The time by which neighbours may go back without a restart of the clock, in milliseconds.
const MAX_DISORDER_MS: i64 = 2000;

/// The most by which one message advances stream time, in milliseconds. Reason: a pause or a leap
/// in the source's time does not make its viewers late.
const MAX_STEP_MS: i64 = 1000;
