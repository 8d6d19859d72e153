//! The changes of a persistent object that its next write stores.

use std::{collections::BTreeSet, sync::Arc};

#[derive(Debug, Default)]
pub(super) struct Unstored {
    /// The names of changed slots.
    slots: BTreeSet<Arc<str>>,
    /// Whether all slots were removed before those changes.
    clear: bool,
    header: bool,
}

impl Unstored {
    pub(super) fn change(&mut self, slot: &Arc<str>) {
        self.slots.insert(Arc::clone(slot));
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.clear = true;
    }

    pub(super) fn change_header(&mut self) {
        self.header = true;
    }

    pub(super) fn has_changes(&self) -> bool {
        self.clear || self.header || !self.slots.is_empty()
    }

    /// Whether the write clears the slots first, and the changed slots.
    pub(super) fn into_parts(self) -> (bool, BTreeSet<Arc<str>>) {
        (self.clear, self.slots)
    }
}
