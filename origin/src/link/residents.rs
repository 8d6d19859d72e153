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
    /// Groups that edges do not hear of yet: another origin is handing them over.
    held_back: RefCell<HashSet<GroupName>>,
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
            held_back: RefCell::default(),
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
        if self.held_back.borrow_mut().remove(group) {
            // It was never named.
            if resident.is_some_and(|resident| resident.home.is_some()) {
                self.displaced.dec();
            }
            return;
        }
        let was_displaced = resident.is_some_and(|resident| resident.home.is_some());
        if was_displaced {
            self.displaced.dec();
        }
        self.note_moved(group, was_displaced);
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

    /// Edges do not hear of a group until [`Self::announce`].
    pub(super) fn hold_back(&self, group: &GroupName) {
        self.held_back.borrow_mut().insert(group.clone());
    }

    /// Lets edges hear of a group.
    pub(super) fn announce(&self, group: &GroupName) {
        if self.held_back.borrow_mut().remove(group) {
            self.note_moved(group, true);
        }
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
        let groups = self.groups.borrow();
        let names = groups
            .iter()
            .filter(|(name, group)| self.is_told(name, group, extent));
        let names: Vec<_> = names.map(|(name, _)| name.clone()).collect();
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

    fn is_told(&self, name: &GroupName, group: &Resident, extent: NamedGroups) -> bool {
        let concerns = extent == NamedGroups::All || group.home.is_some();
        concerns && !self.held_back.borrow().contains(name)
    }

    /// Waits until groups have come or gone. Returns the frames about them for every edge, and those for every
    /// other origin.
    pub(super) async fn changes(&self) -> (Vec<Control>, Vec<Control>) {
        self.has_moved.notified().await;
        let moved = std::mem::take(&mut *self.moved.borrow_mut());
        let all_moved = self.all_moved.borrow_mut().as_mut().map(std::mem::take);
        (
            self.about(moved, self.for_edges()),
            self.about(all_moved.unwrap_or_default(), NamedGroups::All),
        )
    }

    fn about(&self, changed: HashSet<GroupName>, extent: NamedGroups) -> Vec<Control> {
        let groups = self.groups.borrow();
        let held_back = self.held_back.borrow();
        let is_here = |name: &GroupName| {
            let group = groups.get(name);
            group.is_some_and(|group| extent == NamedGroups::All || group.home.is_some())
        };
        let changed = changed.into_iter().filter(|name| !held_back.contains(name));
        let (added, removed): (Vec<_>, Vec<_>) = changed.partition(is_here);
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
            let mut changes = std::pin::pin!(residents.changes());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            match changes.as_mut().poll(&mut context) {
                std::task::Poll::Ready((edges, origins)) => (edges, origins.len()),
                std::task::Poll::Pending => panic!("nothing has changed"),
            }
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
}
