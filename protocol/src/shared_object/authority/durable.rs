//! The stored part of a persistent object, and its writes under way.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
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

#[derive(Debug)]
pub(super) struct Durable {
    durability: Durability,
    auto_commit: bool,
    dirty: BTreeSet<Arc<str>>,
    clear: bool,
    header: bool,
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
            dirty: BTreeSet::new(),
            clear: false,
            header: false,
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

    pub(super) fn dirty(&mut self, name: &Arc<str>) {
        self.dirty.insert(Arc::clone(name));
    }

    pub(super) fn cleared(&mut self) {
        self.dirty.clear();
        self.clear = true;
    }

    pub(super) fn header_changed(&mut self) {
        self.header = true;
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.has_changes() || !self.under_way.is_empty()
    }

    pub(super) fn is_busy(&self) -> bool {
        (self.due && self.has_changes()) || !self.under_way.is_empty()
    }

    fn has_changes(&self) -> bool {
        self.clear || self.header || !self.dirty.is_empty()
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
    pub(super) fn strict_ticket(&self, version: u32) -> Option<Ticket> {
        let strict = self.auto_commit && self.durability == Durability::Strict;
        if !strict && !self.is_ahead(version) {
            return None;
        }
        let last = self.under_way.back().map(|(ticket, _)| *ticket);
        if self.will_write(version) {
            Some(Ticket(self.next))
        } else {
            last
        }
    }

    fn will_write(&self, version: u32) -> bool {
        self.writes_all() || version.saturating_sub(self.queued) >= HEADER_EVERY
    }

    fn writes_all(&self) -> bool {
        (self.due || self.auto_commit) && self.has_changes()
    }
}

impl<M: Copy + Eq + Hash + Debug> Authority<M> {
    /// The next write for the store.
    pub fn poll_write(&mut self) -> Option<Write> {
        if self.locked.is_some() {
            // A batch is stored whole.
            return None;
        }
        let durable = self.durable.as_mut()?;
        let (all, some) = (durable.writes_all(), durable.will_write(self.version));
        durable.due = false;
        if !some {
            return None;
        }
        let ticket = Ticket(durable.next);
        durable.next += 1;
        durable.queued = self.version;
        durable.under_way.push_back((ticket, self.version));
        if !all {
            let mut header = self.header();
            // The stored slots are still those of an earlier version.
            header.version = header.version.min(header.reserve.saturating_sub(1));
            return Some(Write {
                ticket,
                header,
                clear: false,
                slots: Vec::new(),
            });
        }
        durable.header = false;
        let clear = std::mem::take(&mut durable.clear);
        let dirty = std::mem::take(&mut durable.dirty);
        let slots = dirty.into_iter().map(|name| {
            let slot = self.slots.get(&name).map(|slot| StoredSlot {
                version: slot.version,
                value: slot.value.clone(),
            });
            (name, slot)
        });
        Some(Write {
            ticket,
            clear,
            slots: slots.collect(),
            header: self.header(),
        })
    }

    /// Handles the end of a write, and with it of all writes before. The store itself retries a
    /// failed write.
    pub fn handle_stored(&mut self, ticket: Ticket, stored: bool) {
        let Some(durable) = &mut self.durable else {
            return;
        };
        while let Some(&(done, version)) = durable.under_way.front()
            && done <= ticket
        {
            durable.under_way.pop_front();
            if stored {
                durable.stored = durable.stored.max(version);
            }
        }
        if !stored {
            // The object's own next write reports that the store works again.
            durable.header |= durable.is_ahead(self.version);
            self.seen.push_back(Seen::FlushFailed);
            let failed = Told::Status(Status::SharedObjectFlushFailed);
            self.gate.fail(ticket, &[failed]);
        }
        self.gate.open(ticket, &self.members, &mut self.outputs);
        self.catch_up();
    }

    fn header(&self) -> Header {
        Header {
            incarnation: self.incarnation,
            version: self.version,
            horizon: self.horizon,
            forgotten: self.forgotten,
            reserve: self.version,
            slots: self.slots.live_count() as u32,
            bytes: self.slots.bytes() as u64,
        }
    }
}
