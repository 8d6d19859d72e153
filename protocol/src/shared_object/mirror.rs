//! Mirrors: an edge's copy of an object, built from the bodies that pass.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Encoded, Error,
    body::{ACCEPTED, CHANGE, CLEAR, Events, REMOVE, RawEvent, USE_SUCCESS, write_header},
};
use crate::amf::{ObjectEncoding, amf0::write_bare_string};

/// The state and version of a shared object whose authority is elsewhere.
///
/// It applies every body of the object's audience in order: those to all members or all but one,
/// and those to one member. If a change is sent once for each encoding, the body for objectEncoding
/// 3 is applied, since it is complete.
///
/// A body that is older than the mirror (an answer that waited for the store) changes nothing.
#[derive(Clone, Debug, Default)]
pub struct Mirror {
    version: u32,
    complete: bool,
    slots: BTreeMap<Box<str>, Slot>,
    bytes: usize,
}

#[derive(Clone, Debug)]
struct Slot {
    version: u32,
    /// In AMF0, with AMF3 behind the marker `0x11`.
    value: Bytes,
}

impl Mirror {
    /// A mirror that has applied no body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Applies a body. A malformed body is applied up to the malformed event.
    pub fn apply(&mut self, body: &[u8]) -> Result<(), Error> {
        let events = Events::read(body)?;
        if events.version < self.version {
            return Ok(());
        }
        let version = events.version;
        for event in events {
            let event = event?;
            if event.kind == USE_SUCCESS && self.complete {
                // The mirror has the slots that a new member gets.
                return Ok(());
            }
            self.event(version, event)?;
        }
        self.version = version;
        Ok(())
    }

    /// The object's version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the mirror has the whole object: it began with all slots, not with changes.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The count of slots that have a value.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no slot has a value.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// The bytes of all names and values.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The slots by name: version of the last change that was applied, and value in AMF0 with AMF3
    /// behind the marker `0x11`.
    pub fn slots(&self) -> impl Iterator<Item = (&str, u32, &Bytes)> {
        self.slots
            .iter()
            .map(|(name, slot)| (&**name, slot.version, &slot.value))
    }

    /// A body with the latest value of each of these slots, or its removal, for a member that has
    /// missed changes of them. `version` is that of the last body that the member missed.
    pub fn catch_up<'s>(
        &self,
        object: &str,
        slots: impl IntoIterator<Item = &'s str>,
        version: u32,
        encoding: ObjectEncoding,
    ) -> Bytes {
        let mut out = BytesMut::new();
        write_header(&mut out, object, version);
        for name in slots {
            self.write_slot(&mut out, name, encoding);
        }
        out.freeze()
    }

    /// A body with a clear and all slots.
    pub fn snapshot(&self, object: &str, encoding: ObjectEncoding) -> Bytes {
        let mut out = BytesMut::new();
        write_header(&mut out, object, self.version);
        write_event(&mut out, CLEAR, |_| {});
        for name in self.slots.keys() {
            self.write_slot(&mut out, name, encoding);
        }
        out.freeze()
    }

    fn write_slot(&self, out: &mut BytesMut, name: &str, encoding: ObjectEncoding) {
        let Some(slot) = self.slots.get(name) else {
            return write_event(out, REMOVE, |out| write_bare_string(out, name));
        };
        write_event(out, CHANGE, |out| {
            write_bare_string(out, name);
            if encoding == ObjectEncoding::Amf0 && slot.value.first() == Some(&AMF3) {
                let value = Encoded::from_full(slot.value.clone());
                let nearest = value.map(|value| value.form(encoding).clone());
                out.put_slice(&nearest.unwrap_or_default());
            } else {
                out.put_slice(&slot.value);
            }
        });
    }

    fn event(&mut self, version: u32, event: RawEvent<'_>) -> Result<(), Error> {
        match event.kind {
            CHANGE | ACCEPTED => {
                let (name, value) = event.slot().ok_or(Error::Truncated)?;
                self.set(version, name, value);
            }
            REMOVE => {
                let (name, _) = event.slot().ok_or(Error::Truncated)?;
                self.remove(name);
            }
            CLEAR => {
                self.slots.clear();
                self.bytes = 0;
                self.complete = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn set(&mut self, version: u32, name: &str, value: &[u8]) {
        // A slot keeps a copy of its bytes; the message's buffer is released.
        let value = Bytes::copy_from_slice(value);
        self.bytes += value.len();
        if let Some(slot) = self.slots.get_mut(name) {
            self.bytes -= slot.value.len();
            *slot = Slot { version, value };
        } else {
            self.bytes += name.len();
            self.slots.insert(name.into(), Slot { version, value });
        }
    }

    fn remove(&mut self, name: &str) {
        if let Some(slot) = self.slots.remove(name) {
            self.bytes -= name.len() + slot.value.len();
        }
    }
}

fn write_event(out: &mut BytesMut, kind: u8, data: impl FnOnce(&mut BytesMut)) {
    out.put_u8(kind);
    let at = out.len();
    out.put_u32(0);
    data(out);
    let length = (out.len() - at - size_of::<u32>()) as u32;
    out[at..at + size_of::<u32>()].copy_from_slice(&length.to_be_bytes());
}

/// AMF0's marker for a value of AMF3.
const AMF3: u8 = 0x11;

#[cfg(test)]
mod tests;
