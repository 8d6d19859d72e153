//! A session that waits for a lane, in a parcel.

use std::time::Instant;

use tributary_protocol::{
    SessionId,
    parcel::{Carried, MAX_PARCEL, ParcelError, ParcelReader, ParcelWriter, unpack},
};

use super::Waiting;
use crate::link::{handle::Park, journal::Journal, moved::MoveError};

const ID: u16 = 1;
const JOURNAL: u16 = 2;

/// A waiting session on its way from another process. It is placed anew at once.
#[derive(Debug)]
pub(in crate::link) struct MovedWaiting {
    pub(in crate::link) id: SessionId,
    pub(in crate::link) journal: Box<Journal>,
}

impl Waiting {
    /// The session in a parcel of its own.
    pub(in crate::link) fn to_parcel(&self) -> Result<Vec<u8>, MoveError> {
        let mut parcel = ParcelWriter::new(Instant::now());
        export(self.id, &self.journal, &mut parcel);
        let parcel = parcel.finish().map_err(|error| MoveError::Parcel {
            of: format!("session {}", self.id.0),
            error,
        })?;
        Ok(parcel.to_vec())
    }
}

impl MovedWaiting {
    /// Reads the parcel of a session.
    pub(in crate::link) fn read(parcel: &[u8], now: Instant) -> Result<Self, MoveError> {
        unpack(parcel, now, (), MAX_PARCEL).map_err(|error| MoveError::Parcel {
            of: "a session without a lane".to_owned(),
            error,
        })
    }

    /// The bytes of the session's messages, as its park counts them.
    pub(in crate::link) fn parked(&self) -> usize {
        self.journal.messages().map(Park::cost).sum()
    }
}

impl Carried for MovedWaiting {
    const NAME: &'static str = "a session without a lane";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        export(self.id, &self.journal, parcel);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let id = SessionId(parcel.count(ID)?);
        let journal = parcel.record_if(JOURNAL, "a journal", |it| Journal::import(id, it))?;
        let journal = Box::new(journal.ok_or_else(|| parcel.illegal(JOURNAL))?);
        Ok(Self { id, journal })
    }
}

fn export(id: SessionId, journal: &Journal, parcel: &mut ParcelWriter) {
    parcel.number(ID, id.0);
    parcel.record(JOURNAL, |parcel| journal.export(id, parcel));
}
