//! The nearest AMF0 form of values that only AMF3 has.
//!
//! | AMF3 | for a peer that reads AMF0 only |
//! |---|---|
//! | array with an associative part | ECMA array: names first, then `0`, `1`, `2` and so on as names |
//! | E4X XML | XML document |
//! | ByteArray | strict array of its bytes as numbers, as long as all of them together add no more than [`MAX_REFERENCED`](crate::amf::Budget::MAX_REFERENCED); then `unsupported` |
//! | Vector of any kind | strict array |
//! | Dictionary | object: text, numbers, booleans, null and undefined as names, as ECMAScript prints them; entries with other keys are left out |
//! | externalizable around one value (ArrayCollection, ArrayList, ObjectProxy) | that value |
//! | other externalizable | `unsupported` |
//!
//! A peer with objectEncoding 3 gets the whole top-level value as AMF3 if
//! [`needs_amf3`](crate::amf::needs_amf3) is true.

use bytes::{BufMut, BytesMut};

use super::super::marker;
use super::{Encoder, NUMBER_LENGTH, end_object, write_number};
use crate::amf::{Dictionary, ExternalBody, MixedArray, Value};

/// Writes a value of a kind that AMF0 does not have.
pub(super) fn write<'v>(
    encoder: &mut Encoder<'v>,
    out: &mut BytesMut,
    value: &'v Value,
    depth: u32,
) {
    match value {
        Value::MixedArray(array) => mixed_array(encoder, out, array, depth - 1),
        Value::ByteArray(bytes) => {
            if encoder
                .allowance
                .take(bytes.len().saturating_mul(NUMBER_LENGTH - 1))
            {
                numbers(encoder, out, bytes.iter().map(|&byte| byte.into()));
            } else {
                unsupported(encoder, out, value);
            }
        }
        Value::VectorInt(vector) => numbers(encoder, out, vector.items.iter().map(|&n| n.into())),
        Value::VectorUint(vector) => numbers(encoder, out, vector.items.iter().map(|&n| n.into())),
        Value::VectorDouble(vector) => numbers(encoder, out, vector.items.iter().copied()),
        Value::VectorObject(vector) => encoder.strict_array(out, &vector.items, depth - 1),
        Value::Dictionary(map) => dictionary(encoder, out, map, depth - 1),
        Value::Externalizable(object) => match &object.body {
            ExternalBody::Value(inner) => {
                let place = encoder.begin_alias(has_members(inner));
                encoder.write(out, inner, depth - 1);
                encoder.end_alias(place);
            }
            ExternalBody::Opaque(_) => unsupported(encoder, out, value),
        },
        _ => unsupported(encoder, out, value),
    }
}

/// Whether the written form of a value can hold a reference to it.
fn has_members(value: &Value) -> bool {
    match value {
        Value::Externalizable(object) => match &object.body {
            ExternalBody::Value(inner) => has_members(inner),
            ExternalBody::Opaque(_) => false,
        },
        Value::Object(_)
        | Value::EcmaArray(_)
        | Value::StrictArray(_)
        | Value::MixedArray(_)
        | Value::VectorObject(_)
        | Value::Dictionary(_) => true,
        _ => false,
    }
}

fn unsupported<'v>(encoder: &mut Encoder<'v>, out: &mut BytesMut, value: &'v Value) {
    encoder.skip(value);
    out.put_u8(marker::UNSUPPORTED);
}

fn numbers(
    encoder: &mut Encoder<'_>,
    out: &mut BytesMut,
    numbers: impl ExactSizeIterator<Item = f64>,
) {
    encoder.begin_complex();
    out.put_u8(marker::STRICT_ARRAY);
    out.put_u32(numbers.len() as u32);
    for number in numbers {
        write_number(out, number);
    }
}

fn mixed_array<'v>(
    encoder: &mut Encoder<'v>,
    out: &mut BytesMut,
    array: &'v MixedArray,
    depth: u32,
) {
    encoder.begin_complex();
    out.put_u8(marker::ECMA_ARRAY);
    out.put_u32((array.associative.len() + array.dense.len()) as u32);
    for (name, value) in &array.associative {
        encoder.property(out, name, value, depth);
    }
    for (index, value) in array.dense.iter().enumerate() {
        encoder.property(out, &index.to_string(), value, depth);
    }
    end_object(out);
}

fn dictionary<'v>(
    encoder: &mut Encoder<'v>,
    out: &mut BytesMut,
    dictionary: &'v Dictionary,
    depth: u32,
) {
    encoder.begin_complex();
    out.put_u8(marker::OBJECT);
    for (key, value) in &dictionary.entries {
        match name_of(key) {
            Some(name) => encoder.property(out, &name, value, depth),
            None => {
                encoder.skip(key);
                encoder.skip(value);
            }
        }
    }
    end_object(out);
}

/// A dictionary's key as a name; none for objects.
fn name_of(key: &Value) -> Option<String> {
    match key {
        Value::String(text) => Some(text.clone()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null => Some("null".to_owned()),
        Value::Undefined => Some("undefined".to_owned()),
        Value::Number(number) if number.is_infinite() => Some(
            if *number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }
            .to_owned(),
        ),
        // ECMAScript prints -0 as 0.
        Value::Number(number) => Some((number + 0.0).to_string()),
        _ => None,
    }
}
