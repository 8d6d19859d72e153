//! Messages of type 19 and 16: events of one shared object.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::amf::amf0::{Decoder, Encoder, write_bare_string};
use crate::amf::{self, Budget, ObjectEncoding, Value};
use crate::command::Status;
use crate::{MessageType, command::AMF0_VALUES};

/// Events of one shared object, in order.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedObjectMessage {
    pub name: String,
    /// The version that the sender knows or has made.
    pub version: u32,
    /// The kind of the object and of the member.
    pub flags: Flags,
    /// The events in order.
    pub events: Vec<Event>,
}

/// The eight flag bytes. Two bits have a known meaning; the others are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub [u32; 2]);

impl Flags {
    /// A temporary object, with a player as the member.
    pub const TEMPORARY: Self = Self([0, 0]);
    /// A persistent object, with a player as the member.
    pub const PERSISTENT: Self = Self([0x02, 0]);

    /// Whether the object outlives its members.
    pub fn is_persistent(self) -> bool {
        self.0[0] & 0x02 != 0
    }

    /// Whether the member is a server, or a client that behaves like one: it gets
    /// [`Event::ChangeAccepted`] for its changes and sends [`Event::RequestClear`].
    pub fn is_server_style(self) -> bool {
        self.0[0] & 0x10 != 0
    }

    /// Reads the flags alone of a message of type 19 or 16.
    pub fn peek(kind: MessageType, payload: &[u8]) -> Option<Self> {
        let (length, rest) = body(kind, payload).ok()?.split_first_chunk()?;
        let mut rest = rest.get(usize::from(u16::from_be_bytes(*length)) + VERSION_SIZE..)?;
        let mut word = || take_u32(&mut rest).ok();
        Some(Self([word()?, word()?]))
    }
}

/// One event. `name` is that of a slot.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// 1: a client begins to use the object.
    Use,
    /// 2: a client stops using it.
    Release,
    /// 3: a client asks for a change.
    RequestChange {
        name: String,
        /// Its new value.
        value: Value,
    },
    /// 4: slots have changed.
    Change(Vec<(String, Value)>),
    /// 5: the author's change is accepted.
    Success { name: String },
    /// 6: a message to all members, including the sender.
    SendMessage {
        /// The handler's name, normally a string, and its arguments.
        values: Vec<Value>,
    },
    /// 7: an error, or another notice.
    Status { code: String, level: String },
    /// 8: all slots are removed.
    Clear,
    /// 9: a slot is removed.
    Remove { name: String },
    /// 10: a client asks for a slot to be removed.
    RequestRemove { name: String },
    /// 11: the answer to Use.
    UseSuccess,
    /// 12: the version of a slot that has changed.
    SlotVersion { name: String, version: u32 },
    /// 13: the author's change is accepted, with the slot's value.
    ChangeAccepted { name: String, value: Value },
    /// 14: a client asks for all slots to be removed.
    RequestClear,
    /// Any other event, undecoded.
    Unknown {
        /// The event's type.
        kind: u8,
        data: Bytes,
    },
}

