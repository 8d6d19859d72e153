//! The storage under a store.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;

/// Entries by key, in the order of their keys.
pub(crate) trait Storage: Send + Sync + 'static {
    /// All entries whose key begins with `prefix`, in order.
    fn read(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, StorageError>;

    /// Makes changes: all of them or none. When it returns they survive the end of the process and
    /// of the machine.
    fn commit(&self, changes: &Changes) -> Result<(), StorageError>;
}

/// Changes of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// All entries whose key begins with one of these are removed, before the others are put.
    cleared: BTreeSet<Vec<u8>>,
    /// The new value of each entry; `None` removes it.
    entries: BTreeMap<Vec<u8>, Option<Bytes>>,
    bytes: usize,
}

impl Changes {
    /// No changes.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Puts an entry, or removes it.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Bytes>) {
        self.bytes += size(&key, value.as_ref());
        let length = key.len();
        if let Some(before) = self.entries.insert(key, value) {
            self.bytes -= length + before.map_or(0, |before| before.len());
        }
    }

    /// Removes all entries whose key begins with `prefix`, those put before it among them.
    pub(crate) fn clear(&mut self, prefix: Vec<u8>) {
        let within: Vec<_> = self.keys_of(&prefix).cloned().collect();
        for key in within {
            let value = self.entries.remove(&key).flatten();
            self.bytes -= size(&key, value.as_ref());
        }
        let length = prefix.len();
        if self.cleared.insert(prefix) {
            self.bytes += length;
        }
    }

    /// Adds later changes to these.
    pub(crate) fn append(&mut self, later: Self) {
        for prefix in later.cleared {
            self.clear(prefix);
        }
        for (key, value) in later.entries {
            self.put(key, value);
        }
    }

    /// Makes these changes to entries that were read by `prefix`.
    pub(crate) fn apply(&self, prefix: &[u8], entries: &mut BTreeMap<Vec<u8>, Bytes>) {
        for cleared in &self.cleared {
            entries.retain(|key, _| !key.starts_with(cleared));
        }
        for key in self.keys_of(prefix) {
            match &self.entries[key] {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
    }

    /// The changes of entries whose key begins with `prefix`.
    pub(crate) fn within(&self, prefix: &[u8]) -> Self {
        let concerns =
            |cleared: &&Vec<u8>| cleared.starts_with(prefix) || prefix.starts_with(cleared);
        let mut within = Self::new();
        for cleared in self.cleared.iter().filter(concerns) {
            within.clear(cleared.clone());
        }
        for key in self.keys_of(prefix) {
            within.put(key.clone(), self.entries[key].clone());
        }
        within
    }

    /// The prefixes whose entries are all removed first.
    pub(crate) fn cleared(&self) -> impl Iterator<Item = &[u8]> {
        self.cleared.iter().map(Vec::as_slice)
    }

    /// The new value of each entry; `None` removes it.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&[u8], Option<&Bytes>)> {
        let entries = self.entries.iter();
        entries.map(|(key, value)| (key.as_slice(), value.as_ref()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cleared.is_empty() && self.entries.is_empty()
    }

    /// The bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn keys_of<'c>(&'c self, prefix: &'c [u8]) -> impl Iterator<Item = &'c Vec<u8>> {
        let from = self.entries.range(prefix.to_vec()..);
        from.map(|(key, _)| key)
            .take_while(move |key| key.starts_with(prefix))
    }
}

fn size(key: &[u8], value: Option<&Bytes>) -> usize {
    key.len() + value.map_or(0, Bytes::len)
}

/// A storage has failed; the text goes to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageError(pub String);

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StorageError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    #[test]
    fn later_changes_win_and_a_clear_takes_what_was_before_it() {
        let mut changes = Changes::new();
        changes.put(key("a/1"), Some(Bytes::from_static(b"one")));
        changes.put(key("b"), Some(Bytes::from_static(b"bee")));
        let mut later = Changes::new();
        later.clear(key("a/"));
        later.put(key("a/2"), Some(Bytes::from_static(b"two")));
        later.put(key("b"), None);
        changes.append(later);
        let mut entries = BTreeMap::from([
            (key("a/0"), Bytes::from_static(b"nil")),
            (key("b"), Bytes::from_static(b"old")),
            (key("c"), Bytes::from_static(b"sea")),
        ]);
        changes.apply(b"", &mut entries);
        let left: Vec<_> = entries.keys().cloned().collect();
        assert_eq!(left, [key("a/2"), key("c")]);
        // Only entries that the prefix covers are put.
        let mut entries = BTreeMap::new();
        changes.apply(b"c", &mut entries);
        assert!(entries.is_empty());
    }

    #[test]
    fn bytes_are_counted_as_entries_come_and_go() {
        let mut changes = Changes::new();
        for _ in 0..3 {
            changes.put(key("a/1"), Some(Bytes::from_static(b"12345")));
        }
        changes.put(key("a/1"), None);
        let before = changes.bytes();
        changes.clear(key("a/"));
        assert!(before > 0 && changes.bytes() <= before);
        assert!(!changes.is_empty());
    }
}
