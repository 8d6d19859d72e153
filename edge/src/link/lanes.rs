//! The lanes of this edge.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    time::Instant,
};

use tributary_protocol::{GroupName, LaneId};

use super::{handle::ObjectInfo, lane::Lane, metrics::LinkMetrics};
use tributary_protocol::cluster::routing::OriginId;

/// The lanes that are not over.
pub(super) struct Lanes {
    /// The lane of each group for new sessions.
    by_group: RefCell<HashMap<GroupName, Rc<Lane>>>,
    /// All lanes, those that close included.
    all: RefCell<HashMap<LaneId, Rc<Lane>>>,
    next: Cell<u64>,
    metrics: LinkMetrics,
}

impl Lanes {
    pub(super) fn new(metrics: LinkMetrics) -> Self {
        Self {
            by_group: RefCell::default(),
            all: RefCell::default(),
            next: Cell::new(1),
            metrics,
        }
    }

    /// The lane of a group for new sessions.
    pub(super) fn of(&self, group: &GroupName) -> Option<Rc<Lane>> {
        self.by_group.borrow().get(group).cloned()
    }

    pub(super) fn get(&self, id: LaneId) -> Option<Rc<Lane>> {
        self.all.borrow().get(&id).cloned()
    }

    /// All lanes, those that close or are over included, in the order of their numbers.
    pub(super) fn all(&self) -> Vec<Rc<Lane>> {
        let mut lanes: Vec<_> = self.all.borrow().values().cloned().collect();
        lanes.sort_unstable_by_key(|lane| lane.id());
        lanes
    }

    /// Whether new sessions of the lane's group join it.
    pub(super) fn is_listed(&self, lane: &Rc<Lane>) -> bool {
        let lanes = self.by_group.borrow();
        let listed = lanes.get(lane.group());
        listed.is_some_and(|listed| Rc::ptr_eq(listed, lane))
    }

    /// The lanes to an origin that are not over and do not close, those included that no session joins.
    pub(super) fn at(&self, origin: OriginId) -> Vec<Rc<Lane>> {
        let mut lanes = self.all();
        lanes.retain(|lane| lane.origin.id == origin && lane.is_open());
        lanes
    }

    /// The number of groups with a lane for new sessions.
    pub(super) fn group_count(&self) -> usize {
        self.by_group.borrow().len()
    }

    /// A lane number that this edge has not used before.
    pub(super) fn next_id(&self) -> LaneId {
        let id = LaneId(self.next.get());
        self.next.set(id.0 + 1);
        id
    }

    /// The number of the next lane.
    pub(super) fn next(&self) -> u64 {
        self.next.get()
    }

    /// Lets the numbers go on at this one.
    pub(super) fn continue_at(&self, next: u64) {
        self.next.set(next);
    }

    pub(super) fn add(&self, lane: &Rc<Lane>) {
        let group = lane.group().clone();
        self.by_group.borrow_mut().insert(group, Rc::clone(lane));
        self.add_unlisted(lane);
    }

    /// Adds a lane that new sessions do not join.
    pub(super) fn add_unlisted(&self, lane: &Rc<Lane>) {
        self.all.borrow_mut().insert(lane.id(), Rc::clone(lane));
        self.count();
    }

    /// Ends the use of the lane for new sessions.
    pub(super) fn unlist(&self, lane: &Rc<Lane>) {
        if self.is_listed(lane) {
            self.by_group.borrow_mut().remove(lane.group());
        }
    }

    /// Removes a lane that is over.
    pub(super) fn forget(&self, lane: &Rc<Lane>) {
        self.unlist(lane);
        self.all.borrow_mut().remove(&lane.id());
        let audiences = lane.audience_count();
        self.metrics.audiences.dec_by(audiences as i64);
        self.count();
    }

    /// Closes lanes that have had no sessions for a while. A lane to an origin that goes away
    /// closes at once: the next session of its group may go elsewhere.
    pub(super) fn close_idle(&self, now: Instant, is_leaving: impl Fn(OriginId) -> bool) {
        self.all.borrow().values().for_each(|lane| lane.tick(now));
        let is_idle = |lane: &&Rc<Lane>| lane.is_idle(now, is_leaving(lane.origin.id));
        let lanes = self.all.borrow();
        let idle: Vec<_> = lanes.values().filter(is_idle).cloned().collect();
        drop(lanes);
        for lane in idle {
            self.unlist(&lane);
            lane.close();
        }
    }

    /// Ends the closing lanes of an origin that is gone for good.
    pub(super) fn give_up_closing(&self, origin: OriginId) {
        let lanes = self.all.borrow();
        for lane in lanes.values().filter(|lane| lane.origin.id == origin) {
            lane.give_up_closing();
        }
    }

    /// Whether the origins have acknowledged everything.
    pub(super) fn are_settled(&self) -> bool {
        self.all.borrow().values().all(|lane| lane.is_settled())
    }

    /// Lists the shared objects that sessions use.
    pub(super) fn objects(&self) -> Vec<ObjectInfo> {
        let mut objects = Vec::new();
        for lane in self.all.borrow().values() {
            lane.objects(&mut objects);
        }
        objects
    }

    fn count(&self) {
        self.metrics.lanes.set(self.all.borrow().len() as i64);
    }
}
