//! The first byte of an answer.

use crate::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

/// The first byte of an answer of a session that has ended, and the whole answer to `close`.
pub const CLOSED: u8 = 0;

/// The byte tells the client when to ask again, in units of some 15 ms. Flash Player obeys it; ffmpeg
/// waits 50 ms whatever it says, librtmp not at all.
const SERIES: [u8; 6] = [0x01, 0x03, 0x05, 0x09, 0x11, 0x21];

/// Empty answers before the next byte of the series.
const EMPTY: u8 = 10;

/// The place in the series.
#[derive(Debug, Default)]
pub(super) struct Polling {
    step: u8,
    /// Empty answers since the last step.
    empty: u8,
}

impl Polling {
    /// The byte of the present.
    pub(super) fn byte(&self) -> u8 {
        SERIES[usize::from(self.step)]
    }

    /// The byte of the next answer.
    pub(super) fn next(&mut self, has_output: bool) -> u8 {
        if has_output {
            *self = Self::default();
        } else if self.empty < EMPTY {
            self.empty += 1;
        } else {
            self.step = (self.step + 1).min(SERIES.len() as u8 - 1);
            self.empty = 1;
        }
        self.byte()
    }
}

const STEP: u16 = 1;
const EMPTY_ANSWERS: u16 = 2;

impl Carried for Polling {
    const NAME: &'static str = "the place in the polling series";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(STEP, self.step);
        parcel.number(EMPTY_ANSWERS, self.empty);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let step = parcel.number(STEP)?;
        parcel.require(usize::from(step) < SERIES.len(), STEP)?;
        let empty = parcel.number(EMPTY_ANSWERS)?;
        parcel.require(empty <= EMPTY, EMPTY_ANSWERS)?;
        Ok(Self { step, empty })
    }
}
