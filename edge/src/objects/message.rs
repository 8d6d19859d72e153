//! A message of a shared object, and what of it differs between members.

use bytes::{BufMut, Bytes, BytesMut};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, amf::ObjectEncoding, shared_object::Flags,
};

/// A message for any number of members, as it came over the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectMessage {
    /// In the form of type 19, with flags 0.
    body: Bytes,
    /// Where the version begins; the flags follow it.
    version_at: usize,
}

/// What a member's copy of a message has of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The message stream it uses shared objects on.
    pub stream: MessageStreamId,
    /// Its encoding.
    pub encoding: ObjectEncoding,
    /// The flags of its Use.
    pub flags: Flags,
}

/// Version and flags.
const VERSION_SIZE: usize = 4;
const FLAGS_SIZE: usize = 8;

impl ObjectMessage {
    /// A message with this body; `None` if it has no name, version and flags.
    pub fn new(body: Bytes) -> Option<Self> {
        let (length, _) = body.split_first_chunk()?;
        let version_at = 2 + usize::from(u16::from_be_bytes(*length));
        let is_whole = body.len() >= version_at + VERSION_SIZE + FLAGS_SIZE;
        is_whole.then_some(Self { body, version_at })
    }

    /// The object's version after it.
    pub fn version(&self) -> u32 {
        let bytes = &self.body[self.version_at..];
        bytes
            .first_chunk()
            .map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }

    /// Its length in bytes, as type 19.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// The message for one member: type 19, or 16 with a leading 0.
    pub fn to(&self, recipient: Recipient) -> Message {
        let mut payload = BytesMut::with_capacity(self.body.len() + 1);
        let kind = match recipient.encoding {
            ObjectEncoding::Amf0 => MessageType::SHARED_OBJECT_AMF0,
            ObjectEncoding::Amf3 => {
                payload.put_u8(0);
                MessageType::SHARED_OBJECT_AMF3
            }
        };
        let flags_at = self.version_at + VERSION_SIZE;
        payload.put_slice(&self.body[..flags_at]);
        payload.put_u32(recipient.flags.0[0]);
        payload.put_u32(recipient.flags.0[1]);
        payload.put_slice(&self.body[flags_at + FLAGS_SIZE..]);
        Message {
            kind,
            stream: recipient.stream,
            timestamp: RtmpTimestamp(0),
            payload: payload.freeze(),
        }
    }
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
        assert_eq!(message.version(), 7);
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
}
