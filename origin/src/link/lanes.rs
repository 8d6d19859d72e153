//! The lanes of each group.

use std::{cell::RefCell, collections::HashMap, rc::Rc};

use tributary_protocol::GroupName;

use super::lane::Lane;

/// The lanes by their groups.
#[derive(Default)]
pub(super) struct Lanes(RefCell<HashMap<GroupName, Vec<Rc<Lane>>>>);

impl Lanes {
    pub(super) fn add(&self, lane: Rc<Lane>) {
        let mut lanes = self.0.borrow_mut();
        lanes.entry(lane.name.clone()).or_default().push(lane);
    }

    /// Forgets a lane that is over.
    pub(super) fn forget(&self, lane: &Lane) {
        let mut lanes = self.0.borrow_mut();
        if let Some(of_group) = lanes.get_mut(&lane.name) {
            of_group.retain(|it| it.key != lane.key);
            if of_group.is_empty() {
                lanes.remove(&lane.name);
            }
        }
    }

    /// The lanes of a group that are not over and have not moved to another origin.
    pub(super) fn of(&self, group: &GroupName) -> Vec<Rc<Lane>> {
        let lanes = self.0.borrow();
        let of_group = lanes.get(group).into_iter().flatten();
        of_group.filter(|lane| lane.is_here()).cloned().collect()
    }
}
