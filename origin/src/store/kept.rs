//! Which groups have something in the store.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tributary_protocol::GroupName;

/// The groups in the order they came; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    groups: Arc<Mutex<Groups>>,
    count: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Groups {
    known: HashSet<GroupName>,
    list: Vec<GroupName>,
}

/// The most groups that are named to edges. Reason: every edge remembers them; those beyond it may
/// start elsewhere, without their data, while this origin is away.
pub(super) const MAX_KEPT: usize = 65_536;

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            groups: Arc::default(),
            count: watch::channel(0).0,
        }
    }

    /// A group has something in the store.
    pub(super) fn add(&self, group: &GroupName) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.list.len() >= MAX_KEPT || !groups.known.insert(group.clone()) {
            return;
        }
        groups.list.push(group.clone());
        let count = groups.list.len();
        drop(groups);
        if count == MAX_KEPT {
            tracing::warn!(
                count,
                "no more groups are bound to their home by what they store"
            );
        }
        self.count.send_replace(count);
    }

    /// The groups, but for so many that were there first.
    pub(crate) fn since(&self, first: usize) -> Vec<GroupName> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.list.get(first..).unwrap_or_default().to_vec()
    }

    /// How many there are, as more come.
    pub(crate) fn changed(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}
