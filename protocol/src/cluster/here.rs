//! The facts that the machine asks of its driver.

use std::sync::Arc;

use crate::GroupName;

/// The number of a lane at its origin. No number is used twice in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneNumber(pub u64);

/// The facts about an origin's lanes, groups and edges at this moment.
pub trait Here {
    /// The lanes of a group that are neither over nor moved to another origin.
    fn lanes(&self, group: &GroupName) -> Vec<LaneFacts>;

    /// Whether the group has stored data at this origin, which does not move.
    fn has_data(&self, group: &GroupName) -> bool;

    /// Whether the group's application has its clients closed when it goes on elsewhere.
    fn closes_clients(&self, group: &GroupName) -> bool;

    /// The reason for which a group that another origin offers cannot be started here, beside `coming` other
    /// groups that are on their way.
    fn refusal(&self, group: &GroupName, coming: usize) -> Option<String>;

    /// Whether an edge of this name has a link by which it can bring sessions.
    fn brings(&self, edge: &str) -> bool;

    /// The edge processes that this origin knows: their names and start epochs.
    fn edges(&self) -> Vec<(Arc<str>, u64)>;
}

/// A lane at this moment.
#[derive(Clone, Debug)]
pub struct LaneFacts {
    pub number: LaneNumber,
    /// The edge's name.
    pub edge: Arc<str>,
    pub sessions: u64,
    /// Whether the edge can bring the lane's sessions elsewhere, and has a link on which it is heard.
    pub follows: bool,
    /// Whether it has had a session that its group has.
    pub has_group: bool,
    /// Whether its edge has begun to restore it and has not ended.
    pub is_brought: bool,
}
