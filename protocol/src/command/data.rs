//! Data messages: metadata, cue points, text, and messages of NetStream.send.

use bytes::{BufMut, Bytes, BytesMut};

use super::{AMF0_VALUES, Error, ObjectEncoding, Status, body, peek_string};
use crate::MessageType;
use crate::amf::{self, Budget, Object, Value, amf0};
use crate::chunk::MAX_MESSAGE_LENGTH;

/// A data message: the name of a handler and its arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct DataMessage {
    /// The handler's name.
    pub name: String,
    /// The handler's arguments.
    pub values: Vec<Value>,
}

impl DataMessage {
    /// A message without values.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            values: Vec::new(),
        }
    }

    /// Appends a value.
    #[must_use]
    pub fn with(mut self, value: impl Into<Value>) -> Self {
        self.values.push(value.into());
        self
    }

    /// The message that permits a player access to samples of audio and video.
    pub fn sample_access(audio: bool, video: bool) -> Self {
        Self::new(RTMP_SAMPLE_ACCESS).with(audio).with(video)
    }

    /// The notice to a player that data begins.
    pub fn data_start() -> Self {
        let code = Object::new().with("code", Status::DataStart.code());
        Self::new("onStatus").with(code)
    }

    /// Decodes the payload of a message of type 18 or 15.
    pub fn decode(kind: MessageType, payload: &[u8]) -> Result<Self, Error> {
        let values = amf0::decode_all(body(kind, payload)?, &Budget::default())?;
        Self::from_values(values)
    }

    /// The message for a peer with this encoding: type 18, or 15 with a leading 0.
    pub fn encode(&self, encoding: ObjectEncoding) -> (MessageType, Bytes) {
        let mut out = BytesMut::new();
        if encoding == ObjectEncoding::Amf3 {
            out.put_u8(AMF0_VALUES);
        }
        let name = Value::from(self.name.as_str());
        amf0::encode_all(&mut out, encoding, [&name].into_iter().chain(&self.values));
        let kind = match encoding {
            ObjectEncoding::Amf0 => MessageType::DATA_AMF0,
            ObjectEncoding::Amf3 => MessageType::DATA_AMF3,
        };
        (kind, out.freeze())
    }

    fn from_values(values: Vec<Value>) -> Result<Self, Error> {
        let mut values = values.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return Err(Error::Name);
        };
        Ok(Self {
            name,
            values: values.collect(),
        })
    }
}

/// The name of a data message, borrowed from its payload, of which the rest is not read.
pub fn peek(kind: MessageType, payload: &[u8]) -> Option<&str> {
    peek_string(body(kind, payload).ok()?).map(|(name, _)| name)
}

/// A publisher's data message by its purpose, with the payload for viewers.
#[derive(Clone, Debug, PartialEq)]
pub enum Published {
    /// `@setDataFrame`: for the viewers now, and for every viewer that joins later.
    SetDataFrame(Forms),
    /// `@clearDataFrame`: drops the kept message with this name.
    ClearDataFrame(String),
    /// A message for the viewers now.
    Message(Forms),
}

/// A data message in the forms of a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forms {
    /// The handler's name.
    pub name: String,
    /// A payload of type 18 that every viewer reads.
    pub amf0: Bytes,
    /// A payload of type 15 for viewers with objectEncoding 3, if the message has values that only
    /// AMF3 has.
    pub amf3: Option<Bytes>,
}

/// Reads a data message from a publishing message stream. A message whose AMF0 form is longer than
/// a message can be is an error. AMF0 bytes are kept unchanged.
pub fn published(kind: MessageType, payload: &Bytes) -> Result<Published, Error> {
    let body = match body(kind, payload) {
        // A payload without its leading 0 is accepted if it begins like AMF0.
        Err(Error::Format) if first_string(payload).is_some() => payload,
        body => body?,
    };
    let Some((name, rest)) = first_string(body) else {
        return Err(Error::Name);
    };
    match &*name {
        SET_DATA_FRAME => read_forms(payload.slice_ref(rest)).map(Published::SetDataFrame),
        CLEAR_DATA_FRAME => {
            let name = first_string(rest).ok_or(Error::Name)?.0;
            Ok(Published::ClearDataFrame(name))
        }
        _ => read_forms(payload.slice_ref(body)).map(Published::Message),
    }
}

