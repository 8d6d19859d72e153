//! A session of RTMPT in a parcel.

use bytes::Bytes;

use super::{Current, MAX_REPEATS, Tunnel, TunnelKind};
use crate::{
    http::MAX_BODY,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

const NEXT: u16 = 1;
const CURRENT: u16 = 2;
const KEPT: u16 = 3;
const POLLING: u16 = 4;
const REPEATS: u16 = 5;
const IDLE_USED: u16 = 6;
const HEARD: u16 = 7;
const IS_CLOSED: u16 = 8;

/// The limit is the longest answer in bytes, its polling byte included.
impl Carried for Tunnel {
    const NAME: &'static str = "the tunnel";
    type Limits = usize;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number_if(NEXT, self.next);
        if let Some(current) = &self.current {
            parcel.carry(CURRENT, current);
        }
        parcel.bytes(KEPT, &self.kept);
        parcel.carry(POLLING, &self.polling);
        parcel.number(REPEATS, self.repeats);
        parcel.time(IDLE_USED, self.idle_used);
        parcel.time(HEARD, self.heard);
        parcel.flag(IS_CLOSED, self.is_closed);
    }

    fn import(parcel: &mut ParcelReader<'_>, longest: usize) -> Result<Self, ParcelError> {
        let next = parcel.number_if::<u64>(NEXT)?;
        parcel.require(next.is_none_or(|next| (1..1 << 62).contains(&next)), NEXT)?;
        let current = parcel.carried_if::<Current>(CURRENT, next)?;
        let kept = parcel.bytes(KEPT)?;
        parcel.fits(kept.len() <= longest, "bytes of an answer")?;
        parcel.require(current.is_none() || kept.is_empty(), KEPT)?;
        let polling = parcel.carried(POLLING, ())?;
        let repeats = parcel.number(REPEATS)?;
        parcel.require(repeats <= MAX_REPEATS, REPEATS)?;
        Ok(Self {
            next,
            current,
            kept: Bytes::copy_from_slice(kept),
            polling,
            repeats,
            idle_used: parcel.time(IDLE_USED)?,
            heard: parcel.time(HEARD)?,
            is_closed: parcel.flag(IS_CLOSED)?,
        })
    }
}

const KIND: u16 = 1;
const LENGTH: u16 = 2;
const TAKEN: u16 = 3;
const NOT_BEFORE: u16 = 4;
const UNTIL: u16 = 5;

/// The limit is the number of the next request; the one under way is the one before.
impl Carried for Current {
    const NAME: &'static str = "the request under way";
    type Limits = Option<u64>;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(KIND, u8::from(self.kind == TunnelKind::Idle));
        parcel.number(LENGTH, self.length);
        parcel.number(TAKEN, self.taken);
        parcel.time(NOT_BEFORE, self.not_before);
        parcel.time(UNTIL, self.until);
    }

    fn import(parcel: &mut ParcelReader<'_>, next: Option<u64>) -> Result<Self, ParcelError> {
        let kind = match parcel.number(KIND)? {
            0_u8 => TunnelKind::Send,
            1 => TunnelKind::Idle,
            _ => return Err(parcel.illegal(KIND)),
        };
        let sequence = next.and_then(|next| next.checked_sub(1));
        let sequence = sequence.ok_or_else(|| parcel.illegal(KIND))?;
        let length = parcel.number(LENGTH)?;
        parcel.require(length <= MAX_BODY, LENGTH)?;
        let taken = parcel.number(TAKEN)?;
        parcel.require(taken <= length, TAKEN)?;
        Ok(Self {
            kind,
            sequence,
            length,
            taken,
            not_before: parcel.time(NOT_BEFORE)?,
            until: parcel.time(UNTIL)?,
        })
    }
}
