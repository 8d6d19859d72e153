//! The admission of lanes: which group starts or goes on here.

use std::{sync::Arc, time::Instant};

use super::{
    here::Here,
    ownership::{OriginStanding, Ownership},
    residents::UnderWay,
};
use crate::{GroupName, link::lane_frame::OpenLane, mutant::Mutant};

/// The answer to an edge that opens a new lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Open,
    /// There is nothing to go on with.
    Unknown,
    /// The edge asks again: the group may be elsewhere, or come here.
    Wait,
}

impl Ownership {
    /// Decides on a new lane.
    pub fn admit(&self, open: &OpenLane, now: Instant, here: &impl Here) -> Admission {
        let lives_here = self.residents.contains(&open.group);
        let is_elsewhere = match open.restore {
            // Its sessions are passed on once the group has gone.
            true => self.moves.going(&open.group).is_some(),
            false => {
                let leaves = self.moves.takes_away(&open.group);
                let is_at_other = !lives_here && self.others.may_have(&open.group);
                leaves && !Mutant::LeavingGroupsAreOpen.is_on()
                    || is_at_other && !Mutant::OthersDoNotCount.is_on()
            }
        };
        let is_held = !open.restore && self.gathering.holds(&open.group);
        if self.standing == OriginStanding::Stopping || is_held || is_elsewhere {
            return Admission::Wait;
        }
        if open.only_if_living && !lives_here {
            return Admission::Unknown;
        }
        // A group that an edge brings has lived here, or was given to this origin; if another has it all the
        // same, its sessions are passed on.
        let is_new = !open.restore && !lives_here;
        let may_live = || {
            let edges = || here.edges();
            self.elsewhere.may_live(&open.group, &open.home, edges, now)
        };
        if is_new && may_live() {
            return Admission::Wait;
        }
        Admission::Open
    }

    /// A lane is opened that an edge restores.
    pub fn is_restored(&mut self, group: &GroupName) {
        if self.residents.contains(group) {
            return;
        }
        // Until it is known that the group goes on here, and not at the origin that has it.
        let how = match self.gathering.expects(group) {
            // The other origin has stopped it: only then does an edge bring it here.
            true => UnderWay::Committed,
            false => UnderWay::Brought,
        };
        self.residents.goes(group, how);
    }

    /// An edge process has lost another origin and has these groups there; `complete` ends its list.
    pub fn edge_misses(
        &mut self,
        (edge, epoch): (&Arc<str>, u64),
        origin: &str,
        groups: Vec<GroupName>,
        complete: bool,
        now: Instant,
    ) {
        self.elsewhere
            .report(edge, epoch, origin, groups, complete, now);
    }

    /// An edge process has given another origin up, or `has` it back.
    pub fn edge_waits_no_more(
        &mut self,
        (edge, epoch): (&Arc<str>, u64),
        origin: &str,
        has: bool,
        now: Instant,
    ) {
        self.elsewhere
            .report_ended(edge, epoch, origin, has.then_some(now));
    }

    /// An edge process is gone.
    pub fn edge_gone(&mut self, edge: &Arc<str>, epoch: u64) {
        self.elsewhere.edge_gone(edge, epoch);
    }

    /// The process was stopped for this time, in which it has heard nothing.
    pub fn postpone(&mut self, by: std::time::Duration) {
        self.elsewhere.postpone(by);
    }
}
