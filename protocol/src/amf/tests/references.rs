//! References: their targets, within a value and beyond it.

use super::super::*;
use super::{amf0_bytes, amf3_bytes, hex};

fn decode0(bytes: &str) -> Result<Vec<Value>, Error> {
    amf0::decode_all(&hex(bytes), &Budget::default())
}

fn decode3(bytes: &str) -> Result<Vec<Value>, Error> {
    amf3::decode_all(&hex(bytes), &Budget::default())
}

#[test]
fn references_to_nothing_are_errors() {
    for (bytes, index) in [
        ("07 0000", 0),
        ("0a 00000002 07 0001 0a 00000000", 1),
        ("05 07 0000", 0),
        ("11 09 00", 0),
        ("11 06 00", 0),
        ("11 0a 01", 0),
        ("11 0a 05 01", 1),
        ("11 08 7e", 63),
        // The tables of the two encodings are not the same.
        ("0a 00000000 11 09 00", 0),
        ("11 09 01 01 07 0000", 0),
        // The empty string is in no table.
        ("11 06 01 11 06 00", 0),
    ] {
        assert_eq!(decode0(bytes), Err(Error::BadReference(index)), "{bytes}");
    }
}

#[test]
fn cycles_stay_finite_and_keep_their_bytes() {
    let object = || Value::from(Object::new().with("self", Value::Reference(0)));
    let array = || Value::StrictArray(vec![Value::Reference(0), object_at(1), Value::Reference(0)]);
    let cases3 = [
        (object(), "0a 0b 01 09 73656c66 0a 00 01"),
        (
            array(),
            "09 07 01 09 00 0a 0b 01 09 73656c66 0a 02 01 09 00",
        ),
        (
            Value::Dictionary(Dictionary {
                weak_keys: true,
                entries: vec![(Value::Reference(0), Value::Reference(0))],
            }),
            "11 03 01 11 00 11 00",
        ),
        (
            Value::VectorObject(Box::new(VectorObject {
                fixed: false,
                class_name: "*".into(),
                items: vec![Value::Reference(0)],
            })),
            "10 03 00 03 2a 10 00",
        ),
    ];
    for (value, bytes) in cases3 {
        let values = [value];
        assert_eq!(decode3(bytes).unwrap(), values);
        assert_eq!(amf3_bytes(&values), hex(bytes));
    }
    for (value, bytes) in [
        (object(), "03 0004 73656c66 07 0000 0000 09"),
        (
            array(),
            "0a 00000003 07 0000 03 0004 73656c66 07 0001 0000 09 07 0000",
        ),
    ] {
        let values = [value];
        assert_eq!(decode0(bytes).unwrap(), values);
        assert_eq!(amf0_bytes(&values), hex(bytes));
    }
}

fn object_at(index: u32) -> Value {
    Object::new().with("self", Value::Reference(index)).into()
}

#[test]
fn amf3_tables_span_the_switches_of_one_message() {
    // A string, a trait and an object of the first switch are used in the second.
    let bytes = "11 0a 13 03 43 03 61 06 00  11 0a 01 06 02  11 0a 00";
    let object = |text: &str| {
        let mut object = Object::typed("C").with("a", text);
        let traits = object.traits.as_mut().unwrap();
        (traits.sealed, traits.dynamic) = (1, false);
        Value::from(object)
    };
    assert_eq!(
        decode0(bytes).unwrap(),
        [object("C"), object("a"), object("C")]
    );
}

#[test]
fn a_reference_to_an_earlier_value_becomes_a_copy_once() {
    // The array of a date and an object; then an array of the object, twice, and of the array.
    let first = "0a 00000002 0b 0000000000000000 0000 03 0001 61 05 0000 09";
    let bytes = format!("{first} 0a 00000003 07 0001 07 0001 07 0000");
    let values = decode0(&bytes).unwrap();
    let object = || Value::from(Object::new().with("a", Value::Null));
    let date = || {
        Value::from(Date {
            milliseconds: 0.0,
            time_zone: 0,
        })
    };
    assert_eq!(values[0], Value::StrictArray(vec![date(), object()]));
    // The copy of the array holds its object inline; the other references point into this value.
    assert_eq!(
        values[1],
        Value::StrictArray(vec![
            object(),
            Value::Reference(1),
            Value::StrictArray(vec![date(), object()]),
        ])
    );
}

