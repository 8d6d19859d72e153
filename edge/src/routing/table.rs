//! The origins as this edge knows them.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use tributary_protocol::GroupName;

/// An origin of this edge. No number is used twice, also after its origin has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OriginId(pub u32);

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
    /// It has been away for longer than the grace time, or has gone.
    Down,
}

/// The origins and the groups that live away from their home.
#[derive(Debug)]
pub struct Table {
    origins: BTreeMap<OriginId, State>,
    next: u32,
    displaced: HashMap<GroupName, OriginId>,
    /// Groups with data at an origin.
    kept: HashMap<GroupName, OriginId>,
    /// Until when a starting edge waits for the lists of all origins; none once all have come.
    starting: Option<Instant>,
}

/// The state of one origin.
#[derive(Debug)]
struct State {
    health: Health,
    /// The origin has sent its whole list of displaced groups on its present link.
    listed: bool,
    /// The origin has said on its present link that it goes away.
    leaving: bool,
}

/// The most groups with data that are remembered, of all origins together. Reason: every instance
/// that ever stored something is one; those beyond it may start without their data while their
/// home is away.
pub(super) const MAX_KEPT: usize = 262_144;

/// How long a starting edge waits for the displaced groups of all configured origins, unless all
/// have answered before: without the lists it might start a second copy of a group.
pub const STARTING: Duration = Duration::from_secs(3);

impl Table {
    /// No origins yet; the edge starts now.
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

    /// How an origin fares.
    pub fn health(&self, origin: OriginId) -> Health {
        let state = self.origins.get(&origin);
        state.map_or(Health::Down, |state| state.health)
    }

    /// An origin's health changed.
    pub fn set_health(&mut self, origin: OriginId, health: Health) {
        let Some(state) = self.origins.get_mut(&origin) else {
            return;
        };
        state.health = health;
        state.leaving = false;
        state.listed &= health == Health::Up;
        if health == Health::Down {
            self.forget(origin);
        }
    }

    /// An origin will go: while another is up, groups that do not live there go elsewhere.
    pub fn set_leaving(&mut self, origin: OriginId) {
        if let Some(state) = self.origins.get_mut(&origin) {
            state.leaving = true;
        }
    }

    /// Whether an origin has said on its present link that it goes away.
    pub fn is_leaving(&self, origin: OriginId) -> bool {
        let state = self.origins.get(&origin);
        state.is_some_and(|state| state.leaving)
    }

    /// An origin is another process now: nothing lives there any more.
    pub fn forget(&mut self, origin: OriginId) {
        self.displaced.retain(|_, &mut at| at != origin);
    }

    /// An origin named groups that live there away from home, and groups that no longer do.
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
        for group in removed {
            if self.displaced.get(group) == Some(&origin) {
                self.displaced.remove(group);
            }
        }
        self.displaced
            .extend(added.into_iter().map(|group| (group, origin)));
        self.note_lists();
    }

    /// Ends the start of the edge once every origin has sent its list.
    fn note_lists(&mut self) {
        if self.origins.values().all(|state| state.listed) {
            self.starting = None;
        }
    }

    /// An origin named groups whose data it has; `anew` if those it has named before count no more.
    pub fn kept(&mut self, origin: OriginId, anew: bool, groups: Vec<GroupName>) {
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

    /// The origin that has said to have the group's data.
    pub fn kept_at(&self, group: &GroupName) -> Option<OriginId> {
        self.kept.get(group).copied()
    }

    /// Until when a starting edge waits for the origins' lists, if it does.
    pub fn starting(&self, now: Instant) -> Option<Instant> {
        self.starting.filter(|&until| now < until)
    }

    /// Where the group lives, if an origin has said that it lives there away from its home.
    pub fn displaced_at(&self, group: &GroupName) -> Option<OriginId> {
        self.displaced.get(group).copied()
    }

    /// Whether any origin can be reached.
    pub fn is_ready(&self) -> bool {
        let mut states = self.origins.values();
        states.any(|state| state.health == Health::Up)
    }

    /// When the last of the grace times that run now is over.
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
