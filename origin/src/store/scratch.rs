//! A store on top of another: it reads the entries of that one, and keeps its own writes in memory.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;

use super::{Changes, Storage, StorageError, Store};

pub(super) struct Scratch {
    base: Store,
    own: Mutex<Changes>,
}

impl Scratch {
    pub(super) fn new(base: Store) -> Self {
        Self {
            base,
            own: Mutex::default(),
        }
    }
}

impl Storage for Scratch {
    fn read(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, StorageError> {
        let mut entries: BTreeMap<_, _> = self.base.shared.writer.read(prefix)?;
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.apply(prefix, &mut entries);
        Ok(entries.into_iter().collect())
    }

    fn commit(&self, changes: &Changes) -> Result<(), StorageError> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.append(changes.clone());
        Ok(())
    }
}
