//! A publisher's data messages in the form that viewers get.

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageType,
    command::{
        self,
        data::{self, Forms, ON_META_DATA, Published},
    },
};

/// A message in the form that viewers get.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) message: Option<Message>,
    /// Whether the message was well-formed.
    pub(super) is_whole: bool,
}

impl Shown {
    fn whole(message: Option<Message>) -> Self {
        Self {
            message,
            is_whole: true,
        }
    }
}

/// The message as viewers get it: `@setDataFrame` loses its wrapping, `@clearDataFrame` of the
/// metadata becomes empty metadata. A data message is of type 18, which every viewer reads, unless
/// it holds values that only AMF3 has: then it is of type 15, and edges make the nearest AMF0 form
/// for the others. Of a malformed message the bytes behind the name pass as they are.
pub(super) fn for_viewers(mut message: Message) -> Shown {
    if !message.kind.is_data() {
        return Shown::whole(Some(message));
    }
    let (kind, payload) = match data::published(message.kind, &message.payload) {
        Ok(
            Published::SetDataFrame(Forms { amf0, amf3, .. })
            | Published::Message(Forms { amf0, amf3, .. }),
        ) => match amf3 {
            Some(amf3) => (MessageType::DATA_AMF3, amf3),
            None => (MessageType::DATA_AMF0, amf0),
        },
        Ok(Published::ClearDataFrame(name)) if name == ON_META_DATA => {
            let empty = Bytes::from_static(EMPTY_METADATA);
            (MessageType::DATA_AMF0, empty)
        }
        Ok(Published::ClearDataFrame(_)) => return Shown::whole(None),
        Err(error) => return salvaged(message, &error),
    };
    let is_whole = message.kind == MessageType::DATA_AMF0 || message.payload.first() == Some(&0);
    message.kind = kind;
    message.payload = payload;
    Shown {
        message: Some(message),
        is_whole,
    }
}

fn salvaged(mut message: Message, error: &command::Error) -> Shown {
    let limit = matches!(error, command::Error::Amf(error) if error.is_limit());
    let left = match limit {
        true => None,
        false => data::salvaged(message.kind, &message.payload),
    };
    Shown {
        message: left.map(|(kind, payload)| {
            message.kind = kind;
            message.payload = payload;
            message
        }),
        is_whole: false,
    }
}

/// The AMF0 string `onMetaData` with an empty ECMA array.
const EMPTY_METADATA: &[u8] = b"\x02\x00\x0aonMetaData\x08\x00\x00\x00\x00\x00\x00\x09";

#[cfg(test)]
mod tests {
    use tributary_protocol::{MessageStreamId, RtmpTimestamp};

    use super::*;

    fn shown(kind: MessageType, payload: &'static [u8]) -> Option<(MessageType, Bytes)> {
        let message = Message {
            kind,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(7),
            payload: Bytes::from_static(payload),
        };
        let shown = for_viewers(message).message;
        shown.map(|message| (message.kind, message.payload))
    }

    #[test]
    fn data_frames_are_unwrapped() {
        let amf0 = MessageType::DATA_AMF0;
        let amf3 = MessageType::DATA_AMF3;
        for (name, kind, payload, expected) in [
            (
                "set",
                amf0,
                &b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05"[..],
                Some((amf0, &b"\x02\x00\x0aonMetaData\x05"[..])),
            ),
            (
                "clear another",
                amf0,
                b"\x02\x00\x0f@clearDataFrame\x02\x00\x01x",
                None,
            ),
            (
                "clear",
                amf0,
                b"\x02\x00\x0f@clearDataFrame\x02\x00\x0aonMetaData",
                Some((amf0, EMPTY_METADATA)),
            ),
            (
                "behind the AMF3 type",
                amf3,
                b"\x00\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x05",
                Some((amf0, b"\x02\x00\x0aonMetaData\x05")),
            ),
            (
                "a value that only AMF3 has",
                amf3,
                b"\x00\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x11\x0c\x03x",
                Some((amf3, b"\x00\x02\x00\x0aonMetaData\x11\x0c\x03x")),
            ),
            (
                "a value that AMF0 has too, in AMF3",
                amf3,
                b"\x00\x02\x00\x03cue\x11\x03",
                Some((amf0, b"\x02\x00\x03cue\x01\x01")),
            ),
            (
                "cue point",
                amf0,
                b"\x02\x00\x03cue",
                Some((amf0, b"\x02\x00\x03cue")),
            ),
            ("empty", amf0, b"", Some((amf0, b""))),
            (
                "garbage",
                amf0,
                b"\x02\x00\xff@",
                Some((amf0, b"\x02\x00\xff@")),
            ),
            (
                "a byte more",
                amf0,
                b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x05\x09",
                Some((amf0, b"\x02\0\x0aonMetaData\x05\x09")),
            ),
            (
                "no end marker",
                amf0,
                b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\x05",
                Some((amf0, b"\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01a\x05")),
            ),
            (
                "a member of an unknown kind",
                amf3,
                b"\0\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x03\0\x01a\x77\0\0\x09",
                Some((amf0, b"\x02\0\x0aonMetaData\x03\0\x01a\x77\0\0\x09")),
            ),
            (
                "type 15 without its leading 0",
                amf3,
                b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x05",
                Some((amf0, b"\x02\0\x0aonMetaData\x05")),
            ),
            (
                "the same, with a byte more",
                amf3,
                b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x05\x09",
                Some((amf0, b"\x02\0\x0aonMetaData\x05\x09")),
            ),
            (
                "the wrapper in AMF3",
                amf3,
                b"\0\x11\x06\x1b@setDataFrame\x02\0\x0aonMetaData\x05",
                Some((amf0, b"\x02\0\x0aonMetaData\x05")),
            ),
            (
                "AMF3 that cannot be read",
                amf3,
                b"\0\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x11\x77",
                Some((amf3, b"\0\x02\0\x0aonMetaData\x11\x77")),
            ),
            (
                "the same in a message of type 18",
                amf0,
                b"\x02\0\x03cue\x11\x77",
                Some((amf3, b"\0\x02\0\x03cue\x11\x77")),
            ),
            (
                "no AMF0 at all",
                amf3,
                b"\x06\x07cue",
                Some((amf3, b"\x06\x07cue")),
            ),
            (
                "clear nothing",
                amf0,
                b"\x02\0\x0f@clearDataFrame\x02\0\xff",
                None,
            ),
            (
                "media",
                MessageType::VIDEO,
                b"\x17",
                Some((MessageType::VIDEO, b"\x17")),
            ),
        ] {
            let expected = expected.map(|(kind, bytes)| (kind, Bytes::from_static(bytes)));
            assert_eq!(shown(kind, payload), expected, "{name}");
        }
    }
}
