//! An encoder in a parcel.

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::Encoder;

const IS_ONE: u16 = 1;
const PARTING_AT: u16 = 2;

impl Carried for Encoder {
    const NAME: &'static str = "an encoder";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.flag(IS_ONE, self.is_one);
        parcel.time_if(PARTING_AT, self.parting_at);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        Ok(Self {
            is_one: parcel.flag(IS_ONE)?,
            parting_at: parcel.time_if(PARTING_AT)?,
        })
    }
}
