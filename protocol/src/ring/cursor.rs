//! A reader's position in a ring.

use super::{Start, entry::Tracks, filter::Filter};
use crate::media::Class;

mod parcel;

/// A reader: position, filter, and counts of losses. A small value without a reference to its ring;
/// the caller uses it with the ring that made it.
///
/// Two cursors that are equal get the same messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The place of the next entry.
    pub(super) at: u64,
    /// The number of the next message: all before it are delivered or dropped.
    pub(super) seq: u64,
    /// Up to this place only data messages are delivered.
    pub(super) until: u64,
    /// The video tracks that have had their key frame.
    pub(super) tracks: Tracks,
    /// Lag that does not count, in milliseconds: the distance at a join or a jump.
    pub(super) slack: u64,
    /// The headers to be repeated before the next message.
    pub(super) repeat: Repeat,
    /// Whether the next message is the first after a join or a jump.
    pub(super) restart: bool,
    /// The reason for which video waits for a key frame.
    pub(super) waits: Reason,
    /// The place at which a pause began.
    pub(super) paused_at: Option<u64>,
    /// The publication that it waits for.
    pub(super) gate: Option<PublicationGate>,
    /// Whether it comes from another ring, and has no place in this one yet.
    pub(super) is_moved: bool,
    pub(super) filter: Filter,
    pub(super) wanted: WantedTracks,
    dropped: Dropped,
}

/// A reader's wait for a publication that the ring has not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PublicationGate {
    pub(super) first: u64,
    pub(super) start: Start,
}

/// The tracks of each kind that a reader gets (Enhanced RTMP multitrack).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedTracks {
    /// All tracks.
    #[default]
    All,
    /// Of messages with one track only those of track 0; messages of several tracks whole.
    First,
}

/// Headers that must be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    pub(super) metadata: bool,
    pub(super) audio: bool,
    pub(super) video: bool,
    /// The count of headers of the set that are done.
    pub(super) done: u16,
}

/// The reason for which a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Lag,
    FellOff,
    Filter,
    Waiting,
}

/// Messages that a reader did not get, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// The reader was too far behind.
    pub lag: u64,
    /// The messages left the ring before the reader reached them.
    pub fell_off: u64,
    /// The reader's filter held them back.
    pub filter: u64,
    /// Video before the first key frame.
    pub waiting: u64,
}

impl Cursor {
    pub(super) fn new(at: u64, seq: u64, slack: u64) -> Self {
        Self {
            at,
            seq,
            until: at,
            tracks: Tracks::NONE,
            slack,
            repeat: Repeat::ALL,
            restart: true,
            waits: Reason::Waiting,
            paused_at: None,
            gate: None,
            is_moved: false,
            filter: Filter::default(),
            wanted: WantedTracks::All,
            dropped: Dropped::default(),
        }
    }

    /// Sets the filter from now on. Video that is turned on begins at its next key frame. After a
    /// pause the reader joins at the newest key frame that it has not had, or at the next.
    pub fn set_filter(&mut self, filter: Filter) {
        if filter.paused && self.paused_at.is_none() {
            self.paused_at = Some(self.at);
        }
        if !filter.video {
            self.tracks = Tracks::NONE;
            self.waits = Reason::Filter;
        }
        // The old filter may have skipped headers that pass now.
        self.repeat.done = 0;
        self.filter = filter;
    }

    /// The same reader, of these tracks.
    #[must_use]
    pub fn of_tracks(mut self, wanted: WantedTracks) -> Self {
        self.wanted = wanted;
        self
    }

    /// Whether the reader skips messages of this class because of their track.
    pub(super) fn passes_over(&self, class: Class) -> bool {
        self.wanted == WantedTracks::First && class.track > 0
    }

    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The number of the next message: every message before it was delivered or dropped.
    pub fn position(&self) -> u64 {
        self.seq
    }

    /// The messages dropped since the last call.
    pub fn take_dropped(&mut self) -> Dropped {
        std::mem::take(&mut self.dropped)
    }

    pub(super) fn count(&mut self, reason: Reason, messages: u64) {
        let counter = match reason {
            Reason::Lag => &mut self.dropped.lag,
            Reason::FellOff => &mut self.dropped.fell_off,
            Reason::Filter => &mut self.dropped.filter,
            Reason::Waiting => &mut self.dropped.waiting,
        };
        *counter += messages;
    }

    /// Continues at `target` as after a join; up to there only data messages are delivered.
    pub(super) fn rejoin(&mut self, target: u64, slack: u64, reason: Reason) {
        self.until = target;
        self.tracks = Tracks::NONE;
        self.slack = slack;
        self.repeat = Repeat::ALL;
        self.restart = true;
        self.waits = reason;
    }
}

impl Repeat {
    pub(super) const NONE: Self = Self {
        metadata: false,
        audio: false,
        video: false,
        done: 0,
    };
    pub(super) const ALL: Self = Self {
        metadata: true,
        audio: true,
        video: true,
        done: 0,
    };
}

impl Dropped {
    /// The sum of all counts.
    pub fn total(&self) -> u64 {
        self.lag + self.fell_off + self.filter + self.waiting
    }

    /// Adds the counts of another reader.
    pub fn add(&mut self, other: Self) {
        self.lag += other.lag;
        self.fell_off += other.fell_off;
        self.filter += other.filter;
        self.waiting += other.waiting;
    }
}
