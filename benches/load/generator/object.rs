//! Messages of the one shared object that the generator's members use.

use crate::wire::{self, Header};

/// The message that begins the use of the object.
pub(super) fn begin_use() -> Vec<u8> {
    event(USE, &[])
}

/// The message that changes a slot to a number. A slot has one author: a change on another client's
/// slot needs the version of that client's last change.
pub(super) fn change(slot: &str, number: f64) -> Vec<u8> {
    let mut data = (slot.len() as u16).to_be_bytes().to_vec();
    data.extend_from_slice(slot.as_bytes());
    data.push(AMF0_NUMBER);
    data.extend_from_slice(&number.to_be_bytes());
    event(REQUEST_CHANGE, &data)
}

/// The number in a message that begins with another member's change.
pub(super) fn changed(header: &Header, prefix: &[u8]) -> Option<f64> {
    if header.kind != wire::SHARED_OBJECT_AMF0 {
        return None;
    }
    let [CHANGE, _, _, _, _, high, low, data @ ..] = prefix.get(EVENT_AT..)? else {
        return None;
    };
    let name = usize::from(u16::from_be_bytes([*high, *low]));
    let [AMF0_NUMBER, number @ ..] = data.get(name..)? else {
        return None;
    };
    number.first_chunk().copied().map(f64::from_be_bytes)
}

/// A message with one event of the object.
fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    payload.extend_from_slice(&(NAME.len() as u16).to_be_bytes());
    payload.extend_from_slice(NAME.as_bytes());
    payload.extend_from_slice(&[0; 12]);
    payload.push(kind);
    payload.extend_from_slice(&(data.len() as u32).to_be_bytes());
    payload.extend_from_slice(data);
    let header = Header {
        csid: 4,
        kind: wire::SHARED_OBJECT_AMF0,
        ..Header::default()
    };
    let mut out = Vec::new();
    wire::write_message(&mut out, &header, &payload, 128);
    out
}

const NAME: &str = "board";
const REQUEST_CHANGE: u8 = 3;
const CHANGE: u8 = 4;
const AMF0_NUMBER: u8 = 0;

/// The event that begins the use of an object.
pub(super) const USE: u8 = 1;
/// The place of the first event's type in a message of [`NAME`].
pub(super) const EVENT_AT: usize = 2 + NAME.len() + 12;
