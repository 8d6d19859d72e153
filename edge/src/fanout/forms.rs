//! The encoded forms of a live stream's message.

use tributary_protocol::{
    ChunkStreamId, Message, MessageType, RtmpTimestamp,
    chunk::shared::{self, SharedChunks},
    command::{ObjectEncoding, data},
    media::{Class, Codec, TrackSet},
    ring,
    session::ServerConnection,
};

/// A message, encoded once for all viewers. A data message with values that only AMF3 has is
/// encoded twice: the second form is for viewers with objectEncoding 3.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    every: SharedChunks,
    /// An unreadable message, which only viewers with objectEncoding 3 get.
    only_amf3: bool,
    /// Boxed, since it is rare: every other message pays for a pointer alone.
    amf3: Option<Box<SharedChunks>>,
}

impl Forms {
    pub(super) fn encode(message: &Message, class: Class) -> Self {
        let encode = |message: &Message| shared::encode(message, chunk_stream(class), CHUNK_SIZE);
        let forms = (message.kind == MessageType::DATA_AMF3)
            .then(|| data::forms(message.kind, &message.payload));
        let forms = match forms {
            Some(Ok(forms)) => forms,
            unread => {
                return Self {
                    every: encode(message),
                    only_amf3: unread.is_some(),
                    amf3: None,
                };
            }
        };
        let amf3 = forms.amf3.map(|payload| {
            Box::new(encode(&Message {
                payload,
                ..message.clone()
            }))
        });
        let every = encode(&Message {
            kind: MessageType::DATA_AMF0,
            payload: forms.amf0,
            ..message.clone()
        });
        Self {
            every,
            only_amf3: false,
            amf3,
        }
    }

    /// The form for a viewer with this encoding, if there is one.
    pub(super) fn get(&self, encoding: ObjectEncoding) -> Option<&SharedChunks> {
        match (&self.amf3, encoding) {
            (Some(amf3), ObjectEncoding::Amf3) => Some(amf3),
            (_, ObjectEncoding::Amf0) if self.only_amf3 => None,
            _ => Some(&self.every),
        }
    }
}

impl ring::Item for Forms {
    fn len(&self) -> usize {
        let amf3 = self.amf3.as_ref().map_or(0, |amf3| amf3.body().len());
        self.every.body().len() + amf3
    }

    fn at(&self, timestamp: RtmpTimestamp) -> Self {
        Self {
            every: self.every.at(timestamp),
            only_amf3: self.only_amf3,
            amf3: self.amf3.as_ref().map(|amf3| Box::new(amf3.at(timestamp))),
        }
    }

    fn says(&self, other: &Self) -> bool {
        let amf3 = match (&self.amf3, &other.amf3) {
            (Some(one), Some(other)) => ring::Item::says(&**one, other),
            (None, None) => true,
            _ => false,
        };
        amf3 && ring::Item::says(&self.every, &other.every)
    }

    fn codec(&self) -> Option<Codec> {
        ring::Item::codec(&self.every)
    }

    fn tracks(&self) -> Option<TrackSet> {
        ring::Item::tracks(&self.every)
    }
}

fn chunk_stream(class: Class) -> ChunkStreamId {
    if class.is_audio() {
        ChunkStreamId::AUDIO
    } else if class.is_video() {
        ChunkStreamId::VIDEO
    } else {
        ChunkStreamId::DATA
    }
}

const CHUNK_SIZE: u32 = ServerConnection::CHUNK_SIZE;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{MessageStreamId, media};

    use super::*;

    #[test]
    fn amf3_that_cannot_be_read_is_for_readers_of_amf3_alone() {
        for (kind, payload, amf0, amf3) in [
            (15, &b"\0\x02\0\x03cue\x11\x77"[..], None, Some(15)),
            (15, b"\x06\x07cue", None, Some(15)),
            (15, b"\0\x02\0\x03cue\x11\x0c\x03x", Some(18), Some(15)),
            // AMF0 that is malformed in its last byte.
            (18, b"\x02\0\x03cue\x77", Some(18), Some(18)),
        ] {
            let message = Message {
                kind: MessageType(kind),
                stream: MessageStreamId::CONNECTION,
                timestamp: RtmpTimestamp(7),
                payload: Bytes::from_static(payload),
            };
            let class = media::classify(message.kind, &message.payload);
            let forms = Forms::encode(&message, class);
            let kind = |encoding| forms.get(encoding).map(|form| form.kind().0);
            assert_eq!(kind(ObjectEncoding::Amf0), amf0, "{payload:?}");
            assert_eq!(kind(ObjectEncoding::Amf3), amf3, "{payload:?}");
        }
    }
}
