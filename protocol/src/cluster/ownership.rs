//! The state of one origin in its cluster.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Instant,
};

use super::{
    act::{Act, Note},
    elsewhere::Elsewhere,
    gathering::{ClusterStart, Gathering},
    here::{Here, LaneFacts},
    moves::Moves,
    others::Others,
    residents::{NamedGroups, Residents, UnderWay},
};
use crate::{
    GroupName,
    link::{Control, MoveFrame, MoveStep},
};

/// The groups of one origin: those that it has, those that come and those that go.
///
/// After each call its driver takes the acts ([`Self::poll_act`]) until there is none, and the frames for edges and
/// other origins ([`Self::take_news`]) at its leisure.
#[derive(Debug)]
pub struct Ownership {
    pub(super) name: String,
    pub(super) residents: Residents,
    pub(super) gathering: Gathering,
    pub(super) moves: Moves,
    pub(super) others: Others,
    pub(super) elsewhere: Elsewhere,
    pub(super) standing: OriginStanding,
    /// Groups that another origin has named while they are here, with the time.
    pub(super) named_elsewhere: BTreeMap<GroupName, Instant>,
    is_in_cluster: bool,
    /// Set until the other origins hear that edges have brought all from the process before.
    is_gathering: bool,
    acts: VecDeque<Act>,
}

/// The attitude of an origin to groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginStanding {
    /// It takes them.
    Serving,
    /// It takes none, and those that it has are to move away.
    Draining,
    /// It is about to stop: groups go on at its next process, and no lane opens any more.
    Stopping,
}

impl Ownership {
    /// An origin in no cluster: its edges bring nothing, and no other origin hears of its groups.
    pub fn alone(name: &str, now: Instant) -> Self {
        Self::new(name, Vec::new(), None, now)
    }

    /// An origin that has started now in a cluster with these others. `start` is what is left of the process
    /// before.
    pub fn in_cluster(name: &str, others: Vec<String>, start: ClusterStart, now: Instant) -> Self {
        Self::new(name, others, Some(start), now)
    }

    fn new(name: &str, others: Vec<String>, start: Option<ClusterStart>, now: Instant) -> Self {
        Self {
            name: name.to_owned(),
            is_gathering: start.is_some(),
            is_in_cluster: start.is_some(),
            named_elsewhere: BTreeMap::new(),
            residents: Residents::new(start.is_some()),
            gathering: Gathering::new(start, !others.is_empty(), now),
            moves: Moves::default(),
            others: Others::new(others),
            elsewhere: Elsewhere::default(),
            standing: OriginStanding::Serving,
            acts: VecDeque::new(),
        }
    }

    /// The next order to the driver.
    pub fn poll_act(&mut self) -> Option<Act> {
        if let Some(act) = self.acts.pop_front() {
            return Some(act);
        }
        if let Some(note) = self.gathering.take_note() {
            return Some(Act::Note(note));
        }
        self.gathering.take_edges().map(Act::KeepEdges)
    }

    pub(super) fn act(&mut self, act: Act) {
        self.acts.push_back(act);
    }

    pub(super) fn note(&mut self, note: Note) {
        self.act(Act::Note(note));
    }

    pub(super) fn tell(&mut self, origin: &str, id: u64, step: MoveStep) {
        let (origin, frame) = (origin.to_owned(), MoveFrame { id, step });
        self.act(Act::Tell { origin, frame });
    }

    /// Whether edges bring sessions to it, and other origins take its groups.
    pub(super) fn is_in_cluster(&self) -> bool {
        self.is_in_cluster
    }

    /// Whether groups have come or gone since the last frames about that.
    pub fn has_news(&self) -> bool {
        self.residents.has_news() || self.is_gathering && self.gathering.is_settled()
    }

    /// The frames about groups that have come or gone, for every edge and for every other origin.
    pub fn take_news(&mut self) -> (Vec<Control>, Vec<Control>) {
        let (for_edges, mut for_origins) = self.residents.take_news();
        if self.is_gathering && self.gathering.is_settled() {
            self.is_gathering = false;
            for_origins.push(Control::LivingEnd {
                origin: self.name.clone(),
                resumed: true,
            });
        }
        (for_edges, for_origins)
    }

    /// The frames for a new link of an edge: the groups that are here.
    pub fn told_to_edge(&self) -> Vec<Control> {
        self.residents.told(self.residents.for_edges())
    }

    /// The frames for a new link of another origin: the groups that are here.
    pub fn told_to_origin(&self) -> Vec<Control> {
        let mut told = self.residents.told(NamedGroups::Origins);
        if self.is_gathering {
            // Edges may bring more.
            let living = Control::Living {
                origin: self.name.clone(),
                complete: false,
                groups: Vec::new(),
            };
            told.insert(0, living);
        }
        told
    }

    /// A lane has joined its group. Its edge names `home` as the group's home and calls this origin `known_as`.
    pub fn lane_joined(&mut self, group: &GroupName, home: &str, known_as: &str) {
        self.residents.add_lane(group, home, known_as);
    }

    /// A lane that has joined its group is none of it any more.
    pub fn lane_left(&mut self, group: &GroupName) {
        self.residents.remove_lane(group);
    }

    /// Whether a group has lanes here.
    pub fn has_group(&self, group: &GroupName) -> bool {
        self.residents.contains(group)
    }

