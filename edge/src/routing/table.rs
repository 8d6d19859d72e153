//! The origins as this edge knows them, and where a group goes.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use tributary_protocol::GroupName;

use super::order;

/// How an origin fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Not reached since this edge started.
    New,
    /// Its link is up.
    Up,
    /// Its link is lost; what lived there stays there until the grace time is over.
    Lost {
        /// When the grace time ends for this edge.
        until: Instant,
    },
    /// It has been away for longer than the grace time.
    Down,
}

/// Where a session of a group goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// To this origin.
    At(usize),
    /// Nowhere yet: ask again when an origin's health changes, or at this time.
    Wait(Instant),
    /// No origin can take it.
    Nowhere,
}

/// The origins and the groups that live away from their home.
#[derive(Debug)]
pub struct Table {
    names: Vec<String>,
    health: Vec<Health>,
    /// Whether the origin has sent its whole list of displaced groups on its present link.
    listed: Vec<bool>,
    /// Whether the origin has said on its present link that it goes away.
    leaving: Vec<bool>,
    displaced: HashMap<GroupName, usize>,
    /// Groups with data at an origin.
    kept: HashMap<GroupName, usize>,
    /// Until when a starting edge waits for the lists of all origins; none once all have come.
    starting: Option<Instant>,
}

/// The most groups with data that are remembered, of all origins together. Reason: every instance
/// that ever stored something is one; those beyond it may start without their data while their
/// home is away.
pub(super) const MAX_KEPT: usize = 262_144;

/// How long a starting edge waits for the displaced groups of all configured origins, unless all
/// have answered before: without the lists it might start a second copy of a group.
pub const STARTING: Duration = Duration::from_secs(3);

impl Table {
    /// All origins new. `names` are unique.
    pub fn new(names: Vec<String>, now: Instant) -> Self {
        Self {
            health: vec![Health::New; names.len()],
            listed: vec![false; names.len()],
            leaving: vec![false; names.len()],
            displaced: HashMap::new(),
            kept: HashMap::new(),
            starting: Some(now + STARTING),
            names,
        }
    }

    /// What an origin is called.
    pub fn name(&self, origin: usize) -> &str {
        &self.names[origin]
    }

    /// How an origin fares.
    pub fn health(&self, origin: usize) -> Health {
        self.health[origin]
    }

    /// An origin's health changed.
    pub fn set_health(&mut self, origin: usize, health: Health) {
        self.health[origin] = health;
        self.leaving[origin] = false;
        if health != Health::Up {
            self.listed[origin] = false;
        }
        if health == Health::Down {
            self.displaced.retain(|_, &mut at| at != origin);
        }
    }

    /// An origin will go: while another is up, groups that do not live there go elsewhere.
    pub fn set_leaving(&mut self, origin: usize) {
        self.leaving[origin] = true;
    }

    /// Whether an origin has said on its present link that it goes away.
    pub fn is_leaving(&self, origin: usize) -> bool {
        self.leaving[origin]
    }

    /// An origin is another process now: nothing lives there any more.
    pub fn forget(&mut self, origin: usize) {
        self.displaced.retain(|_, &mut at| at != origin);
    }

    /// An origin named groups that live there away from home, and groups that no longer do.
    pub fn displaced(
        &mut self,
        origin: usize,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        for group in removed {
            if self.displaced.get(group) == Some(&origin) {
                self.displaced.remove(group);
            }
        }
        self.displaced
            .extend(added.into_iter().map(|group| (group, origin)));
        self.listed[origin] |= complete;
        if self.listed.iter().all(|&listed| listed) {
            self.starting = None;
        }
    }

    /// An origin named groups whose data it has; `anew` if those it has named before count no more.
    pub fn kept(&mut self, origin: usize, anew: bool, groups: Vec<GroupName>) {
        if anew {
            self.kept.retain(|_, &mut at| at != origin);
        }
        let room = MAX_KEPT.saturating_sub(self.kept.len());
        let groups = groups.into_iter().take(room);
        self.kept.extend(groups.map(|group| (group, origin)));
    }

