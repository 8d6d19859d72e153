//! The groups that live at this origin, and those of them that are away from their home.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    GroupName,
    link::{Control, hello::GROUPS_PER_FRAME},
};

/// The groups with lanes at this origin.
#[derive(Debug)]
pub(super) struct Residents {
    groups: BTreeMap<GroupName, Resident>,
    /// Groups that were displaced, or are no longer, since the last frames about them.
    moved: BTreeSet<GroupName>,
    /// All groups that have come or gone since; noted in a cluster alone.
    all_moved: Option<BTreeSet<GroupName>>,
    /// Groups whose news was held back while they were on their way: peers may have heard of them before.
    untold: BTreeSet<GroupName>,
    /// Groups that are on their way here, or from here: what peers hear of them is not what lanes show.
    under_way: BTreeMap<GroupName, UnderWay>,
    /// Whether edges hear of all groups, as the other origins do: this one is drained, and edges that have no
    /// lane of a group would start it elsewhere.
    names_all: bool,
    /// The groups that are away from their home.
    displaced: usize,
}

/// The groups that are told to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedGroups {
    /// Those away from their home.
    Displaced,
    /// All that have lanes here.
    All,
    /// All that are this origin's: the other origins of the cluster hear of them.
    Origins,
}

/// The state of a group that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UnderWay {
    /// Edges bring its sessions, and another origin may have it. No peer hears of it.
    Brought,
    /// Another origin has offered it, and keeps it as long as it has not committed. No peer hears of it.
    Offered,
    /// It is this origin's, also before its first lane. Origins hear of it; edges have to bring their sessions
    /// first, so that no new one comes before.
    Committed,
    /// It goes to another origin, which has not said that it goes on there. All peers hear of it as if it were here,
    /// so that none starts it meanwhile.
    Leaving,
}

/// A group with lanes here.
#[derive(Debug)]
struct Resident {
    lanes: usize,
    /// The home by its edges' name, if it is not this origin.
    home: Option<String>,
}

impl Residents {
    /// No groups. In a cluster the other origins hear of all groups.
    pub(super) fn new(in_cluster: bool) -> Self {
        Self {
            groups: BTreeMap::new(),
            moved: BTreeSet::new(),
            all_moved: in_cluster.then(BTreeSet::new),
            untold: BTreeSet::new(),
            under_way: BTreeMap::new(),
            names_all: false,
            displaced: 0,
        }
    }

    pub(super) fn contains(&self, group: &GroupName) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn count(&self) -> usize {
        self.groups.len()
    }

    /// The number of groups that are away from their home.
    pub(super) fn displaced_count(&self) -> usize {
        self.displaced
    }

    /// Counts a lane that has opened its group. Its edge names `home` as the group's home and calls
    /// this origin `known_as`.
    pub(super) fn add_lane(&mut self, group: &GroupName, home: &str, known_as: &str) {
        if let Some(resident) = self.groups.get_mut(group) {
            resident.lanes += 1;
            return;
        }
        let home = (home != known_as).then(|| home.to_owned());
        let is_displaced = home.is_some();
        let resident = Resident { lanes: 1, home };
        self.groups.insert(group.clone(), resident);
        self.displaced += usize::from(is_displaced);
        self.note_moved(group, is_displaced);
    }

    /// Counts a lane that has ended. A displaced group may go home after its last lane.
    pub(super) fn remove_lane(&mut self, group: &GroupName) {
        let Some(resident) = self.groups.get_mut(group) else {
            return;
        };
        resident.lanes -= 1;
        if resident.lanes > 0 {
            return;
        }
        let was_displaced = resident.home.is_some();
        self.groups.remove(group);
        self.displaced -= usize::from(was_displaced);
        match self.under_way(group) == Some(UnderWay::Brought) {
            true => {
                self.under_way.remove(group);
                if self.untold.contains(group) {
                    self.note_moved(group, true);
                }
            }
            false => self.note_moved(group, was_displaced),
        }
    }

    /// The lanes of a group.
    pub(super) fn lane_count(&self, group: &GroupName) -> usize {
        let resident = self.groups.get(group);
        resident.map_or(0, |resident| resident.lanes)
    }

    /// Edges hear of all groups from here on, or of displaced ones alone.
    pub(super) fn name_all(&mut self, all: bool) {
        if self.names_all != all {
            self.names_all = all;
            self.moved.extend(self.groups.keys().cloned());
        }
    }

    /// The extent of the groups that edges hear of.
    pub(super) fn for_edges(&self) -> NamedGroups {
        match self.names_all {
            true => NamedGroups::All,
            false => NamedGroups::Displaced,
        }
    }

    /// A group is on its way, until [`Self::announce`].
    pub(super) fn goes(&mut self, group: &GroupName, how: UnderWay) {
        self.under_way.insert(group.clone(), how);
        if how == UnderWay::Committed {
            self.note_moved(group, false);
        }
    }

