//! The open decisions of a session in a parcel.

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::{Debt, Ledger, MAX_DEBTS};
use crate::{hooks::MAX_FIELD, refusal::Action};

const DEBT: u16 = 1;

impl Carried for Ledger {
    const NAME: &'static str = "the ledger of hooks";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.carry_all(DEBT, self.0.values());
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut ledger = Self::default();
        while let Some(debt) = parcel.carried_if::<Debt>(DEBT, ())? {
            parcel.fits(ledger.0.len() < MAX_DEBTS, "open decisions")?;
            let last = ledger.0.last_key_value();
            parcel.require(last.is_none_or(|(last, _)| *last < debt.stream), DEBT)?;
            ledger.0.insert(debt.stream, debt);
        }
        Ok(ledger)
    }
}

const STREAM: u16 = 1;
const ACTION: u16 = 2;
const NAME: u16 = 3;
const QUERY: u16 = 4;

impl Carried for Debt {
    const NAME: &'static str = "an open decision of hooks";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number_if(STREAM, self.stream);
        let action = match self.action {
            Action::Connect => 0_u8,
            Action::Publish => 1,
            Action::Play => 2,
        };
        parcel.number(ACTION, action);
        parcel.bytes(NAME, self.name.as_bytes());
        parcel.bytes(QUERY, self.query.as_bytes());
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let stream = parcel.number_if(STREAM)?;
        let action = match parcel.number(ACTION)? {
            0_u8 => Action::Connect,
            1 => Action::Publish,
            2 => Action::Play,
            _ => return Err(parcel.illegal(ACTION)),
        };
        parcel.require(stream.is_none() == (action == Action::Connect), ACTION)?;
        Ok(Self {
            stream,
            action,
            name: parcel.text(NAME, MAX_FIELD)?.to_owned(),
            query: parcel.text(QUERY, MAX_FIELD)?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use proptest::prelude::*;
    use tributary_protocol::parcel::{pack, unpack};

    use super::*;
    use crate::hooks::tests::changed;

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn now() -> Instant {
        Instant::now()
    }

    fn debt(stream: Option<u32>, action: Action, name: &str) -> Debt {
        Debt {
            stream,
            action,
            name: name.to_owned(),
            query: "key=1".to_owned(),
        }
    }

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        for debt in [
            debt(None, Action::Connect, ""),
            debt(Some(300), Action::Publish, "a"),
            debt(Some(0), Action::Play, "b"),
        ] {
            assert_eq!(ledger.allow(debt), Ok(None));
        }
        ledger
    }

    fn read(parcel: &[u8]) -> Result<Ledger, ParcelError> {
        unpack::<Ledger>(parcel, now(), (), 1 << 20)
    }

    /// The bytes of version 1 (`docs/replace.md`).
    const GOLDEN: &[u8] = b"\0\x01\
        \0\x01\0\0\0\x17\0\x02\0\0\0\0\0\x03\0\0\0\0\0\x04\0\0\0\x05key=1\
        \0\x01\0\0\0\x1f\0\x01\0\0\0\0\0\x02\0\0\0\x01\x02\0\x03\0\0\0\x01b\0\x04\0\0\0\x05key=1\
        \0\x01\0\0\0\x21\0\x01\0\0\0\x02\x01\x2c\0\x02\0\0\0\x01\x01\0\x03\0\0\0\x01a\
        \0\x04\0\0\0\x05key=1";

    #[test]
    fn a_ledger_moves() {
        assert_eq!(pack(&ledger(), now()).as_deref(), Ok(GOLDEN));
        assert_eq!(read(GOLDEN), Ok(ledger()));
        let mut moved = read(GOLDEN).expect("a ledger");
        assert_eq!(moved.end_all(), ledger().end_all());
    }

    #[test]
    fn a_ledger_that_no_session_has_is_refused() {
        let packed = |ledger: Ledger| pack(&ledger, now()).expect("it can move");
        let of = |debts: Vec<Debt>| {
            let entries = debts.into_iter().enumerate();
            packed(Ledger(
                entries.map(|(n, debt)| (Some(n as u32), debt)).collect(),
            ))
        };
        let many = (0..=MAX_DEBTS as u32).map(|n| debt(Some(n), Action::Play, "a"));
        let long = "a".repeat(MAX_FIELD + 1);
        for parcel in [
            of(vec![debt(None, Action::Play, "a")]),
            of(vec![debt(Some(1), Action::Connect, "")]),
            of(vec![debt(Some(1), Action::Play, "a"); 2]),
            of(vec![
                debt(Some(2), Action::Play, "a"),
                debt(Some(1), Action::Play, "a"),
            ]),
            of(vec![debt(Some(1), Action::Play, &long)]),
            of(many.collect()),
        ] {
            assert!(read(&parcel).is_err(), "{parcel:02x?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        /// A changed or cut parcel is refused, or is a ledger that moves on.
        #[test]
        fn changed_parcels_hold(parcel in changed(GOLDEN)) {
            if let Ok(ledger) = read(&parcel) {
                let again = pack(&ledger, now()).expect("it can move on");
                prop_assert_eq!(read(&again), Ok(ledger));
            }
        }
    }
}