    /// How many groups have data at an origin.
    pub fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// Whether the group has data at its home, so that it starts there or not at all.
    pub fn is_kept(&self, group: &GroupName) -> bool {
        self.kept.get(group) == Some(&self.home(group))
    }

    /// The origin that `group` belongs to when all are well.
    pub fn home(&self, group: &GroupName) -> usize {
        order(&self.names, group)[0]
    }

    /// Where a new session of `group` goes, if this edge has no lane of the group.
    pub fn place(&self, group: &GroupName, now: Instant) -> Place {
        if let Some(until) = self.starting(now) {
            return Place::Wait(until);
        }
        if let Some(&origin) = self.displaced.get(group) {
            match self.health[origin] {
                Health::Up => return Place::At(origin),
                Health::Lost { until } if until > now => return Place::Wait(until),
                _ => {}
            }
        }
        let order = order(&self.names, group);
        if self.kept.get(group) == Some(&order[0]) {
            return match self.health[order[0]] {
                Health::Up => Place::At(order[0]),
                Health::Lost { until } if until > now => Place::Wait(until),
                _ => Place::Nowhere,
            };
        }
        let mut up = order
            .into_iter()
            .filter(|&origin| self.health[origin] == Health::Up);
        let first = up.clone().next();
        // With nowhere else to go, an origin that goes away answers for itself.
        if let Some(origin) = up.find(|&origin| !self.leaving[origin]).or(first) {
            return Place::At(origin);
        }
        let returns = self.health.iter().filter_map(|health| match health {
            Health::Lost { until } if *until > now => Some(*until),
            _ => None,
        });
        returns.max().map_or(Place::Nowhere, Place::Wait)
    }

    /// Until when a starting edge waits for the origins' lists, if it does.
    pub fn starting(&self, now: Instant) -> Option<Instant> {
        self.starting.filter(|&until| now < until)
    }

    /// Where the group lives, if an origin has said that it lives there away from its home.
    pub fn displaced_at(&self, group: &GroupName) -> Option<usize> {
        self.displaced.get(group).copied()
    }

