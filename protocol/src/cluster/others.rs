//! The other origins of the cluster, as far as this one hears of them.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

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
    /// The groups that it had when its last link was lost.
    lost: Option<LostGroups>,
}

/// Groups that may still be at an origin.
#[derive(Debug)]
struct LostGroups {
    process: u64,
    groups: HashSet<GroupName>,
    until: Instant,
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
    /// Whether edges bring more, which are named later.
    gathers: bool,
}

/// Groups of another origin that are remembered. Reason: an origin has fewer.
const MAX_GROUPS: usize = 262_144;

/// The time for which the groups of an origin without a link are not started here. Reason: edges keep their sessions
/// for the grace time of that origin, 15 s where nobody has set another.
const LOST: Duration = Duration::from_secs(15);

/// The same once another process of it has a link: edges bring it the sessions by then.
const RETURN: Duration = Duration::from_secs(5);

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
    pub(super) fn linked(&mut self, name: &str, link: u64, process: u64, now: Instant) {
        let origin = self.0.entry(name.to_owned()).or_default();
        origin.is_leaving = false;
        origin.retain_links(|it| it.process == process, now);
        if let Some(lost) = &mut origin.lost
            && lost.process != process
        {
            lost.until = lost.until.min(now + RETURN);
        }
        origin.links.push(PeerLink {
            number: link,
            process,
            groups: HashSet::new(),
            is_complete: false,
            gathers: false,
        });
    }

    /// Edges bring groups there, of which the origin does not know yet, or have brought all.
    pub(super) fn gathers(&mut self, name: &str, link: u64, gathers: bool) {
        let links = self.0.get_mut(name).map(|it| &mut it.links);
        let mut links = links.into_iter().flatten();
        if let Some(link) = links.find(|it| it.number == link) {
            link.gathers = gathers;
        }
    }

    pub(super) fn link_lost(&mut self, name: &str, link: u64, now: Instant) {
        if let Some(origin) = self.0.get_mut(name) {
            origin.retain_links(|it| it.number != link, now);
        }
    }

    pub(super) fn leaves(&mut self, name: &str) {
        if let Some(origin) = self.0.get_mut(name) {
            origin.is_leaving = true;
        }
    }

    /// Notes which groups have come there or gone, by what a link has brought; `complete` ends the list that begins a
    /// link.
    pub(super) fn note_groups(
        &mut self,
        name: &str,
        link: u64,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        let Some(origin) = self.0.get_mut(name) else {
            return;
        };
        let mut links = origin.links.iter_mut();
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
        let process = link.process;
        if complete {
            origin.lost.take_if(|lost| lost.process == process);
        }
    }

    /// Forgets groups of origins that are lost for long.
    pub(super) fn tick(&mut self, now: Instant) {
        for origin in self.0.values_mut() {
            origin.lost.take_if(|lost| lost.until <= now);
        }
    }

    /// Whether a group is at another origin, or may be: at one that has no link, or to which edges bring groups.
    pub(super) fn may_have(&self, group: &GroupName) -> bool {
        let mut origins = self.0.values();
        origins.any(|it| {
            let lost = it.lost.as_ref();
            let gathers = it.links.iter().any(|link| link.gathers);
            it.has(group) || gathers || lost.is_some_and(|lost| lost.groups.contains(group))
        })
    }

    pub(super) fn is_linked(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|it| !it.links.is_empty())
    }

    /// The process of an origin that has a link.
    pub(super) fn process(&self, name: &str) -> Option<u64> {
        let link = self.0.get(name)?.links.last();
        link.map(|link| link.process)
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
        let mut origins = self.0.iter();
        let place = origins.find(|(_, it)| it.has(group));
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

impl OtherOrigin {
    fn has(&self, group: &GroupName) -> bool {
        self.links.iter().any(|link| link.groups.contains(group))
    }

    /// Removes links but for those that stay, and remembers the groups of the last one.
    fn retain_links(&mut self, stays: impl Fn(&PeerLink) -> bool, now: Instant) {
        let gone = self.links.extract_if(.., |link| !stays(link));
        let gone: Vec<_> = gone.collect();
        let process = gone.last().map(|link| link.process);
        if let Some(process) = process
            && self.links.is_empty()
        {
            // A link that is lost before it has brought all says less than the one before.
            let before = self.lost.take();
            let before = before.filter(|lost| lost.process == process && lost.until > now);
            let before = before.map(|lost| lost.groups);
            let groups = gone.into_iter().map(|link| link.groups);
            self.lost = Some(LostGroups {
                process,
                groups: groups.chain(before).flatten().collect(),
                until: now + LOST,
            });
        }
    }
}