/// The viewers' payload of a publisher's data message that [`published`] cannot read: without a
/// first string that wraps it, and otherwise unchanged. It is of type 15 if only a reader of AMF3
/// can use it. `None` if no bytes are left, or a limit was exceeded before the fault.
pub fn salvaged(kind: MessageType, payload: &Bytes) -> Option<(MessageType, Bytes)> {
    let body = match body(kind, payload) {
        Ok(body) => body,
        // A payload without its leading 0 counts as AMF0 if it begins like it.
        Err(Error::Format) if first_string(payload).is_some() => payload,
        Err(_) => return Some((kind, payload.clone())),
    };
    let Some((name, rest)) = first_string(body) else {
        return Some((kind, payload.clone()));
    };
    let rest = match &*name {
        SET_DATA_FRAME if !rest.is_empty() => rest,
        SET_DATA_FRAME | CLEAR_DATA_FRAME => return None,
        _ => body,
    };
    match reads_amf3(rest) {
        Ok(true) => {
            let amf3 = [&[AMF0_VALUES][..], rest].concat();
            (amf3.len() <= MAX_MESSAGE_LENGTH as usize)
                .then(|| (MessageType::DATA_AMF3, amf3.into()))
        }
        Ok(false) => Some((MessageType::DATA_AMF0, payload.slice_ref(rest))),
        Err(_) => None,
    }
}

/// Whether there is AMF3 among the values up to the first malformed one; an error for an exceeded
/// limit.
fn reads_amf3(body: &[u8]) -> Result<bool, amf::Error> {
    let mut decoder = amf0::Decoder::new(body, &Budget::default())?;
    loop {
        match decoder.next_value() {
            Ok(Some(_)) => {}
            Err(error) if error.is_limit() => return Err(error),
            Ok(None) | Err(_) => return Ok(decoder.has_amf3()),
        }
    }
}

/// The string at the start of AMF0 values, in any form, and the bytes behind it.
fn first_string(body: &[u8]) -> Option<(String, &[u8])> {
    if let Some((name, rest)) = peek_string(body) {
        return Some((name.to_owned(), rest));
    }
    let mut decoder = amf0::Decoder::new(body, &Budget::default()).ok()?;
    let Some(Value::String(name)) = decoder.next_value().ok()? else {
        return None;
    };
    Some((name, &body[decoder.position()..]))
}

/// The forms of a data message with any name.
pub fn forms(kind: MessageType, payload: &Bytes) -> Result<Forms, Error> {
    read_forms(payload.slice_ref(body(kind, payload)?))
}

fn read_forms(body: Bytes) -> Result<Forms, Error> {
    let mut decoder = amf0::Decoder::new(&body, &Budget::default())?;
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    let is_amf0 = !decoder.has_amf3();
    let only_amf3 = values.iter().any(amf::needs_amf3);
    let message = DataMessage::from_values(values)?;
    let amf3 = only_amf3.then(|| [&[AMF0_VALUES][..], &body].concat().into());
    let amf0 = if is_amf0 {
        body
    } else {
        message.encode(ObjectEncoding::Amf0).1
    };
    if amf0.len() > MAX_MESSAGE_LENGTH as usize {
        return Err(Error::Amf(amf::Error::TooLarge));
    }
    Ok(Forms {
        name: message.name,
        amf0,
        amf3,
    })
}

/// The name before metadata that a publisher wants kept.
pub const SET_DATA_FRAME: &str = "@setDataFrame";
/// The name before the name of kept metadata that a publisher wants dropped.
pub const CLEAR_DATA_FRAME: &str = "@clearDataFrame";
/// The name of the usual metadata.
pub const ON_META_DATA: &str = "onMetaData";
/// The name of a player's permission to access samples of audio and video.
pub const RTMP_SAMPLE_ACCESS: &str = "|RtmpSampleAccess";
