//! The states of the origins.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{GroupName, mutant::Mutant};

/// The number of an origin at this edge. No number is used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u32);

/// The health of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// The edge has not reached it since its own start.
    New,
    /// Its link is up.
    Up,
    /// Its link is lost; its groups stay there until the grace time is over.
    Lost {
        /// The end of the grace time for this edge.
        until: Instant,
    },
    /// The grace time is over, or the origin has gone.
    Down,
}

/// The origins and the groups that live away from their home.
#[derive(Debug)]
pub struct OriginTable {
    origins: BTreeMap<OriginId, State>,
    next: u32,
    /// The origins that name a group as one of theirs, the newest last. Reason: while a group moves, two do for a
    /// moment, and the news of both come in any order.
    displaced: HashMap<GroupName, Vec<OriginId>>,
    /// Groups with data at an origin.
    kept: HashMap<GroupName, OriginId>,
    /// The end of the starting edge's wait for the origins' lists; none once all have come.
    starting: Option<Instant>,
}

/// The state of one origin.
#[derive(Debug)]
struct State {
    health: Health,
    /// Whether the origin has sent its whole list of displaced groups on its present link.
    listed: bool,
    /// The displaced groups that its present link has named, until the list is whole.
    named: Option<HashSet<GroupName>>,
    /// Whether the origin has announced on its present link that it goes away.
    leaving: bool,
}

/// Groups with stored data that an edge remembers, of all origins together. Reason: an instance
/// counts once it has stored data. Groups beyond the bound may start without their data while their
/// home is away.
pub(super) const MAX_KEPT: usize = 262_144;

/// Longest wait of a starting edge for the displaced groups of all configured origins. Reason:
/// without the lists the edge might start a second copy of a group.
pub const STARTING: Duration = Duration::from_secs(3);

impl OriginTable {
    /// A table without origins, at the start of the edge.
    pub fn new(now: Instant) -> Self {
        Self {
            origins: BTreeMap::new(),
            next: 0,
            displaced: HashMap::new(),
            kept: HashMap::new(),
            starting: Some(now + STARTING),
        }
    }

    /// Adds a new origin.
    pub(super) fn add(&mut self) -> OriginId {
        let origin = OriginId(self.next);
        self.next += 1;
        let state = State {
            health: Health::New,
            listed: false,
            named: None,
            leaving: false,
        };
        self.origins.insert(origin, state);
        origin
    }

    /// Removes an origin, and the groups that live or have data there.
    pub(super) fn remove(&mut self, origin: OriginId) {
        self.origins.remove(&origin);
        self.forget(origin);
        self.kept.retain(|_, &mut at| at != origin);
        self.note_lists();
    }

    /// Takes in an origin as another process of this edge has known it.
    pub fn restore(
        &mut self,
        origin: OriginId,
        health: Health,
        displaced: Vec<GroupName>,
        kept: Vec<GroupName>,
    ) {
        self.add_displaced(origin, displaced);
        self.kept(origin, false, kept);
        self.set_health(origin, health);
    }

    /// The origins' lists have come to another process of this edge.
    pub fn skip_start(&mut self) {
        self.starting = None;
    }

    /// The groups that live away from home, each with its origin.
    pub fn all_displaced(&self) -> impl Iterator<Item = (&GroupName, OriginId)> {
        let displaced = self.displaced.iter();
        displaced.flat_map(|(group, at)| at.iter().map(move |origin| (group, *origin)))
    }

    /// The groups with data, each with its origin.
    pub fn all_kept(&self) -> impl Iterator<Item = (&GroupName, OriginId)> {
        self.kept.iter().map(|(group, at)| (group, *at))
    }

    /// The health of an origin.
    pub fn health(&self, origin: OriginId) -> Health {
        let state = self.origins.get(&origin);
        state.map_or(Health::Down, |state| state.health)
    }

