//! The moves of groups that are under way, and what is known of those that are over.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::sync::oneshot;
use tributary_protocol::GroupName;

use crate::cluster::{OriginState, StayingGroup};

/// Moves from here and to here.
#[derive(Default)]
pub(super) struct Moves {
    /// Our offers, until their groups have arrived.
    pub(super) offered: RefCell<HashMap<u64, Offer>>,
    /// Offers of others that were accepted, until they are committed.
    pub(super) accepted: RefCell<HashMap<u64, Arriving>>,
    /// Groups that go to another origin, or have gone.
    pub(super) away: RefCell<HashMap<GroupName, Away>>,
    /// Groups that are here because another origin has given them up.
    pub(super) given: RefCell<HashSet<GroupName>>,
}

/// An offer of this origin.
pub(super) struct Offer {
    pub(super) answer: Option<oneshot::Sender<Option<String>>>,
    pub(super) arrived: Option<oneshot::Sender<u64>>,
}

/// An offer of another origin.
pub(super) struct Arriving {
    pub(super) group: GroupName,
    pub(super) from: String,
    pub(super) state: BytesMut,
    /// The bytes of the state, once the group has stopped there. Its last pieces may come by another link, later.
    pub(super) committed: Option<u64>,
    pub(super) until: Instant,
}

/// A group that is not here any more, or soon.
pub(super) struct Away {
    pub(super) since: Cell<Instant>,
    pub(super) is_going: Cell<bool>,
}

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

impl Moves {
    /// Whether lanes of a group do not open here: it goes to another origin, or has gone just now.
    pub(super) fn takes_away(&self, group: &GroupName) -> bool {
        self.away.borrow().contains_key(group)
    }

    /// Whether a group is on its way to another origin.
    pub(super) fn is_going(&self, group: &GroupName) -> bool {
        let away = self.away.borrow();
        away.get(group).is_some_and(|away| away.is_going.get())
    }

    /// Whether any group is offered, or on its way, to another origin or to this one.
    pub(super) fn are_under_way(&self) -> bool {
        let away = self.away.borrow();
        let offers = !self.offered.borrow().is_empty() || !self.accepted.borrow().is_empty();
        offers || away.values().any(|away| away.is_going.get())
    }

    /// A group goes to another origin from now on.
    pub(super) fn goes(&self, group: &GroupName) {
        let away = Away {
            since: Cell::new(Instant::now()),
            is_going: Cell::new(true),
        };
        self.away.borrow_mut().insert(group.clone(), away);
    }

    /// A group has gone to another origin.
    pub(super) fn has_gone(&self, group: &GroupName) {
        self.given.borrow_mut().remove(group);
        if let Some(away) = self.away.borrow().get(group) {
            away.since.set(Instant::now());
            away.is_going.set(false);
        }
    }

    /// Whether a group is here because another origin has given it up.
    pub(super) fn is_given(&self, group: &GroupName) -> bool {
        self.given.borrow().contains(group)
    }
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
