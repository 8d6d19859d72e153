//! A storage in memory that waits and fails as a test orders it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex},
};

use bytes::Bytes;

use crate::store::{Changes, Storage, StorageError};

#[derive(Clone, Default)]
pub(crate) struct Memory {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Vec<u8>, Bytes>,
    held: bool,
    failing: bool,
    commits: usize,
}

impl Memory {
    /// Holds all commits back.
    pub(crate) fn hold(&self) {
        self.shared.state.lock().unwrap().held = true;
    }

    /// Lets held commits go on.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().held = false;
        self.shared.wake.notify_all();
    }

    /// Sets whether commits fail from now on.
    pub(crate) fn fail(&self, failing: bool) {
        self.shared.state.lock().unwrap().failing = failing;
    }

    /// How many commits there were.
    pub(crate) fn commits(&self) -> usize {
        self.shared.state.lock().unwrap().commits
    }
}

impl Storage for Memory {
    fn read(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, StorageError> {
        let state = self.shared.state.lock().unwrap();
        let found = state.entries.range(prefix.to_vec()..);
        Ok(found
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    fn commit(&self, changes: &Changes) -> Result<(), StorageError> {
        let state = self.shared.state.lock().unwrap();
        let mut state = self
            .shared
            .wake
            .wait_while(state, |state| state.held)
            .unwrap();
        if state.failing {
            return Err(StorageError("the test wants it so".to_owned()));
        }
        state.commits += 1;
        for cleared in changes.cleared() {
            state.entries.retain(|key, _| !key.starts_with(cleared));
        }
        for (key, value) in changes.entries() {
            match value {
                Some(value) => state.entries.insert(key.to_vec(), value.clone()),
                None => state.entries.remove(key),
            };
        }
        Ok(())
    }
}
