//! Groups that may live at another origin, as edges have reported.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_protocol::GroupName;

/// What edges say of origins they have lost. While one does, its groups there must not be started
/// here: they may be resumed.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    lost: HashMap<String, Lost>,
    /// Groups that live on at an origin that came back, and since when.
    resumed: HashMap<GroupName, Instant>,
}

#[derive(Debug)]
struct Lost {
    since: Instant,
    /// Who says so, and which groups each has there.
    reports: HashMap<(Arc<str>, u64), HashSet<GroupName>>,
}

/// How long groups that live on at an origin that came back are not started here: edges without
/// sessions of them may reach it a little later.
const RETURN: Duration = Duration::from_secs(5);

/// How long after the first report every group of the lost origin waits: other edges may be about
/// to report theirs.
const SETTLE: Duration = Duration::from_secs(2);

impl Elsewhere {
    /// An edge process has lost `origin` and has these groups there.
    pub(super) fn report(
        &mut self,
        edge: &Arc<str>,
        epoch: u64,
        origin: &str,
        groups: Vec<GroupName>,
        now: Instant,
    ) {
        let lost = self.lost.entry(origin.to_owned()).or_insert_with(|| Lost {
            since: now,
            reports: HashMap::new(),
        });
        lost.reports
            .entry((Arc::clone(edge), epoch))
            .or_default()
            .extend(groups);
    }

    /// The edge process has given `origin` up, or has it back since `resumed`.
    pub(super) fn report_ended(
        &mut self,
        edge: &Arc<str>,
        epoch: u64,
        origin: &str,
        resumed: Option<Instant>,
    ) {
        let Some(lost) = self.lost.get_mut(origin) else {
            return;
        };
        let groups = lost
            .reports
            .remove(&(Arc::clone(edge), epoch))
            .unwrap_or_default();
        if lost.reports.is_empty() {
            self.lost.remove(origin);
        }
        if let Some(now) = resumed {
            self.resumed.retain(|_, since| now < *since + RETURN);
            self.resumed
                .extend(groups.into_iter().map(|group| (group, now)));
        }
    }

    /// The edge process is gone, and what it said with it.
    pub(super) fn edge_gone(&mut self, edge: &Arc<str>, epoch: u64) {
        let origins: Vec<String> = self.lost.keys().cloned().collect();
        for origin in origins {
            self.report_ended(edge, epoch, &origin, None);
        }
    }

    /// The process was stopped for this long: what it waits for has not had its time.
    pub(super) fn postpone(&mut self, by: Duration) {
        for since in self.resumed.values_mut() {
            *since += by;
        }
        for lost in self.lost.values_mut() {
            lost.since += by;
        }
    }

    /// Whether `group`, whose home is `home`, may live at a lost origin.
    pub(super) fn may_live(&self, group: &GroupName, home: &str, now: Instant) -> bool {
        let reported = |lost: &Lost| lost.reports.values().any(|groups| groups.contains(group));
        self.resumed
            .get(group)
            .is_some_and(|since| now < *since + RETURN)
            || self.lost.values().any(reported)
            || self
                .lost
                .get(home)
                .is_some_and(|lost| now < lost.since + SETTLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reported_group_waits_until_every_edge_has_it_back_or_gives_it_up() {
        let mut elsewhere = Elsewhere::default();
        let now = Instant::now();
        let later = now + SETTLE;
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let group = GroupName::from_app("app/x").unwrap();
        let other = GroupName::from_app("app/y").unwrap();
        elsewhere.report(&a, 1, "home", vec![group.clone()], now);
        elsewhere.report(&b, 1, "home", vec![], now);
        assert!(elsewhere.may_live(&group, "home", later));
        assert!(
            elsewhere.may_live(&other, "home", now),
            "others may yet report it"
        );
        assert!(!elsewhere.may_live(&other, "home", later));
        assert!(!elsewhere.may_live(&other, "third", now));
        elsewhere.report_ended(&b, 1, "home", None);
        assert!(elsewhere.may_live(&group, "home", later));
        elsewhere.edge_gone(&a, 1);
        assert!(!elsewhere.may_live(&group, "home", now));
        elsewhere.report(&a, 1, "home", vec![group.clone()], now);
        elsewhere.report_ended(&a, 1, "home", Some(later));
        assert!(
            elsewhere.may_live(&group, "home", later),
            "the home has it back"
        );
        assert!(!elsewhere.may_live(&other, "home", later));
        assert!(!elsewhere.may_live(&group, "home", later + RETURN));
    }
}
