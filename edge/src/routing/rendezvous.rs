//! Rendezvous hashing: every edge with the same list of origins orders them alike for a group.

use tributary_protocol::GroupName;
use xxhash_rust::xxh3::xxh3_64;

/// The origins by weight for `group`, the home first. `names` are what the edges' configurations
/// call the origins; when one is added or removed, only groups that go to or come from it move.
pub fn order(names: &[String], group: &GroupName) -> Vec<usize> {
    let group = group.to_string();
    let weight = |name: &String| {
        let mut key = Vec::with_capacity(name.len() + 1 + group.len());
        key.extend_from_slice(name.as_bytes());
        key.push(0);
        key.extend_from_slice(group.as_bytes());
        xxh3_64(&key)
    };
    let mut order: Vec<_> = names.iter().map(weight).zip(0..).collect();
    order.sort_unstable_by_key(|&(weight, index)| (std::cmp::Reverse(weight), index));
    order.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("origin{n}")).collect()
    }

    fn group(n: usize) -> GroupName {
        GroupName::from_app(&format!("app/{n}")).unwrap()
    }

    #[test]
    fn groups_spread_evenly() {
        let names = names(4);
        let mut counts = [0; 4];
        for n in 0..10_000 {
            counts[order(&names, &group(n))[0]] += 1;
        }
        assert!(
            counts.iter().all(|count| (2300..2700).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn a_new_origin_only_takes_and_its_share_only() {
        let (before, after) = (names(4), names(5));
        let mut moved = 0;
        for n in 0..10_000 {
            let (old, new) = (order(&before, &group(n))[0], order(&after, &group(n))[0]);
            if old != new {
                assert_eq!(new, 4);
                moved += 1;
            }
        }
        assert!((1800..2200).contains(&moved), "{moved} of 10,000 moved");
    }

    /// Edges of different versions must agree: these places never change.
    #[test]
    fn places_are_stable_across_versions() {
        let names = names(3);
        let places: Vec<_> = (0..8).map(|n| order(&names, &group(n))[0]).collect();
        assert_eq!(places, PLACES);
    }

    const PLACES: [usize; 8] = [1, 2, 0, 0, 0, 0, 2, 2];
}
