//! Conditions of this edge's lane that a test changes, one at a time: a simulation that does not notice a
//! change shows nothing.

/// A changed condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::link) enum Mutant {
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
    pub(in crate::link) struct SwitchedOn(());

    impl Mutant {
        pub(in crate::link) const ALL: [Self; 7] = [
            Self::CallsAreRepeated,
            Self::AnswersAreMissed,
            Self::NothingIsRepeated,
            Self::ReportedCallsAreForgotten,
            Self::RecordsAreOld,
            Self::DeparturesAreForgotten,
            Self::HandOverIsACrash,
        ];

        pub(in crate::link::edge_lane) fn is_on(self) -> bool {
            ON.get() == Some(self)
        }

        pub(in crate::link) fn switch_on(self) -> SwitchedOn {
            ON.set(Some(self));
            SwitchedOn(())
        }

        /// The invariant that it breaks.
        pub(in crate::link) fn breaks(self) -> &'static str {
            match self {
                Self::CallsAreRepeated => "once",
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
