//! The deadlines of a group, which waits for the earliest alone.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{pull_id::PullId, streams::StreamSlot};
use crate::{
    app::{ObjectId, StreamId},
    session::SessionKey,
};

/// The purpose of a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A pending connect is rejected.
    Connect(SessionKey),
    /// A pending publish or play is refused; the number is that of the message stream's request.
    Request(StreamSlot, u32),
    /// A play that was asked for a certain time may be over; the moment identifies the play of the
    /// message stream.
    Play(StreamSlot, Instant),
    /// The play of a stream of the application may be over; the number identifies the play.
    Source(StreamId, u64),
    /// A step in the life of a live stream is due.
    Stream(Arc<str>),
    /// A session that asked too much of shared objects may go on.
    Objects(SessionKey),
    /// An encoder has had no publish for a while.
    Encoder(SessionKey),
    /// The time of a publish may be known.
    Offset(StreamSlot),
    /// A pull may have had no viewer for its time.
    Unwatched(PullId),
    /// A lock of a shared object lasts too long; the number identifies the lock.
    Lock(ObjectId, u32),
}

/// The longest time that a timer waits.
pub(super) const LONGEST_TIMER: Duration = Duration::from_secs(60);

/// Deadlines are never taken back: the code that takes one checks whether it still holds. Each is
/// there for a minute at most, so the rate at which sessions can set them bounds their number.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(Instant, Timer)>>);

impl Timers {
    pub(super) fn add(&mut self, at: Instant, timer: Timer) {
        self.0.push(Reverse((at, timer)));
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// The next one that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, timer)) = self.0.pop()?;
        if self.0.is_empty() {
            self.0 = BinaryHeap::new();
        }
        Some(timer)
    }
}
