//! Bodies: the messages of an origin about an object, in the form that the tiers pass on.
//!
//! Between the tiers a **body** is the payload of a message of type 19 whose flags are 0, with one
//! slot to an event. The edge turns it into each member's message: [`for_member`] writes the
//! member's own flags into it and, for objectEncoding 3, the leading 0 of type 16 before it.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Encoded, Error, Flags,
    message::{take_event, take_u32},
};
use crate::{
    MessageType,
    amf::{ObjectEncoding, amf0::write_bare_string},
    command::{AMF0_VALUES, Status},
};

/// The content of one message of an origin, for any recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The object's version after the message.
    pub version: u32,
    /// The events in order.
    pub events: Vec<Told>,
}

/// One event of a body. `name` is that of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// 4: the slot has this value.
    Change { name: Arc<str>, value: Encoded },
    /// 5: the member's change is accepted.
    Success { name: Arc<str> },
    /// 6: a handler's name and its arguments.
    Message(Encoded),
    /// 7: a notice.
    Status(Status),
    /// 8: all slots are removed.
    Clear,
    /// 9: the slot is removed.
    Remove { name: Arc<str> },
    /// 11: the member uses the object.
    UseSuccess,
    /// 13: the server-style member's change is accepted, with the slot's value.
    Accepted { name: Arc<str>, value: Encoded },
}

impl Body {
    /// The payload for members with this encoding, flags 0. It is the same for both encodings
    /// unless [`Self::needs_amf3`].
    pub fn encode(&self, object: &str, encoding: ObjectEncoding) -> Bytes {
        let events: usize = self.events.iter().map(|event| event.size(encoding)).sum();
        let mut out = BytesMut::with_capacity(HEADER + object.len() + events);
        write_header(&mut out, object, self.version);
        for event in &self.events {
            event.write(&mut out, encoding);
        }
        out.freeze()
    }

    /// Whether members of the two encodings receive different bytes.
    pub fn needs_amf3(&self) -> bool {
        self.events.iter().any(Told::needs_amf3)
    }

    /// The bytes of its events in the longer of the two encodings.
    pub fn size(&self) -> usize {
        self.events.iter().map(Told::longest).sum()
    }
}

impl Told {
    fn kind(&self) -> u8 {
        match self {
            Self::Change { .. } => CHANGE,
            Self::Success { .. } => 5,
            Self::Message(_) => MESSAGE,
            Self::Status(_) => 7,
            Self::Clear => CLEAR,
            Self::Remove { .. } => REMOVE,
            Self::UseSuccess => USE_SUCCESS,
            Self::Accepted { .. } => ACCEPTED,
        }
    }

    fn needs_amf3(&self) -> bool {
        match self {
            Self::Change { value, .. } | Self::Accepted { value, .. } | Self::Message(value) => {
                value.needs_amf3()
            }
            _ => false,
        }
    }

    pub(super) fn longest(&self) -> usize {
        self.size(ObjectEncoding::Amf0)
            .max(self.size(ObjectEncoding::Amf3))
    }

    fn size(&self, encoding: ObjectEncoding) -> usize {
        let data = match self {
            Self::Change { name, value } | Self::Accepted { name, value } => {
                2 + name.len() + value.form(encoding).len()
            }
            Self::Success { name } | Self::Remove { name } => 2 + name.len(),
            Self::Message(values) => values.form(encoding).len(),
            Self::Status(status) => 4 + status.code().len() + status.level().as_str().len(),
            Self::Clear | Self::UseSuccess => 0,
        };
        EVENT + data
    }

    fn write(&self, out: &mut BytesMut, encoding: ObjectEncoding) {
        out.put_u8(self.kind());
        out.put_u32((self.size(encoding) - EVENT) as u32);
        match self {
            Self::Change { name, value } | Self::Accepted { name, value } => {
                write_bare_string(out, name);
                out.put_slice(value.form(encoding));
            }
            Self::Success { name } | Self::Remove { name } => write_bare_string(out, name),
            Self::Message(values) => out.put_slice(values.form(encoding)),
            Self::Status(status) => {
                write_bare_string(out, status.code());
                write_bare_string(out, status.level().as_str());
            }
            Self::Clear | Self::UseSuccess => {}
        }
    }
}

