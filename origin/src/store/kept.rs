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
    groups: Arc<Mutex<KeptGroups>>,
    /// How many they are, and how often some were taken out.
    extent: watch::Sender<Extent>,
}

/// How far the list of groups goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rises when groups are taken out: the list is another one then.
    pub(crate) edition: u64,
    /// How many groups it has.
    pub(crate) count: usize,
}

#[derive(Debug, Default)]
struct KeptGroups {
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
            extent: watch::channel(Extent::default()).0,
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
        // While no other changes the list, so that the last one said is the last one.
        self.extent.send_modify(|extent| extent.count = count);
        drop(groups);
        if count == MAX_KEPT {
            tracing::warn!(
                count,
                "no more groups are bound to their home by what they store"
            );
        }
    }

    /// An application has nothing in the store any more.
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

    /// The groups, but for so many that were there first.
    pub(crate) fn since(&self, first: usize) -> Vec<GroupName> {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.list.get(first..).unwrap_or_default().to_vec()
    }

    /// How many there are, as more come, or some go.
    pub(crate) fn changed(&self) -> watch::Receiver<Extent> {
        self.extent.subscribe()
    }
}
