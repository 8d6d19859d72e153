//! Groups whose sessions edges bring: after the start of an origin in a cluster, and when another origin hands
//! a group over.
//!
//! The origin keeps the names of its edges on disk. Until each of them has said which groups it brings,
//! and has brought them, new sessions of those groups wait: names that are published and objects that are
//! in use must be known first.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{act::Note, here::LaneNumber};
use crate::{GroupName, mutant::Mutant};

/// The remains of the process before.
#[derive(Debug, Default)]
pub struct ClusterStart {
    /// The edges that had a link.
    pub edges: Vec<String>,
    /// The states that applications have handed to this process.
    pub states: HashMap<GroupName, Bytes>,
}

/// The edges after a start, and the groups that they bring.
#[derive(Debug)]
pub(super) struct Gathering {
    /// Whether edges bring anything: this origin is in a cluster.
    is_used: bool,
    /// The edges that have had a link since the start.
    seen: BTreeSet<String>,
    /// Edges of the process before that have not said all that they bring.
    awaited: BTreeSet<String>,
    /// The groups that edges have said they bring and have not brought.
    coming: BTreeMap<GroupName, Coming>,
    states: BTreeMap<GroupName, LeftState>,
    /// Lanes that have brought all, whose groups wait for others.
    brought: BTreeMap<GroupName, Vec<LaneNumber>>,
    until: Instant,
    /// Whether the other origins of the cluster have said which groups they have, or had the time to.
    origins_known: bool,
    origins_until: Instant,
    is_over: bool,
    /// Whether the names of the edges are to be written.
    has_new_edges: bool,
    released: VecDeque<Released>,
    notes: VecDeque<Note>,
}

/// The state that an application has left for an instance which has not begun.
#[derive(Debug)]
struct LeftState {
    state: Bytes,
    until: Instant,
}

/// A group for which nothing is waited any more.
#[derive(Debug)]
pub(super) struct Released {
    pub(super) group: GroupName,
    /// The lanes that have brought all.
    pub(super) lanes: Vec<LaneNumber>,
    pub(super) state: Option<Bytes>,
    /// The offer by which it comes from another origin, if it does.
    pub(super) offer: Option<Offer>,
}

/// The offer of another origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Offer {
    pub(super) from: String,
    /// The number that the other origin has given it.
    pub(super) id: u64,
}

/// A group that edges bring.
#[derive(Debug)]
struct Coming {
    /// The edges that have not brought all that they have of it.
    edges: BTreeSet<Arc<str>>,
    until: Instant,
    /// Set if another origin hands it over.
    offered: Option<Offered>,
}

/// A group that another origin hands over.
#[derive(Debug)]
struct Offered {
    offer: Offer,
    /// The state that its application hands over; none until the group has stopped there.
    state: Option<Bytes>,
}

/// The time after a start for the other origins to say which groups they have. Reason: they dial within 100 ms
/// and are up; a group that has moved there must not be started here as well.
const ORIGINS: Duration = Duration::from_millis(500);

/// How long states are kept of which no edge has brought a session.
const STATES: Duration = Duration::from_secs(60);

/// The same for a state that another origin has handed over. Reason: edges keep sessions for the grace time of their
/// origin, 15 s where nobody has set another.
const LATE: Duration = Duration::from_secs(15);

/// The longest gathering. Reason: links came back after 0.24 to 1.2 s when that was measured; an edge
/// that is gone for good must not hold up the others for long.
const LONGEST: Duration = Duration::from_secs(4);

/// Edges that are remembered.
const MAX_EDGES: usize = 10_000;

impl Gathering {
    /// The gathering of a process that has begun now, or that is in no cluster.
    pub(super) fn new(start: Option<ClusterStart>, has_others: bool, now: Instant) -> Self {
        let is_used = start.is_some();
        let ClusterStart { edges, states } = start.unwrap_or_default();
        let names = edges.into_iter().take(MAX_EDGES);
        let awaited: BTreeSet<_> = names.filter(|name| !name.is_empty()).collect();
        let until = now + LONGEST + STATES;
        let states = states.into_iter();
        let states = states.map(|(group, state)| (group, LeftState { state, until }));
        Self {
            is_used,
            seen: BTreeSet::new(),
            is_over: awaited.is_empty() && !has_others,
            awaited,
            coming: BTreeMap::new(),
            states: states.collect(),
            brought: BTreeMap::new(),
            until: now + LONGEST,
            origins_known: !has_others,
            origins_until: now + ORIGINS,
            has_new_edges: false,
            released: VecDeque::new(),
            notes: VecDeque::new(),
        }
    }

