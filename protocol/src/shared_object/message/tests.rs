use super::*;
use crate::amf::Object;
use crate::test_vectors::{load, unhex};

fn event(kind: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    bytes.extend((data.len() as u32).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn table() -> Vec<(Vec<u8>, Event)> {
    let name = String::from("k");
    let key = b"\x00\x01k";
    let pair = b"\x00\x01k\x01\x01";
    vec![
        (event(1, b""), Event::Use),
        (event(2, b""), Event::Release),
        (
            event(3, pair),
            Event::RequestChange {
                name: name.clone(),
                value: true.into(),
            },
        ),
        (
            event(4, b"\x00\x01k\x01\x01\x00\x01k\x05"),
            Event::Change(vec![
                (name.clone(), true.into()),
                (name.clone(), Value::Null),
            ]),
        ),
        (event(5, key), Event::Success { name: name.clone() }),
        (
            event(6, b"\x02\x00\x01h\x06"),
            Event::SendMessage {
                values: vec!["h".into(), Value::Undefined],
            },
        ),
        (
            event(7, b"\x00\x1aSharedObject.NoObjectFound\x00\x05error"),
            Event::status(Status::SharedObjectNoObjectFound),
        ),
        (event(8, b""), Event::Clear),
        (event(9, key), Event::Remove { name: name.clone() }),
        (event(10, key), Event::RequestRemove { name: name.clone() }),
        (event(11, b""), Event::UseSuccess),
        (
            event(12, b"\x00\x01k\x00\x00\x00\x07"),
            Event::SlotVersion {
                name: name.clone(),
                version: 7,
            },
        ),
        (
            event(13, pair),
            Event::ChangeAccepted {
                name,
                value: true.into(),
            },
        ),
        (event(14, b""), Event::RequestClear),
        (
            event(77, b"any"),
            Event::Unknown {
                kind: 77,
                data: Bytes::from_static(b"any"),
            },
        ),
    ]
}

fn header(flags: u32) -> Vec<u8> {
    let mut bytes = b"\x00\x02so\x00\x00\x00\x05".to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0; 4]);
    bytes
}

fn message(events: Vec<Event>) -> SharedObjectMessage {
    SharedObjectMessage {
        name: "so".into(),
        version: 5,
        flags: Flags::PERSISTENT,
        events,
    }
}

#[test]
fn every_event_has_its_bytes_both_ways_and_none_of_their_prefixes_decodes() {
    for (bytes, event) in table() {
        let payload = [header(2), bytes].concat();
        let message = message(vec![event]);
        let kind = MessageType::SHARED_OBJECT_AMF0;
        assert_eq!(
            SharedObjectMessage::decode(kind, &payload),
            Ok(message.clone())
        );
        assert_eq!(
            message.encode(ObjectEncoding::Amf0),
            (kind, payload.clone().into())
        );
        assert_eq!(SharedObjectMessage::peek(kind, &payload), Some("so"));
        assert_eq!(Flags::peek(kind, &payload), Some(Flags::PERSISTENT));
        for end in (0..payload.len()).filter(|&end| end != header(2).len()) {
            SharedObjectMessage::decode(kind, &payload[..end]).unwrap_err();
        }
    }
}

#[test]
fn flags_are_read_from_whole_headers_alone() {
    let kind = MessageType::SHARED_OBJECT_AMF3;
    let whole = [&[0][..], &header(0x12)].concat();
    assert_eq!(Flags::peek(kind, &whole), Some(Flags([0x12, 0])));
    for end in 0..whole.len() {
        assert_eq!(Flags::peek(kind, &whole[..end]), None);
    }
    assert_eq!(Flags::peek(MessageType::VIDEO, &whole), None);
}

#[test]
fn all_events_fit_in_one_message_of_either_type() {
    let (bytes, events): (Vec<_>, Vec<_>) = table().into_iter().unzip();
    let message = message(events);
    let payload = [header(2), bytes.concat()].concat();
    for leading in [0, 3] {
        let payload = [&[leading], &payload[..]].concat();
        let kind = MessageType::SHARED_OBJECT_AMF3;
        assert_eq!(
            SharedObjectMessage::decode(kind, &payload),
            Ok(message.clone())
        );
    }
    let (kind, encoded) = message.encode(ObjectEncoding::Amf3);
    assert_eq!(kind, MessageType::SHARED_OBJECT_AMF3);
    assert_eq!(encoded, [&[0], &payload[..]].concat());
    assert!(!message.needs_amf3());
}

#[test]
fn amf3_values_stand_behind_a_switch_and_have_an_amf0_form() {
    let value = Value::ByteArray(Bytes::from_static(b"\x01"));
    let message = message(vec![Event::RequestChange {
        name: "k".into(),
        value,
    }]);
    assert!(message.needs_amf3());

    let (kind, payload) = message.encode(ObjectEncoding::Amf3);
    assert!(payload.ends_with(b"\x00\x01k\x11\x0c\x03\x01"));
    assert_eq!(
        SharedObjectMessage::decode(kind, &payload),
        Ok(message.clone())
    );

    let (kind, payload) = message.encode(ObjectEncoding::Amf0);
    let decoded = SharedObjectMessage::decode(kind, &payload).unwrap();
    let numbers = Value::StrictArray(vec![1.0.into()]);
    assert_eq!(
        decoded.events,
        [Event::RequestChange {
            name: "k".into(),
            value: numbers
        }]
    );
}

