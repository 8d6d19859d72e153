//! The sessions of one process among those of all.

/// The numbers of a process's sessions, and the groups of all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The number of this process's first session among all.
    pub(super) first: usize,
    /// The distance to its next one.
    pub(super) step: usize,
    /// Sessions in each group.
    pub(super) members: usize,
}

impl Share {
    /// The number among all of this process's n-th session.
    pub(super) fn number(self, own: usize) -> usize {
        self.first + own * self.step
    }

    /// The group of a session, by its number among all.
    pub(super) fn group(self, number: usize) -> usize {
        number / self.members
    }

    /// Whether a session is the first member of its group, by its number among all.
    pub(super) fn is_first_member(self, number: usize) -> bool {
        number.is_multiple_of(self.members)
    }

    /// The author of a change: the groups take turns, and in each group its members do. `None` if
    /// the author is a session of another process.
    pub(super) fn author(self, turn: usize, groups: usize) -> Option<usize> {
        let (round, group) = (turn / groups, turn % groups);
        let number = group * self.members + round % self.members;
        let behind = number.checked_sub(self.first)?;
        behind
            .is_multiple_of(self.step)
            .then_some(behind / self.step)
    }
}
