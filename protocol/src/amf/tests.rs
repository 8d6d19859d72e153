use super::*;
use crate::test_vectors::unhex;

mod hostile;
mod references;
mod round_trip;
mod vectors;

/// Bytes from their hexadecimal form, spaces allowed.
fn hex(text: &str) -> Vec<u8> {
    unhex(&text.replace(' ', ""))
}

fn amf0_bytes(values: &[Value]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    amf0::encode_all(&mut out, ObjectEncoding::Amf0, values);
    out.to_vec()
}

fn amf3_bytes(values: &[Value]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    amf3::encode_all(&mut out, values);
    out.to_vec()
}

#[test]
fn amf0_values_have_their_bytes_both_ways() {
    let table: Vec<(&str, Value)> = vec![
        ("00 3ff0000000000000", Value::Number(1.0)),
        ("01 01", Value::Bool(true)),
        ("02 0001 61", Value::from("a")),
        (
            "03 0001 61 05 0001 61 06 0000 09",
            Object::new()
                .with("a", Value::Null)
                .with("a", Value::Undefined)
                .into(),
        ),
        ("04", Value::MovieClip),
        ("05", Value::Null),
        ("06", Value::Undefined),
        (
            "08 00000007 0001 61 01 00 0000 09",
            Value::EcmaArray(EcmaArray {
                properties: vec![("a".into(), false.into())],
                declared: 7,
            }),
        ),
        (
            "0a 00000002 05 0a 00000000",
            Value::StrictArray(vec![Value::Null, Value::StrictArray(vec![])]),
        ),
        (
            "0b 4059000000000000 ffc4",
            Date {
                milliseconds: 100.0,
                time_zone: -60,
            }
            .into(),
        ),
        ("0d", Value::Unsupported),
        ("0e", Value::RecordSet),
        ("0f 00000004 3c612f3e", Value::XmlDocument("<a/>".into())),
        ("10 0001 43 0000 09", Object::typed("C").into()),
        // A cycle, and a reference past a date, which AMF0's table does not hold.
        (
            "0a 00000004 0b 0000000000000000 0000 03 0000 09 07 0000 07 0001",
            Value::StrictArray(vec![
                Date {
                    milliseconds: 0.0,
                    time_zone: 0,
                }
                .into(),
                Object::new().into(),
                Value::Reference(0),
                Value::Reference(2),
            ]),
        ),
    ];
    for (bytes, value) in table {
        let bytes = hex(bytes);
        let decoded = amf0::decode_all(&bytes, &Budget::default()).unwrap();
        assert_eq!(decoded, std::slice::from_ref(&value));
        assert_eq!(amf0_bytes(&decoded), bytes, "{value:?}");
        for end in 1..bytes.len() {
            amf0::decode_all(&bytes[..end], &Budget::default()).unwrap_err();
        }
    }
}

#[test]
fn amf3_values_have_their_bytes_both_ways() {
    let table: Vec<(&str, Value)> = vec![
        ("00", Value::Undefined),
        ("01", Value::Null),
        ("04 ffffffff", Value::Number(-1.0)),
        ("04 bfffffff", Value::Number(268_435_455.0)),
        ("04 c0808000", Value::Number(-268_435_456.0)),
        ("05 41b0000000000000", Value::Number(268_435_456.0)),
        ("05 8000000000000000", Value::Number(-0.0)),
        ("06 01", Value::from("")),
        (
            "0a 0b 01 03 61 06 00 01",
            Object::new().with("a", "a").into(),
        ),
    ];
    for (bytes, value) in table {
        let bytes = hex(bytes);
        let decoded = amf3::decode_all(&bytes, &Budget::default()).unwrap();
        assert_eq!(decoded, std::slice::from_ref(&value));
        assert_eq!(amf3_bytes(&decoded), bytes, "{value:?}");
        for end in 1..bytes.len() {
            amf3::decode_all(&bytes[..end], &Budget::default()).unwrap_err();
        }
    }
}
