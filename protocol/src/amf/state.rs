//! The state of both decoders over one message: input, budget and reference tables.

use std::sync::Arc;

use super::limits::Meter;
use super::{Budget, Error, Value};

/// Decoder state of one message.
#[derive(Clone, Debug)]
pub(super) struct DecoderState<'a> {
    input: &'a [u8],
    position: usize,
    pub(super) meter: Meter,
    /// The count of top-level values that have begun.
    value: u32,
    /// The count of complex values of the present top-level value that have begun.
    begun: u32,
    amf0: Vec<Slot>,
    amf3: Vec<Slot>,
    replay: Option<Replay>,
    /// The count of members of the object that ended last, if no other has begun since.
    members: usize,
    /// Whether a marker switched from AMF0 to AMF3.
    pub(super) has_amf3: bool,
    pub(super) strings: Vec<&'a [u8]>,
    pub(super) traits: Vec<Arc<TraitDefinition<'a>>>,
}

/// The reference table of one encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReferenceTable {
    Amf0,
    Amf3,
}

/// A complex value that references may point to.
#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The top-level value that holds it, or its latest copy.
    value: u32,
    /// Its number among that value's complex values.
    index: u32,
    /// The position in the input behind its marker.
    position: usize,
    /// The length of the AMF3 table at its start.
    amf3: usize,
    marker: u8,
}

/// A second reading of a part of the input, to copy it: the next slots to be met again.
#[derive(Clone, Copy, Debug)]
struct Replay {
    amf0: usize,
    amf3: usize,
}

/// An AMF3 class description.
#[derive(Clone, Debug, Default)]
pub(super) struct TraitDefinition<'a> {
    pub(super) class_name: &'a [u8],
    pub(super) sealed: Vec<&'a [u8]>,
    pub(super) dynamic: bool,
    pub(super) externalizable: bool,
    /// The bytes of all its names, which each object of the class repeats.
    pub(super) names: usize,
}

/// The target of a reference.
pub(super) enum ReferenceTarget {
    /// A complex value of the present top-level value.
    Here(u32),
    /// An earlier top-level value: the decoder reads its part of the input again, between
    /// [`DecoderState::begin_copy`] and [`DecoderState::end_copy`].
    Earlier(Copy),
}

/// A part of the input to be read again.
pub(super) struct Copy {
    table: ReferenceTable,
    slot: usize,
    /// The marker of the value to copy.
    pub(super) marker: u8,
}

/// The position to return to after a copy.
pub(super) struct Resume {
    position: usize,
    replay: Option<Replay>,
}

impl<'a> DecoderState<'a> {
    pub(super) fn new(input: &'a [u8], budget: &Budget) -> Result<Self, Error> {
        if input.len() > budget.bytes {
            return Err(Error::TooLarge);
        }
        Ok(Self {
            input,
            position: 0,
            meter: Meter::new(budget),
            value: 0,
            begun: 0,
            amf0: Vec::new(),
            amf3: Vec::new(),
            replay: None,
            members: 0,
            has_amf3: false,
            strings: Vec::new(),
            traits: Vec::new(),
        })
    }

    /// Begins a new top-level value.
    pub(super) fn begin_value(&mut self) {
        self.value += 1;
        self.begun = 0;
    }

    /// Begins a complex value: its marker, and the position in the input behind that. Without a
    /// table no reference can point to it.
    pub(super) fn begin_complex(
        &mut self,
        table: Option<ReferenceTable>,
        marker: u8,
        position: usize,
    ) {
        let slot = Slot {
            value: self.value,
            index: self.begun,
            position,
            amf3: self.amf3.len(),
            marker,
        };
        self.begun += 1;
        let Some(table) = table else { return };
        let (slots, again) = match table {
            ReferenceTable::Amf0 => (
                &mut self.amf0,
                self.replay.as_mut().map(|next| &mut next.amf0),
            ),
            ReferenceTable::Amf3 => (
                &mut self.amf3,
                self.replay.as_mut().map(|next| &mut next.amf3),
            ),
        };
        let Some(next) = again else {
            slots.push(slot);
            return;
        };
        if let Some(old) = slots.get_mut(*next) {
            old.value = slot.value;
            old.index = slot.index;
        }
        *next += 1;
    }

