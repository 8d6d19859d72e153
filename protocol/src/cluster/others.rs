//! The other origins of the cluster, as far as this one hears of them.

use std::collections::{BTreeMap, HashSet};

use crate::GroupName;

/// The other origins, by the names on their certificates.
#[derive(Debug, Default)]
pub(super) struct Others(BTreeMap<String, OtherOrigin>);

#[derive(Debug, Default)]
struct OtherOrigin {
    /// Whether this one's configuration names it.
    is_configured: bool,
    /// Whether it takes no groups: it is drained, or about to stop.
    is_leaving: bool,
    links: Vec<PeerLink>,
}

/// A link that is up.
#[derive(Debug)]
struct PeerLink {
    number: u64,
    /// The process at the other end.
    process: u64,
    /// The groups that are there, as this link has brought them.
    groups: HashSet<GroupName>,
    /// Whether all have been named.
    is_complete: bool,
}

/// Groups of another origin that are remembered. Reason: an origin has fewer.
const MAX_GROUPS: usize = 262_144;

impl Others {
    /// The origins of the configuration.
    pub(super) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let origin = |name| {
            let origin = OtherOrigin {
                is_configured: true,
                ..OtherOrigin::default()
            };
            (name, origin)
        };
        Self(names.into_iter().map(origin).collect())
    }

    /// A link is up, in place of those to another process.
    pub(super) fn linked(&mut self, name: &str, link: u64, process: u64) {
        let origin = self.0.entry(name.to_owned()).or_default();
        origin.is_leaving = false;
        origin.links.retain(|it| it.process == process);
        origin.links.push(PeerLink {
            number: link,
            process,
            groups: HashSet::new(),
            is_complete: false,
        });
    }

    pub(super) fn link_lost(&mut self, name: &str, link: u64) {
        if let Some(origin) = self.0.get_mut(name) {
            origin.links.retain(|it| it.number != link);
        }
    }

    pub(super) fn leaves(&mut self, name: &str) {
        if let Some(origin) = self.0.get_mut(name) {
            origin.is_leaving = true;
        }
    }

    /// Notes which groups have come there or gone, by what a link has brought; `complete` ends the list that begins a link.
    pub(super) fn note_groups(
        &mut self,
        name: &str,
        link: u64,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        let links = self.0.get_mut(name).map(|it| &mut it.links);
        let mut links = links.into_iter().flatten();
        let Some(link) = links.find(|it| it.number == link) else {
            return;
        };
        for group in removed {
            link.groups.remove(group);
        }
        for group in added {
            if link.groups.len() < MAX_GROUPS {
                link.groups.insert(group);
            }
        }
        link.is_complete |= complete;
    }

    pub(super) fn is_linked(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|it| !it.links.is_empty())
    }

    /// Whether an origin has a link and takes groups, as far as is known.
    pub(super) fn takes_groups(&self, name: &str) -> bool {
        let origin = self.0.get(name);
        origin.is_some_and(|it| !it.links.is_empty() && !it.is_leaving)
    }

    /// The names of the origins with a link.
    pub(super) fn all_linked(&self) -> Vec<String> {
        let linked = self.0.iter().filter(|(_, it)| !it.links.is_empty());
        linked.map(|(name, _)| name.clone()).collect()
    }

    /// The origin at which a group is, as far as is known.
    pub(super) fn place(&self, group: &GroupName) -> Option<&str> {
        let has = |it: &OtherOrigin| it.links.iter().any(|link| link.groups.contains(group));
        let mut origins = self.0.iter();
        let place = origins.find(|(_, it)| has(it));
        place.map(|(name, _)| name.as_str())
    }

    /// Whether an origin has a link and has not named all of its groups.
    pub(super) fn are_naming(&self) -> bool {
        let mut linked = self.0.values().filter(|it| !it.links.is_empty());
        linked.any(|it| it.links.iter().all(|link| !link.is_complete))
    }

    /// Whether all origins of the configuration have named their groups.
    pub(super) fn have_named_all(&self) -> bool {
        let mut awaited = self.0.values().filter(|it| it.is_configured);
        awaited.all(|it| it.links.iter().any(|link| link.is_complete))
    }
}
