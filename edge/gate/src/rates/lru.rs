//! A table that forgets the entry that has rested longest.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
};

/// At most [`MAX_ADDRESSES`] entries.
#[derive(Debug)]
pub(super) struct Lru<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// The keys by their last use.
    order: BTreeMap<u64, K>,
    /// Uses so far.
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    /// The value of a key, made if there is none.
    pub(super) fn get_or_make(&mut self, key: &K, make: impl FnOnce() -> V) -> &mut V {
        let is_full = self.entries.len() >= MAX_ADDRESSES && !self.entries.contains_key(key);
        if is_full && let Some((_, oldest)) = self.order.pop_first() {
            self.entries.remove(&oldest);
        }
        self.uses += 1;
        let used = self.uses;
        let entry = self.entries.entry(key.clone());
        let entry = entry.or_insert_with(|| Entry {
            value: make(),
            used,
        });
        self.order.remove(&entry.used);
        self.order.insert(used, key.clone());
        entry.used = used;
        &mut entry.value
    }

    /// The value of a key, without a use of it.
    pub(super) fn peek_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
        }
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }
}

/// Addresses in one table. Reason: some 10 MiB; an attacker with more addresses needs no guesses from
/// each of them.
pub const MAX_ADDRESSES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entry_that_has_rested_longest_leaves() {
        let mut lru = Lru::default();
        for key in 0..MAX_ADDRESSES {
            assert_eq!(*lru.get_or_make(&key, || key), key);
        }
        assert_eq!(*lru.get_or_make(&0, || 7), 0);
        lru.get_or_make(&MAX_ADDRESSES, || 7);
        assert_eq!((lru.len(), lru.order.len()), (MAX_ADDRESSES, MAX_ADDRESSES));
        assert_eq!(lru.peek_mut(&0), Some(&mut 0));
        assert_eq!(lru.peek_mut(&1), None);
        lru.remove(&0);
        lru.remove(&1);
        assert_eq!(lru.len(), MAX_ADDRESSES - 1);
        assert_eq!(lru.order.len(), MAX_ADDRESSES - 1);
    }
}
