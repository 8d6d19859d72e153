//! The contents of one object: its slots, and the versions of their changes.

use std::{fmt::Debug, hash::Hash, sync::Arc};

use super::{
    Refused, Stored, StoredSlot, Ticket, VERSION_WINDOW, Write, durable::Header, unstored::Unstored,
};
use crate::shared_object::{
    Body, Encoded, Limits, Told,
    slots::{Slots, VersionedSlot},
};

/// The slots of an object with their versions. A change takes the next version by
/// `Contents::take_version`.
#[derive(Debug)]
pub struct Contents<M> {
    limits: Limits,
    incarnation: u64,
    version: u32,
    /// A member with a version below it gets a clear and all slots.
    horizon: u32,
    /// The last version of a removal that is no longer remembered.
    forgotten: u32,
    resync_depth: u32,
    slots: Slots<M>,
    /// The changes for the next write; none for a temporary object.
    unstored: Option<Unstored>,
}

impl<M: Copy + Eq + Hash + Debug> Contents<M> {
    /// The contents of a temporary object without slots.
    pub(super) fn new(incarnation: u64, limits: Limits) -> Self {
        Self {
            limits,
            incarnation,
            version: 0,
            horizon: 0,
            forgotten: 0,
            resync_depth: u32::MAX,
            slots: Slots::new(),
            unstored: None,
        }
    }

    /// The contents as stored; `incarnation` is for an object that is not stored.
    pub(super) fn from_store(incarnation: u64, limits: Limits, stored: Stored) -> Self {
        let mut contents = Self::new(incarnation, limits);
        let header = stored.header.unwrap_or_else(|| Header {
            incarnation,
            version: stored.floor,
            horizon: stored.floor,
            forgotten: stored.floor,
            ..Header::default()
        });
        contents.incarnation = header.incarnation;
        contents.version = header.version.max(header.reserve);
        (contents.horizon, contents.forgotten) = (header.horizon, header.forgotten);
        if stored.crashes > 0 || header.reserve > header.version {
            // Members may have seen versions beyond the stored one, with changes that are lost.
            let jump = (VERSION_WINDOW + 1).saturating_mul(stored.crashes);
            contents.version = contents.version.saturating_add(jump);
            (contents.horizon, contents.forgotten) = (contents.version, contents.version);
        }
        for (name, slot) in stored.slots {
            let slot = VersionedSlot {
                version: slot.version,
                author: None,
                value: slot.value,
            };
            contents.slots.put(name, slot);
        }
        contents.unstored = Some(Unstored::default());
        contents
    }

    /// Whether removals are no longer remembered: all slots were removed, or many, or versions were
    /// skipped.
    pub(super) fn has_forgotten(&self) -> bool {
        self.forgotten > 0
    }

    /// Skips all versions that members may have seen of an object that was known to have this one.
    pub(super) fn go_beyond(&mut self, version: u32) {
        let beyond = version.saturating_add(VERSION_WINDOW + 1);
        self.version = self.version.max(beyond);
        (self.horizon, self.forgotten) = (self.version, self.version);
    }

    /// The object has no store: changes are not noted for one.
    pub(super) fn is_not_stored(&mut self) {
        self.unstored = None;
    }

    /// The number of this object among those of its name, each of which has another.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The version of the last change.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The version below which a returning member gets a clear and all slots.
    pub fn horizon(&self) -> u32 {
        self.horizon
    }

    /// The count of versions that a returning member may be behind and still get only the changes.
    pub fn resync_depth(&self) -> u32 {
        self.resync_depth
    }

    /// The count of slots that have a value.
    pub fn len(&self) -> usize {
        self.slots.live_count()
    }

    /// Whether no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The count of removed slots that are remembered.
    pub fn tombstones(&self) -> usize {
        self.slots.tombstone_count()
    }

    /// The bytes of all slots, names and tombstones included.
    pub fn bytes(&self) -> usize {
        self.slots.bytes()
    }

    /// A slot's value.
    pub fn slot(&self, name: &str) -> Option<&Encoded> {
        self.slots.value(name)
    }

    /// The version of a slot's last change, which may have removed it.
    pub fn slot_version(&self, name: &str) -> Option<u32> {
        self.slots.get(name).map(|slot| slot.version)
    }

    /// The slots that have a value: name, version, value.
    pub fn slots(&self) -> impl Iterator<Item = (&str, u32, &Encoded)> {
        self.slots
            .live()
            .map(|(name, version, value)| (&**name, version, value))
    }

    /// The whole object for an edge's mirror: a clear, and a change for every slot.
    pub fn snapshot(&self) -> Body {
        let mut events = Vec::new();
        self.push_all(&mut events);
        Body {
            version: self.version,
            events,
        }
    }

    /// Adds the events that a member needs which knows this version: the changes since, or a clear
    /// and all slots.
    pub(super) fn push_since(&self, known: u32, events: &mut Vec<Told>) {
        if !self.has_since(known) {
            return self.push_all(events);
        }
        let later = self.slots.iter().filter(|(_, slot)| slot.version > known);
        events.extend(later.map(|(name, slot)| told(Arc::clone(name), slot.value.clone())));
    }

    /// Whether changes suffice for a member that knows this version.
    fn has_since(&self, known: u32) -> bool {
        let within = known != 0 && known >= self.horizon && known <= self.version;
        // At the last version of all, changes no longer raise the version.
        self.unstored.is_some() && within && self.version < u32::MAX
    }

