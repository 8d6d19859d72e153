//! The stored part of a persistent object, and its writes under way.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    sync::Arc,
};

use super::{Authority, Encoded, Seen, Told};
use crate::command::Status;

/// The time at which members receive a change that has to be stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The others receive it at once, the author when it is stored.
    #[default]
    Author,
    /// All members receive it when it is stored.
    Strict,
    /// All members receive it at once.
    Lazy,
}

/// The number of a write; it rises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// The stored fields of an object beside its slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The number of this object among those of its name.
    pub incarnation: u64,
    /// The version of the last change that is stored.
    pub version: u32,
    /// A returning member with a version below it gets a clear and all slots.
    pub horizon: u32,
    /// The last version of a removal that is no longer remembered.
    pub forgotten: u32,
    /// The last version that was in use at the time of this write.
    pub reserve: u32,
    /// The count of slots that have a value.
    pub slots: u32,
    /// The bytes of all slots.
    pub bytes: u64,
}

/// One slot as stored; a slot without a value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSlot {
    /// The version of its last change.
    pub version: u32,
    pub value: Option<Encoded>,
}

/// An object as loaded from the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The header; none if the object is not stored.
    pub header: Option<Header>,
    /// The slots, tombstones included.
    pub slots: BTreeMap<Arc<str>, StoredSlot>,
    /// The count of crashes with unstored changes since the header was written; without a header,
    /// since ever.
    pub crashes: u32,
    /// Without a header: the highest version that a deleted object of this name may have had.
    pub floor: u32,
}

/// A write for the store, atomic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The number by which [`Authority::handle_stored`] reports its end.
    pub ticket: Ticket,
    pub header: Header,
    /// Whether the write deletes all stored slots first.
    pub clear: bool,
    /// Slots that have changed; `None` deletes one.
    pub slots: Vec<(Arc<str>, Option<StoredSlot>)>,
}

/// The count of versions that may be in use beyond the stored one. Reason: after a crash an object
/// begins beyond them all; at the bound, all messages of the object wait for the store.
pub const VERSION_WINDOW: u32 = 4_096;

/// The count of versions since the last write at which a header is written by itself.
const HEADER_EVERY: u32 = VERSION_WINDOW / 4;

/// The progress of an object, as its store must know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// The version of the last change.
    pub(super) version: u32,
    /// Whether changes wait for a write.
    pub(super) has_unstored: bool,
}

/// The content of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// All changes since the last such write.
    Changes,
    /// The version alone.
    Version,
}

/// The writes of a persistent object: when they are due, and those under way.
#[derive(Debug)]
pub(super) struct Durable {
    durability: Durability,
    auto_commit: bool,
    /// Whether everything must be stored, even without `auto_commit`.
    due: bool,
    next: u64,
    /// The writes under way, each with the version that it covers.
    under_way: VecDeque<(Ticket, u32)>,
    /// The last version that a write, under way or stored, covers.
    queued: u32,
    stored: u32,
}

impl Durable {
    pub(super) fn new(durability: Durability, version: u32) -> Self {
        Self {
            durability,
            auto_commit: true,
            due: false,
            next: 1,
            under_way: VecDeque::new(),
            queued: version,
            stored: version,
        }
    }

    pub(super) fn durability(&self) -> Durability {
        self.durability
    }

    pub(super) fn auto_commit(&self) -> bool {
        self.auto_commit
    }

    pub(super) fn set_auto_commit(&mut self, on: bool) {
        self.auto_commit = on;
        if on {
            self.commit();
        }
    }

    pub(super) fn commit(&mut self) {
        self.due = true;
    }

    /// Whether changes are not stored.
    pub(super) fn is_dirty(&self, progress: Progress) -> bool {
        progress.has_unstored || !self.under_way.is_empty()
    }

    /// Whether a write is under way, or due.
    pub(super) fn is_busy(&self, progress: Progress) -> bool {
        (self.due && progress.has_unstored) || !self.under_way.is_empty()
    }

    /// Whether too many versions are in use that are not stored.
    pub(super) fn is_ahead(&self, version: u32) -> bool {
        version.saturating_sub(self.stored) > VERSION_WINDOW
    }

    /// The write for which an author's success of a change made now waits.
    pub(super) fn ticket(&self) -> Option<Ticket> {
        (self.auto_commit && self.durability != Durability::Lazy).then_some(Ticket(self.next))
    }

    /// The write for which all output made now waits.
    pub(super) fn strict_ticket(&self, progress: Progress) -> Option<Ticket> {
        let strict = self.auto_commit && self.durability == Durability::Strict;
        if !strict && !self.is_ahead(progress.version) {
            return None;
        }
        match self.next_extent(progress) {
            Some(_) => Some(Ticket(self.next)),
            None => self.under_way.back().map(|(ticket, _)| *ticket),
        }
    }

