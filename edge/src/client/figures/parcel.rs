//! The figures of a connection in a parcel.

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

use super::{Figures, Wishes};

const RECEIVED: u16 = 1;
const MESSAGES: u16 = 2;
const FRAMES: u16 = 3;
const ROUND_TRIP: u16 = 4;
const REPORT_AT: u16 = 5;
const READ_LIMIT: u16 = 6;

impl Carried for Figures {
    const NAME: &'static str = "the figures of a connection";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(RECEIVED, self.received);
        parcel.number(MESSAGES, self.messages_in);
        parcel.number(FRAMES, self.frames);
        parcel.number_if(ROUND_TRIP, self.round_trip);
        if let Some(wishes) = &self.wishes {
            parcel.time_if(REPORT_AT, wishes.report_at);
            if let Some(limit) = &wishes.read_limit {
                parcel.carry(READ_LIMIT, limit);
            }
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut figures = Self {
            received: parcel.count(RECEIVED)?,
            messages_in: parcel.count(MESSAGES)?,
            frames: parcel.count(FRAMES)?,
            round_trip: parcel.number_if(ROUND_TRIP)?,
            wishes: None,
        };
        let wishes = Wishes {
            report_at: parcel.time_if(REPORT_AT)?,
            read_limit: parcel.carried_if(READ_LIMIT, ())?,
        };
        if wishes.report_at.is_some() || wishes.read_limit.is_some() {
            figures.wishes = Some(Box::new(wishes));
        }
        Ok(figures)
    }
}
