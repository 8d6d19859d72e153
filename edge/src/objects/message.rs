//! A message of a shared object, and the parts of it that differ between members.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};
use tributary_protocol::{
    ChunkStreamId, Message, MessageStreamId, MessageType, RtmpTimestamp,
    amf::ObjectEncoding,
    chunk::{MAX_MESSAGE_LENGTH, shared},
    session::ServerConnection,
    shared_object::{Flags, body::Events},
};

/// A message for any number of members, as it came over the link. It is encoded once for each
/// encoding that members read.
#[derive(Debug)]
pub struct ObjectMessage {
    /// The payload of type 19, with flags 0.
    body: Bytes,
    /// Where the version begins in the body; the flags follow it.
    version_at: usize,
    has_changes: bool,
    has_others: bool,
    forms: [OnceLock<Form>; 2],
}

/// The parts of a message that differ between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The message stream on which the member uses shared objects.
    pub stream: MessageStreamId,
    pub encoding: ObjectEncoding,
    /// The flags of the member's Use.
    pub flags: Flags,
}

/// A message in chunks for members of one encoding.
#[derive(Debug)]
pub(crate) struct Form {
    encoded: shared::SharedChunks,
    /// Where the flags begin in the payload: within the first chunk.
    flags_at: usize,
}

/// Version and flags.
const VERSION_SIZE: usize = 4;
pub(super) const FLAGS_SIZE: usize = 8;

impl ObjectMessage {
    /// A message with this body. `None` if the body has no name, version and flags, or is longer
    /// than a chunk stream carries.
    pub fn new(body: Bytes) -> Option<Self> {
        let (length, _) = body.split_first_chunk()?;
        let version_at = 2 + usize::from(u16::from_be_bytes(*length));
        let header = version_at + VERSION_SIZE + FLAGS_SIZE;
        // Type 16 begins with one more byte.
        let fits = body.len() < MAX_MESSAGE_LENGTH as usize
            && header < ServerConnection::CHUNK_SIZE as usize;
        if body.len() < header || !fits {
            return None;
        }
        let (mut has_changes, mut has_others) = (false, false);
        match Events::read(&body) {
            Ok(events) => {
                for event in events {
                    let changes = event.is_ok_and(|event| event.changes());
                    has_changes |= changes;
                    has_others |= !changes;
                }
            }
            Err(_) => (has_changes, has_others) = (true, true),
        }
        Some(Self {
            body,
            version_at,
            has_changes,
            has_others,
            forms: Default::default(),
        })
    }

    /// The version of the object after the message.
    pub(super) fn version(&self) -> u32 {
        let bytes = self.body.get(self.version_at..);
        let bytes = bytes.and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// The same message for a member that has got a later version already.
    pub(super) fn at_version(&self, version: u32) -> Self {
        let mut body = self.body.to_vec();
        body[self.version_at..][..VERSION_SIZE].copy_from_slice(&version.to_be_bytes());
        Self {
            body: body.into(),
            version_at: self.version_at,
            has_changes: self.has_changes,
            has_others: self.has_others,
            forms: Default::default(),
        }
    }

    /// The payload in the form of type 19, with flags 0.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Whether all events change slots: then a later message of the same slots replaces it.
    pub(super) fn is_changes_alone(&self) -> bool {
        self.has_changes && !self.has_others
    }

    /// Whether an event changes slots.
    pub(super) fn has_changes(&self) -> bool {
        self.has_changes
    }

    /// The length in bytes, as type 19.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// The chunks for members of this encoding, with the parts that differ between members still
    /// open.
    pub(crate) fn form(&self, encoding: ObjectEncoding) -> &Form {
        let slot = &self.forms[usize::from(encoding == ObjectEncoding::Amf3)];
        slot.get_or_init(|| self.make_form(encoding))
    }

    fn make_form(&self, encoding: ObjectEncoding) -> Form {
        let flags_at = self.version_at + VERSION_SIZE;
        let (kind, payload, flags_at) = match encoding {
            ObjectEncoding::Amf0 => {
                let kind = MessageType::SHARED_OBJECT_AMF0;
                (kind, self.body.clone(), flags_at)
            }
            ObjectEncoding::Amf3 => {
                let mut payload = BytesMut::with_capacity(self.body.len() + 1);
                payload.put_u8(0);
                payload.put_slice(&self.body);
                let kind = MessageType::SHARED_OBJECT_AMF3;
                (kind, payload.freeze(), flags_at + 1)
            }
        };
        let message = Message {
            kind,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(0),
            payload,
        };
        let csid = ChunkStreamId::SHARED_OBJECT;
        Form {
            encoded: shared::encode(&message, csid, ServerConnection::CHUNK_SIZE),
            flags_at,
        }
    }

    /// The message for one member: type 19, or 16 with a leading 0.
    pub fn to(&self, recipient: Recipient) -> Message {
        let form = self.form(recipient.encoding);
        let mut payload = BytesMut::from(&*form.encoded.payload());
        form.write_flags(&mut payload, recipient.flags);
        Message {
            kind: form.encoded.kind(),
            stream: recipient.stream,
            timestamp: RtmpTimestamp(0),
            payload: payload.freeze(),
        }
    }
}

impl Form {
    /// The header of the first chunk.
    pub(super) fn header(&self, stream: MessageStreamId) -> shared::SharedHeader {
        self.encoded.header(stream)
    }