/// The events of a body or of any payload of type 19, undecoded.
#[derive(Clone, Debug)]
pub struct Events<'b> {
    pub object: &'b str,
    pub version: u32,
    rest: &'b [u8],
}

/// One event, undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEvent<'b> {
    /// The event's type on the wire.
    pub kind: u8,
    /// The bytes behind its length.
    pub data: &'b [u8],
}

impl<'b> Events<'b> {
    /// The events of a payload of type 19.
    pub fn read(body: &'b [u8]) -> Result<Self, Error> {
        let (object, mut rest) = take_name(body)?;
        let version = take_u32(&mut rest)?;
        take_u32(&mut rest)?;
        take_u32(&mut rest)?;
        Ok(Self {
            object,
            version,
            rest,
        })
    }
}

impl<'b> Iterator for Events<'b> {
    type Item = Result<RawEvent<'b>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let event = take_event(&mut self.rest).map(|(kind, data)| RawEvent { kind, data });
        if event.is_err() {
            self.rest = &[];
        }
        Some(event)
    }
}

impl<'b> RawEvent<'b> {
    /// The event's slot, and the bytes behind the slot's name; `None` for an event without a slot.
    pub fn slot(&self) -> Option<(&'b str, &'b [u8])> {
        matches!(self.kind, CHANGE | SUCCESS | REMOVE | ACCEPTED)
            .then(|| take_name(self.data).ok())
            .flatten()
    }

    /// Whether the event changes the slots of its recipients: a change, a removal, or a clear.
    pub fn changes(&self) -> bool {
        matches!(self.kind, CHANGE | REMOVE | CLEAR)
    }

    /// Whether the event is a message to the members.
    pub fn is_message(&self) -> bool {
        self.kind == MESSAGE
    }
}

/// A member's message made from a body: with its own flags, in its encoding's message type. `None`
/// if the body is too short.
pub fn for_member(
    body: &[u8],
    flags: Flags,
    encoding: ObjectEncoding,
) -> Option<(MessageType, Bytes)> {
    let (length, _) = body.split_first_chunk::<2>()?;
    let flags_at = 2 + usize::from(u16::from_be_bytes(*length)) + 4;
    let (head, rest) = body.split_at_checked(flags_at)?;
    let rest = rest.get(8..)?;
    let mut out = BytesMut::with_capacity(body.len() + 1);
    if encoding == ObjectEncoding::Amf3 {
        out.put_u8(AMF0_VALUES);
    }
    out.put_slice(head);
    out.put_u32(flags.0[0]);
    out.put_u32(flags.0[1]);
    out.put_slice(rest);
    let kind = match encoding {
        ObjectEncoding::Amf0 => MessageType::SHARED_OBJECT_AMF0,
        ObjectEncoding::Amf3 => MessageType::SHARED_OBJECT_AMF3,
    };
    Some((kind, out.freeze()))
}

pub(super) fn write_header(out: &mut BytesMut, object: &str, version: u32) {
    write_bare_string(out, object);
    out.put_u32(version);
    out.put_u64(0);
}

/// The string without a marker at the beginning, and the bytes behind it.
fn take_name(bytes: &[u8]) -> Result<(&str, &[u8]), Error> {
    let (length, rest) = bytes.split_first_chunk().ok_or(Error::Truncated)?;
    let (name, rest) = rest
        .split_at_checked(u16::from_be_bytes(*length).into())
        .ok_or(Error::Truncated)?;
    let name = std::str::from_utf8(name).map_err(|_| Error::Name)?;
    Ok((name, rest))
}

pub(super) const CHANGE: u8 = 4;
pub(super) const SUCCESS: u8 = 5;
pub(super) const MESSAGE: u8 = 6;
pub(super) const CLEAR: u8 = 8;
pub(super) const REMOVE: u8 = 9;
pub(super) const USE_SUCCESS: u8 = 11;
pub(super) const ACCEPTED: u8 = 13;

/// The bytes before the events, without the object's name.
pub(super) const HEADER: usize = 2 + 4 + 8;

