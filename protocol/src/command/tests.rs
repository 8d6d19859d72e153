use super::*;
use crate::amf::{EcmaArray, Object};
use crate::test_vectors::{load, unhex};

mod data;
mod stream;

fn connect_properties() -> Object {
    Object::new()
        .with("app", "live/room?x=1")
        .with("tcUrl", "rtmp://127.0.0.1/live/room")
        .with("odd", Value::Undefined)
        .with("odd", 2.0)
        .with("objectEncoding", 3.0)
}

fn connect_with(properties: Object) -> Connect {
    Connect::parse(connect::command(properties)).expect("a connect")
}

#[test]
fn commands_survive_both_encodings() {
    let command = Command::new("echo", TransactionId(2.0))
        .with("text")
        .with(Object::new().with("a", 1.0));
    for encoding in [ObjectEncoding::Amf0, ObjectEncoding::Amf3] {
        let (kind, payload) = command.encode(encoding);
        assert_eq!(Command::decode(kind, &payload).unwrap(), command);
        let peeked = Command::peek(kind, &payload);
        assert_eq!(peeked, Some(("echo", TransactionId(2.0))));
    }
}

#[test]
fn a_command_has_its_bytes() {
    let (kind, payload) = result(TransactionId(4.0), 1.0).encode(ObjectEncoding::Amf0);
    assert_eq!(kind, MessageType::COMMAND_AMF0);
    let bytes = b"\x02\0\x07_result\x00\x40\x10\0\0\0\0\0\0\x05\x00\x3f\xf0\0\0\0\0\0\0";
    assert_eq!(&payload[..], bytes);
    let (kind, payload) = result(TransactionId(4.0), 1.0).encode(ObjectEncoding::Amf3);
    assert_eq!(kind, MessageType::COMMAND_AMF3);
    assert_eq!(payload, [b"\0", &bytes[..]].concat());
}

#[test]
fn what_only_amf3_has_stands_behind_a_switch_for_those_who_read_it() {
    let bytes = Value::ByteArray(Bytes::from_static(b"\x07"));
    let command = Command::new("f", TransactionId::NONE).with(bytes).with(1.0);
    let (_, payload) = command.encode(ObjectEncoding::Amf3);
    assert!(payload.ends_with(b"\x05\x11\x0c\x03\x07\x00\x3f\xf0\0\0\0\0\0\0"));
    let (kind, payload) = command.encode(ObjectEncoding::Amf0);
    let decoded = Command::decode(kind, &payload).unwrap();
    assert_eq!(decoded.arguments[0], Value::StrictArray(vec![7.0.into()]));
}

#[test]
fn truncated_and_misshapen_commands_are_errors_and_peek_as_nothing() {
    let amf0 = MessageType::COMMAND_AMF0;
    let amf3 = MessageType::COMMAND_AMF3;
    let cases: [(MessageType, &[u8], Error); 8] = [
        (amf0, b"", Error::Name),
        (amf0, b"\x05", Error::Name),
        (amf0, b"\x02\0\x05ab", Error::Amf(amf::Error::Truncated)),
        (amf0, b"\x02\0\x01a", Error::Transaction),
        (amf0, b"\x02\0\x01a\x05", Error::Transaction),
        (amf3, b"", Error::Format),
        (amf3, b"\x03\x02\0\x01a", Error::Format),
        (
            MessageType::AUDIO,
            b"\x02\0\x01a",
            Error::Kind(MessageType::AUDIO),
        ),
    ];
    for (kind, payload, error) in cases {
        assert_eq!(Command::decode(kind, payload), Err(error));
        assert_eq!(Command::peek(kind, payload), None);
    }
    let (kind, payload) = result(TransactionId(4.0), Object::new()).encode(ObjectEncoding::Amf0);
    for end in (0..payload.len()).filter(|&end| end != 19 && end != 20) {
        Command::decode(kind, &payload[..end]).unwrap_err();
    }
}

#[test]
fn a_missing_command_object_reads_as_null() {
    let payload = b"\x02\0\x01a\x00\0\0\0\0\0\0\0\0";
    let command = Command::decode(MessageType::COMMAND_AMF0, payload).unwrap();
    assert_eq!(command, Command::new("a", TransactionId::NONE));
}

#[test]
fn peek_looks_at_nothing_behind_the_transaction_id() {
    let payload = b"\x02\0\x01a\x00\x7f\xf8\0\0\0\0\0\0\xff garbage";
    let (name, transaction) = Command::peek(MessageType::COMMAND_AMF0, payload).unwrap();
    assert_eq!(name, "a");
    assert!(transaction.0.is_nan() && !transaction.expects_answer());
    assert_eq!(
        Command::peek(MessageType::COMMAND_AMF0, b"\x02\0\x01\xff\x00"),
        None
    );
}

#[test]
fn connect_keeps_every_property_in_order() {
    let command = connect::command(connect_properties()).with("argument");
    let connect = Connect::parse(command).unwrap();
    assert_eq!(connect.app, "live/room?x=1");
    assert_eq!(
        connect.tc_url.as_deref(),
        Some("rtmp://127.0.0.1/live/room")
    );
    assert_eq!(connect.flash_ver, None);
    assert_eq!(connect.object_encoding, ObjectEncoding::Amf3);
    assert_eq!(connect.properties, connect_properties());
    assert_eq!(connect.arguments, [Value::from("argument")]);
}

#[test]
fn other_commands_and_connects_without_properties_are_not_parsed() {
    assert_eq!(
        Connect::parse(Command::new("play", TransactionId(1.0))),
        None
    );
    assert_eq!(
        Connect::parse(Command::new("connect", TransactionId(1.0))),
        None
    );
}

