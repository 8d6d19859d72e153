//! The groups with data in the store.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use tributary_protocol::GroupName;

/// The groups, in the order in which they came; clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    groups: Arc<Mutex<KeptGroups>>,
    /// The number of groups, and how often some were removed.
    extent: watch::Sender<Extent>,
}

/// The extent of the list of groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rises when groups are removed, so that the list is a new one.
    pub(crate) edition: u64,
    pub(crate) count: usize,
}

#[derive(Debug, Default)]
struct KeptGroups {
    known: HashSet<GroupName>,
    list: Vec<GroupName>,
}

/// The most groups that are named to edges. Reason: every edge remembers them. Further groups may
/// start elsewhere, without their data, while this origin is away.
pub(super) const MAX_KEPT: usize = 65_536;

impl Kept {
    pub(super) fn new() -> Self {
        Self {
            groups: Arc::default(),
            extent: watch::channel(Extent::default()).0,
        }
    }

    /// Whether a group may have data in the store.
    pub(crate) fn may_contain(&self, group: &GroupName) -> bool {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.list.len() >= MAX_KEPT || groups.known.contains(group)
    }

    /// Adds a group that has data in the store.
    pub(super) fn add(&self, group: &GroupName) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.list.len() >= MAX_KEPT || !groups.known.insert(group.clone()) {
            return;
        }
        groups.list.push(group.clone());
        let count = groups.list.len();
        // Sent under the lock, so that the last count sent is that of the last change.
        self.extent.send_modify(|extent| extent.count = count);
        drop(groups);
        if count == MAX_KEPT {
            tracing::warn!(
                count,
                "no more groups are bound to their home by their stored data"
            );
        }
    }

    /// Removes the groups of an application that has no data in the store any more.
    pub(super) fn forget(&self, application: &str) {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let before = groups.list.len();
        let KeptGroups { known, list } = &mut *groups;
        list.retain(|group| group.application() != application);
        known.retain(|group| group.application() != application);
        let count = list.len();
        if count < before {
            self.extent.send_modify(|extent| {
                extent.edition += 1;
                extent.count = count;
            });
        }
    }

    /// The groups without the first so many.
    pub(crate) fn since(&self, first: usize) -> Vec<GroupName> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.list.get(first..).unwrap_or_default().to_vec()
    }

    /// A receiver of the extent, which changes as groups come and go.
    pub(crate) fn changed(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }
}