    /// Whether any origin can be reached.
    pub fn is_ready(&self) -> bool {
        self.health.contains(&Health::Up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> (Table, Instant, GroupName) {
        let now = Instant::now();
        let names = vec!["a".into(), "b".into(), "c".into()];
        (
            Table::new(names, now),
            now,
            GroupName::from_app("live/x").unwrap(),
        )
    }

    fn up(table: &mut Table) {
        for origin in 0..3 {
            table.set_health(origin, Health::Up);
            table.displaced(origin, true, vec![], &[]);
        }
    }

    #[test]
    fn a_starting_edge_waits_for_every_list_but_not_for_ever() {
        let (mut table, now, group) = table();
        assert_eq!(table.place(&group, now), Place::Wait(now + STARTING));
        let home = table.home(&group);
        table.set_health(home, Health::Up);
        table.displaced(home, true, vec![], &[]);
        assert_eq!(table.place(&group, now), Place::Wait(now + STARTING));
        assert_eq!(table.place(&group, now + STARTING), Place::At(home));
        up(&mut table);
        assert_eq!(table.place(&group, now), Place::At(home));
    }

    #[test]
    fn the_next_origin_takes_over_and_home_takes_back_what_is_new() {
        let (mut table, now, group) = table();
        up(&mut table);
        let order = order(&table.names, &group);
        table.set_health(
            order[0],
            Health::Lost {
                until: now + STARTING,
            },
        );
        assert_eq!(table.place(&group, now), Place::At(order[1]));
        table.set_health(order[1], Health::Down);
        assert_eq!(table.place(&group, now), Place::At(order[2]));
        table.set_health(order[0], Health::Up);
        assert_eq!(table.place(&group, now), Place::At(order[0]));
    }

    #[test]
    fn an_origin_that_goes_away_gets_nothing_new_while_another_is_up() {
        let (mut table, now, group) = table();
        up(&mut table);
        let order = order(&table.names, &group);
        table.set_leaving(order[0]);
        assert!(table.is_leaving(order[0]));
        assert_eq!(table.place(&group, now), Place::At(order[1]));
        table.set_leaving(order[1]);
        assert_eq!(table.place(&group, now), Place::At(order[2]));
        // Its own words are better than none.
        table.set_leaving(order[2]);
        assert_eq!(table.place(&group, now), Place::At(order[0]));
        // What lives there stays there.
        table.displaced(order[1], false, vec![group.clone()], &[]);
        assert_eq!(table.place(&group, now), Place::At(order[1]));
        table.displaced(order[1], false, vec![], std::slice::from_ref(&group));
        // The next link begins anew.
        let until = now + STARTING;
        table.set_health(order[0], Health::Lost { until });
        table.set_health(order[0], Health::Up);
        assert_eq!(table.place(&group, now), Place::At(order[0]));
    }

    #[test]
    fn a_displaced_group_stays_where_it_is_until_it_is_empty_or_its_origin_gone() {
        let (mut table, now, group) = table();
        up(&mut table);
        let away = order(&table.names, &group)[2];
        table.displaced(away, false, vec![group.clone()], &[]);
        assert_eq!(table.place(&group, now), Place::At(away));
        let until = now + STARTING;
        table.set_health(away, Health::Lost { until });
        assert_eq!(table.place(&group, now), Place::Wait(until));
        table.set_health(away, Health::Up);
        assert_eq!(table.place(&group, now), Place::At(away));
        table.displaced(away, false, vec![], std::slice::from_ref(&group));
        assert_eq!(table.place(&group, now), Place::At(table.home(&group)));
        table.displaced(away, false, vec![group.clone()], &[]);
        table.set_health(away, Health::Down);
        assert_eq!(table.place(&group, now), Place::At(table.home(&group)));
    }

    #[test]
    fn a_group_with_data_at_its_home_starts_there_or_not_at_all() {
        let (mut table, now, group) = table();
        up(&mut table);
        let order = order(&table.names, &group);
        table.kept(order[0], true, vec![group.clone()]);
        assert!(table.is_kept(&group));
        assert_eq!(table.kept_count(), 1);
        assert_eq!(table.place(&group, now), Place::At(order[0]));
        let until = now + STARTING;
        table.set_health(order[0], Health::Lost { until });
        assert_eq!(table.place(&group, now), Place::Wait(until));
        table.set_health(order[0], Health::Down);
        assert_eq!(table.place(&group, now), Place::Nowhere);
        // Also one that is another process then, until it says otherwise.
        table.forget(order[0]);
        table.set_health(order[0], Health::Up);
        table.set_leaving(order[0]);
        assert_eq!(table.place(&group, now), Place::At(order[0]));
        table.kept(order[0], true, vec![]);
        assert_eq!(table.place(&group, now), Place::At(order[1]));
        // What an origin has that is not the home binds nobody.
        table.kept(order[2], true, vec![group.clone()]);
        assert!(!table.is_kept(&group));
        assert_eq!(table.place(&group, now), Place::At(order[1]));
        // A copy that was started before stays where it is.
        table.kept(order[0], false, vec![group.clone()]);
        table.displaced(order[1], false, vec![group.clone()], &[]);
        assert_eq!(table.place(&group, now), Place::At(order[1]));
    }

    #[test]
    fn with_no_origin_up_sessions_wait_for_the_grace_time_only() {
        let (mut table, now, group) = table();
        up(&mut table);
        let until = now + STARTING;
        for origin in 0..3 {
            table.set_health(origin, Health::Lost { until });
        }
        assert!(!table.is_ready());
        assert_eq!(table.place(&group, now), Place::Wait(until));
        assert_eq!(table.place(&group, until), Place::Nowhere);
    }
}
