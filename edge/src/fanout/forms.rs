//! A message of a live stream as its viewers get it.

use tributary_protocol::{
    Message, MessageType, RtmpTimestamp,
    chunk::shared::{self, Encoded},
    command::{ObjectEncoding, data},
    media::{Class, Codec, TrackSet},
    ring,
    session::ServerConnection,
};

use super::stream::chunk_stream;

/// A message, encoded once for all viewers. A data message with values that only AMF3 has is there
/// in a second form, for those who connected with objectEncoding 3.
#[derive(Clone, Debug)]
pub(super) struct Forms {
    every: Encoded,
    /// Rare: every other message pays for a pointer alone.
    amf3: Option<Box<Encoded>>,
}

impl Forms {
    pub(super) fn encode(message: &Message, class: Class) -> Self {
        let encode = |message: &Message| shared::encode(message, chunk_stream(class), CHUNK_SIZE);
        let forms = (message.kind == MessageType::DATA_AMF3)
            .then(|| data::forms(message.kind, &message.payload));
        // What cannot be read goes out as it came.
        let Some(Ok(forms)) = forms else {
            return Self {
                every: encode(message),
                amf3: None,
            };
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
        Self { every, amf3 }
    }

    /// The form for a viewer that connected with this encoding.
    pub(super) fn get(&self, encoding: ObjectEncoding) -> &Encoded {
        match (&self.amf3, encoding) {
            (Some(amf3), ObjectEncoding::Amf3) => amf3,
            _ => &self.every,
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

const CHUNK_SIZE: u32 = ServerConnection::CHUNK_SIZE;
