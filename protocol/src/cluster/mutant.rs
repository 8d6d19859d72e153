//! Conditions of the rules that a test changes, one at a time: a simulation that does not notice a change shows
//! nothing.

/// A changed condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RuleMutant {
    /// A group that another origin hands over goes on before its edges have brought their sessions.
    EdgesAreNotAwaited,
    /// Sessions that an edge brings stay, also if another origin has their group.
    NothingIsPassedOn,
    /// A group that goes away takes new lanes.
    LeavingGroupsAreOpen,
    /// A group that another origin has is started here as well.
    OthersDoNotCount,
    /// A state is dropped with which no edge has come in time.
    LateStatesAreDropped,
    /// Clients of a group that is at its home as well are closed.
    CopiesAreClosed,
    /// A group whose other origin has not said that it goes on is on its way for ever.
    LateMovesGoOn,
    /// The news of the origin that speaks last count, and those of the others are forgotten.
    LastOriginCounts,
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

    /// Keeps a mutant on in this thread.
    pub(in crate::cluster) struct RuleIsChanged(());

    impl RuleMutant {
        pub(in crate::cluster) const ALL: [Self; 8] = [
            Self::EdgesAreNotAwaited,
            Self::NothingIsPassedOn,
            Self::LeavingGroupsAreOpen,
            Self::OthersDoNotCount,
            Self::LateStatesAreDropped,
            Self::CopiesAreClosed,
            Self::LateMovesGoOn,
            Self::LastOriginCounts,
        ];

        pub(in crate::cluster) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }

        /// The invariant that it breaks.
        pub(in crate::cluster) fn breaks(self) -> &'static str {
            match self {
                Self::EdgesAreNotAwaited
                | Self::LeavingGroupsAreOpen
                | Self::LateStatesAreDropped => "whole",
                Self::NothingIsPassedOn | Self::OthersDoNotCount => "one",
                Self::CopiesAreClosed => "kept",
                Self::LateMovesGoOn => "done",
                Self::LastOriginCounts => "served",
            }
        }

        pub(in crate::cluster) fn switch_on(self) -> RuleIsChanged {
            ON.set(Some(self));
            RuleIsChanged(())
        }
    }

    impl Drop for RuleIsChanged {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
