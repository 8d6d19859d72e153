//! Conditions of an origin's rules that a test changes, one at a time: a simulation that does not notice a change
//! shows nothing.

/// A changed condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleMutant {
    /// An offer that is accepted counts, whichever edges have come to the group meanwhile.
    EdgesAreNotComparedAgain,
    /// A group that another origin hands over goes on before its edges have brought their sessions.
    EdgesAreNotAwaited,
    /// Sessions that an edge brings here stay, also if another origin has their group.
    NothingIsPassedOn,
}

#[cfg(not(test))]
impl RuleMutant {
    /// Whether the condition is changed: never but in tests.
    pub(super) const fn is_on(self) -> bool {
        let _ = self;
        false
    }
}

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::RuleMutant;

    thread_local! {
        static ON: Cell<Option<RuleMutant>> = const { Cell::new(None) };
    }

    impl RuleMutant {
        pub(in crate::cluster) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }
    }
}
