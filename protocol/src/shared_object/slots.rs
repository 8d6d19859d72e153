//! The slots of one object, with tombstones of removed ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::Encoded;

/// Slots by name. A slot carries the version of its last change. A removed slot is a *tombstone*.
#[derive(Clone, Debug)]
pub(super) struct Slots<M> {
    by_name: BTreeMap<Arc<str>, VersionedSlot<M>>,
    /// The tombstones, oldest first.
    tombstones: BTreeSet<(u32, Arc<str>)>,
    bytes: usize,
    tombstone_bytes: usize,
}

/// One slot.
#[derive(Clone, Debug)]
pub(super) struct VersionedSlot<M> {
    /// The version of its last change.
    pub(super) version: u32,
    /// The member that made it; none for the application, and after a restart.
    pub(super) author: Option<M>,
    /// None in a tombstone.
    pub(super) value: Option<Encoded>,
}

impl<M: Copy> Slots<M> {
    pub(super) fn new() -> Self {
        Self {
            by_name: BTreeMap::new(),
            tombstones: BTreeSet::new(),
            bytes: 0,
            tombstone_bytes: 0,
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&VersionedSlot<M>> {
        self.by_name.get(name)
    }

    /// The slot's value, if it has one.
    pub(super) fn value(&self, name: &str) -> Option<&Encoded> {
        self.get(name)?.value.as_ref()
    }

    /// The name, shared with the slot if it exists.
    pub(super) fn shared_name(&self, name: &str) -> Arc<str> {
        self.by_name
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(name, _)| Arc::clone(name))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &VersionedSlot<M>)> {
        self.by_name.iter()
    }

    /// The slots that have a value.
    pub(super) fn live(&self) -> impl Iterator<Item = (&Arc<str>, u32, &Encoded)> {
        self.by_name.iter().filter_map(|(name, slot)| {
            let value = slot.value.as_ref()?;
            Some((name, slot.version, value))
        })
    }

    /// The count of slots that have a value.
    pub(super) fn live_count(&self) -> usize {
        self.by_name.len() - self.tombstones.len()
    }

    /// The count of tombstones.
    pub(super) fn tombstone_count(&self) -> usize {
        self.tombstones.len()
    }

    /// The bytes that all slots count.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes that the slots with values would count with this value in this slot.
    pub(super) fn live_bytes_with(&self, name: &str, value: &Encoded) -> usize {
        let live = self.get(name).filter(|slot| slot.value.is_some());
        let before = live.map_or(0, |slot| cost(name, slot));
        self.bytes - self.tombstone_bytes - before + OVERHEAD + name.len() + value.size()
    }

    /// Stores a slot or a tombstone.
    pub(super) fn put(&mut self, name: Arc<str>, slot: VersionedSlot<M>) {
        self.take(&name);
        let cost = cost(&name, &slot);
        self.bytes += cost;
        if slot.value.is_none() {
            self.tombstone_bytes += cost;
            self.tombstones.insert((slot.version, Arc::clone(&name)));
        }
        self.by_name.insert(name, slot);
    }

    fn take(&mut self, name: &Arc<str>) {
        if let Some(slot) = self.by_name.remove(name) {
            let cost = cost(name, &slot);
            self.bytes -= cost;
            if slot.value.is_none() {
                self.tombstone_bytes -= cost;
                self.tombstones.remove(&(slot.version, Arc::clone(name)));
            }
        }
    }

    /// Drops the oldest tombstone if its version is below `version`.
    pub(super) fn forget_older(&mut self, version: u32) -> Option<(u32, Arc<str>)> {
        if self.tombstones.first()?.0 >= version {
            return None;
        }
        self.forget_oldest()
    }

    /// Drops the oldest tombstone.
    pub(super) fn forget_oldest(&mut self) -> Option<(u32, Arc<str>)> {
        let (version, name) = self.tombstones.first().cloned()?;
        self.take(&name);
        Some((version, name))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new();
    }
}

fn cost<M>(name: &str, slot: &VersionedSlot<M>) -> usize {
    OVERHEAD + name.len() + slot.value.as_ref().map_or(0, Encoded::size)
}

/// The bytes that a slot counts beside its name and value. Reason: small slots must not cost far
/// more than they count.
const OVERHEAD: usize = 64;