    /// The bytes behind the header: the payload, with the headers of further chunks in it.
    pub(super) fn body(&self) -> &Bytes {
        self.encoded.body()
    }

    /// Where the flags begin in the body.
    pub(super) fn flags_at(&self) -> usize {
        self.flags_at
    }

    fn write_flags(&self, payload: &mut [u8], flags: Flags) {
        write_flags(&mut payload[self.flags_at..], flags);
    }
}

/// Writes flags to the beginning of `at`.
pub(super) fn write_flags(at: &mut [u8], flags: Flags) {
    let [first, second] = flags.0.map(u32::to_be_bytes);
    at[..4].copy_from_slice(&first);
    at[4..FLAGS_SIZE].copy_from_slice(&second);
}

#[cfg(test)]
mod tests {
    use tributary_protocol::{
        amf::Value,
        shared_object::{Event, SharedObjectMessage},
    };

    use super::*;

    fn change() -> SharedObjectMessage {
        SharedObjectMessage {
            name: "board".to_owned(),
            version: 7,
            flags: Flags::TEMPORARY,
            events: vec![Event::Change(vec![("x".to_owned(), Value::from(1.0))])],
        }
    }

    #[test]
    fn a_member_gets_its_own_flags_and_form() {
        let (_, body) = change().encode(ObjectEncoding::Amf0);
        let message = ObjectMessage::new(body).expect("a message");
        for (encoding, flags, kind) in [
            (ObjectEncoding::Amf0, Flags::PERSISTENT, 19),
            (ObjectEncoding::Amf3, Flags([0x12, 9]), 16),
        ] {
            let stream = MessageStreamId(3);
            let copy = message.to(Recipient {
                stream,
                encoding,
                flags,
            });
            assert_eq!((copy.kind.0, copy.stream), (kind, stream));
            let decoded = SharedObjectMessage::decode(copy.kind, &copy.payload).unwrap();
            assert_eq!(decoded, SharedObjectMessage { flags, ..change() });
        }
    }

    #[test]
    fn a_body_without_a_whole_header_is_no_message() {
        let (_, body) = change().encode(ObjectEncoding::Amf0);
        for cut in 0..body.len() {
            let header = 2 + "board".len() + 12;
            let message = ObjectMessage::new(body.slice(..cut));
            assert_eq!(message.is_some(), cut >= header, "cut at {cut}");
        }
    }

    #[test]
    fn what_a_message_says_is_known() {
        let send = Event::SendMessage {
            values: vec!["hear".into()],
        };
        let [change] = &change().events[..] else {
            unreachable!()
        };
        for (events, alone, has_changes) in [
            (vec![change.clone(), Event::Clear], true, true),
            (vec![change.clone(), send.clone()], false, true),
            (vec![send], false, false),
            (vec![], false, false),
        ] {
            let message = SharedObjectMessage {
                events,
                ..self::change()
            };
            let (_, body) = message.encode(ObjectEncoding::Amf0);
            let message = ObjectMessage::new(body).expect("a message");
            assert_eq!(
                (message.is_changes_alone(), message.has_changes()),
                (alone, has_changes)
            );
        }
    }
}