    /// The other origins have said which groups they have.
    pub(super) fn origins_are_known(&mut self) {
        self.origins_known = true;
        self.end_if_known();
    }

    /// An edge has a link. An edge that does not restore brings nothing.
    pub(super) fn linked(&mut self, edge: &str, restores: bool) {
        if !self.is_used {
            return;
        }
        self.has_new_edges |= self.seen.insert(edge.to_owned());
        if !restores {
            self.has_said_all(edge);
        }
    }

    /// The names of the edges, if they are to be written anew.
    pub(super) fn take_edges(&mut self) -> Option<Vec<String>> {
        let names = || self.seen.union(&self.awaited).cloned().collect();
        std::mem::take(&mut self.has_new_edges).then(names)
    }

    pub(super) fn take_note(&mut self) -> Option<Note> {
        self.notes.pop_front()
    }

    /// A group for which nothing is waited any more.
    pub(super) fn take_released(&mut self) -> Option<Released> {
        self.released.pop_front()
    }

    /// An edge has sessions of these groups; `complete` ends its list.
    pub(super) fn brings(&mut self, edge: &Arc<str>, groups: Vec<GroupName>, complete: bool) {
        for group in groups {
            let coming = self.coming.entry(group).or_insert_with(|| Coming {
                edges: BTreeSet::new(),
                until: self.until,
                offered: None,
            });
            coming.edges.insert(Arc::clone(edge));
        }
        if complete {
            self.has_said_all(edge);
        }
    }

    /// Another origin has offered a group, which these edges will bring.
    pub(super) fn expect(
        &mut self,
        group: GroupName,
        edges: BTreeSet<Arc<str>>,
        until: Instant,
        offer: Offer,
    ) {
        let offered = Some(Offered { offer, state: None });
        let coming = Coming {
            edges,
            until,
            offered,
        };
        self.coming.insert(group, coming);
    }

    /// Whether another origin hands this group over.
    pub(super) fn expects(&self, group: &GroupName) -> bool {
        let coming = self.coming.get(group);
        coming.is_some_and(|it| it.offered.is_some())
    }

    /// Whether edges bring a group by this offer.
    pub(super) fn has_offer(&self, offer: &Offer) -> bool {
        let mut coming = self.coming.values();
        coming.any(|it| it.offered.as_ref().is_some_and(|it| it.offer == *offer))
    }

    /// Whether any group is on its way here from another origin.
    pub(super) fn expects_any(&self) -> bool {
        self.coming.values().any(|it| it.offered.is_some())
    }

    /// A group that was offered has stopped at the other origin.
    pub(super) fn committed(&mut self, group: &GroupName, state: Bytes, now: Instant) {
        if let Some(coming) = self.coming.get_mut(group)
            && let Some(offered) = &mut coming.offered
        {
            offered.state = Some(state);
            coming.until = now + LONGEST;
        }
        self.release_if_whole(group);
    }

    /// The other origin keeps a group that it had offered.
    pub(super) fn withdrawn(&mut self, group: &GroupName) {
        if self.expects(group) {
            self.coming.remove(group);
        }
    }

    /// A lane of an edge has brought all that it had of its group.
    pub(super) fn has_brought(&mut self, edge: &Arc<str>, group: &GroupName, lane: LaneNumber) {
        if let Some(coming) = self.coming.get_mut(group) {
            coming.edges.remove(edge);
        }
        self.brought.entry(group.clone()).or_default().push(lane);
        self.release_if_whole(group);
    }

    /// Whether lanes of a group have brought all, and wait for others.
    pub(super) fn waits_with(&self, group: &GroupName) -> bool {
        self.brought.contains_key(group)
    }