    /// A group is not on its way any more: all peers hear whether it is here.
    pub(super) fn announce(&mut self, group: &GroupName) {
        if self.under_way.remove(group).is_some() {
            self.note_moved(group, true);
        }
    }

    /// A group that was leaving has gone, unless it is on its way back already.
    pub(super) fn has_left(&mut self, group: &GroupName) {
        if self.under_way(group) == Some(UnderWay::Leaving) {
            self.announce(group);
        }
    }

    /// Whether a group is on its way here or from here.
    pub(super) fn is_under_way(&self, group: &GroupName) -> bool {
        self.under_way.contains_key(group)
    }

    fn under_way(&self, group: &GroupName) -> Option<UnderWay> {
        self.under_way.get(group).copied()
    }

    /// The groups that are on their way like this.
    pub(super) fn all_under_way(&self, how: UnderWay) -> Vec<GroupName> {
        let groups = self.under_way.iter().filter(|(_, it)| **it == how);
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// Whether the group is here in place of `home`.
    pub(super) fn is_copy_of(&self, group: &GroupName, home: &str) -> bool {
        let resident = self.groups.get(group);
        resident.is_some_and(|resident| resident.home.as_deref() == Some(home))
    }

    /// The frames for a new link: the groups that are here.
    pub(super) fn told(&self, extent: NamedGroups) -> Vec<Control> {
        let mut names: Vec<_> = self.groups.keys().cloned().collect();
        for how in [UnderWay::Committed, UnderWay::Leaving] {
            let without_lanes = self.all_under_way(how).into_iter();
            names.extend(without_lanes.filter(|name| !self.contains(name)));
        }
        names.retain(|name| self.is_told(name, extent) && self.is_here(name, extent));
        let mut frames: Vec<_> = names
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(names.to_vec(), Vec::new()))
            .collect();
        frames.push(Control::Displaced {
            complete: true,
            added: Vec::new(),
            removed: Vec::new(),
        });
        frames
    }

    /// Whether peers with this extent hear of a group, whether it is here or not.
    fn is_told(&self, group: &GroupName, extent: NamedGroups) -> bool {
        match self.under_way(group) {
            None | Some(UnderWay::Leaving) => true,
            Some(UnderWay::Committed) => extent == NamedGroups::Origins,
            Some(UnderWay::Brought | UnderWay::Offered) => false,
        }
    }

    /// Whether a group counts as one that is here, for peers with this extent.
    fn is_here(&self, group: &GroupName, extent: NamedGroups) -> bool {
        match self.groups.get(group) {
            Some(resident) => extent != NamedGroups::Displaced || resident.home.is_some(),
            None => matches!(
                self.under_way(group),
                Some(UnderWay::Committed | UnderWay::Leaving)
            ),
        }
    }

    /// Whether groups have come or gone since the last frames about that.
    pub(super) fn has_news(&self) -> bool {
        let all = self.all_moved.as_ref();
        !self.moved.is_empty() || all.is_some_and(|all| !all.is_empty())
    }

    /// The frames about groups that have come or gone, for every edge and for every other origin.
    pub(super) fn take_news(&mut self) -> (Vec<Control>, Vec<Control>) {
        let moved = std::mem::take(&mut self.moved);
        let all_moved = self.all_moved.as_mut().map(std::mem::take);
        (
            self.about(moved, self.for_edges()),
            self.about(all_moved.unwrap_or_default(), NamedGroups::Origins),
        )
    }

    fn about(&mut self, changed: BTreeSet<GroupName>, extent: NamedGroups) -> Vec<Control> {
        let is_told = |group: &GroupName| self.is_told(group, extent);
        let (told, untold): (Vec<_>, Vec<_>) = changed.into_iter().partition(is_told);
        self.untold.extend(untold);
        let told = told.into_iter();
        let (added, removed): (Vec<_>, Vec<_>) = told.partition(|it| self.is_here(it, extent));
        let removed = removed
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(Vec::new(), names.to_vec()));
        let added = added
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(names.to_vec(), Vec::new()));
        removed.chain(added).collect()
    }

    fn note_moved(&mut self, group: &GroupName, is_displaced: bool) {
        self.untold.remove(group);
        if let Some(all) = &mut self.all_moved {
            all.insert(group.clone());
        }
        if is_displaced || self.names_all {
            self.moved.insert(group.clone());
        }
    }
}

#[cfg(test)]
impl Residents {
    /// The groups that are still on their way.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let under_way = self.under_way.iter();
        under_way.map(|it| format!("under way {it:?}")).collect()
    }
}