/// The bytes of an event before its data.
pub(super) const EVENT: usize = 1 + 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        amf::Value,
        shared_object::{Event, SharedObjectMessage},
    };

    fn name(name: &str) -> Arc<str> {
        Arc::from(name)
    }

    /// Every event as it is written, and as any reader of shared objects reads it.
    fn table() -> Vec<(Told, Event)> {
        let bytes = Value::ByteArray(Bytes::from_static(b"ab"));
        vec![
            (
                Told::Change {
                    name: name("foo"),
                    value: Encoded::new(&"bar".into()),
                },
                Event::Change(vec![("foo".to_owned(), "bar".into())]),
            ),
            (
                Told::Change {
                    name: name("b"),
                    value: Encoded::new(&bytes),
                },
                Event::Change(vec![("b".to_owned(), bytes.clone())]),
            ),
            (
                Told::Success { name: name("foo") },
                Event::Success {
                    name: "foo".to_owned(),
                },
            ),
            (
                Told::Message(Encoded::list(&["hear".into(), 1.0.into()])),
                Event::SendMessage {
                    values: vec!["hear".into(), 1.0.into()],
                },
            ),
            (
                Told::Status(Status::SharedObjectNoReadAccess),
                Event::status(Status::SharedObjectNoReadAccess),
            ),
            (Told::Clear, Event::Clear),
            (
                Told::Remove { name: name("foo") },
                Event::Remove {
                    name: "foo".to_owned(),
                },
            ),
            (Told::UseSuccess, Event::UseSuccess),
            (
                Told::Accepted {
                    name: name("foo"),
                    value: Encoded::new(&"bar".into()),
                },
                Event::ChangeAccepted {
                    name: "foo".to_owned(),
                    value: "bar".into(),
                },
            ),
        ]
    }

    #[test]
    fn a_body_is_a_message_of_type_19() {
        let (told, events): (Vec<_>, Vec<_>) = table().into_iter().unzip();
        let body = Body {
            version: 7,
            events: told,
        };
        let message = SharedObjectMessage {
            name: "room".to_owned(),
            version: 7,
            flags: Flags::default(),
            events,
        };
        assert!(body.needs_amf3());
        assert_eq!(
            body.encode("room", ObjectEncoding::Amf0),
            message.encode(ObjectEncoding::Amf0).1
        );
        let full = body.encode("room", ObjectEncoding::Amf3);
        assert_eq!(full, message.encode(ObjectEncoding::Amf3).1.slice(1..));
        let read = SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, &full);
        assert_eq!(read.unwrap(), message);
    }

    #[test]
    fn a_member_gets_its_own_flags_and_type() {
        let body = Body {
            version: 3,
            events: vec![Told::Clear],
        };
        let plain = body.encode("room", ObjectEncoding::Amf0);
        for (encoding, kind) in [
            (ObjectEncoding::Amf0, MessageType::SHARED_OBJECT_AMF0),
            (ObjectEncoding::Amf3, MessageType::SHARED_OBJECT_AMF3),
        ] {
            let flags = Flags([0x12, 0]);
            let (made, payload) = for_member(&plain, flags, encoding).unwrap();
            assert_eq!(made, kind);
            let message = SharedObjectMessage::decode(kind, &payload).unwrap();
            assert_eq!(
                (message.flags, message.version, message.events),
                (flags, 3, vec![Event::Clear])
            );
        }
        for length in 0..plain.len() - EVENT {
            assert_eq!(
                for_member(&plain[..length], Flags::default(), ObjectEncoding::Amf0),
                None
            );
        }
    }

    #[test]
    fn raw_events_name_their_slots() {
        let body = Body {
            version: 9,
            events: table().into_iter().map(|(told, _)| told).collect(),
        };
        let bytes = body.encode("room", ObjectEncoding::Amf3);
        let events = Events::read(&bytes).unwrap();
        assert_eq!((events.object, events.version), ("room", 9));
        let slots: Vec<_> = events
            .map(|event| event.unwrap())
            .map(|event| (event.kind, event.slot().map(|(name, _)| name.to_owned())))
            .collect();
        let expected = [
            (4, Some("foo")),
            (4, Some("b")),
            (5, Some("foo")),
            (6, None),
            (7, None),
            (8, None),
            (9, Some("foo")),
            (11, None),
            (13, Some("foo")),
        ];
        assert_eq!(
            slots,
            expected.map(|(kind, slot)| (kind, slot.map(str::to_owned)))
        );
        for length in 0..bytes.len() {
            // A body cut anywhere yields an error or fewer events, never a panic.
            let _ = Events::read(&bytes[..length]).map(|events| events.count());
        }
    }
}
