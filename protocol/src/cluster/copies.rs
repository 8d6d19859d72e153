//! Groups that are at two origins: one of them was started, or restored, by an origin that could not know of the other.
//! The clients of one go on at the other.

use std::time::{Duration, Instant};

use super::{act::Note, here::Here, mutant::RuleMutant, ownership::Ownership};
use crate::GroupName;

/// The time for the other origin to let go, if it is in doubt as well: the one whose name is the greater one lets go at
/// once.
const OTHER_FIRST: Duration = Duration::from_secs(2);

impl Ownership {
    /// An edge has clients of these groups at their home, which are here as well: they were started here while `home`
    /// was away. In a cluster their clients go home. Returns the groups whose clients are to be closed.
    pub fn are_at_home(
        &mut self,
        home: &str,
        groups: Vec<GroupName>,
        now: Instant,
        here: &impl Here,
    ) -> Vec<GroupName> {
        let mut copies = groups;
        copies.retain(|it| {
            let is_given = self.moves.is_given(it) || self.moves.has_come_from(it, home);
            self.residents.is_copy_of(it, home) && !is_given
        });
        copies.retain(|it| RuleMutant::CopiesAreClosed.is_on() || !self.joins(it, home, now, here));
        copies
    }

    /// Another origin says that it has a group. If none has given it to this one, it may be at both.
    pub(super) fn is_named_elsewhere(&mut self, group: &GroupName) {
        let is_moving = self.residents.is_under_way(group) || self.moves.takes_away(group);
        if self.residents.contains(group) && !is_moving && !self.moves.is_given(group) {
            self.doubtful.add(group.clone());
        }
    }

    /// Lets go of groups of which another origin has turned out to have the clients of other edges.
    pub(super) fn settle_doubts(&mut self, now: Instant, here: &impl Here) {
        if self.doubtful.is_empty() {
            return;
        }
        let all_are_known = self.others.have_named_all();
        let mut doubtful = std::mem::take(&mut self.doubtful);
        doubtful.0.retain(|group, since| {
            if !self.residents.contains(group) {
                return false;
            }
            let place = self.others.place(group);
            let place = place.filter(|to| !self.moves.has_come_from(group, to));
            let Some(to) = place.map(str::to_owned) else {
                return !all_are_known;
            };
            let since = *since.get_or_insert(now);
            if self.name < to && now < since + OTHER_FIRST {
                return true;
            }
            !self.joins(group, &to, now, here)
        });
        self.doubtful = doubtful;
    }

    /// Lets the clients of a group go on at another origin, which has others of it. Returns false if they cannot.
    fn joins(&mut self, group: &GroupName, to: &str, now: Instant, here: &impl Here) -> bool {
        if !self.is_in_cluster() || here.has_data(group) {
            return false;
        }
        if self.moves.going(group).is_none() {
            let (of, at) = (group.clone(), to.to_owned());
            self.note(Note::PassedOn { group: of, to: at });
            let lanes = here.lanes(group);
            let lanes = lanes.iter().map(|lane| lane.number).collect();
            self.let_go(group.clone(), lanes, to, None, now);
        }
        true
    }
}
