//! Groups that may be at another origin as well.

use std::{collections::BTreeMap, time::Instant};

use crate::GroupName;

/// Groups that edges have brought here while not all other origins had said which groups they have, and groups that
/// another origin has named while they are here.
#[derive(Debug, Default)]
pub(super) struct Doubtful(
    /// Since when another origin is known to have the group.
    pub(super) BTreeMap<GroupName, Option<Instant>>,
);

impl Doubtful {
    pub(super) fn add(&mut self, group: GroupName) {
        self.0.entry(group).or_default();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
