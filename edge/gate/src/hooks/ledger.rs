//! The done-hooks that a session owes.

use std::{collections::BTreeMap, fmt};

use crate::{
    hooks::event::{HookEvent, Told},
    refusal::Action,
};

mod parcel;

/// The decisions of a session that were *allowed*, each of which owes exactly one done-hook: also if
/// the origin refuses the act, or is lost, or the edge drains.
///
/// ```text
/// allow ──► open ──┬── end, of its stream ──► one debt, told
///                  └── end_all ─────────────► the rest, told
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger(BTreeMap<Option<u32>, Debt>);

/// A done-hook that is owed.
#[derive(Clone, PartialEq, Eq)]
pub struct Debt {
    /// The message stream; `None` for the connect.
    pub stream: Option<u32>,
    pub action: Action,
    /// The name that the service was asked about; empty for the connect.
    pub name: String,
    /// The query of the name.
    pub query: String,
}

impl Ledger {
    /// Whether a decision about this stream would find room, and so may be asked for.
    pub fn has_room(&self, stream: Option<u32>) -> bool {
        self.0.len() < MAX_DEBTS || self.0.contains_key(&stream)
    }

    /// The debt of a message stream.
    pub fn of(&self, stream: u32) -> Option<&Debt> {
        self.0.get(&Some(stream))
    }

    /// Notes an allowed decision. The debt of an earlier one on the same stream, which the new one
    /// replaces, is given out to be told.
    ///
    /// A decision that finds no room is to be refused in place of allowed: [`NoRoom`] gives it back.
    pub fn allow(&mut self, debt: Debt) -> Result<Option<Debt>, NoRoom> {
        if !self.has_room(debt.stream) {
            return Err(NoRoom(debt));
        }
        Ok(self.0.insert(debt.stream, debt))
    }

    /// The debt of a message stream whose publish or play has ended; `None` the second time.
    pub fn end(&mut self, stream: u32) -> Option<Debt> {
        self.0.remove(&Some(stream))
    }

    /// All debts at the end of the session, that of the connect last.
    pub fn end_all(&mut self) -> Vec<Debt> {
        let mut debts: Vec<_> = std::mem::take(&mut self.0).into_values().collect();
        if debts.first().is_some_and(|debt| debt.stream.is_none()) {
            debts.rotate_left(1);
        }
        debts
    }

    /// The debts, for the process that takes the session over.
    pub fn iter(&self) -> impl Iterator<Item = &Debt> {
        self.0.values()
    }
}

impl FromIterator<Debt> for Ledger {
    fn from_iter<I: IntoIterator<Item = Debt>>(debts: I) -> Self {
        let debts = debts.into_iter().take(MAX_DEBTS);
        Self(debts.map(|debt| (debt.stream, debt)).collect())
    }
}

impl Debt {
    /// The events to tell; `sent` and `received` are the bytes of the session, which its end tells.
    pub fn events<'a>(&'a self, reason: &'a str, sent: u64, received: u64) -> Vec<HookEvent<'a>> {
        let Self {
            action,
            name,
            query,
            ..
        } = self;
        let stream = Told { name, query };
        match *action {
            Action::Connect => vec![HookEvent::Disconnect {
                sent,
                received,
                reason,
            }],
            action => vec![
                HookEvent::Done {
                    action,
                    stream,
                    reason,
                },
                HookEvent::AnyDone { stream, reason },
            ],
        }
    }
}

/// Without the query, which may be secret.
impl fmt::Debug for Debt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Debt")
            .field("stream", &self.stream)
            .field("action", &self.action)
            .finish_non_exhaustive()
    }
}

/// The session has [`MAX_DEBTS`] open decisions; the one that finds no room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRoom(pub Debt);

/// Open decisions of a session. Reason: a client has 64 message streams, and its connect.
pub const MAX_DEBTS: usize = 65;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn debt(stream: Option<u32>, action: Action, name: &str) -> Debt {
        Debt {
            stream,
            action,
            name: name.to_owned(),
            query: "key=1".to_owned(),
        }
    }

    #[test]
    fn each_allowed_decision_is_told_once() {
        let mut ledger = Ledger::default();
        let connect = debt(None, Action::Connect, "");
        let (one, two) = (
            debt(Some(1), Action::Publish, "a"),
            debt(Some(2), Action::Play, "b"),
        );
        for debt in [&one, &connect, &two] {
            assert_eq!(ledger.allow(debt.clone()), Ok(None));
        }
        let moved: Ledger = ledger.iter().cloned().collect();
        assert_eq!(moved, ledger);
        let other = debt(Some(2), Action::Play, "c");
        assert_eq!(ledger.allow(other.clone()), Ok(Some(two)));
        assert_eq!(ledger.end(1), Some(one.clone()));
        assert_eq!(ledger.end(1), None);
        assert_eq!(ledger.end(7), None);
        assert_eq!(ledger.allow(one.clone()), Ok(None));
        assert_eq!(ledger.end_all(), [one, other, connect]);
        assert_eq!(ledger.end_all(), []);
    }

    #[test]
    fn a_debt_has_its_events() {
        let publish = debt(Some(1), Action::Publish, "a");
        let names = |debt: &Debt| -> Vec<_> {
            let events = debt.events("closed", 1, 2);
            events.iter().map(HookEvent::name).collect()
        };
        assert_eq!(names(&publish), ["publish_done", "done"]);
        let play = debt(Some(1), Action::Play, "a");
        assert_eq!(names(&play), ["play_done", "done"]);
        let connect = debt(None, Action::Connect, "");
        assert_eq!(names(&connect), ["disconnect"]);
    }

    #[test]
    fn a_session_has_room_for_its_streams() {
        let mut ledger = Ledger::default();
        for stream in 0..MAX_DEBTS as u32 {
            let play = debt(Some(stream), Action::Play, "a");
            assert_eq!(ledger.allow(play), Ok(None));
        }
        let more = debt(Some(1000), Action::Play, "a");
        assert_eq!(ledger.allow(more.clone()), Err(NoRoom(more)));
        assert!(ledger.allow(debt(Some(3), Action::Play, "b")).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// As many debts come out as decisions were allowed, whatever comes between.
        #[test]
        fn allowed_and_told_are_equal(acts in prop::collection::vec((0_u8..3, 0_u32..80), 0..200)) {
            let mut ledger = Ledger::default();
            let (mut allowed, mut told) = (0, 0);
            for (act, stream) in acts {
                match act {
                    0 => if let Ok(replaced) = ledger.allow(debt(Some(stream), Action::Play, "a")) {
                        allowed += 1;
                        told += usize::from(replaced.is_some());
                    },
                    1 => told += usize::from(ledger.end(stream).is_some()),
                    _ => prop_assert_eq!(allowed - told, ledger.iter().count()),
                }
            }
            told += ledger.end_all().len();
            prop_assert_eq!(allowed, told);
        }
    }
}