#[test]
fn lengths_that_do_not_fit_their_event_are_errors() {
    let kind = MessageType::SHARED_OBJECT_AMF0;
    let decode = |bytes: Vec<u8>| SharedObjectMessage::decode(kind, &[header(0), bytes].concat());
    assert_eq!(decode(event(1, b"x")), Err(Error::Trailing(1)));
    assert_eq!(decode(event(5, b"\x00\x01kx")), Err(Error::Trailing(5)));
    assert_eq!(decode(event(3, b"\x00\x01k")), Err(Error::Truncated));
    assert_eq!(decode(event(5, b"\x00\x09k")), Err(Error::Truncated));
    assert_eq!(
        decode(vec![8, 0xff, 0xff, 0xff, 0xff]),
        Err(Error::Truncated)
    );
}

#[test]
fn the_budget_covers_all_events_together() {
    let kind = MessageType::SHARED_OBJECT_AMF0;
    let one = event(8, b"");
    let limit = Budget::MAX_ELEMENTS as usize;
    let payload = [header(0), one.repeat(limit)].concat();
    SharedObjectMessage::decode(kind, &payload).unwrap();
    let payload = [header(0), one.repeat(limit + 1)].concat();
    assert_eq!(
        SharedObjectMessage::decode(kind, &payload),
        Err(Error::Amf(amf::Error::TooManyElements))
    );
}

#[test]
fn flags_keep_their_unknown_bits() {
    let kind = MessageType::SHARED_OBJECT_AMF0;
    let message = SharedObjectMessage::decode(kind, &header(48)).unwrap();
    assert_eq!(message.flags, Flags([48, 0]));
    assert!(message.flags.is_server_style() && !message.flags.is_persistent());
    assert!(Flags::PERSISTENT.is_persistent());
    assert_eq!(message.encode(ObjectEncoding::Amf0).1, header(48));
}

#[test]
fn references_begin_anew_in_each_event() {
    let mut object = Object::new();
    object.push("self", Value::Reference(0));
    let cyclic = || Event::SendMessage {
        values: vec!["h".into(), object.clone().into()],
    };
    let message = message(vec![cyclic(), cyclic()]);
    let (kind, payload) = message.encode(ObjectEncoding::Amf0);
    assert_eq!(SharedObjectMessage::decode(kind, &payload), Ok(message));
}

#[test]
fn every_shared_object_record_of_others_decodes_and_keeps_its_bytes() {
    let Some(file) = load("shared-objects.json") else {
        return;
    };
    let records = file["vectors"].as_array().unwrap();
    assert_eq!(records.len(), 19);
    for record in records {
        let id = record["id"].as_str().unwrap();
        let bytes = unhex(record["hex"].as_str().unwrap());
        let meant = &record["expected"];
        if record["kind"] == "client->server message payload (type 20)" {
            let command = crate::command::Command::decode(MessageType::COMMAND_AMF0, &bytes);
            let command = command.unwrap();
            assert_eq!(meant[0], command.name.as_str(), "{id}");
            assert_eq!(command.encode(ObjectEncoding::Amf0).1, bytes, "{id}");
            continue;
        }
        let (payload, meant) = match record["kind"].as_str().unwrap() {
            "SO event body (event type byte onward)" => ([header(16), bytes].concat(), meant),
            "client->server message payload (type 19)" => (bytes, &meant["events"]),
            // Two chunks: SetChunkSize, then the message behind an extended timestamp.
            _ => (bytes[16 + 16..].to_vec(), &meant[1]["payload"]["events"]),
        };
        let message = SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, &payload);
        let message = message.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(message.encode(ObjectEncoding::Amf0).1, payload, "{id}");
        let meant = meant
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![meant.clone()]);
        assert_eq!(message.events.len(), meant.len(), "{id}");
        for (event, meant) in message.events.iter().zip(&meant) {
            check(event, meant);
        }
    }
}

fn check(event: &Event, meant: &serde_json::Value) {
    assert_eq!(meant["type"], event.kind());
    match event {
        Event::RequestChange { name, value } | Event::ChangeAccepted { name, value } => {
            let pair = meant.get("pairs").map_or(meant, |pairs| &pairs[0]);
            let [key, text] = if pair.is_array() {
                [&pair[0], &pair[1]]
            } else {
                [&pair["key"], &pair["value"]]
            };
            assert_eq!(key, name.as_str());
            assert_eq!(text.as_str(), value.as_str());
        }
        Event::Change(slots) => {
            assert_eq!(meant["key"], slots[0].0.as_str());
            assert_eq!(meant["value"].as_str(), slots[0].1.as_str());
        }
        Event::Status { code, level } => {
            assert_eq!(meant["code"], code.as_str());
            assert_eq!(meant["level"], level.as_str());
        }
        Event::Remove { name } | Event::RequestRemove { name } => {
            assert_eq!(meant["key"], name.as_str());
        }
        Event::SlotVersion { name, version } => {
            assert_eq!(meant["key"], name.as_str());
            assert_eq!(meant["u32"], *version);
        }
        _ => {}
    }
}
