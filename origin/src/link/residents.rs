//! The groups that live at this origin, and those of them that are away from their home.

use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
};

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Notify;
use tributary_protocol::{
    GroupName,
    link::{Control, hello::GROUPS_PER_FRAME},
};

/// The groups with lanes at this origin.
pub(super) struct Residents {
    groups: RefCell<HashMap<GroupName, Resident>>,
    /// Groups that were displaced, or are no longer, since the last frames about them.
    moved: RefCell<HashSet<GroupName>>,
    /// All groups that have come or gone since; noted in a cluster alone.
    all_moved: RefCell<Option<HashSet<GroupName>>>,
    has_moved: Notify,
    /// Groups that are on their way here, or from here: what peers hear of them is not what lanes show.
    under_way: RefCell<HashMap<GroupName, UnderWay>>,
    /// Whether edges hear of all groups, as the other origins do: this one is drained, and edges that have no
    /// lane of a group would start it elsewhere.
    names_all: Cell<bool>,
    displaced: Gauge,
}

/// The groups that are told to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedGroups {
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
struct Resident {
    lanes: usize,
    /// The home by its edges' name, if it is not this origin.
    home: Option<String>,
}

impl Residents {
    /// No groups; `displaced` counts those away from home.
    pub(super) fn new(displaced: Gauge) -> Self {
        Self {
            groups: RefCell::default(),
            moved: RefCell::default(),
            all_moved: RefCell::default(),
            has_moved: Notify::new(),
            under_way: RefCell::default(),
            names_all: Cell::new(false),
            displaced,
        }
    }

    /// The same in a cluster, whose other origins hear of all groups.
    pub(super) fn of_cluster(self) -> Self {
        *self.all_moved.borrow_mut() = Some(HashSet::new());
        self
    }

    pub(super) fn contains(&self, group: &GroupName) -> bool {
        self.groups.borrow().contains_key(group)
    }

    pub(super) fn count(&self) -> usize {
        self.groups.borrow().len()
    }

    /// Counts a lane that has opened its group. Its edge names `home` as the group's home and calls
    /// this origin `known_as`.
    pub(super) fn add_lane(&self, group: &GroupName, home: &str, known_as: &str) {
        let mut groups = self.groups.borrow_mut();
        if let Some(resident) = groups.get_mut(group) {
            resident.lanes += 1;
            return;
        }
        let home = (home != known_as).then(|| home.to_owned());
        let is_displaced = home.is_some();
        groups.insert(group.clone(), Resident { lanes: 1, home });
        drop(groups);
        if is_displaced {
            self.displaced.inc();
        }
        self.note_moved(group, is_displaced);
    }

    /// Counts a lane that has ended. A displaced group may go home after its last lane.
    pub(super) fn remove_lane(&self, group: &GroupName) {
        let mut groups = self.groups.borrow_mut();
        let Some(resident) = groups.get_mut(group) else {
            return;
        };
        resident.lanes -= 1;
        if resident.lanes > 0 {
            return;
        }
        let resident = groups.remove(group);
        drop(groups);
        let was_displaced = resident.is_some_and(|resident| resident.home.is_some());
        if was_displaced {
            self.displaced.dec();
        }
        if self.under_way(group) == Some(UnderWay::Brought) {
            self.under_way.borrow_mut().remove(group);
        } else {
            self.note_moved(group, was_displaced);
        }
    }

    /// The lanes of a group.
    pub(super) fn lane_count(&self, group: &GroupName) -> usize {
        let groups = self.groups.borrow();
        groups.get(group).map_or(0, |resident| resident.lanes)
    }

    /// Edges hear of all groups from here on, or of displaced ones alone.
    pub(super) fn name_all(&self, all: bool) {
        if self.names_all.replace(all) != all {
            let names = self.names();
            self.moved.borrow_mut().extend(names);
            self.has_moved.notify_one();
        }
    }

    /// The extent of the groups that edges hear of.
    pub(super) fn for_edges(&self) -> NamedGroups {
        match self.names_all.get() {
            true => NamedGroups::All,
            false => NamedGroups::Displaced,
        }
    }

