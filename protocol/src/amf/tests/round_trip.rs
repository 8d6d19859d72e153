//! Any value survives the encodings that can carry it.

use bytes::BytesMut;
use proptest::prelude::*;

use super::super::*;
use super::{amf0_bytes, amf3_bytes};

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-c]{1,3}",
        "\\PC{0,12}",
        Just("long".repeat(20_000)),
    ]
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,2}", "[0-2]", "\\PC{1,8}"]
}

fn number() -> impl Strategy<Value = f64> {
    let edge = |shift: u32| (1_i64 << shift) as f64;
    prop_oneof![
        any::<f64>().prop_filter("NaN is never equal", |number| !number.is_nan()),
        (-5_i32..300).prop_map(f64::from),
        Just(edge(28) - 1.0),
        Just(edge(28)),
        Just(-edge(28)),
        Just(-edge(28) - 1.0),
        Just(-0.0),
    ]
}

/// Values without members that both encodings carry. A reference holds any number; [`settle`]
/// gives it a target.
fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Undefined),
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        number().prop_map(Value::Number),
        text().prop_map(Value::String),
        text().prop_map(Value::XmlDocument),
        any::<u32>().prop_map(Value::Reference),
    ]
}

fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(String, Value)>> {
    prop::collection::vec((name(), value), 0..5)
}

fn items(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(value, 0..5)
}

fn object((properties, class_name): (Vec<(String, Value)>, String)) -> Value {
    let traits = Object::typed(class_name).traits;
    let traits = traits.filter(|traits| !traits.class_name.is_empty());
    Value::Object(Object { properties, traits })
}

fn amf0_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        6 => leaf(),
        1 => Just(Value::Unsupported),
        1 => Just(Value::MovieClip),
        1 => Just(Value::RecordSet),
        1 => (number(), any::<i16>()).prop_map(|(milliseconds, time_zone)| {
            Date { milliseconds, time_zone }.into()
        }),
    ];
    leaf.prop_recursive(5, 40, 5, |value| {
        prop_oneof![
            (members(value.clone()), "[A-B]{0,1}").prop_map(object),
            items(value.clone()).prop_map(Value::StrictArray),
            (members(value), any::<u32>()).prop_map(|(properties, declared)| {
                Value::EcmaArray(EcmaArray {
                    properties,
                    declared,
                })
            }),
        ]
    })
}

fn sealed_object() -> impl Strategy<Value = (String, u32, bool)> {
    ("[A-B]{1}", 0..5_u32, any::<bool>())
}

fn amf3_value() -> impl Strategy<Value = Value> {
    let bytes = prop::collection::vec(any::<u8>(), 0..9);
    let leaf = prop_oneof![
        8 => leaf(),
        1 => number().prop_map(|milliseconds| Date { milliseconds, time_zone: 0 }.into()),
        1 => text().prop_map(Value::Xml),
        1 => bytes.prop_map(|bytes| Value::ByteArray(bytes.into())),
        1 => (any::<bool>(), prop::collection::vec(any::<i32>(), 0..4))
            .prop_map(|(fixed, items)| Value::VectorInt(Vector { fixed, items })),
        1 => (any::<bool>(), prop::collection::vec(any::<u32>(), 0..4))
            .prop_map(|(fixed, items)| Value::VectorUint(Vector { fixed, items })),
        1 => (any::<bool>(), prop::collection::vec(number(), 0..4))
            .prop_map(|(fixed, items)| Value::VectorDouble(Vector { fixed, items })),
    ];
    leaf.prop_recursive(5, 40, 5, |value| {
        let entry = (value.clone(), value.clone());
        let entries = prop::collection::vec(entry, 0..4);
        prop_oneof![
            (members(value.clone()), "[A-B]{0,1}").prop_map(object),
            (members(value.clone()), sealed_object()).prop_map(sealed),
            items(value.clone()).prop_map(Value::StrictArray),
            (members(value.clone()), items(value.clone())).prop_map(mixed),
            (any::<bool>(), text(), items(value.clone())).prop_map(|(fixed, class_name, items)| {
                Value::VectorObject(Box::new(VectorObject {
                    fixed,
                    class_name,
                    items,
                }))
            }),
            (any::<bool>(), entries).prop_map(|(weak_keys, entries)| {
                Value::Dictionary(Dictionary { weak_keys, entries })
            }),
            value.prop_map(|value| {
                Value::Externalizable(Box::new(Externalizable {
                    class_name: "flex.messaging.io.ArrayCollection".into(),
                    body: ExternalBody::Value(value),
                }))
            }),
        ]
    })
}

