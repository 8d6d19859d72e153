//! The number of a pull.

/// The place of a pull among those of its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct PullId(pub(super) u64);