    /// A group is on its way, until [`Self::announce`].
    pub(super) fn goes(&self, group: &GroupName, how: UnderWay) {
        self.under_way.borrow_mut().insert(group.clone(), how);
        if how == UnderWay::Committed {
            self.note_moved(group, false);
        }
    }

    /// A group is not on its way any more: all peers hear whether it is here.
    pub(super) fn announce(&self, group: &GroupName) {
        if self.under_way.borrow_mut().remove(group).is_some() {
            self.note_moved(group, true);
        }
    }

    /// A group that was leaving has gone, unless it is on its way back already.
    pub(super) fn has_left(&self, group: &GroupName) {
        if self.under_way(group) == Some(UnderWay::Leaving) {
            self.announce(group);
        }
    }

    fn under_way(&self, group: &GroupName) -> Option<UnderWay> {
        self.under_way.borrow().get(group).copied()
    }

    /// The groups that are on their way like this.
    pub(super) fn all_under_way(&self, how: UnderWay) -> Vec<GroupName> {
        let under_way = self.under_way.borrow();
        let groups = under_way.iter().filter(|(_, it)| **it == how);
        groups.map(|(group, _)| group.clone()).collect()
    }

    /// The names of the groups.
    pub(super) fn names(&self) -> Vec<GroupName> {
        self.groups.borrow().keys().cloned().collect()
    }

    /// Whether the group is here in place of `home`.
    pub(super) fn is_copy_of(&self, group: &GroupName, home: &str) -> bool {
        let groups = self.groups.borrow();
        let resident = groups.get(group);
        resident.is_some_and(|resident| resident.home.as_deref() == Some(home))
    }

    /// The frames for a new link: the groups that are here.
    pub(super) fn told(&self, extent: NamedGroups) -> Vec<Control> {
        let mut names = self.names();
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
        match self.groups.borrow().get(group) {
            Some(resident) => extent != NamedGroups::Displaced || resident.home.is_some(),
            None => matches!(
                self.under_way(group),
                Some(UnderWay::Committed | UnderWay::Leaving)
            ),
        }
    }

    /// Waits until groups have come or gone. Returns the frames about them for every edge, and those for every
    /// other origin.
    pub(super) async fn changes(&self) -> (Vec<Control>, Vec<Control>) {
        self.has_moved.notified().await;
        let moved = std::mem::take(&mut *self.moved.borrow_mut());
        let all_moved = self.all_moved.borrow_mut().as_mut().map(std::mem::take);
        (
            self.about(moved, self.for_edges()),
            self.about(all_moved.unwrap_or_default(), NamedGroups::Origins),
        )
    }

    fn about(&self, changed: HashSet<GroupName>, extent: NamedGroups) -> Vec<Control> {
        let changed = changed.into_iter();
        let told = changed.filter(|group| self.is_told(group, extent));
        let (added, removed): (Vec<_>, Vec<_>) = told.partition(|it| self.is_here(it, extent));
        let removed = removed
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(Vec::new(), names.to_vec()));
        let added = added
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(names.to_vec(), Vec::new()));
        removed.chain(added).collect()
    }

    fn note_moved(&self, group: &GroupName, is_displaced: bool) {
        if let Some(all) = &mut *self.all_moved.borrow_mut() {
            all.insert(group.clone());
            self.has_moved.notify_one();
        }
        if is_displaced || self.names_all.get() {
            self.moved.borrow_mut().insert(group.clone());
            self.has_moved.notify_one();
        }
    }
}

fn change(added: Vec<GroupName>, removed: Vec<GroupName>) -> Control {
    Control::Displaced {
        complete: false,
        added,
        removed,
    }
}