fn sealed(
    (properties, (class_name, sealed, dynamic)): (Vec<(String, Value)>, (String, u32, bool)),
) -> Value {
    let sealed = sealed.min(properties.len() as u32);
    let dynamic = dynamic || properties.len() as u32 > sealed;
    let traits = Traits {
        class_name,
        sealed,
        dynamic,
    };
    Value::Object(Object {
        properties,
        traits: Some(Box::new(traits)),
    })
}

fn mixed((associative, dense): (Vec<(String, Value)>, Vec<Value>)) -> Value {
    if associative.is_empty() {
        return Value::StrictArray(dense);
    }
    Value::MixedArray(Box::new(MixedArray { associative, dense }))
}

/// Gives each reference a target that began before it, or makes it null.
fn settle(value: &mut Value, begun: &mut u32, targets: &mut Vec<u32>, has: fn(&Value) -> bool) {
    if let Value::Reference(index) = value {
        *value = match targets.len() {
            0 => Value::Null,
            count => Value::Reference(targets[*index as usize % count]),
        };
        return;
    }
    if value.is_complex() {
        if has(value) {
            targets.push(*begun);
        }
        *begun += 1;
    }
    let mut each = |value: &mut Value| settle(value, begun, targets, has);
    match value {
        Value::Object(object) => object
            .properties
            .iter_mut()
            .for_each(|(_, value)| each(value)),
        Value::EcmaArray(array) => array
            .properties
            .iter_mut()
            .for_each(|(_, value)| each(value)),
        Value::StrictArray(items) => items.iter_mut().for_each(each),
        Value::MixedArray(array) => {
            array
                .associative
                .iter_mut()
                .for_each(|(_, value)| each(value));
            array.dense.iter_mut().for_each(each);
        }
        Value::VectorObject(vector) => vector.items.iter_mut().for_each(each),
        Value::Dictionary(dictionary) => dictionary.entries.iter_mut().for_each(|(key, value)| {
            each(key);
            each(value);
        }),
        Value::Externalizable(object) => {
            if let ExternalBody::Value(value) = &mut object.body {
                each(value);
            }
        }
        _ => {}
    }
}

fn settled(mut values: Vec<Value>, has: fn(&Value) -> bool) -> Vec<Value> {
    for value in &mut values {
        settle(value, &mut 0, &mut Vec::new(), has);
    }
    values
}

/// Whether AMF0's reference table holds the value.
fn is_in_amf0_table(value: &Value) -> bool {
    !matches!(value, Value::Date(_) | Value::XmlDocument(_))
}

