//! The times of a session in a parcel.

use std::time::Duration;

use tributary_protocol::parcel::{ParcelError, ParcelReader, ParcelWriter};

use super::{Silence, Timers};

const CONNECT_BY: u16 = 1;
const HEARD: u16 = 2;
const PINGED: u16 = 3;
const TOLD: u16 = 4;

impl Timers {
    pub(in crate::client) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.time_if(CONNECT_BY, self.connect_by);
        parcel.time(HEARD, self.heard);
        if let Silence::Pinged(at) = self.silence {
            parcel.time(PINGED, at);
        }
        parcel.flag(TOLD, self.silence == Silence::Told);
    }

    /// The times of a session. Publishers may be silent for `stall`.
    pub(in crate::client) fn import(
        parcel: &mut ParcelReader<'_>,
        stall: Duration,
    ) -> Result<Self, ParcelError> {
        let connect_by = parcel.time_if(CONNECT_BY)?;
        let heard = parcel.time(HEARD)?;
        let pinged = parcel.time_if(PINGED)?.map(Silence::Pinged);
        let silence = match (pinged, parcel.flag(TOLD)?) {
            (None, true) => Silence::Told,
            (pinged, _) => pinged.unwrap_or(Silence::None),
        };
        Ok(Self {
            connect_by,
            heard,
            silence,
            stall,
            lost: false,
        })
    }
}