/// The frames for an edge about groups that have stored data here. With `whole` they replace all
/// earlier ones, also when there are none.
pub(super) fn kept(groups: &[GroupName], whole: bool) -> Vec<Control> {
    let mut frames: Vec<_> = groups
        .chunks(GROUPS_PER_FRAME)
        .map(|groups| Control::Kept {
            anew: false,
            groups: groups.to_vec(),
        })
        .collect();
    if whole {
        let groups = Vec::new();
        frames.insert(0, Control::Kept { anew: true, groups });
    }
    frames
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str) -> GroupName {
        GroupName::from_app(name).expect("a name")
    }

    fn residents() -> Residents {
        Residents::new(Gauge::default()).of_cluster()
    }

    /// The frames for edges and for origins.
    fn changes(residents: &Residents) -> (Vec<Control>, Vec<Control>) {
        let mut changes = std::pin::pin!(residents.changes());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match changes.as_mut().poll(&mut context) {
            std::task::Poll::Ready(frames) => frames,
            std::task::Poll::Pending => panic!("nothing has changed"),
        }
    }

    #[test]
    fn a_displaced_group_is_announced_when_it_comes_and_after_its_last_lane() {
        let residents = residents();
        let (away, home) = (group("live/away"), group("live/home"));
        residents.add_lane(&away, "other", "here");
        residents.add_lane(&away, "other", "here");
        residents.add_lane(&home, "here", "here");
        assert!(residents.is_copy_of(&away, "other"));
        assert!(!residents.is_copy_of(&home, "other"));
        assert_eq!(residents.displaced.get(), 1);
        let changes = || {
            let (edges, origins) = changes(&residents);
            (edges, origins.len())
        };
        let told = change(vec![away.clone()], Vec::new());
        assert_eq!(changes(), (vec![told], 1));
        residents.remove_lane(&away);
        assert!(residents.contains(&away), "a lane is left");
        residents.remove_lane(&away);
        let told = change(Vec::new(), vec![away]);
        assert_eq!(changes(), (vec![told], 1));
        residents.name_all(true);
        let told = change(vec![home], Vec::new());
        assert_eq!(changes(), (vec![told], 0));
        assert_eq!((residents.count(), residents.displaced.get()), (1, 0));
    }

    #[test]
    fn origins_hear_of_a_committed_group_before_edges_do() {
        let residents = residents();
        let given = group("live/given");
        let added = || change(vec![given.clone()], Vec::new());
        let removed = || change(Vec::new(), vec![given.clone()]);
        let names = |extent| {
            let told = residents.told(extent);
            told.len() > 1
        };
        residents.goes(&given, UnderWay::Offered);
        residents.add_lane(&given, "other", "here");
        assert_eq!(changes(&residents), (Vec::new(), Vec::new()));
        assert!(!names(NamedGroups::Origins));
        residents.goes(&given, UnderWay::Committed);
        assert_eq!(changes(&residents), (Vec::new(), vec![added()]));
        assert!(names(NamedGroups::Origins) && !names(NamedGroups::Displaced));
        residents.remove_lane(&given);
        assert_eq!(
            changes(&residents),
            (Vec::new(), vec![added()]),
            "it is here without a lane too"
        );
        residents.add_lane(&given, "other", "here");
        residents.announce(&given);
        assert_eq!(changes(&residents), (vec![added()], vec![added()]));
        residents.remove_lane(&given);
        assert_eq!(changes(&residents), (vec![removed()], vec![removed()]));
    }

    #[test]
    fn a_group_that_leaves_is_named_until_it_goes_on_elsewhere() {
        let residents = residents();
        let gone = group("live/gone");
        residents.add_lane(&gone, "other", "here");
        changes(&residents);
        residents.goes(&gone, UnderWay::Leaving);
        residents.remove_lane(&gone);
        let added = || vec![change(vec![gone.clone()], Vec::new())];
        assert_eq!(changes(&residents), (added(), added()), "as before");
        assert_eq!(residents.told(NamedGroups::Displaced).len(), 2);
        residents.announce(&gone);
        let removed = || vec![change(Vec::new(), vec![gone.clone()])];
        assert_eq!(changes(&residents), (removed(), removed()));
    }

    #[test]
    fn a_group_that_was_never_named_goes_in_silence() {
        let residents = residents();
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
        assert_eq!(changes(&residents), (told(), told()));
    }
}