impl SharedObjectMessage {
    /// Decodes the payload of a message of type 19 or 16. One budget covers all events; each event
    /// has reference tables of its own.
    pub fn decode(kind: MessageType, payload: &[u8]) -> Result<Self, Error> {
        let mut rest = body(kind, payload)?;
        let name = Decoder::new(rest, &Budget::default()).and_then(|mut decoder| {
            let name = decoder.bare_string()?;
            rest = &rest[decoder.position()..];
            Ok(name)
        })?;
        let version = take_u32(&mut rest)?;
        let flags = Flags([take_u32(&mut rest)?, take_u32(&mut rest)?]);
        let mut budget = Budget::default();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let left = budget.elements.checked_sub(1);
            budget.elements = left.ok_or(amf::Error::TooManyElements)?;
            let (kind, data) = take_event(&mut rest)?;
            events.push(Event::decode(kind, data, &mut budget)?);
        }
        Ok(Self {
            name,
            version,
            flags,
            events,
        })
    }

    /// The shared object's name, borrowed from the payload, of which the rest is not read. None if
    /// the name is missing or not UTF-8.
    pub fn peek(kind: MessageType, payload: &[u8]) -> Option<&str> {
        let (length, rest) = body(kind, payload).ok()?.split_first_chunk()?;
        let name = rest.get(..u16::from_be_bytes(*length).into())?;
        std::str::from_utf8(name).ok()
    }

    /// The message for a member with this encoding: type 19, or 16 with a leading 0.
    pub fn encode(&self, encoding: ObjectEncoding) -> (MessageType, Bytes) {
        let mut out = BytesMut::new();
        if encoding == ObjectEncoding::Amf3 {
            out.put_u8(AMF0_VALUES);
        }
        write_bare_string(&mut out, &self.name);
        out.put_u32(self.version);
        out.put_u32(self.flags.0[0]);
        out.put_u32(self.flags.0[1]);
        for event in &self.events {
            event.encode(&mut out, encoding);
        }
        let kind = match encoding {
            ObjectEncoding::Amf0 => MessageType::SHARED_OBJECT_AMF0,
            ObjectEncoding::Amf3 => MessageType::SHARED_OBJECT_AMF3,
        };
        (kind, out.freeze())
    }

    /// Whether the message holds values that only AMF3 has: then members of the two encodings
    /// receive different bytes.
    pub fn needs_amf3(&self) -> bool {
        self.events.iter().any(Event::needs_amf3)
    }
}

impl Event {
    /// The notice of a status code.
    pub fn status(status: Status) -> Self {
        Self::Status {
            code: status.code().to_owned(),
            level: status.level().as_str().to_owned(),
        }
    }

    /// The event's type on the wire.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Use => 1,
            Self::Release => 2,
            Self::RequestChange { .. } => 3,
            Self::Change(_) => 4,
            Self::Success { .. } => 5,
            Self::SendMessage { .. } => 6,
            Self::Status { .. } => 7,
            Self::Clear => 8,
            Self::Remove { .. } => 9,
            Self::RequestRemove { .. } => 10,
            Self::UseSuccess => 11,
            Self::SlotVersion { .. } => 12,
            Self::ChangeAccepted { .. } => 13,
            Self::RequestClear => 14,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Whether the event holds values that only AMF3 has.
    pub fn needs_amf3(&self) -> bool {
        match self {
            Self::RequestChange { value, .. } | Self::ChangeAccepted { value, .. } => {
                amf::needs_amf3(value)
            }
            Self::Change(slots) => slots.iter().any(|(_, value)| amf::needs_amf3(value)),
            Self::SendMessage { values } => values.iter().any(amf::needs_amf3),
            _ => false,
        }
    }

    fn decode(kind: u8, data: &[u8], budget: &mut Budget) -> Result<Self, Error> {
        let mut decoder = Decoder::new(data, budget)?;
        let event = Self::fields(kind, data, &mut decoder)?;
        if !decoder.is_empty() && !matches!(event, Self::Unknown { .. }) {
            return Err(Error::Trailing(kind));
        }
        *budget = decoder.budget_left();
        Ok(event)
    }

    fn fields(kind: u8, data: &[u8], decoder: &mut Decoder<'_>) -> Result<Self, amf::Error> {
        Ok(match kind {
            1 => Self::Use,
            2 => Self::Release,
            3 => Self::RequestChange {
                name: decoder.bare_string()?,
                value: decoder.value()?,
            },
            4 => {
                let mut slots = Vec::new();
                while !decoder.is_empty() {
                    slots.push((decoder.bare_string()?, decoder.value()?));
                }
                Self::Change(slots)
            }
            5 => Self::Success {
                name: decoder.bare_string()?,
            },
            6 => {
                let mut values = Vec::new();
                while let Some(value) = decoder.next_value()? {
                    values.push(value);
                }
                Self::SendMessage { values }
            }
            7 => Self::Status {
                code: decoder.bare_string()?,
                level: decoder.bare_string()?,
            },
            8 => Self::Clear,
            9 => Self::Remove {
                name: decoder.bare_string()?,
            },
            10 => Self::RequestRemove {
                name: decoder.bare_string()?,
            },
            11 => Self::UseSuccess,
            12 => Self::SlotVersion {
                name: decoder.bare_string()?,
                version: decoder.bare_u32()?,
            },
            13 => Self::ChangeAccepted {
                name: decoder.bare_string()?,
                value: decoder.value()?,
            },
            14 => Self::RequestClear,
            _ => Self::Unknown {
                kind,
                data: Bytes::copy_from_slice(data),
            },
        })
    }

