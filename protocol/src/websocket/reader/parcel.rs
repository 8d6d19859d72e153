//! A reader of frames in a parcel.

use super::{ControlPayload, FRAME_HEAD, State, WebSocketReader};
use crate::{
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
    websocket::{MAX_CONTROL, mask::Mask, opcode},
};

const IN_MESSAGE: u16 = 1;
/// The state is one of four.
const HEAD: u16 = 2;
const DATA: u16 = 3;
const CONTROL: u16 = 4;
const CLOSED: u16 = 5;

impl Carried for WebSocketReader {
    const NAME: &'static str = "the WebSocket reader";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.flag(IN_MESSAGE, self.in_message);
        self.state.export(parcel);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let in_message = parcel.flag(IN_MESSAGE)?;
        let mut reader = Self {
            state: State::start(),
            in_message,
        };
        if let Some(head) = parcel.bytes_if(HEAD)? {
            let is_head = reader.take_head(head);
            parcel.require(is_head, HEAD)?;
        } else if let Some(state) = parcel.record_if(DATA, "the data frame", data)? {
            reader.state = state;
        } else if let Some(state) = parcel.record_if(CONTROL, "the control frame", control)? {
            reader.state = state;
        } else {
            let is_closed = parcel.flag(CLOSED)?;
            parcel.require(is_closed, CLOSED)?;
            reader.state = State::Closed;
        }
        Ok(reader)
    }
}

impl WebSocketReader {
    /// Reads the begin of a head; whether it is one, and no more.
    fn take_head(&mut self, head: &[u8]) -> bool {
        let mut bytes = [0; FRAME_HEAD];
        let Some(bytes) = bytes.get_mut(..head.len()) else {
            return false;
        };
        bytes.copy_from_slice(head);
        let is_silent = self.read(&mut &mut *bytes) == Ok(None);
        let State::Head { filled, .. } = self.state else {
            return false;
        };
        is_silent && usize::from(filled) == head.len()
    }
}

const LEFT: u16 = 1;
const MASK: u16 = 2;

const OPCODE: u16 = 1;
const LENGTH: u16 = 2;
const CONTROL_MASK: u16 = 3;
const PAYLOAD: u16 = 4;

impl State {
    fn export(&self, parcel: &mut ParcelWriter) {
        match self {
            Self::Head { bytes, filled } => {
                parcel.bytes(HEAD, &bytes[..usize::from(*filled)]);
            }
            Self::Data { left, mask } => parcel.record(DATA, |parcel| {
                parcel.number(LEFT, *left);
                parcel.bytes(MASK, &mask.key());
            }),
            Self::Control {
                opcode,
                length,
                mask,
                payload,
            } => parcel.record(CONTROL, |parcel| {
                parcel.number(OPCODE, *opcode);
                parcel.number(LENGTH, *length);
                parcel.bytes(CONTROL_MASK, &mask.key());
                parcel.bytes(PAYLOAD, (**payload).as_ref());
            }),
            Self::Closed => parcel.flag(CLOSED, true),
        }
    }
}

/// A data frame whose payload is not there in whole.
fn data(parcel: &mut ParcelReader<'_>) -> Result<State, ParcelError> {
    let left = parcel.number(LEFT)?;
    parcel.require((1..1 << 63).contains(&left), LEFT)?;
    let mask = mask(parcel, MASK)?;
    Ok(State::Data { left, mask })
}

/// A control frame whose payload is not there in whole.
fn control(parcel: &mut ParcelReader<'_>) -> Result<State, ParcelError> {
    let opcode = parcel.number(OPCODE)?;
    let is_control = matches!(opcode, opcode::CLOSE | opcode::PING | opcode::PONG);
    parcel.require(is_control, OPCODE)?;
    let length = parcel.number(LENGTH)?;
    parcel.require(usize::from(length) <= MAX_CONTROL, LENGTH)?;
    let mask = mask(parcel, CONTROL_MASK)?;
    let piece = parcel.bytes(PAYLOAD)?;
    parcel.require(piece.len() < usize::from(length), PAYLOAD)?;
    let mut payload = Box::new(ControlPayload::new());
    payload.push(piece);
    Ok(State::Control {
        opcode,
        length,
        mask,
        payload,
    })
}

fn mask(parcel: &mut ParcelReader<'_>, tag: u16) -> Result<Mask, ParcelError> {
    let key = parcel.bytes(tag)?.try_into();
    key.map(Mask::new).map_err(|_| parcel.illegal(tag))
}
