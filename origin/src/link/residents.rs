//! The groups that live at this origin, and those of them that are away from their home.

use std::{
    cell::RefCell,
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
    has_moved: Notify,
    /// Groups that edges do not hear of yet: another origin is handing them over.
    held_back: RefCell<HashSet<GroupName>>,
    displaced: Gauge,
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
            has_moved: Notify::new(),
            held_back: RefCell::default(),
            displaced,
        }
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
            self.note_moved(group);
        }
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
        if resident.is_some_and(|resident| resident.home.is_some()) {
            self.displaced.dec();
            self.note_moved(group);
        }
    }

    /// Edges do not hear of a group until [`Self::announce`].
    pub(super) fn hold_back(&self, group: &GroupName) {
        self.held_back.borrow_mut().insert(group.clone());
    }

    /// Lets edges hear of a group.
    pub(super) fn announce(&self, group: &GroupName) {
        if self.held_back.borrow_mut().remove(group) {
            self.note_moved(group);
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

    /// The frames for a new link: the groups that are displaced here.
    pub(super) fn displaced(&self) -> Vec<Control> {
        let groups = self.groups.borrow();
        let held_back = self.held_back.borrow();
        let is_told =
            |name: &GroupName, group: &Resident| group.home.is_some() && !held_back.contains(name);
        let displaced = groups.iter().filter(|(name, group)| is_told(name, group));
        let names: Vec<_> = displaced.map(|(name, _)| name.clone()).collect();
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

    /// Waits until groups have moved. Returns the frames about them for every edge.
    pub(super) async fn changes(&self) -> Vec<Control> {
        self.has_moved.notified().await;
        let moved = std::mem::take(&mut *self.moved.borrow_mut());
        let groups = self.groups.borrow();
        let held_back = self.held_back.borrow();
        let is_away = |name: &GroupName| groups.get(name).is_some_and(|group| group.home.is_some());
        let moved = moved.into_iter().filter(|name| !held_back.contains(name));
        let (added, removed): (Vec<_>, Vec<_>) = moved.partition(is_away);
        let removed = removed
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(Vec::new(), names.to_vec()));
        let added = added
            .chunks(GROUPS_PER_FRAME)
            .map(|names| change(names.to_vec(), Vec::new()));
        removed.chain(added).collect()
    }

    fn note_moved(&self, group: &GroupName) {
        self.moved.borrow_mut().insert(group.clone());
        self.has_moved.notify_one();
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
        Residents::new(Gauge::default())
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
        let mut changes = std::pin::pin!(residents.changes());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let ready = changes.as_mut().poll(&mut context);
        let told = change(vec![away.clone()], Vec::new());
        assert_eq!(ready, std::task::Poll::Ready(vec![told]));
        residents.remove_lane(&away);
        assert!(residents.contains(&away), "a lane is left");
        residents.remove_lane(&away);
        let mut changes = std::pin::pin!(residents.changes());
        let told = change(Vec::new(), vec![away]);
        let ready = changes.as_mut().poll(&mut context);
        assert_eq!(ready, std::task::Poll::Ready(vec![told]));
        assert_eq!((residents.count(), residents.displaced.get()), (1, 0));
    }
}