fn change(added: Vec<GroupName>, removed: Vec<GroupName>) -> Control {
    Control::Displaced {
        complete: false,
        added,
        removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        GroupName::from_app(name).expect("a name")
    }

    fn residents() -> Residents {
        Residents::new(true)
    }

    /// The frames for edges and for origins.
    fn changes(residents: &mut Residents) -> (Vec<Control>, Vec<Control>) {
        assert!(residents.has_news(), "nothing has changed");
        residents.take_news()
    }

    #[test]
    fn a_displaced_group_is_announced_when_it_comes_and_after_its_last_lane() {
        let mut residents = residents();
        let (away, home) = (group("live/away"), group("live/home"));
        residents.add_lane(&away, "other", "here");
        residents.add_lane(&away, "other", "here");
        residents.add_lane(&home, "here", "here");
        assert!(residents.is_copy_of(&away, "other"));
        assert!(!residents.is_copy_of(&home, "other"));
        assert_eq!(residents.displaced_count(), 1);
        let changes = |residents: &mut Residents| {
            let (edges, origins) = changes(residents);
            (edges, origins.len())
        };
        let told = change(vec![away.clone()], Vec::new());
        assert_eq!(changes(&mut residents), (vec![told], 1));
        residents.remove_lane(&away);
        assert!(residents.contains(&away), "a lane is left");
        residents.remove_lane(&away);
        let told = change(Vec::new(), vec![away]);
        assert_eq!(changes(&mut residents), (vec![told], 1));
        residents.name_all(true);
        let told = change(vec![home], Vec::new());
        assert_eq!(changes(&mut residents), (vec![told], 0));
        assert_eq!((residents.count(), residents.displaced_count()), (1, 0));
    }

    #[test]
    fn origins_hear_of_a_committed_group_before_edges_do() {
        let mut residents = residents();
        let given = group("live/given");
        let added = || change(vec![given.clone()], Vec::new());
        let removed = || change(Vec::new(), vec![given.clone()]);
        let names = |residents: &Residents, extent| {
            let told = residents.told(extent);
            told.len() > 1
        };
        residents.goes(&given, UnderWay::Offered);
        residents.add_lane(&given, "other", "here");
        assert_eq!(residents.take_news(), (Vec::new(), Vec::new()));
        assert!(!names(&residents, NamedGroups::Origins));
        residents.goes(&given, UnderWay::Committed);
        assert_eq!(changes(&mut residents), (Vec::new(), vec![added()]));
        assert!(names(&residents, NamedGroups::Origins));
        assert!(!names(&residents, NamedGroups::Displaced));
        residents.remove_lane(&given);
        assert_eq!(
            changes(&mut residents),
            (Vec::new(), vec![added()]),
            "it is here without a lane too"
        );
        residents.add_lane(&given, "other", "here");
        residents.announce(&given);
        assert_eq!(changes(&mut residents), (vec![added()], vec![added()]));
        residents.remove_lane(&given);
        assert_eq!(changes(&mut residents), (vec![removed()], vec![removed()]));
    }

    #[test]
    fn a_group_that_leaves_is_named_until_it_goes_on_elsewhere() {
        let mut residents = residents();
        let gone = group("live/gone");
        residents.add_lane(&gone, "other", "here");
        changes(&mut residents);
        residents.goes(&gone, UnderWay::Leaving);
        residents.remove_lane(&gone);
        let added = || vec![change(vec![gone.clone()], Vec::new())];
        assert_eq!(changes(&mut residents), (added(), added()), "as before");
        assert_eq!(residents.told(NamedGroups::Displaced).len(), 2);
        residents.announce(&gone);
        let removed = || vec![change(Vec::new(), vec![gone.clone()])];
        assert_eq!(changes(&mut residents), (removed(), removed()));
    }

    #[test]
    fn the_end_of_a_group_is_named_also_if_an_edge_brings_more_of_it_just_then() {
        let mut residents = residents();
        let gone = group("live/gone");
        residents.add_lane(&gone, "other", "here");
        changes(&mut residents);
        residents.remove_lane(&gone);
        residents.goes(&gone, UnderWay::Brought);
        residents.add_lane(&gone, "other", "here");
        assert_eq!(residents.take_news(), (Vec::new(), Vec::new()));
        residents.remove_lane(&gone);
        let removed = || vec![change(Vec::new(), vec![gone.clone()])];
        assert_eq!(changes(&mut residents), (removed(), removed()));
    }

    #[test]
    fn a_group_that_was_never_named_goes_in_silence() {
        let mut residents = residents();
        let brought = group("live/brought");
        residents.goes(&brought, UnderWay::Brought);
        residents.add_lane(&brought, "other", "here");
        assert_eq!(
            residents.all_under_way(UnderWay::Brought),
            std::slice::from_ref(&brought)
        );
        residents.remove_lane(&brought);
        assert!(residents.all_under_way(UnderWay::Brought).is_empty());
        residents.add_lane(&brought, "other", "here");
        let told = || vec![change(vec![brought.clone()], Vec::new())];
        assert_eq!(changes(&mut residents), (told(), told()));
    }
}
