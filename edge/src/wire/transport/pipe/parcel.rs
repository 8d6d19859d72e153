//! A pipe in a parcel.

use std::sync::Arc;

use bytes::BytesMut;
use tributary_protocol::parcel::{ParcelError, ParcelReader, ParcelWriter};

use super::{Pipe, PipeBudget, ROOM, State};

const INPUT: u16 = 1;
const OUTPUT: u16 = 2;
const ANSWER: u16 = 3;
const HAS_ENDED: u16 = 4;
const HAS_SHUT: u16 = 5;

impl Pipe {
    /// Writes the bytes of both directions. A client that has broken the protocol does not move.
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        let state = self.lock();
        if matches!(state.end, Some(Some(_))) {
            parcel.refuse("a fault of a tunnel");
        }
        parcel.bytes(INPUT, &state.input);
        parcel.bytes(OUTPUT, &state.output);
        parcel.number(ANSWER, state.answer as u64);
        parcel.flag(HAS_ENDED, state.end.is_some());
        parcel.flag(HAS_SHUT, state.has_shut);
    }

    /// The pipe of a parcel.
    pub(crate) fn import(
        parcel: &mut ParcelReader<'_>,
        budget: Arc<PipeBudget>,
    ) -> Result<Arc<Self>, ParcelError> {
        let read = |parcel: &mut ParcelReader<'_>, tag| {
            let bytes = parcel.bytes(tag)?;
            parcel.fits(bytes.len() <= ROOM, "bytes of a pipe")?;
            Ok(BytesMut::from(bytes))
        };
        let (input, output) = (read(parcel, INPUT)?, read(parcel, OUTPUT)?);
        let answer: usize = parcel.number(ANSWER)?;
        parcel.fits(answer <= ROOM, "bytes of an answer")?;
        let state = State {
            end: parcel.flag(HAS_ENDED)?.then_some(None),
            has_shut: parcel.flag(HAS_SHUT)?,
            input,
            output,
            answer,
            session: None,
        };
        let pipe = Self::new(budget);
        pipe.budget
            .add(state.input.len() + state.output.len() + state.answer);
        *pipe.lock() = state;
        Ok(pipe)
    }
}
