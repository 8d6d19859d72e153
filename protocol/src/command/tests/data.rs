//! Data messages, and their forms in a ring.

use super::super::data::{self, Forms, Published};
use super::*;

fn metadata() -> Value {
    Value::EcmaArray([("width", 1280.0), ("height", 720.0)].into_iter().collect())
}

fn payload(values: &[Value], encoding: ObjectEncoding) -> (MessageType, Bytes) {
    let mut values = values.iter().cloned();
    let name = values
        .next()
        .and_then(|name| name.as_str().map(str::to_owned));
    let mut message = DataMessage::new(name.expect("a name"));
    message.values = values.collect();
    message.encode(encoding)
}

fn forms(published: Published) -> Forms {
    match published {
        Published::SetDataFrame(forms) | Published::Message(forms) => forms,
        Published::ClearDataFrame(name) => panic!("clears {name}"),
    }
}

#[test]
fn data_messages_survive_both_encodings() {
    let message = DataMessage::new("onCuePoint").with(Object::new().with("a", 1.0));
    for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
        let (kind, payload) = message.encode(encoding);
        assert!(kind.is_data());
        assert_eq!(DataMessage::decode(kind, &payload).unwrap(), message);
        assert_eq!(data::peek(kind, &payload), Some("onCuePoint"));
    }
    assert_eq!(
        DataMessage::decode(MessageType::DATA_AMF0, b"\x05"),
        Err(Error::Name)
    );
    assert_eq!(
        DataMessage::decode(MessageType::DATA_AMF0, b""),
        Err(Error::Name)
    );
}

#[test]
fn what_a_player_is_told_has_its_bytes() {
    let (kind, bytes) = DataMessage::sample_access(false, true).encode(ObjectEncoding::Amf0);
    assert_eq!(kind, MessageType::DATA_AMF0);
    assert_eq!(&bytes[..], b"\x02\0\x11|RtmpSampleAccess\x01\0\x01\x01");
    let start = DataMessage::data_start();
    assert_eq!(start.name, "onStatus");
    assert_eq!(
        start.values[0].get("code"),
        Some(&"NetStream.Data.Start".into())
    );
}

#[test]
fn metadata_is_unwrapped_without_a_copy() {
    let values = ["@setDataFrame".into(), "onMetaData".into(), metadata()];
    let (kind, wrapped) = payload(&values, ObjectEncoding::Amf0);
    let Published::SetDataFrame(forms) = data::published(kind, &wrapped).unwrap() else {
        panic!("it is to be kept");
    };
    assert_eq!(forms.name, "onMetaData");
    assert_eq!(forms.amf0, payload(&values[1..], ObjectEncoding::Amf0).1);
    assert_eq!(forms.amf0.as_ptr(), wrapped[16..].as_ptr());
    assert_eq!(forms.amf3, None);
}

#[test]
fn amf0_values_in_a_message_of_type_15_lose_its_first_byte_only() {
    let values = ["onMetaData".into(), metadata()];
    let (kind, bytes) = payload(&values, ObjectEncoding::Amf3);
    assert_eq!(kind, MessageType::DATA_AMF3);
    let forms = forms(data::published(kind, &bytes).unwrap());
    assert_eq!(forms.amf0, bytes.slice(1..));
    assert_eq!(forms.amf3, None);
}

#[test]
fn amf3_values_that_amf0_carries_have_one_form() {
    // onTextData with an AMF3 object behind a switch.
    let bytes = Bytes::from_static(b"\0\x02\0\x01t\x11\x0a\x0b\x01\x03a\x06\x05hi\x01");
    let forms = forms(data::published(MessageType::DATA_AMF3, &bytes).unwrap());
    assert_eq!(
        &forms.amf0[..],
        b"\x02\0\x01t\x03\0\x01a\x02\0\x02hi\0\0\x09"
    );
    assert_eq!(forms.amf3, None);
}

#[test]
fn what_only_amf3_has_makes_a_second_form_with_the_publishers_bytes() {
    let bytes = Bytes::from_static(b"\0\x02\0\x0d@setDataFrame\x02\0\x01t\x11\x0c\x03\x07");
    let forms = forms(data::published(MessageType::DATA_AMF3, &bytes).unwrap());
    let numbers = DataMessage::new("t").with(vec![Value::Number(7.0)]);
    assert_eq!(forms.amf0, numbers.encode(ObjectEncoding::Amf0).1);
    assert_eq!(&forms.amf3.unwrap()[..], b"\0\x02\0\x01t\x11\x0c\x03\x07");
}

#[test]
fn metadata_can_be_cleared() {
    let values = ["@clearDataFrame".into(), "onMetaData".into()];
    let (kind, bytes) = payload(&values, ObjectEncoding::Amf0);
    let expected = Published::ClearDataFrame("onMetaData".into());
    assert_eq!(data::published(kind, &bytes).unwrap(), expected);
}

#[test]
fn frames_without_a_name_inside_are_errors() {
    for name in ["@setDataFrame", "@clearDataFrame"] {
        let (kind, bytes) = payload(&[name.into()], ObjectEncoding::Amf0);
        assert_eq!(data::published(kind, &bytes), Err(Error::Name));
    }
}

#[test]
fn a_form_that_no_message_can_hold_is_an_error() {
    let length = crate::chunk::MAX_MESSAGE_LENGTH as usize - 200_000;
    let message = DataMessage::new("big")
        .with("x".repeat(length))
        .with(Value::ByteArray(vec![1; 100_000].into()));
    let (kind, payload) = message.encode(ObjectEncoding::Amf3);
    assert!(payload.len() < crate::chunk::MAX_MESSAGE_LENGTH as usize);
    let error = Error::Amf(amf::Error::TooLarge);
    assert_eq!(data::forms(kind, &payload), Err(error.clone()));
    assert_eq!(data::published(kind, &payload), Err(error));
}
