//! A drain, and the groups that have not moved.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    time::{Duration, Instant},
};

use tributary_protocol::GroupName;

use crate::cluster::{OriginState, StayingGroup};

/// A drain that is under way, or done.
pub(super) struct Drain {
    /// Until then applications that do not expect to be moved are left alone, as long as they have clients.
    pub(super) until: Cell<Instant>,
    /// The groups that have not moved, with the reasons.
    pub(super) staying: RefCell<BTreeMap<GroupName, Staying>>,
    pub(super) is_done: Cell<bool>,
}

/// A group that has not moved.
pub(super) struct Staying {
    pub(super) why: String,
    /// When the drain tries again, and the pause after that.
    pub(super) again: Instant,
    pub(super) pause: Duration,
    /// Whether it was tried after the time of the drain.
    pub(super) was_late: bool,
    /// Whether another attempt has no other outcome.
    pub(super) is_final: bool,
}

impl Drain {
    pub(super) fn staying(&self) -> Vec<StayingGroup> {
        let staying = self.staying.borrow();
        let staying = staying.iter().map(|(group, staying)| StayingGroup {
            group: group.to_string(),
            why: staying.why.clone(),
        });
        staying.collect()
    }

    pub(super) fn state(&self) -> OriginState {
        match self.is_done.get() {
            true => OriginState::Drained,
            false => OriginState::Draining,
        }
    }
}