    /// Sets the health of an origin.
    pub fn set_health(&mut self, origin: OriginId, health: Health) {
        let Some(state) = self.origins.get_mut(&origin) else {
            return;
        };
        state.health = health;
        state.leaving = false;
        state.listed &= health == Health::Up;
        state.named = (health == Health::Up).then(HashSet::new);
        if health == Health::Down {
            self.forget(origin);
        }
    }

    /// Marks an origin that will go away: groups that do not live there go to others that are up.
    pub fn set_leaving(&mut self, origin: OriginId) {
        if let Some(state) = self.origins.get_mut(&origin) {
            state.leaving = true;
        }
    }

    /// Whether an origin has announced on its present link that it goes away.
    pub fn is_leaving(&self, origin: OriginId) -> bool {
        let state = self.origins.get(&origin);
        state.is_some_and(|state| state.leaving)
    }

    /// Removes the groups that live at an origin, which is another process now.
    pub fn forget(&mut self, origin: OriginId) {
        self.retain_displaced(origin, |_| false);
    }

    /// An origin names these groups no more, but for those that stay.
    fn retain_displaced(&mut self, origin: OriginId, stays: impl Fn(&GroupName) -> bool) {
        self.displaced.retain(|group, at| {
            at.retain(|it| *it != origin || stays(group));
            !at.is_empty()
        });
    }

    fn add_displaced(&mut self, origin: OriginId, groups: Vec<GroupName>) {
        for group in groups {
            let at = self.displaced.entry(group).or_default();
            at.retain(|it| *it != origin && !Mutant::LastOriginCounts.is_on());
            at.push(origin);
        }
    }

    /// Records groups that live at an origin away from home, and groups that no longer do; `complete` ends the
    /// list that begins a link.
    pub fn displaced(
        &mut self,
        origin: OriginId,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        let Some(state) = self.origins.get_mut(&origin) else {
            return;
        };
        state.listed |= complete;
        if let Some(named) = &mut state.named {
            named.extend(added.iter().cloned());
        }
        if complete && let Some(named) = state.named.take() {
            // The others have gone while there was no link.
            self.retain_displaced(origin, |group| named.contains(group));
        }
        for group in removed {
            if let Some(at) = self.displaced.get_mut(group) {
                at.retain(|it| *it != origin);
                if at.is_empty() {
                    self.displaced.remove(group);
                }
            }
        }
        self.add_displaced(origin, added);
        self.note_lists();
    }

    /// Ends the start of the edge once every origin has sent its list.
    fn note_lists(&mut self) {
        if self.origins.values().all(|state| state.listed) {
            self.starting = None;
        }
    }

    /// Records groups whose data an origin has; `anew` if they replace the ones from before.
    pub fn kept(&mut self, origin: OriginId, anew: bool, groups: Vec<GroupName>) {
        if anew {
            self.kept.retain(|_, &mut at| at != origin);
        }
        let room = MAX_KEPT.saturating_sub(self.kept.len());
        let groups = groups.into_iter().take(room);
        self.kept.extend(groups.map(|group| (group, origin)));
    }

    /// The number of groups with data at an origin.
    pub fn kept_count(&self) -> usize {
        self.kept.len()
    }

    /// The origin that has the group's data.
    pub fn kept_at(&self, group: &GroupName) -> Option<OriginId> {
        self.kept.get(group).copied()
    }

    /// The end of the starting edge's wait for the origins' lists, while it waits.
    pub fn starting(&self, now: Instant) -> Option<Instant> {
        self.starting.filter(|&until| now < until)
    }

    /// The origin at which a displaced group lives.
    pub fn displaced_at(&self, group: &GroupName) -> Option<OriginId> {
        self.displaced.get(group)?.last().copied()
    }

    /// Whether any origin can be reached.
    pub fn is_ready(&self) -> bool {
        let mut states = self.origins.values();
        states.any(|state| state.health == Health::Up)
    }

    /// The end of the last grace time that runs now.
    pub fn last_return(&self, now: Instant) -> Option<Instant> {
        let returns = self
            .origins
            .values()
            .filter_map(|state| match state.health {
                Health::Lost { until } if until > now => Some(until),
                _ => None,
            });
        returns.max()
    }
}
