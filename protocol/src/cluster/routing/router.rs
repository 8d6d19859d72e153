//! The router: the origins' states, and the rule that places groups by them.

use std::time::Instant;

use crate::GroupName;

use super::{
    placement::{Placement, SessionPlace},
    table::{Health, OriginId, OriginTable},
};

#[derive(Debug)]
pub struct Router {
    table: OriginTable,
    placement: Box<dyn Placement>,
}

impl Router {
    /// A router without origins, at the start of the edge. `placement` has none either.
    pub fn new(placement: Box<dyn Placement>, now: Instant) -> Self {
        Self {
            table: OriginTable::new(now),
            placement,
        }
    }

    /// Adds an origin. `name` is the name by which the edges call it, and no other origin has it.
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

    pub fn table(&self) -> &OriginTable {
        &self.table
    }

    /// The origins' states, for changes.
    pub fn table_mut(&mut self) -> &mut OriginTable {
        &mut self.table
    }

    /// The home of a group; `None` without origins.
    pub fn home(&self, group: &GroupName) -> Option<OriginId> {
        self.placement.home(group)
    }

    /// Whether the home of the group has its data: then the group starts there or not at all.
    pub fn is_kept(&self, group: &GroupName) -> bool {
        let at = self.table.kept_at(group);
        at.is_some_and(|at| self.home(group) == Some(at))
    }

    /// The place of a new session of `group`, if this edge has no lane of the group.
    pub fn place(&self, group: &GroupName, now: Instant) -> SessionPlace {
        if let Some(until) = self.table.starting(now) {
            return SessionPlace::Wait(until);
        }
        if let Some(origin) = self.table.displaced_at(group) {
            match self.table.health(origin) {
                Health::Up => return SessionPlace::At(origin),
                Health::Lost { until } if until > now => return SessionPlace::Wait(until),
                _ => {}
            }
        }
        self.placement.place(group, &self.table, now)
    }
}

#[cfg(test)]
mod tests;