    /// Begins the next write, if one is due.
    pub(super) fn begin(&mut self, progress: Progress) -> Option<(Ticket, Extent)> {
        let extent = self.next_extent(progress);
        self.due = false;
        let extent = extent?;
        let ticket = Ticket(self.next);
        self.next += 1;
        self.queued = progress.version;
        self.under_way.push_back((ticket, progress.version));
        Some((ticket, extent))
    }

    /// Ends a write, and all writes before.
    pub(super) fn end(&mut self, ticket: Ticket, stored: bool) {
        while let Some((_, version)) = self.under_way.pop_front_if(|(done, _)| *done <= ticket) {
            if stored {
                self.stored = self.stored.max(version);
            }
        }
    }

    fn next_extent(&self, progress: Progress) -> Option<Extent> {
        if (self.due || self.auto_commit) && progress.has_unstored {
            return Some(Extent::Changes);
        }
        let behind = progress.version.saturating_sub(self.queued);
        (behind >= HEADER_EVERY).then_some(Extent::Version)
    }
}

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// The next write for the store.
    pub fn poll_write(&mut self) -> Option<Write> {
        if self.lock.has_changes() {
            // A batch is stored whole.
            return None;
        }
        let progress = self.progress();
        let (ticket, extent) = self.durable.as_mut()?.begin(progress)?;
        Some(match extent {
            Extent::Changes => self.contents.take_write(ticket),
            Extent::Version => self.contents.version_write(ticket),
        })
    }

    /// Handles the end of a write, and with it of all writes before. The store itself retries a
    /// failed write.
    pub fn handle_stored(&mut self, ticket: Ticket, stored: bool) {
        let Some(durable) = &mut self.durable else {
            return;
        };
        durable.end(ticket, stored);
        if !stored {
            if durable.is_ahead(self.contents.version()) {
                // The object's own next write reports that the store works again.
                self.contents.note_header();
            }
            self.seen.push_back(Seen::FlushFailed);
            let failed = Told::Status(Status::SharedObjectFlushFailed);
            self.members.fail(ticket, &[failed]);
        }
        self.members.release(ticket);
        self.catch_up();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(version: u32, has_unstored: bool) -> Progress {
        Progress {
            version,
            has_unstored,
        }
    }

    #[test]
    fn changes_are_written_at_once_or_when_they_are_due() {
        let mut durable = Durable::new(Durability::Author, 0);
        let first = Some((Ticket(1), Extent::Changes));
        assert_eq!(durable.ticket(), Some(Ticket(1)));
        assert_eq!(durable.begin(at(1, true)), first);
        assert!(durable.is_dirty(at(1, false)) && durable.is_busy(at(1, false)));
        durable.end(Ticket(1), true);
        assert!(!durable.is_dirty(at(1, false)));
        durable.set_auto_commit(false);
        assert_eq!(durable.ticket(), None);
        assert_eq!(durable.begin(at(2, true)), None);
        assert!(durable.is_dirty(at(2, true)) && !durable.is_busy(at(2, true)));
        durable.commit();
        let second = Some((Ticket(2), Extent::Changes));
        assert_eq!(durable.begin(at(2, true)), second);
    }

    #[test]
    fn a_version_is_written_before_too_many_are_in_use() {
        let mut durable = Durable::new(Durability::Lazy, 0);
        durable.set_auto_commit(false);
        assert_eq!(durable.begin(at(HEADER_EVERY - 1, true)), None);
        let version = Some((Ticket(1), Extent::Version));
        assert_eq!(durable.begin(at(HEADER_EVERY, true)), version);
        let ahead = VERSION_WINDOW + 1;
        assert!(durable.is_ahead(ahead));
        assert_eq!(durable.strict_ticket(at(ahead, true)), Some(Ticket(2)));
        durable.end(Ticket(1), true);
        assert!(!durable.is_ahead(ahead));
        assert_eq!(durable.strict_ticket(at(ahead, true)), None);
    }

    #[test]
    fn strict_output_waits_for_the_last_write() {
        let mut durable = Durable::new(Durability::Strict, 0);
        assert_eq!(durable.strict_ticket(at(0, false)), None);
        assert_eq!(durable.strict_ticket(at(1, true)), Some(Ticket(1)));
        durable.begin(at(1, true));
        assert_eq!(durable.strict_ticket(at(1, false)), Some(Ticket(1)));
        durable.end(Ticket(1), false);
        assert_eq!(durable.strict_ticket(at(1, false)), None);
    }
}
