//! Changes of folders: a folder is read once its copy is complete.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::folder::Fingerprint;

/// The folders as they last looked, and since when.
#[derive(Debug, Default)]
pub(super) struct Watch {
    folders: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    /// `None` while the folder is not there.
    print: Option<Fingerprint>,
    since: Instant,
    /// Whether this state has been deployed or removed.
    is_handled: bool,
}

/// A change that is to be carried out now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// This folder is new or has changed, and is complete.
    Deploy(String),
    /// This folder is gone for good.
    Remove(String),
}

/// How long a folder has to be unchanged before it is read. Reason: a copy that is under way
/// writes more often than that.
pub(super) const SETTLED: Duration = Duration::from_secs(1);

/// The interval between two looks at a directory that has changed in the last [`BUSY`].
const POLL: Duration = Duration::from_millis(500);

/// The interval between two looks at any other directory.
const QUIET_POLL: Duration = Duration::from_secs(2);

/// The time for which a change makes the next one likely.
const BUSY: Duration = Duration::from_secs(60);

/// How long a folder has to be gone. Reason: it may be replaced by removing and copying it.
const GONE: Duration = Duration::from_secs(3);

impl Watch {
    /// Notes the folders that are there now. Returns the changes that have settled.
    pub(super) fn look(
        &mut self,
        now: Instant,
        mut present: BTreeMap<String, Fingerprint>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for (name, seen) in &mut self.folders {
            let print = present.remove(name);
            if seen.print != print {
                *seen = Seen::new(print, now);
            }
            let time = if print.is_some() { SETTLED } else { GONE };
            if !seen.is_handled && now.saturating_duration_since(seen.since) >= time {
                seen.is_handled = true;
                changes.push(match print {
                    Some(_) => Change::Deploy(name.clone()),
                    None => Change::Remove(name.clone()),
                });
            }
        }
        for (name, print) in present {
            self.folders.insert(name, Seen::new(Some(print), now));
        }
        for change in &changes {
            if let Change::Remove(name) = change {
                self.folders.remove(name);
            }
        }
        changes
    }

    /// The time until the next look. A directory in which somebody works is looked at more often
    /// than one that has not changed for a while.
    pub(super) fn pause(&self, now: Instant) -> Duration {
        let last = self.folders.values().map(|seen| seen.since).max();
        match last.is_some_and(|last| now.saturating_duration_since(last) < BUSY) {
            true => POLL,
            false => QUIET_POLL,
        }
    }

    /// Notes that a folder in this state is deployed.
    pub(super) fn handled(&mut self, name: &str, print: Fingerprint, now: Instant) {
        let seen = Seen {
            is_handled: true,
            ..Seen::new(Some(print), now)
        };
        self.folders.insert(name.to_owned(), seen);
    }

    /// Notes that a folder is removed.
    pub(super) fn forget(&mut self, name: &str) {
        self.folders.remove(name);
    }
}

impl Seen {
    fn new(print: Option<Fingerprint>, since: Instant) -> Self {
        Self {
            print,
            since,
            is_handled: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{super::folder::Listing, *};

    /// Some different fingerprints.
    fn prints() -> [Fingerprint; 3] {
        let folder = tempfile::tempdir().unwrap();
        ["", "x", "xy"].map(|text| {
            fs::write(folder.path().join("main.asc"), text).unwrap();
            Listing::of(folder.path()).unwrap().fingerprint()
        })
    }

    #[test]
    fn a_folder_is_read_once_it_has_been_unchanged_for_a_second() {
        let [a, b, c] = prints();
        let deploy = vec![Change::Deploy("chat".to_owned())];
        let remove = vec![Change::Remove("chat".to_owned())];
        let mut watch = Watch::default();
        let start = Instant::now();
        for (ms, print, expected) in [
            (0, Some(a), &vec![]),
            (900, Some(b), &vec![]),
            (1_800, Some(b), &vec![]),
            (1_900, Some(b), &deploy),
            (9_000, Some(b), &vec![]),
            (9_500, Some(c), &vec![]),
            (10_500, Some(c), &deploy),
            // Removed and copied anew.
            (11_000, None, &vec![]),
            (13_900, Some(a), &vec![]),
            (14_900, Some(a), &deploy),
            (20_000, None, &vec![]),
            (22_900, None, &vec![]),
            (23_000, None, &remove),
            (30_000, None, &vec![]),
            (31_000, Some(a), &vec![]),
            (32_000, Some(a), &deploy),
        ] {
            let present = print.map(|print| ("chat".to_owned(), print));
            let now = start + Duration::from_millis(ms);
            let changes = watch.look(now, present.into_iter().collect());
            assert_eq!(&changes, expected, "after {ms} ms");
        }
    }

    #[test]
    fn a_directory_is_looked_at_less_often_a_minute_after_its_last_change() {
        let [a, b, _] = prints();
        let present = |print| BTreeMap::from([("chat".to_owned(), print)]);
        let mut watch = Watch::default();
        let start = Instant::now();
        assert_eq!(watch.pause(start), QUIET_POLL, "an empty directory");
        for (seconds, print, pause) in [
            (0, a, POLL),
            (59, a, POLL),
            (60, a, QUIET_POLL),
            (100, b, POLL),
            (159, b, POLL),
            (160, b, QUIET_POLL),
        ] {
            let now = start + Duration::from_secs(seconds);
            watch.look(now, present(print));
            assert_eq!(watch.pause(now), pause, "after {seconds} s");
        }
    }

    #[test]
    fn what_was_deployed_otherwise_is_not_deployed_again() {
        let [a, b, _] = prints();
        let mut watch = Watch::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let present = |print| BTreeMap::from([("chat".to_owned(), print)]);
        watch.handled("chat", a, at(0));
        for seconds in 1..10 {
            assert!(watch.look(at(seconds), present(a)).is_empty());
        }
        watch.look(at(10), present(b));
        assert_eq!(watch.look(at(11), present(b)).len(), 1);
        watch.forget("chat");
        assert!(watch.look(at(20), BTreeMap::new()).is_empty());
    }
}
