//! Groups that may live at another origin, as edges have reported.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::GroupName;

/// Edges' reports of origins they have lost. As long as there is a report, its groups must not be
/// started here: they may be resumed there.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    lost: BTreeMap<String, LostOrigin>,
    /// Groups that live on at an origin that came back, and the time of its return.
    resumed: BTreeMap<GroupName, Instant>,
}

#[derive(Debug)]
struct LostOrigin {
    since: Instant,
    /// The groups that each edge reports there, by the edge's name and epoch.
    reports: BTreeMap<(Arc<str>, u64), Report>,
}

#[derive(Debug, Default)]
struct Report {
    complete: bool,
    groups: BTreeSet<GroupName>,
}

/// How long groups that live on at an origin that came back are not started here. Reason: edges
/// without sessions of them may reach it a little later.
const RETURN: Duration = Duration::from_secs(5);

/// How long after the first report every group of the lost origin waits. Reason: other edges may be
/// about to send their reports.
const SETTLE: Duration = Duration::from_secs(2);

impl Elsewhere {
    /// Adds a report: an edge process has lost `origin` and has these groups there.
    pub(super) fn report(
        &mut self,
        edge: &Arc<str>,
        epoch: u64,
        origin: &str,
        groups: Vec<GroupName>,
        complete: bool,
        now: Instant,
    ) {
        let lost = self
            .lost
            .entry(origin.to_owned())
            .or_insert_with(|| LostOrigin {
                since: now,
                reports: BTreeMap::new(),
            });
        let report = lost.reports.entry((Arc::clone(edge), epoch)).or_default();
        report.groups.extend(groups);
        report.complete |= complete;
    }

    /// Ends a report: the edge process has given `origin` up, or has it back since `resumed`.
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
            .unwrap_or_default()
            .groups;
        if lost.reports.is_empty() {
            self.lost.remove(origin);
        }
        if let Some(now) = resumed {
            self.resumed.retain(|_, since| now < *since + RETURN);
            self.resumed
                .extend(groups.into_iter().map(|group| (group, now)));
        }
    }

    /// Ends all reports of an edge process that is gone.
    pub(super) fn edge_gone(&mut self, edge: &Arc<str>, epoch: u64) {
        self.end_all(edge, epoch, None);
    }

    /// An edge process has a new link, over which it reports again: the end of a report may have been lost with the
    /// link before.
    pub(super) fn reports_anew(&mut self, edge: &Arc<str>, epoch: u64, now: Instant) {
        self.end_all(edge, epoch, Some(now));
    }

    fn end_all(&mut self, edge: &Arc<str>, epoch: u64, resumed: Option<Instant>) {
        let origins: Vec<String> = self.lost.keys().cloned().collect();
        for origin in origins {
            self.report_ended(edge, epoch, &origin, resumed);
        }
    }

    /// Extends all waits by the time for which the process was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        for since in self.resumed.values_mut() {
            *since += by;
        }
        for lost in self.lost.values_mut() {
            lost.since += by;
        }
    }

    /// Whether `group`, whose home is `home`, may live at a lost origin. `edges` are those that
    /// this origin knows: once each has sent a complete report about `home`, no other report can
    /// come.
    pub(super) fn may_live(
        &self,
        group: &GroupName,
        home: &str,
        edges: impl FnOnce() -> Vec<(Arc<str>, u64)>,
        now: Instant,
    ) -> bool {
        let reported = |lost: &LostOrigin| {
            let mut reports = lost.reports.values();
            reports.any(|report| report.groups.contains(group))
        };
        let resumed = self.resumed.get(group);
        if resumed.is_some_and(|since| now < *since + RETURN) || self.lost.values().any(reported) {
            return true;
        }
        self.lost.get(home).is_some_and(|lost| {
            let has_said = |edge| {
                lost.reports
                    .get(&edge)
                    .is_some_and(|report| report.complete)
            };
            now < lost.since + SETTLE && !edges().into_iter().all(has_said)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::tests::start;

    #[test]
    fn a_reported_group_waits_until_every_edge_has_it_back_or_gives_it_up() {
        let mut elsewhere = Elsewhere::default();
        let now = start();
        let later = now + SETTLE;
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let group = GroupName::from_app("app/x").unwrap();
        let both = || vec![(Arc::clone(&a), 1), (Arc::clone(&b), 1)];
        let other = GroupName::from_app("app/y").unwrap();
        elsewhere.report(&a, 1, "home", vec![group.clone()], true, now);
        elsewhere.report(&b, 1, "home", vec![], false, now);
        assert!(elsewhere.may_live(&group, "home", both, later));
        assert!(
            elsewhere.may_live(&other, "home", both, now),
            "others may yet report it"
        );
        assert!(!elsewhere.may_live(&other, "home", both, later));
        elsewhere.report(&b, 1, "home", vec![], true, now);
        assert!(
            !elsewhere.may_live(&other, "home", both, now),
            "all have reported"
        );
        assert!(!elsewhere.may_live(&other, "third", both, now));
        elsewhere.report_ended(&b, 1, "home", None);
        assert!(elsewhere.may_live(&group, "home", both, later));
        elsewhere.edge_gone(&a, 1);
        assert!(!elsewhere.may_live(&group, "home", both, now));
        elsewhere.report(&a, 1, "home", vec![group.clone()], true, now);
        elsewhere.report_ended(&a, 1, "home", Some(later));
        assert!(
            elsewhere.may_live(&group, "home", both, later),
            "the home has it back"
        );
        assert!(!elsewhere.may_live(&other, "home", both, later));
        assert!(!elsewhere.may_live(&group, "home", both, later + RETURN));
        // The end of a report may be lost with the edge's link.
        elsewhere.report(&a, 1, "home", vec![group.clone()], true, now);
        elsewhere.reports_anew(&a, 1, now);
        assert!(elsewhere.may_live(&group, "home", both, now));
        assert!(!elsewhere.may_live(&group, "home", both, now + RETURN));
    }
}
