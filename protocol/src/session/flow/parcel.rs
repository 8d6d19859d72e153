//! The windows of a connection in a parcel.

use super::{Flow, MAX_WINDOW, due_within};
use crate::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

const RECEIVED: u16 = 1;
const ACKNOWLEDGED: u16 = 2;
const DUE: u16 = 3;
const STATED: u16 = 4;
const HARD: u16 = 5;
const SENT: u16 = 6;
const PEER_ACKNOWLEDGED: u16 = 7;

impl Carried for Flow {
    const NAME: &'static str = "the acknowledgement windows";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(RECEIVED, self.received);
        parcel.number(ACKNOWLEDGED, self.acknowledged);
        parcel.number(DUE, self.due);
        parcel.number(STATED, self.stated);
        parcel.flag(HARD, self.hard);
        parcel.number(SENT, self.sent);
        parcel.number_if(PEER_ACKNOWLEDGED, self.peer_acknowledged);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let received = parcel.number(RECEIVED)?;
        let acknowledged = parcel.number(ACKNOWLEDGED)?;
        let due = parcel.number(DUE)?;
        parcel.require((1..=due_within(MAX_WINDOW)).contains(&due), DUE)?;
        Ok(Self {
            received,
            acknowledged,
            due,
            stated: parcel.number(STATED)?,
            hard: parcel.flag(HARD)?,
            sent: parcel.count(SENT)?,
            peer_acknowledged: parcel.number_if(PEER_ACKNOWLEDGED)?,
        })
    }
}