    /// The number of groups with lanes here.
    pub fn group_count(&self) -> usize {
        self.residents.count()
    }

    /// The number of those that are away from their home.
    pub fn displaced_count(&self) -> usize {
        self.residents.displaced_count()
    }

    pub fn standing(&self) -> OriginStanding {
        self.standing
    }

    /// Changes the attitude to groups. Once it stops, nothing else comes.
    pub fn stand(&mut self, standing: OriginStanding) {
        if self.standing != OriginStanding::Stopping {
            self.standing = standing;
        }
        // Edges without a lane of a group would start it elsewhere.
        self.residents
            .name_all(standing == OriginStanding::Draining);
    }

    /// Whether any group is on its way here or from here.
    pub fn has_moves(&self) -> bool {
        self.moves.are_under_way() || self.gathering.expects_any()
    }

    /// A link of another origin is up, in place of those to another process of it. No two links have one number.
    pub fn origin_linked(&mut self, name: &str, link: u64, process: u64, now: Instant) {
        self.others.linked(name, link, process, now);
        self.tell_again(name);
    }

    /// A link of another origin is lost.
    pub fn origin_lost(&mut self, name: &str, link: u64, now: Instant) {
        self.others.link_lost(name, link, now);
        self.tell_again(name);
    }

    /// Edges bring groups to another origin, of which it does not know yet, or have brought all.
    pub fn origin_gathers(&mut self, name: &str, link: u64, gathers: bool) {
        self.others.gathers(name, link, gathers);
    }

    /// Another origin takes no groups any more.
    pub fn origin_leaves(&mut self, name: &str) {
        self.others.leaves(name);
    }

    /// Another origin has these groups, or has them no more; `complete` ends the list that begins a link.
    pub fn origin_has(
        &mut self,
        (name, link): (&str, u64),
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
        now: Instant,
        here: &impl Here,
    ) {
        for group in &added {
            self.is_named_elsewhere(group, now);
        }
        self.others
            .note_groups(name, link, complete, added, removed);
        if complete && self.others.have_named_all() {
            self.gathering.origins_are_known();
            self.release(now, here);
        }
    }

    /// Whether another origin has a link and takes groups, as far as is known.
    pub fn takes_groups(&self, origin: &str) -> bool {
        self.others.takes_groups(origin)
    }

    /// A link of an edge process is up, over which it reports which groups live at origins that it has lost.
    /// `restores`: it brings the sessions that it had at the process before.
    pub fn edge_linked(
        &mut self,
        (edge, epoch): (&Arc<str>, u64),
        restores: bool,
        now: Instant,
        here: &impl Here,
    ) {
        self.elsewhere.reports_anew(edge, epoch, now);
        self.gathering.linked(edge, restores);
        self.release(now, here);
    }

    /// An edge has sessions of these groups from the process before; `complete` ends its list.
    pub fn edge_brings(
        &mut self,
        edge: &Arc<str>,
        groups: Vec<GroupName>,
        complete: bool,
        now: Instant,
        here: &impl Here,
    ) {
        self.gathering.brings(edge, groups, complete);
        self.release(now, here);
    }

    /// The sessions of a group.
    pub fn sessions_of(group: &GroupName, here: &impl Here) -> u64 {
        let lanes = here.lanes(group);
        lanes.iter().map(|lane| lane.sessions).sum()
    }

    /// The edges that can bring sessions of a group elsewhere.
    pub fn edges_of(group: &GroupName, here: &impl Here) -> BTreeSet<String> {
        let lanes = here.lanes(group).into_iter();
        // An edge that may be lost would let the others wait.
        let brings = |lane: &LaneFacts| lane.follows && lane.sessions > 0;
        let lanes = lanes.filter(brings);
        lanes.map(|lane| lane.edge.to_string()).collect()
    }

    /// Looks at the time: four times a second.
    pub fn tick(&mut self, now: Instant, here: &impl Here) {
        self.end_late_offers(now);
        self.end_late_moves(now);
        let residents = &self.residents;
        let has_ended =
            |group: &GroupName| !residents.contains(group) && !self.gathering.expects(group);
        for group in self.moves.forget_given(has_ended) {
            self.residents.announce(&group);
        }
        for group in self.residents.all_under_way(UnderWay::Brought) {
            // A lane that is lost before all is brought decides nothing.
            let is_undecided = is_brought(&group, here)
                || self.gathering.waits_with(&group)
                || self.moves.going(&group).is_some();
            if !is_undecided {
                self.residents.announce(&group);
            }
        }
        self.others.tick(now);
        self.moves.forget_away(now);
        self.moves.forget_taken(now);
        self.settle_doubts(now, here);
        self.gathering.tick(now, self.others.are_naming());
        self.release(now, here);
    }
}

/// Whether an edge brings sessions of a group, and has not brought all.
pub(super) fn is_brought(group: &GroupName, here: &impl Here) -> bool {
    here.lanes(group).iter().any(|lane| lane.is_brought)
}

#[cfg(test)]
impl Ownership {
    /// All that is still on its way.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let mut left = self.moves.leftovers(&self.residents);
        left.extend(self.residents.leftovers());
        left.extend(self.gathering.leftovers());
        left
    }
}