proptest! {
    #[test]
    fn amf0(values in prop::collection::vec(amf0_value(), 1..4)) {
        let values = settled(values, is_in_amf0_table);
        let bytes = amf0_bytes(&values);
        let decoded = amf0::decode_all(&bytes, &Budget::default()).unwrap();
        prop_assert_eq!(&decoded, &values);
        prop_assert_eq!(amf0_bytes(&decoded), bytes);
    }

    #[test]
    fn amf3(values in prop::collection::vec(amf3_value(), 1..4)) {
        let values = settled(values, |_| true);
        let bytes = amf3_bytes(&values);
        let decoded = amf3::decode_all(&bytes, &Budget::default()).unwrap();
        prop_assert_eq!(&decoded, &values);
        prop_assert_eq!(amf3_bytes(&decoded), bytes);
    }

    /// A peer with objectEncoding 3 receives unchanged every value that AMF0 does not change.
    #[test]
    fn amf0_with_switches(values in prop::collection::vec(amf3_value(), 1..4)) {
        let values = settled(values, |_| true);
        let mut out = BytesMut::new();
        amf0::encode_all(&mut out, ObjectEncoding::Amf3, &values);
        let decoded = amf0::decode_all(&out, &Budget::default()).unwrap();
        prop_assert_eq!(decoded.len(), values.len());
        for (decoded, value) in decoded.iter().zip(&values) {
            if needs_amf3(value) {
                prop_assert_eq!(decoded, value);
            }
        }
        let mut again = BytesMut::new();
        amf0::encode_all(&mut again, ObjectEncoding::Amf3, &decoded);
        prop_assert_eq!(out, again);
    }

    /// The nearest AMF0 form is AMF0, and is its own nearest form.
    #[test]
    fn nearest_amf0(values in prop::collection::vec(amf3_value(), 1..4)) {
        let values = settled(values, |_| true);
        let bytes = amf0_bytes(&values);
        let mut decoder = amf0::Decoder::new(&bytes, &Budget::default()).unwrap();
        let mut decoded = Vec::new();
        while let Some(value) = decoder.next_value().unwrap() {
            decoded.push(value);
        }
        prop_assert!(!decoder.has_amf3());
        prop_assert_eq!(amf0_bytes(&decoded), bytes);
    }

    #[test]
    fn no_prefix_of_a_value_is_one(value in amf3_value(), cut in any::<prop::sample::Index>()) {
        let values = settled(vec![value], |_| true);
        let bytes = amf3_bytes(&values);
        let end = cut.index(bytes.len());
        if end > 0 {
            amf3::decode_all(&bytes[..end], &Budget::default()).unwrap_err();
        }
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = amf0::decode_all(&bytes, &Budget::default());
        let _ = amf3::decode_all(&bytes, &Budget::default());
    }
}

#[test]
fn not_a_number_keeps_its_bits_in_amf0() {
    let bytes = super::hex("00 7ff8000000000123");
    let values = amf0::decode_all(&bytes, &Budget::default()).unwrap();
    assert_eq!(amf0_bytes(&values), bytes);
}

#[test]
fn ecma_arrays_become_arrays_with_their_first_indices_dense() {
    let array: EcmaArray = [("0", 1.0), ("1", 2.0), ("x", 3.0), ("2", 4.0)]
        .into_iter()
        .collect();
    let bytes = amf3_bytes(&[Value::EcmaArray(array)]);
    let decoded = amf3::decode_all(&bytes, &Budget::default()).unwrap();
    let expected = MixedArray {
        associative: vec![("x".into(), 3.0.into()), ("2".into(), 4.0.into())],
        dense: vec![1.0.into(), 2.0.into()],
    };
    assert_eq!(decoded, [Value::MixedArray(Box::new(expected))]);
}

#[test]
fn many_repeated_names_are_referred_to_as_far_as_the_decoder_goes_along() {
    let object = || Value::from(Object::new().with("a name of some length, to add up", 1.0));
    let values = [Value::StrictArray(
        std::iter::repeat_with(object).take(60_000).collect(),
    )];
    let bytes = amf3_bytes(&values);
    assert_eq!(
        amf3::decode_all(&bytes, &Budget::default()).unwrap(),
        values
    );
}

#[test]
fn text_that_is_not_utf8_reads_with_replacements() {
    let bytes = super::hex("02 0003 61ff62");
    let values = amf0::decode_all(&bytes, &Budget::default()).unwrap();
    assert_eq!(values, [Value::from("a\u{FFFD}b")]);
}
