//! The origins' states together with the rule that places groups by them.

use std::time::Instant;

use tributary_protocol::GroupName;

use super::{
    placement::{Place, Placement},
    table::{Health, OriginId, Table},
};

/// The way of groups to origins.
#[derive(Debug)]
pub struct Router {
    table: Table,
    placement: Box<dyn Placement>,
}

impl Router {
    /// No origins yet; the edge starts now. `placement` has none either.
    pub fn new(placement: Box<dyn Placement>, now: Instant) -> Self {
        Self {
            table: Table::new(now),
            placement,
        }
    }

    /// Adds an origin. `name` is what the edges call it, and no other origin's.
    pub fn add(&mut self, name: &str) -> OriginId {
        let origin = self.table.add();
        self.placement.added(origin, name);
        origin
    }

    /// Removes an origin.
    pub fn remove(&mut self, origin: OriginId) {
        self.table.remove(origin);
        self.placement.removed(origin);
    }

    /// The origins' states.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// The origins' states, to note a change.
    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// The origin that a group belongs to when all are well; `None` without origins.
    pub fn home(&self, group: &GroupName) -> Option<OriginId> {
        self.placement.home(group)
    }

    /// Whether the group has data at its home, so that it starts there or not at all.
    pub fn is_kept(&self, group: &GroupName) -> bool {
        let at = self.table.kept_at(group);
        at.is_some_and(|at| self.home(group) == Some(at))
    }

    /// Where a new session of `group` goes, if this edge has no lane of the group.
    pub fn place(&self, group: &GroupName, now: Instant) -> Place {
        if let Some(until) = self.table.starting(now) {
            return Place::Wait(until);
        }
        if let Some(origin) = self.table.displaced_at(group) {
            match self.table.health(origin) {
                Health::Up => return Place::At(origin),
                Health::Lost { until } if until > now => return Place::Wait(until),
                _ => {}
            }
        }
        self.placement.place(group, &self.table, now)
    }
}

#[cfg(test)]
mod tests;
