//! A reader's place in a ring.

use super::{Start, entry::Tracks, filter::Filter};
use crate::media::Class;

/// A reader: where it is, what it gets, what it lost. A small value without a reference to its
/// ring; use it with the ring that made it.
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
    /// Lag that does not count, in milliseconds: what a join or a jump began with.
    pub(super) slack: u64,
    /// The headers to be repeated before the next message.
    pub(super) repeat: Repeat,
    /// The next message is the first after a join or a jump.
    pub(super) restart: bool,
    /// Why video does not pass that waits for a key frame.
    pub(super) waits: Reason,
    /// Where a pause began.
    pub(super) paused_at: Option<u64>,
    /// The publication it waits for.
    pub(super) gate: Option<Gate>,
    pub(super) filter: Filter,
    pub(super) wanted: WantedTracks,
    dropped: Dropped,
}

/// A reader that waits for a publication which the ring does not know yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) first: u64,
    pub(super) start: Start,
}

/// Which tracks of each kind a reader gets (Enhanced RTMP multitrack).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WantedTracks {
    /// All of them.
    #[default]
    All,
    /// Messages of one track only if that is track 0; messages of several tracks whole.
    First,
}

/// Headers to be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeat {
    /// Metadata.
    pub(super) metadata: bool,
    /// Those of audio.
    pub(super) audio: bool,
    /// Those of video.
    pub(super) video: bool,
    /// How many of the set are done.
    pub(super) done: u16,
}

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Lag,
    FellOff,
    Filter,
    Waiting,
}

/// Messages a reader did not get, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// It was too far behind.
    pub lag: u64,
    /// They left the ring before it came to them.
    pub fell_off: u64,
    /// It had asked not to get them.
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
            filter: Filter::default(),
            wanted: WantedTracks::All,
            dropped: Dropped::default(),
        }
    }

    /// What the reader gets from now on. Video that is turned on begins at its next key frame;
    /// after a pause the reader joins at the newest key frame it has not had, or the next.
    pub fn set_filter(&mut self, filter: Filter) {
        if filter.paused && self.paused_at.is_none() {
            self.paused_at = Some(self.at);
        }
        if !filter.video {
            self.tracks = Tracks::NONE;
            self.waits = Reason::Filter;
        }
        // Headers passed over under the old filter may be wanted now.
        self.repeat.done = 0;
        self.filter = filter;
    }

    /// The same reader of these tracks.
    #[must_use]
    pub fn of_tracks(mut self, wanted: WantedTracks) -> Self {
        self.wanted = wanted;
        self
    }

    /// Whether messages of this class are of no track that the reader wants.
    pub(super) fn passes_over(&self, class: Class) -> bool {
        self.wanted == WantedTracks::First && class.track > 0
    }

    /// What the reader gets.
    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// The number of the next message: every message before it was delivered or dropped.
    pub fn position(&self) -> u64 {
        self.seq
    }

    /// Messages dropped since this was last asked.
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

    /// Goes on at `target`, as after a join; up to there only data messages are delivered.
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
    /// All of them.
    pub fn total(&self) -> u64 {
        self.lag + self.fell_off + self.filter + self.waiting
    }

    /// Adds another's counts.
    pub fn add(&mut self, other: Self) {
        self.lag += other.lag;
        self.fell_off += other.fell_off;
        self.filter += other.filter;
        self.waiting += other.waiting;
    }
}
