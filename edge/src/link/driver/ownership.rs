//! Which origin has which group: what this edge says to origins about it, and what they say.

use std::{rc::Rc, time::Instant};

use tributary_protocol::{
    GroupName,
    link::{Control, hello::GROUPS_PER_FRAME},
};

use super::Driver;
use crate::{
    link::{handle::FromOrigin, lane::Lane},
    routing::Health,
};

impl Driver {
    /// The link to an origin came up; `new_process` if it is not the process known before.
    pub(in crate::link) fn origin_up(self: &Rc<Self>, origin: usize, new_process: bool) {
        if new_process {
            self.table.borrow_mut().forget(origin);
            for lane in self.lanes_at(origin) {
                if lane.state.borrow().has_history() {
                    self.replace(&lane, true);
                }
            }
        }
        self.set_health(origin, Health::Up);
        for lane in self.lanes_at(origin) {
            lane.tell_all(|| FromOrigin::LinkBack);
        }
        for lane in self.lanes_at(origin) {
            let copy = self.table.borrow().displaced_at(&lane.group);
            if let (Some(home), Some(copy)) = (self.home_in_use(&lane.group), copy)
                && home != copy
            {
                self.tell_at_home(copy, home, vec![lane.group.clone()]);
            }
        }
        self.tell_living_end(origin, !new_process);
    }

    /// The link to an origin is lost. Groups without an accepted session are free at once.
    pub(in crate::link) fn origin_lost(self: &Rc<Self>, origin: usize, until: Instant) {
        self.set_health(origin, Health::Lost { until });
        let mut living = Vec::new();
        for lane in self.lanes_at(origin) {
            if lane.state.borrow().has_accepted() {
                lane.tell_all(|| FromOrigin::LinkLost);
                living.push(lane.group.clone());
            } else {
                self.replace(&lane, false);
            }
        }
        self.tell_living(origin, &living);
    }

    /// An origin will go: groups that do not live there are placed elsewhere from now on.
    pub(in crate::link) fn origin_leaving(&self, origin: usize) {
        self.table.borrow_mut().set_leaving(origin);
        self.close_idle(Instant::now());
    }

    /// The grace time of an origin is over: its groups are free to start elsewhere.
    pub(in crate::link) fn origin_down(self: &Rc<Self>, origin: usize) {
        self.set_health(origin, Health::Down);
        for lane in self.lanes_at(origin) {
            self.replace(&lane, true);
        }
        for lane in self.all.borrow().values() {
            if lane.origin == origin {
                lane.give_up_closing();
            }
        }
        self.tell_living_end(origin, false);
    }

    pub(in crate::link) fn set_health(&self, origin: usize, health: Health) {
        let mut table = self.table.borrow_mut();
        table.set_health(origin, health);
        self.readiness.set(table.is_ready());
        drop(table);
        self.place_all();
    }

    /// Says to every other origin which groups live at a lost one.
    pub(in crate::link) fn tell_living(&self, lost: usize, groups: &[GroupName]) {
        let name = self.table.borrow().name(lost).to_owned();
        let mut rest = groups;
        loop {
            let (groups, later) = rest.split_at(rest.len().min(GROUPS_PER_FRAME));
            let living = Control::Living {
                origin: name.clone(),
                complete: later.is_empty(),
                groups: groups.to_vec(),
            };
            self.tell_origins(lost, &living);
            if later.is_empty() {
                break;
            }
            rest = later;
        }
    }

    pub(in crate::link) fn tell_living_end(&self, origin: usize, resumed: bool) {
        let name = self.table.borrow().name(origin).to_owned();
        self.tell_origins(
            origin,
            &Control::LivingEnd {
                origin: name,
                resumed,
            },
        );
    }

    /// What lives at origins that are lost now: for an origin whose link comes up meanwhile.
    pub(in crate::link) fn tell_new_link(&self, to: usize) {
        for lost in (0..self.origins.len()).filter(|&other| other != to) {
            if !matches!(self.table.borrow().health(lost), Health::Lost { .. }) {
                continue;
            }
            let groups: Vec<_> = self
                .lanes_at(lost)
                .iter()
                .map(|lane| lane.group.clone())
                .collect();
            self.tell_living(lost, &groups);
        }
    }

    pub(in crate::link) fn tell_origins(&self, but: usize, control: &Control) {
        for (index, origin) in self.origins.iter().enumerate() {
            if index != but {
                origin.tell(control.clone());
            }
        }
    }

    pub(in crate::link) fn lanes_at(&self, origin: usize) -> Vec<Rc<Lane>> {
        let lanes = self.lanes.borrow();
        lanes
            .values()
            .filter(|lane| lane.origin == origin)
            .cloned()
            .collect()
    }

    /// An origin named groups that live there away from home, and groups that no longer do.
    pub(in crate::link) fn displaced(
        self: &Rc<Self>,
        origin: usize,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        let homes = added
            .iter()
            .filter_map(|group| Some((self.home_in_use(group)?, group)));
        for (home, group) in homes.filter(|&(home, _)| home != origin) {
            self.tell_at_home(origin, home, vec![group.clone()]);
        }
        let named: Vec<_> = added.iter().chain(removed).cloned().collect();
        let mut table = self.table.borrow_mut();
        let starting = table.starting(Instant::now());
        table.displaced(origin, complete, added, removed);
        let has_started = starting != table.starting(Instant::now());
        drop(table);
        if has_started {
            self.place_all();
        }
        for group in &named {
            self.place_group(group);
        }
    }

    /// The home of a group, if it is up and this edge has accepted sessions of the group there.
    pub(in crate::link) fn home_in_use(&self, group: &GroupName) -> Option<usize> {
        let lanes = self.lanes.borrow();
        let lane = lanes
            .get(group)
            .filter(|lane| lane.state.borrow().has_accepted())?;
        let table = self.table.borrow();
        let home = table.home(group);
        // A home that goes away does not call its groups back.
        let stays = table.health(home) == Health::Up && !table.is_leaving(home);
        (lane.origin == home && stays).then_some(home)
    }

    pub(in crate::link) fn tell_at_home(&self, to: usize, home: usize, groups: Vec<GroupName>) {
        let origin = self.table.borrow().name(home).to_owned();
        self.origins[to].tell(Control::AtHome { origin, groups });
    }

    /// What the edges call the home of a group.
    pub(in crate::link) fn home(&self, group: &GroupName) -> String {
        let table = self.table.borrow();
        table.name(table.home(group)).to_owned()
    }
}
