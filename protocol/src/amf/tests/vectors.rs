//! Test vectors of AMF from other projects: PyAMF's suite and gortmplib's.

use serde_json::{Map, Value as Json};

use super::super::*;
use super::{amf3_bytes, hex};
use crate::test_vectors::load;

/// Records whose bytes are no message.
const ERRORS: [(usize, Error); 3] = [
    (2, Error::BadReference(3)),
    (3, Error::UnknownMarker(0xFF)),
    (84, Error::UnknownMarker(0xFF)),
];

/// Records that continue the message of the record named second: its bytes come first.
const CONTINUED: [(usize, &[usize]); 9] = [
    (118, &[117]),
    (120, &[117, 118, 119]),
    (135, &[134]),
    (136, &[134, 135]),
    (144, &[143]),
    (151, &[150]),
    (152, &[150, 151]),
    (154, &[153]),
    (155, &[153, 154]),
];

/// Records whose meaning is not compared, with the reason. Their bytes are compared both ways.
const NOT_COMPARED: [(usize, &str); 12] = [
    (
        13,
        "a Python object without an attribute that the bytes hold",
    ),
    (
        50,
        "a Python list registered as a class: its items are not on the wire",
    ),
    (
        52,
        "a Python generator; it makes an array and the undefined behind it",
    ),
    (68, "a Python object with slots, which the record lacks"),
    (69, "a Python object with slots, which the record lacks"),
    (
        74,
        "the encoder adds a time zone of its own to the record's date",
    ),
    (
        80,
        "a Python record set: the bytes hold its columns under other names",
    ),
    (
        81,
        "a Python record set: the bytes hold its columns under other names",
    ),
    (142, "a Python list wrapper whose items the record lacks"),
    (
        149,
        "a Python generator; it makes an array and the undefined behind it",
    ),
    (164, "a Python object with slots, which the record lacks"),
    (165, "a Python object with slots, which the record lacks"),
];

/// Records that are not encoded again to the same bytes, with the reason. Their meaning is
/// compared.
const NOT_ENCODED: [(usize, &str); 9] = [
    (52, "text that is not UTF-8, which reads as U+FFFD"),
    (
        118,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        120,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        129,
        "a whole number as a double: the short form is canonical",
    ),
    (
        144,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        151,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        152,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        154,
        "a reference to an earlier top-level value, which is copied",
    ),
    (
        155,
        "a reference to an earlier top-level value, which is copied",
    ),
];