    fn encode(&self, out: &mut BytesMut, encoding: ObjectEncoding) {
        out.put_u8(self.kind());
        let length_at = out.len();
        out.put_u32(0);
        self.write_fields(out, &mut Encoder::new(encoding));
        let length = (out.len() - length_at - LENGTH_SIZE) as u32;
        out[length_at..length_at + LENGTH_SIZE].copy_from_slice(&length.to_be_bytes());
    }

    fn write_fields<'v>(&'v self, out: &mut BytesMut, encoder: &mut Encoder<'v>) {
        match self {
            Self::Use | Self::Release | Self::Clear | Self::UseSuccess | Self::RequestClear => {}
            Self::RequestChange { name, value } | Self::ChangeAccepted { name, value } => {
                write_bare_string(out, name);
                encoder.value(out, value);
            }
            Self::Change(slots) => {
                for (name, value) in slots {
                    write_bare_string(out, name);
                    encoder.value(out, value);
                }
            }
            Self::Success { name } | Self::Remove { name } | Self::RequestRemove { name } => {
                write_bare_string(out, name);
            }
            Self::SendMessage { values } => {
                for value in values {
                    encoder.value(out, value);
                }
            }
            Self::Status { code, level } => {
                write_bare_string(out, code);
                write_bare_string(out, level);
            }
            Self::SlotVersion { name, version } => {
                write_bare_string(out, name);
                out.put_u32(*version);
            }
            Self::Unknown { data, .. } => out.put_slice(data),
        }
    }
}

/// The reason for which a payload is not a shared-object message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The message type is not 19 or 16.
    Kind(MessageType),
    /// A message of type 16 begins with neither 0 nor 3.
    Format,
    /// The payload ends inside its header or an event.
    Truncated,
    /// A name is not UTF-8.
    Name,
    /// An event of this type has bytes behind its last field.
    Trailing(u8),
    /// A value is not AMF, or exceeds the budget.
    Amf(amf::Error),
}

impl From<amf::Error> for Error {
    fn from(error: amf::Error) -> Self {
        match error {
            amf::Error::Truncated => Self::Truncated,
            error => Self::Amf(error),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "message type {} holds no shared object", kind.0),
            Self::Format => f.write_str("AMF3 shared-object message begins with neither 0 nor 3"),
            Self::Truncated => f.write_str("shared-object message is truncated"),
            Self::Name => f.write_str("a name in a shared-object message is not UTF-8"),
            Self::Trailing(kind) => write!(f, "shared-object event {kind} is too long"),
            Self::Amf(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Amf(error) => Some(error),
            _ => None,
        }
    }
}

/// The message from its name on. Type 16 begins with 0, or with 3, which some peers write for the
/// same form: AMF0 values with switches to AMF3.
fn body(kind: MessageType, payload: &[u8]) -> Result<&[u8], Error> {
    match kind {
        MessageType::SHARED_OBJECT_AMF0 => Ok(payload),
        MessageType::SHARED_OBJECT_AMF3 => match payload.split_first() {
            Some((&(AMF0_VALUES | 3), body)) => Ok(body),
            _ => Err(Error::Format),
        },
        _ => Err(Error::Kind(kind)),
    }
}

pub(super) fn take_u32(rest: &mut &[u8]) -> Result<u32, Error> {
    let (number, behind) = rest.split_first_chunk().ok_or(Error::Truncated)?;
    *rest = behind;
    Ok(u32::from_be_bytes(*number))
}

/// The type and data of the next event.
pub(super) fn take_event<'p>(rest: &mut &'p [u8]) -> Result<(u8, &'p [u8]), Error> {
    let (&kind, behind) = rest.split_first().ok_or(Error::Truncated)?;
    *rest = behind;
    let length = usize::try_from(take_u32(rest)?).map_err(|_| Error::Truncated)?;
    let (data, behind) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    *rest = behind;
    Ok((kind, data))
}

/// The bytes of an object's version.
const VERSION_SIZE: usize = size_of::<u32>();

/// The bytes of an event's length.
const LENGTH_SIZE: usize = size_of::<u32>();

#[cfg(test)]
mod tests;
