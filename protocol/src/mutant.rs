//! Conditions that a test changes, one at a time: a simulation that does not notice a change shows nothing. The first
//! ones are those of an edge's lane, the others those of a cluster's rules.

/// A changed condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Calls that are not done with are sent again.
    CallsAreRepeated,
    /// An answer that has passed does not count: the call is reported as unanswered all the same.
    AnswersAreMissed,
    /// Messages that are not done with are not sent again.
    NothingIsRepeated,
    /// Calls that are reported as unanswered are forgotten, before the answer has come.
    ReportedCallsAreForgotten,
    /// The first record of a part is kept, and not the newest.
    RecordsAreOld,
    /// The next process does not hear of clients that have left.
    DeparturesAreForgotten,
    /// A lane that was handed over is salvaged as after a crash.
    HandOverIsACrash,
    /// Reports about a session whose client has left are ignored. The simulation of a cluster notices it, whose
    /// links are away for longer.
    LateReportsDoNotCount,
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
impl Mutant {
    /// Whether the condition is changed: never but in tests.
    pub(crate) const fn is_on(self) -> bool {
        let _ = self;
        false
    }
}

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Keeps a mutant on in this thread.
    pub(crate) struct SwitchedOn(());

    impl Mutant {
        /// Those that the simulation of one lane notices.
        pub(crate) const OF_ONE_LANE: [Self; 7] = [
            Self::CallsAreRepeated,
            Self::AnswersAreMissed,
            Self::NothingIsRepeated,
            Self::ReportedCallsAreForgotten,
            Self::RecordsAreOld,
            Self::DeparturesAreForgotten,
            Self::HandOverIsACrash,
        ];

        /// Those of a cluster's rules.
        pub(crate) const OF_A_CLUSTER: [Self; 8] = [
            Self::EdgesAreNotAwaited,
            Self::NothingIsPassedOn,
            Self::LeavingGroupsAreOpen,
            Self::OthersDoNotCount,
            Self::LateStatesAreDropped,
            Self::CopiesAreClosed,
            Self::LateMovesGoOn,
            Self::LastOriginCounts,
        ];

        pub(crate) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }

        pub(crate) fn switch_on(self) -> SwitchedOn {
            ON.set(Some(self));
            SwitchedOn(())
        }

        /// The invariant that it breaks.
        pub(crate) fn breaks(self) -> &'static str {
            match self {
                Self::CallsAreRepeated | Self::LateReportsDoNotCount => "once",
                Self::AnswersAreMissed | Self::ReportedCallsAreForgotten => "answered",
                Self::NothingIsRepeated => "repeated",
                Self::RecordsAreOld => "told",
                Self::DeparturesAreForgotten => "left",
                Self::HandOverIsACrash
                | Self::EdgesAreNotAwaited
                | Self::LeavingGroupsAreOpen
                | Self::LateStatesAreDropped => "whole",
                Self::NothingIsPassedOn | Self::OthersDoNotCount => "one",
                Self::CopiesAreClosed => "kept",
                Self::LateMovesGoOn => "done",
                Self::LastOriginCounts => "served",
            }
        }
    }

    impl Drop for SwitchedOn {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