#[test]
fn every_record_of_pyamf_means_what_it_says_and_keeps_its_bytes() {
    let Some(file) = load("pyamf-amf0-amf3.json") else {
        return;
    };
    let records = file["vectors"].as_array().unwrap();
    assert_eq!(records.len(), 169);
    let wrong: Vec<String> = (0..records.len())
        .filter_map(|number| check(records, number).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(records: &[Json], number: usize) -> Result<(), String> {
    let record = &records[number];
    // A record of Flex has a 3 although its bytes begin with AMF0's switch.
    let is_amf0 = record["amf"] == 0 || number == 166;
    let before = CONTINUED.iter().find(|(it, _)| *it == number);
    let before: Vec<u8> = before
        .into_iter()
        .flat_map(|(_, earlier)| earlier.iter().flat_map(|&it| bytes_of(&records[it])))
        .collect();
    let bytes = [before, bytes_of(record)].concat();
    let decode = if is_amf0 {
        amf0::decode_all
    } else {
        amf3::decode_all
    };
    let decoded = decode(&bytes, &Budget::default());
    if let Some((_, error)) = ERRORS.iter().find(|(it, _)| *it == number) {
        let is_meant = decoded.as_ref() == Err(error);
        return is_meant
            .then_some(())
            .ok_or_else(|| format!("{number}: {decoded:?}"));
    }
    let values = decoded.map_err(|error| format!("{number}: {error}"))?;
    let meant = record
        .get("decoded")
        .or_else(|| record.get("value"))
        .unwrap();
    let value = values.last().unwrap();
    if means(value, value, meant) == is_listed(&NOT_COMPARED, number) {
        return Err(format!("{number}: {value:?} and {meant}"));
    }
    let encoded = encode(&values, is_amf0, bytes[0]);
    if (encoded == bytes) == is_listed(&NOT_ENCODED, number) {
        return Err(format!("{number}: {encoded:02x?} and {bytes:02x?}"));
    }
    Ok(())
}

fn is_listed(list: &[(usize, &str)], number: usize) -> bool {
    list.iter().any(|(it, _)| *it == number)
}

fn encode(values: &[Value], is_amf0: bool, first: u8) -> Vec<u8> {
    if !is_amf0 {
        return amf3_bytes(values);
    }
    let mut out = bytes::BytesMut::new();
    let mut encoder = amf0::Encoder::new(ObjectEncoding::Amf0);
    for value in values {
        if first == amf0::marker::AVM_PLUS {
            encoder.avm_plus(&mut out, value);
        } else {
            encoder.value(&mut out, value);
        }
    }
    out.to_vec()
}

/// The bytes that PyAMF wrote or read; the written ones where it may write parts in any order.
fn bytes_of(record: &Json) -> Vec<u8> {
    let text = record
        .get("hex")
        .or_else(|| record.get("actual_hex"))
        .unwrap();
    hex(text.as_str().unwrap())
}

/// Whether a value equals the record's JSON; `root` is the value that references point into.
fn means(value: &Value, root: &Value, json: &Json) -> bool {
    match (value, json) {
        (Value::Reference(index), _) => means(root.target(*index).unwrap(), root, json),
        (Value::Undefined, Json::Object(map)) => map.contains_key("__undefined"),
        (Value::Null | Value::Unsupported, Json::Null) => true,
        (Value::Bool(bool), Json::Bool(json)) => bool == json,
        (Value::Number(number), Json::Number(json)) => Some(*number) == json.as_f64(),
        (Value::Number(number), Json::Object(map)) => {
            map["__float"] == number.to_string().to_lowercase().as_str()
        }
        (Value::String(text), Json::String(json)) => text == json,
        (Value::StrictArray(items), Json::Array(json)) => {
            items.len() == json.len()
                && items
                    .iter()
                    .zip(json)
                    .all(|(item, json)| means(item, root, json))
        }
        (Value::Date(date), Json::Object(map)) => {
            let text = map["__repr"].as_str().unwrap();
            (date.milliseconds - milliseconds(text)).abs() < 1.0
        }
        (Value::XmlDocument(text), Json::Object(map)) => {
            map["__pytype"] == "Element" && text == "<a><b>hello world</b></a>"
        }
        (Value::ByteArray(bytes), Json::Object(map)) => {
            map["__pytype"] == "ByteArray" && bytes == "hello"
        }
        (Value::Externalizable(object), _) => match &object.body {
            ExternalBody::Value(inner) => means(inner, root, json),
            ExternalBody::Opaque(_) => false,
        },
        (Value::Object(_) | Value::EcmaArray(_) | Value::MixedArray(_), Json::Object(map)) => {
            members_mean(value, root, map)
        }
        _ => false,
    }
}

/// Whether the record has all members of a value. For a Python object the record lists attributes
/// that PyAMF does not write, and has an alias in place of some names.
fn members_mean(value: &Value, root: &Value, map: &Map<String, Json>) -> bool {
    let attributes = map.get("__dict").and_then(Json::as_object);
    let proxied = attributes.and_then(|it| it.get("_amf_object")?.as_object());
    let is_python = attributes.is_some();
    let map = proxied.or(attributes).unwrap_or(map);
    let mut members: Vec<(String, &Value)> = value
        .members()
        .iter()
        .map(|(name, value)| (name.clone(), value))
        .collect();
    if let Value::MixedArray(array) = value {
        let dense = array.dense.iter().enumerate();
        members.extend(dense.map(|(index, value)| (index.to_string(), value)));
    }
    let known = |(name, _): &&(String, &Value)| map.contains_key(name);
    let is_enough = if is_python {
        members.is_empty() || members.iter().any(|member| known(&member))
    } else {
        members.iter().all(|member| known(&member))
            && members.len() == map.keys().filter(|name| *name != "__pytype").count()
    };
    is_enough
        && members
            .iter()
            .filter(known)
            .all(|(name, value)| means(value, root, &map[name]))
}

/// Milliseconds since 1970 of `datetime.datetime(2005, 3, 18, 1, 58, 31)`.
fn milliseconds(text: &str) -> f64 {
    let numbers: Vec<i64> = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let at = |index: usize| numbers.get(index).copied().unwrap_or(0);
    let (year, month) = if at(1) > 2 {
        (at(0), at(1))
    } else {
        (at(0) - 1, at(1) + 12)
    };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month - 457) / 5 + at(2) - 719_469;
    let seconds = ((days * 24 + at(3)) * 60 + at(4)) * 60 + at(5);
    seconds as f64 * 1000.0 + at(6) as f64 / 1000.0
}

#[test]
fn every_amf_record_of_gortmplib_decodes_and_keeps_its_bytes() {
    let Some(file) = load("gortmplib.json") else {
        return;
    };
    let is_amf = |record: &&Json| record["path"] == "pkg/amf0/data_test.go";
    let records: Vec<_> = file.as_array().unwrap().iter().filter(is_amf).collect();
    assert_eq!(records.len(), 5);
    for record in records {
        let bytes = hex(record["hex"].as_str().unwrap());
        if record["case"] == "srs" {
            // Some of its length bytes are 0, and the record has no meaning.
            amf0::decode_all(&bytes, &Budget::default()).unwrap_err();
            continue;
        }
        let values = amf0::decode_all(&bytes, &Budget::default()).unwrap();
        assert_eq!(super::amf0_bytes(&values), bytes, "{}", record["case"]);
        let Some(meant) = record["decode"]["values"].as_array() else {
            continue;
        };
        assert_eq!(values.len(), meant.len());
        for (value, json) in values.iter().zip(meant) {
            assert_eq!(to_json(value), without_marks(json), "{}", record["case"]);
        }
    }
}

/// JSON in the form of the records, without their marks for the kind of a map.
fn to_json(value: &Value) -> Json {
    match value {
        Value::Bool(bool) => (*bool).into(),
        Value::Number(number) => (*number).into(),
        Value::String(text) => text.as_str().into(),
        Value::StrictArray(items) => items.iter().map(to_json).collect(),
        Value::Object(_) | Value::EcmaArray(_) => value
            .members()
            .iter()
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Undefined => Map::new().into(),
        _ => Json::Null,
    }
}

fn without_marks(json: &Json) -> Json {
    match json {
        Json::Object(map) => map
            .iter()
            .filter(|(name, _)| !name.starts_with("__"))
            .map(|(name, json)| (name.clone(), without_marks(json)))
            .collect::<Map<_, _>>()
            .into(),
        Json::Array(items) => items.iter().map(without_marks).collect(),
        _ => json.clone(),
    }
}