    /// Whether all is here that edges bring from the process before.
    pub(super) fn is_settled(&self) -> bool {
        let mut coming = self.coming.values();
        self.is_over && self.brought.is_empty() && coming.all(|it| it.offered.is_some())
    }

    /// Whether new lanes of a group have to wait.
    pub(super) fn holds(&self, group: &GroupName) -> bool {
        !self.is_over || self.coming.contains_key(group)
    }

    /// Looks at the time. `are_naming`: other origins have a link and have not named all of their groups.
    pub(super) fn tick(&mut self, now: Instant, are_naming: bool) {
        let origins_until = match are_naming {
            true => self.until,
            false => self.origins_until,
        };
        if now >= origins_until && !self.origins_known {
            self.notes.push_back(Note::OriginsLate);
            self.origins_are_known();
        }
        self.states.retain(|_, left| now < left.until);
        if now >= self.until && !self.is_over {
            let late = std::mem::take(&mut self.awaited);
            self.notes
                .push_back(Note::EdgesLate(late.into_iter().collect()));
            self.end();
            self.has_new_edges = self.is_used;
        }
        let is_late = |_: &GroupName, coming: &mut Coming| coming.until <= now;
        let late: Vec<_> = self.coming.extract_if(.., is_late).collect();
        for (group, coming) in late {
            let has_come = self.waits_with(&group);
            let was_given = |offered: &Offered| offered.state.is_some();
            if !has_come && coming.offered.as_ref().is_some_and(|it| !was_given(it)) {
                self.notes.push_back(Note::NotCome(group));
                continue;
            }
            if has_come || coming.offered.is_none() {
                self.notes.push_back(Note::GroupLate {
                    group: group.clone(),
                    edges: coming.edges.iter().map(|edge| edge.to_string()).collect(),
                });
            }
            self.release(group, coming.offered);
        }
    }

    fn has_said_all(&mut self, edge: &str) {
        if self.awaited.remove(edge) {
            self.end_if_known();
        }
    }

    fn end_if_known(&mut self) {
        if self.origins_known && self.awaited.is_empty() && !self.is_over {
            self.end();
        }
    }

    /// All edges have said what they bring, or the time is over.
    fn end(&mut self) {
        self.is_over = true;
        let groups: Vec<_> = self.brought.keys().cloned().collect();
        for group in groups {
            self.release_if_whole(&group);
        }
    }

    /// Lets a group go on if all has been brought that edges have of it.
    fn release_if_whole(&mut self, group: &GroupName) {
        let is_whole = match self.coming.get(group) {
            None => self.is_over,
            Some(coming) => {
                let is_known = match &coming.offered {
                    Some(offered) => offered.state.is_some(),
                    None => self.is_over,
                };
                coming.edges.is_empty() && is_known
            }
        };
        if is_whole {
            let coming = self.coming.remove(group);
            let offered = coming.and_then(|coming| coming.offered);
            self.release(group.clone(), offered);
        }
    }

    /// Lets a group go on with what has been brought.
    fn release(&mut self, group: GroupName, offered: Option<Offered>) {
        let lanes = self.brought.remove(&group).unwrap_or_default();
        let (state, offer) = match offered {
            Some(Offered { state, offer }) => (state, Some(offer)),
            None => (None, None),
        };
        self.released.push_back(Released {
            group,
            lanes,
            state,
            offer,
        });
    }

    /// The state that another instance has left for a group.
    pub(super) fn take_state(&mut self, group: &GroupName) -> Option<Bytes> {
        let left = self.states.remove(group);
        left.map(|left| left.state)
    }

    /// Keeps the state that another origin has handed over with a group that no edge has brought.
    pub(super) fn keep_state(&mut self, group: &GroupName, state: Bytes, now: Instant) {
        if Mutant::LateStatesAreDropped.is_on() {
            return;
        }
        let until = now + LATE;
        let left = LeftState { state, until };
        self.states.insert(group.clone(), left);
    }
}

#[cfg(test)]
impl Gathering {
    /// The groups that are still waited for.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let coming = self.coming.iter().map(|it| format!("coming {it:?}"));
        let brought = self.brought.iter().map(|it| format!("brought {it:?}"));
        coming.chain(brought).collect()
    }
}
