//! Conditions of this edge's lane that a test changes, one at a time: a simulation that does not notice a
//! change shows nothing.

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
}

#[cfg(not(test))]
impl Mutant {
    /// Whether the condition is changed: never but in tests.
    pub(super) const fn is_on(self) -> bool {
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
        pub(in crate::link) const OF_ONE_LANE: [Self; 7] = [
            Self::CallsAreRepeated,
            Self::AnswersAreMissed,
            Self::NothingIsRepeated,
            Self::ReportedCallsAreForgotten,
            Self::RecordsAreOld,
            Self::DeparturesAreForgotten,
            Self::HandOverIsACrash,
        ];

        pub(in crate::link) fn is_on(self) -> bool {
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
                Self::HandOverIsACrash => "whole",
            }
        }
    }

    impl Drop for SwitchedOn {
        fn drop(&mut self) {
            ON.set(None);
        }
    }
}
