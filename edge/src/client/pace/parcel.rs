//! The pace of a client in a parcel.

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::Pace;

const PRESSED: u16 = 1;
const FULL_AT: u16 = 2;

/// The rate is the importer's.
impl Carried for Pace {
    const NAME: &'static str = "the pace of a client";
    type Limits = u32;

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(PRESSED, self.pressed);
        parcel.time(FULL_AT, self.full_at);
    }

    fn import(parcel: &mut ParcelReader<'_>, per_second: u32) -> Result<Self, ParcelError> {
        Ok(Self {
            per_second,
            pressed: parcel.number(PRESSED)?,
            full_at: parcel.time(FULL_AT)?,
        })
    }
}
