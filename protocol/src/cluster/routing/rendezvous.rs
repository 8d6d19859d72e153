//! Rendezvous hashing: every edge with the same list of origins orders them alike for a group.

use std::{cmp::Reverse, collections::BTreeMap, time::Instant};

use crate::GroupName;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    placement::{Placement, SessionPlace},
    table::{Health, OriginId, OriginTable},
};

/// Placement by weight: the origin with the highest weight is the home, the others follow in order.
/// If an origin comes or goes, only groups that go to or come from it move.
#[derive(Debug, Default)]
pub struct Rendezvous {
    /// The names by which the edges call the origins.
    names: BTreeMap<OriginId, String>,
}

impl Rendezvous {
    /// The origins in order of their weight for a group, the home first.
    pub fn order(&self, group: &GroupName) -> Vec<OriginId> {
        let group = group.to_string();
        let weight = |name: &str| {
            let mut key = Vec::with_capacity(name.len() + 1 + group.len());
            key.extend_from_slice(name.as_bytes());
            key.push(0);
            key.extend_from_slice(group.as_bytes());
            xxh3_64(&key)
        };
        let weights = self
            .names
            .iter()
            .map(|(&origin, name)| (weight(name), origin));
        let mut order: Vec<_> = weights.collect();
        order.sort_unstable_by_key(|&(weight, origin)| (Reverse(weight), origin));
        order.into_iter().map(|(_, origin)| origin).collect()
    }
}

impl Placement for Rendezvous {
    fn added(&mut self, origin: OriginId, name: &str) {
        self.names.insert(origin, name.to_owned());
    }

    fn removed(&mut self, origin: OriginId) {
        self.names.remove(&origin);
    }

    fn home(&self, group: &GroupName) -> Option<OriginId> {
        self.order(group).first().copied()
    }

    fn place(&self, group: &GroupName, origins: &OriginTable, now: Instant) -> SessionPlace {
        let order = self.order(group);
        let Some(&home) = order.first() else {
            return SessionPlace::Nowhere;
        };
        if origins.kept_at(group) == Some(home) {
            return match origins.health(home) {
                Health::Up => SessionPlace::At(home),
                Health::Lost { until } if until > now => SessionPlace::Wait(until),
                _ => SessionPlace::Nowhere,
            };
        }
        let mut up = order
            .into_iter()
            .filter(|&origin| origins.health(origin) == Health::Up);
        let first = up.clone().next();
        // If no other origin is up, the session goes to one that goes away, and gets its answer.
        if let Some(origin) = up.find(|&origin| !origins.is_leaving(origin)).or(first) {
            return SessionPlace::At(origin);
        }
        let returns = origins.last_return(now);
        returns.map_or(SessionPlace::Nowhere, SessionPlace::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule with origins 0, 1 and so on.
    fn rule(count: u32) -> Rendezvous {
        let mut rule = Rendezvous::default();
        for n in 0..count {
            rule.added(OriginId(n), &format!("origin{n}"));
        }
        rule
    }

    fn home(rule: &Rendezvous, n: usize) -> usize {
        let OriginId(home) = rule.home(&group(n)).unwrap();
        home as usize
    }

    fn group(n: usize) -> GroupName {
        GroupName::from_app(&format!("app/{n}")).unwrap()
    }

    #[test]
    fn groups_spread_evenly() {
        let rule = rule(4);
        let mut counts = [0; 4];
        for n in 0..10_000 {
            counts[home(&rule, n)] += 1;
        }
        assert!(
            counts.iter().all(|count| (2300..2700).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_new_origin_only_takes_and_its_share_only() {
        let (before, after) = (rule(4), rule(5));
        let mut moved = 0;
        for n in 0..10_000 {
            let (old, new) = (home(&before, n), home(&after, n));
            if old != new {
                assert_eq!(new, 4);
                moved += 1;
            }
        }
        assert!((1800..2200).contains(&moved), "{moved} of 10,000 moved");
    }

    #[test]
    fn the_groups_of_an_origin_that_goes_spread_and_no_others_move() {
        let (before, mut after) = (rule(4), rule(4));
        after.removed(OriginId(2));
        for n in 0..1_000 {
            let (old, new) = (home(&before, n), home(&after, n));
            assert_eq!(old == 2, old != new);
        }
    }

    /// Edges of different versions must agree: these places never change.
    #[test]
    fn places_are_stable_across_versions() {
        let rule = rule(3);
        let places: Vec<_> = (0..8).map(|n| home(&rule, n)).collect();
        assert_eq!(places, PLACES);
    }

    const PLACES: [usize; 8] = [1, 2, 0, 0, 0, 0, 2, 2];
}
