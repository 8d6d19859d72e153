//! The common part of a connection in a parcel.

use std::collections::VecDeque;

use bytes::BytesMut;

use super::{Connection, Ping, WORK_DEBT, Work};
use crate::{
    chunk::Reader,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
    session::ConnectionLimits,
};

const READER: u16 = 1;
const WRITER: u16 = 2;
const FLOW: u16 = 3;
const OUTPUT: u16 = 4;
const PING: u16 = 5;
const WORK: u16 = 6;

/// A connection whose events have all been polled.
impl Carried for Connection {
    const NAME: &'static str = "the connection";
    type Limits = ConnectionLimits;

    fn export(&self, parcel: &mut ParcelWriter) {
        if !self.events.is_empty() {
            parcel.refuse("events of the connection have not been handled");
        }
        parcel.carry(READER, &self.reader);
        parcel.carry(WRITER, &self.writer);
        parcel.carry(FLOW, &self.flow);
        parcel.bytes(OUTPUT, &self.output);
        parcel.carry(PING, &self.ping);
        parcel.carry(WORK, &self.work);
    }

    fn import(
        parcel: &mut ParcelReader<'_>,
        limits: ConnectionLimits,
    ) -> Result<Self, ParcelError> {
        let reader: Reader = parcel.carried(READER, limits.read)?;
        let writer = parcel.carried(WRITER, ())?;
        let flow = parcel.carried(FLOW, ())?;
        let output = BytesMut::from(parcel.bytes(OUTPUT)?);
        let ping = parcel.carried(PING, ())?;
        let mut work: Work = parcel.carried(WORK, limits.chunks_per_second)?;
        work.counted = reader.chunks();
        Ok(Self {
            limits,
            reader,
            writer,
            flow,
            output,
            events: VecDeque::new(),
            ping,
            work,
        })
    }
}

const LAST_ARRIVAL: u16 = 1;
const PING_SENT: u16 = 2;
const STAMP: u16 = 3;

impl Carried for Ping {
    const NAME: &'static str = "the ping";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.time(LAST_ARRIVAL, self.last_arrival);
        parcel.time_if(PING_SENT, self.sent);
        parcel.number(STAMP, self.stamp);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        Ok(Self {
            last_arrival: parcel.time(LAST_ARRIVAL)?,
            sent: parcel.time_if(PING_SENT)?,
            stamp: parcel.number(STAMP)?,
        })
    }
}

const CREDIT: u16 = 1;
const DEBT: u16 = 2;
const UPDATED: u16 = 3;

/// The limit is [`ConnectionLimits::chunks_per_second`].
impl Carried for Work {
    const NAME: &'static str = "the work budget";
    type Limits = u32;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number_if(CREDIT, u64::try_from(self.credit).ok());
        if self.credit < 0 {
            parcel.number(DEBT, self.credit.unsigned_abs());
        }
        parcel.time(UPDATED, self.updated);
    }

    fn import(parcel: &mut ParcelReader<'_>, rate: u32) -> Result<Self, ParcelError> {
        let full = i64::from(rate);
        let credit = parcel.number_if::<i64>(CREDIT)?;
        let debt = parcel.number_if::<i64>(DEBT)?;
        parcel.require(credit.is_some() != debt.is_some(), DEBT)?;
        let debt = debt.unwrap_or_default();
        parcel.fits(debt <= WORK_DEBT * full, "chunks ahead of the rate")?;
        Ok(Self {
            credit: credit.unwrap_or_default().min(full) - debt,
            counted: 0,
            updated: parcel.time(UPDATED)?,
        })
    }
}