#[test]
fn a_copy_of_part_of_a_cycle_closes_on_the_copy() {
    // A holds B, B holds A; then B alone.
    let a = "03 0001 62 03 0001 61 07 0000 0000 09 0000 09";
    let values = decode0(&format!("{a} 07 0001")).unwrap();
    let inner = |reference| Object::new().with("a", Value::Reference(reference));
    assert_eq!(values[0], Object::new().with("b", inner(0)).into());
    let a = Object::new().with("b", inner(1));
    assert_eq!(values[1], Object::new().with("a", a).into());

    let a = "0a 0b 01 03 62 0a 01 03 61 0a 00 01 01";
    assert_eq!(decode3(&format!("{a} 0a 02")).unwrap(), values);
}

#[test]
fn copies_span_both_encodings() {
    // An AMF0 array around AMF3 objects that refer to each other, copied as a whole.
    let first = "0a 00000002 11 0a 0b 01 03 61 01 01 11 0a 00";
    let values = decode0(&format!("{first} 07 0000 0a 00000001 11 0a 00")).unwrap();
    let object = || Value::from(Object::new().with("a", Value::Null));
    let array = Value::StrictArray(vec![object(), Value::Reference(1)]);
    assert_eq!(values[0], array);
    assert_eq!(values[1], array);
    assert_eq!(values[2], Value::StrictArray(vec![object()]));
}

#[test]
fn targets_are_found_and_references_move_with_their_value() {
    let mut value = object_at(0);
    assert_eq!(value.target(0), Some(&object_at(0)));
    assert_eq!(value.target(1), None);
    value.shift_references(1);
    let outer = Value::StrictArray(vec![value, Value::Null]);
    assert_eq!(outer.target(1), Some(&object_at(1)));
}

#[test]
fn what_amf0_cannot_refer_to_is_written_again_or_left_out() {
    let date = || {
        Value::from(Date {
            milliseconds: 1.0,
            time_zone: 0,
        })
    };
    let map = Dictionary {
        weak_keys: false,
        entries: vec![(date(), date()), ("k".into(), Value::Reference(3))],
    };
    let value = Value::StrictArray(vec![
        Value::Dictionary(map),
        date(),
        Value::Reference(4),
        Value::Reference(2),
    ]);
    let decoded = amf0::decode_all(&amf0_bytes(&[value]), &Budget::default()).unwrap();
    let object = Object::new().with("k", Value::Undefined);
    assert_eq!(
        decoded,
        [Value::StrictArray(vec![
            object.into(),
            date(),
            date(),
            Value::Undefined
        ])]
    );
}

#[test]
fn what_is_written_for_a_collection_takes_its_references() {
    let collection = |inner| {
        Value::Externalizable(Box::new(Externalizable {
            class_name: "flex.messaging.io.ArrayCollection".into(),
            body: ExternalBody::Value(inner),
        }))
    };
    let table = [
        // The array inside refers to the collection, and so to itself.
        (
            collection(Value::StrictArray(vec![Value::Reference(0)])),
            Value::StrictArray(vec![Value::Reference(0)]),
        ),
        (
            collection(collection(Value::Reference(0))),
            Value::Undefined,
        ),
        (
            Value::StrictArray(vec![collection(1.0.into()), Value::Reference(1)]),
            Value::StrictArray(vec![1.0.into(), Value::Undefined]),
        ),
    ];
    for (value, nearest) in table {
        let bytes = amf0_bytes(&[value]);
        let decoded = amf0::decode_all(&bytes, &Budget::default()).unwrap();
        assert_eq!(decoded, [nearest]);
    }
}