#[test]
fn odd_numbers_in_a_connect_do_no_harm() {
    for number in [f64::NAN, f64::INFINITY, -1.0, 1e300, 1.0, 2.5] {
        let properties = Object::new()
            .with("objectEncoding", number)
            .with("capsEx", number)
            .with("app", number);
        let mut command = connect::command(properties);
        command.transaction = TransactionId(number);
        let connect = Connect::parse(command).unwrap();
        assert_eq!(connect.object_encoding, ObjectEncoding::Amf0);
        assert_eq!(connect.app, "");
        let answer = connect::success(&connect, "FMS/3,5,7,7009");
        assert_eq!(answer.transaction.0.to_bits(), number.to_bits());
        let expected = Some(&Value::Number(0.0));
        assert_eq!(answer.arguments[0].get("objectEncoding"), expected);
    }
}

#[test]
fn the_answer_to_connect_is_that_of_flash_media_server() {
    let connect = connect_with(connect_properties());
    let answer = connect::success(&connect, "FMS/3,5,7,7009");
    let properties = Object::new()
        .with("fmsVer", "FMS/3,5,7,7009")
        .with("capabilities", 31.0)
        .with("mode", 1.0);
    let info = Object::new()
        .with("level", "status")
        .with("code", "NetConnection.Connect.Success")
        .with("description", "Connection succeeded.")
        .with("objectEncoding", 3.0)
        .with("data", EcmaArray::from_iter([("version", "3,5,7,7009")]));
    let expected = Command::new("_result", TransactionId(1.0))
        .with_object(properties)
        .with(info);
    assert_eq!(answer, expected);
}

#[test]
fn enhanced_rtmp_is_answered_in_all_forms_if_asked_in_any() {
    let list = Value::StrictArray(vec!["hvc1".into(), "*".into()]);
    let map = Object::new().with("*", 4.0);
    let asked = [
        Object::new().with("fourCcList", list),
        Object::new().with("videoFourCcInfoMap", map.clone()),
        Object::new().with("audioFourCcInfoMap", map.clone()),
        Object::new().with("capsEx", 15.0),
    ];
    for properties in asked {
        let connect = connect_with(properties);
        assert!(connect.is_enhanced());
        let answer = connect::success(&connect, "FMS/3,5,7,7009").object;
        let forward = Value::from(map.clone());
        assert_eq!(answer.get("videoFourCcInfoMap"), Some(&forward));
        assert_eq!(answer.get("audioFourCcInfoMap"), Some(&forward));
        assert_eq!(answer.get("capsEx"), Some(&Value::Number(15.0)));
        let list = answer.get("fourCcList").and_then(Value::as_array).unwrap();
        assert!(list.contains(&"hvc1".into()) && list.contains(&"*".into()));
    }
    let connect = connect_with(Object::new().with("videoCodecs", 252.0));
    assert!(!connect.is_enhanced());
    let answer = connect::success(&connect, "FMS/3,5,7,7009").object;
    assert_eq!(answer.members().len(), 3);
}

#[test]
fn notices_have_transaction_zero_and_their_info() {
    let info = Status::PlayStart.info(Some("Started playing x."), Some("x"));
    let notice = on_status(info);
    assert_eq!(
        (notice.name.as_str(), notice.transaction),
        ("onStatus", TransactionId::NONE)
    );
    assert_eq!(notice.object, Value::Null);
    let expected = Object::new()
        .with("level", "status")
        .with("code", "NetStream.Play.Start")
        .with("description", "Started playing x.")
        .with("details", "x");
    assert_eq!(notice.arguments, [expected.into()]);

    for (notice, name, code) in [
        (on_fc_publish("x"), "onFCPublish", "NetStream.Publish.Start"),
        (
            on_fc_unpublish("x"),
            "onFCUnpublish",
            "NetStream.Unpublish.Success",
        ),
        (
            on_fc_subscribe("x"),
            "onFCSubscribe",
            "NetStream.Play.Start",
        ),
    ] {
        assert_eq!(
            (notice.name.as_str(), notice.transaction),
            (name, TransactionId::NONE)
        );
        assert_eq!(notice.arguments[0].get("code"), Some(&code.into()));
        assert_eq!(notice.arguments[0].get("description"), Some(&"x".into()));
    }
    assert_eq!(on_bw_done(&[]).arguments, []);
    assert_eq!(on_bw_done(&[8.0]).arguments, [Value::Number(8.0)]);
    assert_eq!(close(), Command::new("close", TransactionId::NONE));
}

#[test]
fn every_status_has_one_code_and_says_something() {
    let mut codes = std::collections::HashSet::new();
    for &status in Status::ALL {
        assert!(codes.insert(status.code()));
        assert_eq!(Status::from_code(status.code()), Some(status));
        assert!(status.description().ends_with('.'));
        let info = status.info(None, None);
        assert_eq!(info.get("level"), Some(&status.level().as_str().into()));
    }
    assert_eq!(Status::from_code("NetStream.Play.Nonsense"), None);
}

/// Commands of the npm client and of gortmplib keep their bytes.
#[test]
fn commands_of_others_keep_their_bytes() {
    let Some(file) = load("gortmplib.json") else {
        return;
    };
    let records = file.as_array().unwrap();
    let is_command = |case: &str| ["connect", "play"].contains(&case);
    let mut seen = 0;
    for record in records {
        let case = record["case"].as_str().unwrap_or_default();
        if record["path"] != "pkg/amf0/data_test.go" || !is_command(case) {
            continue;
        }
        seen += 1;
        let bytes = unhex(record["hex"].as_str().unwrap());
        let command = Command::decode(MessageType::COMMAND_AMF0, &bytes).unwrap();
        assert_eq!(command.name, case);
        assert_eq!(command.encode(ObjectEncoding::Amf0).1, bytes);
    }
    assert_eq!(seen, 2);
}