    /// Room for the members of an object that has at least one. Objects in a row tend to be alike,
    /// so the room is that of the last object. The estimate serves once: a peer that wants unused
    /// room has to fill as much before.
    pub(super) fn room_for_members(&mut self) -> Vec<(String, Value)> {
        const MOST: usize = 32;
        Vec::with_capacity(std::mem::take(&mut self.members).clamp(1, MOST))
    }

    /// Ends an object.
    pub(super) fn end_members(&mut self, members: &[(String, Value)]) {
        self.members = members.len();
    }

    pub(super) fn target(
        &self,
        table: ReferenceTable,
        index: u32,
    ) -> Result<ReferenceTarget, Error> {
        let slots = match table {
            ReferenceTable::Amf0 => &self.amf0,
            ReferenceTable::Amf3 => &self.amf3,
        };
        let slot = usize::try_from(index).map_err(|_| Error::BadReference(index))?;
        let found = slots.get(slot).ok_or(Error::BadReference(index))?;
        if found.value == self.value {
            return Ok(ReferenceTarget::Here(found.index));
        }
        Ok(ReferenceTarget::Earlier(Copy {
            table,
            slot,
            marker: found.marker,
        }))
    }

    /// Returns to the body of an earlier value. Its slots move to the present top-level value as
    /// the decoder meets them. So each is copied once per top-level value, and a cycle closes on
    /// the copy.
    pub(super) fn begin_copy(&mut self, copy: &Copy) -> Resume {
        let resume = Resume {
            position: self.position,
            replay: self.replay,
        };
        let (position, replay) = match copy.table {
            ReferenceTable::Amf0 => {
                let slot = &self.amf0[copy.slot];
                let replay = Replay {
                    amf0: copy.slot,
                    amf3: slot.amf3,
                };
                (slot.position, replay)
            }
            ReferenceTable::Amf3 => {
                let slot = &self.amf3[copy.slot];
                // AMF3 never switches back to AMF0.
                let replay = Replay {
                    amf0: self.amf0.len(),
                    amf3: copy.slot,
                };
                (slot.position, replay)
            }
        };
        self.position = position;
        self.replay = Some(replay);
        resume
    }

    pub(super) fn end_copy(&mut self, copy: &Copy, resume: &Resume) -> Result<(), Error> {
        let start = match copy.table {
            ReferenceTable::Amf0 => self.amf0[copy.slot].position,
            ReferenceTable::Amf3 => self.amf3[copy.slot].position,
        };
        let copied = self.position.saturating_sub(start) + size_of::<Value>();
        self.position = resume.position;
        self.replay = resume.replay;
        self.meter.referenced(copied)
    }

    /// Whether the complex value that has just begun is the top-level value itself, and not a
    /// copied one.
    pub(super) fn is_top_level(&self) -> bool {
        self.begun == 1 && self.replay.is_none()
    }

    /// Whether the input is read for the first time, so that AMF3's tables of strings and traits
    /// grow.
    pub(super) fn is_first_reading(&self) -> bool {
        self.replay.is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.position >= self.input.len()
    }

    pub(super) fn remaining(&self) -> usize {
        self.input.len() - self.position
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let bytes = rest.get(..length).ok_or(Error::Truncated)?;
        self.position += length;
        Ok(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let rest = self.input.get(self.position..).unwrap_or_default();
        let array = rest.first_chunk::<N>().ok_or(Error::Truncated)?;
        self.position += N;
        Ok(*array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Error> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, Error> {
        self.array().map(f64::from_be_bytes)
    }
}

/// Room for `declared` items, at most as much as a vector allocates for its first one, since the
/// items may be missing.
pub(super) fn room_for_items(declared: u32) -> Vec<Value> {
    const FIRST: u32 = 4;
    Vec::with_capacity(declared.min(FIRST) as usize)
}

/// Text of the wire; U+FFFD replaces malformed bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
