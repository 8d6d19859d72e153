//! Groups that are at two origins: one of them was started, or restored, by an origin that could not know of the other.
//! The clients of one go on at the other.

use std::time::{Duration, Instant};

use super::{act::Note, here::Here, ownership::Ownership};
use crate::{GroupName, mutant::Mutant};

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
        copies.retain(|it| Mutant::CopiesAreClosed.is_on() || !self.joins(it, home, now, here));
        copies
    }

    /// Another origin says that it has a group. If none has given it to this one, it may be at both.
    pub(super) fn is_named_elsewhere(&mut self, group: &GroupName, now: Instant) {
        let is_moving = self.residents.is_under_way(group) || self.moves.takes_away(group);
        if self.residents.contains(group) && !is_moving && !self.moves.is_given(group) {
            let named = self.named_elsewhere.entry(group.clone());
            named.or_insert(now);
        }
    }

    /// Lets go of groups that another origin has as well.
    pub(super) fn settle_doubts(&mut self, now: Instant, here: &impl Here) {
        let mut named = std::mem::take(&mut self.named_elsewhere);
        named.retain(|group, since| {
            let place = self.others.place(group);
            let place = place.filter(|to| !self.moves.has_come_from(group, to));
            let to = place.filter(|_| self.residents.contains(group));
            let Some(to) = to.map(str::to_owned) else {
                return false;
            };
            let waits = self.name < to && now < *since + OTHER_FIRST;
            waits || !self.joins(group, &to, now, here)
        });
        self.named_elsewhere = named;
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