    fn push_all(&self, events: &mut Vec<Told>) {
        events.push(Told::Clear);
        events.extend(self.slots.live().map(|(name, _, value)| Told::Change {
            name: Arc::clone(name),
            value: value.clone(),
        }));
    }

    /// A slot's present value or removal.
    pub(super) fn present(&self, name: &str) -> Told {
        let value = self.slots.value(name).cloned();
        told(self.slots.shared_name(name), value)
    }

    /// Whether a slot has changed since the version that this member knows.
    pub(super) fn has_later(&self, member: M, known: u32, name: &str) -> bool {
        match self.slots.get(name) {
            Some(slot) => slot.version > known && slot.author != Some(member),
            // A member that knows no version must not restore a removed slot.
            None => known != 0 && known < self.forgotten,
        }
    }

    /// Whether the object may hold this value in this slot, if necessary without tombstones.
    pub(super) fn fits(&self, name: &str, value: &Encoded) -> Result<(), Refused> {
        if name.is_empty() || name.len() > Limits::MAX_SLOT_NAME {
            return Err(Refused::Name);
        }
        self.fits_message(value)?;
        let new = self.slots.value(name).is_none();
        if new && self.slots.live_count() >= self.limits.slots {
            return Err(Refused::Slots);
        }
        if self.slots.live_bytes_with(name, value) > self.limits.bytes {
            return Err(Refused::Bytes);
        }
        Ok(())
    }

    /// Whether a message to the members may have these values.
    pub(super) fn fits_message(&self, values: &Encoded) -> Result<(), Refused> {
        if values.size() > self.limits.value {
            return Err(Refused::Value);
        }
        Ok(())
    }

    /// Raises the version, for the changes that follow.
    pub(super) fn take_version(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// The name, shared with the slot if it exists.
    pub(super) fn shared_name(&self, name: &str) -> Arc<str> {
        self.slots.shared_name(name)
    }

    /// Gives a slot a value, or removes it.
    pub(super) fn put(&mut self, name: &Arc<str>, author: Option<M>, value: Option<Encoded>) {
        let slot = VersionedSlot {
            version: self.version,
            author,
            value,
        };
        self.slots.put(Arc::clone(name), slot);
        self.note_unstored(name);
        self.trim();
    }

    /// Removes all slots, without tombstones.
    pub(super) fn clear(&mut self) {
        self.slots.clear();
        (self.horizon, self.forgotten) = (self.version, self.version);
        if let Some(unstored) = &mut self.unstored {
            unstored.clear();
        }
    }

    /// Drops the tombstones of slots removed before this version.
    pub(super) fn purge(&mut self, version: u32) {
        self.forget_before(version);
        self.horizon = self.horizon.max(version.min(self.version));
        self.note_header();
    }

    pub(super) fn set_resync_depth(&mut self, depth: u32) {
        self.resync_depth = depth;
        self.trim();
    }

    /// Drops tombstones that are too many, too old, or needed as room for slots with values.
    fn trim(&mut self) {
        while self.slots.tombstone_count() > self.limits.tombstones
            || (self.slots.bytes() > self.limits.bytes && self.slots.tombstone_count() > 0)
        {
            let forgotten = self.slots.forget_oldest();
            self.forget(forgotten);
        }
        let oldest = self.version.saturating_sub(self.resync_depth);
        if oldest > self.horizon {
            self.horizon = oldest;
            self.forget_before(oldest);
        }
    }

    fn forget_before(&mut self, version: u32) {
        while let Some(forgotten) = self.slots.forget_older(version) {
            self.forget(Some(forgotten));
        }
    }

    fn forget(&mut self, tombstone: Option<(u32, Arc<str>)>) {
        if let Some((version, name)) = tombstone {
            self.forgotten = self.forgotten.max(version);
            self.horizon = self.horizon.max(version);
            self.note_unstored(&name);
        }
    }

    fn note_unstored(&mut self, name: &Arc<str>) {
        if let Some(unstored) = &mut self.unstored {
            unstored.change(name);
        }
    }

    /// Notes that the header has to be written, even without a change of a slot.
    pub(super) fn note_header(&mut self) {
        if let Some(unstored) = &mut self.unstored {
            unstored.change_header();
        }
    }

    /// Whether the next write has changes to store.
    pub(super) fn has_unstored(&self) -> bool {
        self.unstored.as_ref().is_some_and(Unstored::has_changes)
    }

    /// A write of all changes since the last one.
    pub(super) fn take_write(&mut self, ticket: Ticket) -> Write {
        let unstored = self.unstored.as_mut().map(std::mem::take);
        let (clear, names) = unstored.unwrap_or_default().into_parts();
        let slots = names.into_iter().map(|name| {
            let slot = self.slots.get(&name).map(|slot| StoredSlot {
                version: slot.version,
                value: slot.value.clone(),
            });
            (name, slot)
        });
        Write {
            ticket,
            clear,
            slots: slots.collect(),
            header: self.header(),
        }
    }

    /// A write that notes the version alone.
    pub(super) fn version_write(&self, ticket: Ticket) -> Write {
        let mut header = self.header();
        // The stored slots are still those of an earlier version.
        header.version = header.version.min(header.reserve.saturating_sub(1));
        Write {
            ticket,
            header,
            clear: false,
            slots: Vec::new(),
        }
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

/// A slot's value, or its removal.
fn told(name: Arc<str>, value: Option<Encoded>) -> Told {
    match value {
        Some(value) => Told::Change { name, value },
        None => Told::Remove { name },
    }
}

#[cfg(test)]
mod tests;
