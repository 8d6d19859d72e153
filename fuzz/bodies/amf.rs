//! Conditions for any bytes that are read as AMF, a command or a shared-object message.
//!
//! Each body is an ordinary function that panics when its condition does not hold. A decoded value
//! is encoded, decoded and encoded again: both encodings have to be the same bytes.

use bytes::BytesMut;
use tributary_protocol::amf::{self, Budget, ObjectEncoding, Value};
use tributary_protocol::command::{self, Command, Connect, DataMessage, NetStreamCommand, data};
use tributary_protocol::shared_object::SharedObjectMessage;
use tributary_protocol::{MessageType, TransactionId};

/// Reads bytes as AMF0 values.
pub fn amf0(input: &[u8]) {
    let Ok(values) = amf::amf0::decode_all(input, &Budget::default()) else {
        return;
    };
    for encoding in ENCODINGS {
        let bytes = encode_amf0(encoding, &values);
        let again =
            amf::amf0::decode_all(&bytes, &Budget::default()).expect("what was encoded decodes");
        assert_eq!(again.len(), values.len());
        assert_eq!(encode_amf0(encoding, &again), bytes);
    }
}

/// Reads bytes as AMF3 values.
pub fn amf3(input: &[u8]) {
    let Ok(values) = amf::amf3::decode_all(input, &Budget::default()) else {
        return;
    };
    let bytes = encode_amf3(&values);
    let again =
        amf::amf3::decode_all(&bytes, &Budget::default()).expect("what was encoded decodes");
    assert_eq!(again.len(), values.len());
    assert_eq!(encode_amf3(&again), bytes);
    let nearest = encode_amf0(ObjectEncoding::Amf0, &values);
    amf::amf0::decode_all(&nearest, &Budget::default()).expect("the nearest AMF0 form decodes");
}

/// Reads bytes as commands and data messages of both types.
pub fn command(input: &[u8]) {
    for kind in [MessageType::COMMAND_AMF0, MessageType::COMMAND_AMF3] {
        let peeked = Command::peek(kind, input);
        let Ok(command) = Command::decode(kind, input) else {
            continue;
        };
        if let Some((name, TransactionId(transaction))) = peeked {
            assert_eq!(name, command.name);
            assert_eq!(transaction.to_bits(), command.transaction.0.to_bits());
        }
        for encoding in ENCODINGS {
            let (kind, bytes) = command.encode(encoding);
            let again = Command::decode(kind, &bytes).expect("what was encoded decodes");
            assert_eq!(again.encode(encoding).1, bytes);
        }
        if let Err(error) = NetStreamCommand::parse(&command) {
            assert!(!error.info().is_empty());
        }
        if let Some(connect) = Connect::parse(command) {
            command::connect::success(&connect, "FMS/3,5,7,7009").encode(ObjectEncoding::Amf0);
        }
    }
    for kind in [MessageType::DATA_AMF0, MessageType::DATA_AMF3] {
        data_message(kind, input);
    }
}

fn data_message(kind: MessageType, input: &[u8]) {
    if let Ok(message) = DataMessage::decode(kind, input) {
        for encoding in ENCODINGS {
            let (kind, bytes) = message.encode(encoding);
            let again = DataMessage::decode(kind, &bytes).expect("what was encoded decodes");
            assert_eq!(again.encode(encoding).1, bytes);
        }
    }
    let payload = bytes::Bytes::copy_from_slice(input);
    let (Ok(data::Published::SetDataFrame(forms)) | Ok(data::Published::Message(forms))) =
        data::published(kind, &payload)
    else {
        return;
    };
    let read = |kind, payload: &[u8]| {
        let message = DataMessage::decode(kind, payload).expect("a viewer can read it");
        assert_eq!(message.name, forms.name);
    };
    read(MessageType::DATA_AMF0, &forms.amf0);
    if let Some(amf3) = &forms.amf3 {
        read(MessageType::DATA_AMF3, amf3);
    }
}

/// Reads bytes as shared-object messages of both types.
pub fn shared_object_message(input: &[u8]) {
    for kind in [
        MessageType::SHARED_OBJECT_AMF0,
        MessageType::SHARED_OBJECT_AMF3,
    ] {
        let Ok(message) = SharedObjectMessage::decode(kind, input) else {
            continue;
        };
        if let Some(name) = SharedObjectMessage::peek(kind, input) {
            assert_eq!(name, message.name);
        }
        for encoding in ENCODINGS {
            let (kind, bytes) = message.encode(encoding);
            let again =
                SharedObjectMessage::decode(kind, &bytes).expect("what was encoded decodes");
            assert_eq!(again.events.len(), message.events.len());
            assert_eq!(again.encode(encoding).1, bytes);
        }
    }
}

const ENCODINGS: [ObjectEncoding; 2] = [ObjectEncoding::Amf0, ObjectEncoding::Amf3];

fn encode_amf0(encoding: ObjectEncoding, values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    amf::amf0::encode_all(&mut out, encoding, values);
    out
}

fn encode_amf3(values: &[Value]) -> BytesMut {
    let mut out = BytesMut::new();
    amf::amf3::encode_all(&mut out, values);
    out
}
