use std::collections::HashMap;
use std::hash::Hash;

use bytes::{BufMut, BytesMut};

use super::super::limits::Allowance;
use super::super::{
    Budget, Dictionary, ExternalBody, Externalizable, Object, Value, Vector, VectorObject,
};
use super::{U29_MAX, marker};

/// Encodes the values of one message, one after the other: its reference table spans them.
///
/// Strings and traits are written once and then by reference, as far as a decoder with the default
/// [`Budget`] accepts that. AMF0's markers without a value become undefined, a date loses its time
/// zone, and a dynamic object loses a member with an empty name, which would be its end. A value
/// nested deeper than [`Budget::MAX_DEPTH`] is written as null: decoders refuse it.
#[derive(Debug, Default)]
pub struct Encoder<'v> {
    strings: Table<&'v str>,
    traits: Table<TraitKey<'v>>,
    allowance: Allowance,
    /// The count of complex values written.
    written: u32,
    /// For each complex value of the present top-level value: its marker and number on the wire.
    places: Vec<Option<(u8, u32)>>,
}

/// The strings or traits written, with their numbers on the wire.
#[derive(Debug)]
struct Table<K> {
    numbers: HashMap<K, u32>,
    /// The count of those written; repeated ones count again.
    written: u32,
}

impl<K: Eq + Hash> Table<K> {
    /// The number of an earlier item that may be referred to, for `bytes` of the allowance.
    fn find(&self, key: &K, bytes: usize, allowance: &mut Allowance) -> Option<u32> {
        let number = self.numbers.get(key).copied()?;
        allowance.take(bytes).then_some(number)
    }

    fn push(&mut self, key: K) {
        self.numbers.insert(key, self.written);
        self.written += 1;
    }
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            written: 0,
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct TraitKey<'v> {
    class_name: &'v str,
    sealed: Vec<&'v str>,
    dynamic: bool,
    externalizable: bool,
}

/// The levels of a value behind AMF0's marker `0x11`, which is a level of its own to the decoder.
pub(in crate::amf) const BEHIND_MARKER: u32 = Budget::MAX_DEPTH - 1;

impl<'v> Encoder<'v> {
    /// Begins a message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a top-level value.
    pub fn value(&mut self, out: &mut BytesMut, value: &'v Value) {
        self.value_at(out, value, Budget::MAX_DEPTH);
    }

    /// Appends a top-level value that may nest `depth` levels.
    pub(in crate::amf) fn value_at(&mut self, out: &mut BytesMut, value: &'v Value, depth: u32) {
        self.places.clear();
        self.write(out, value, depth);
    }

    fn write(&mut self, out: &mut BytesMut, value: &'v Value, depth: u32) {
        match value {
            Value::Undefined | Value::Unsupported | Value::MovieClip | Value::RecordSet => {
                out.put_u8(marker::UNDEFINED);
            }
            Value::Null => out.put_u8(marker::NULL),
            Value::Bool(false) => out.put_u8(marker::FALSE),
            Value::Bool(true) => out.put_u8(marker::TRUE),
            Value::Number(number) => write_number(out, *number),
            Value::String(text) => {
                out.put_u8(marker::STRING);
                self.string(out, text);
            }
            Value::Reference(index) => self.reference(out, *index),
            _ if depth == 0 => {
                self.skip(value);
                out.put_u8(marker::NULL);
            }
            _ => self.complex(out, value, depth - 1),
        }
    }

    fn complex(&mut self, out: &mut BytesMut, value: &'v Value, depth: u32) {
        match value {
            Value::Object(object) => self.object(out, object, depth),
            Value::StrictArray(items) => self.array(out, &[], items.iter(), depth),
            Value::EcmaArray(array) => {
                let dense = dense_length(&array.properties);
                let (items, associative) = array.properties.split_at(dense);
                self.array(
                    out,
                    associative,
                    items.iter().map(|(_, value)| value),
                    depth,
                );
            }
            Value::MixedArray(array) => {
                self.array(out, &array.associative, array.dense.iter(), depth);
            }
            Value::VectorObject(vector) => self.vector_object(out, vector, depth),
            Value::Dictionary(dictionary) => self.dictionary(out, dictionary, depth),
            Value::Externalizable(object) => self.externalizable(out, object, depth),
            _ => self.flat(out, value),
        }
    }

    fn flat(&mut self, out: &mut BytesMut, value: &Value) {
        match value {
            Value::Date(date) => {
                self.begin_complex(out, marker::DATE, 0);
                out.put_f64(date.milliseconds);
            }
            Value::XmlDocument(text) => self.blob(out, marker::XML_DOCUMENT, text.as_bytes()),
            Value::Xml(text) => self.blob(out, marker::XML, text.as_bytes()),
            Value::ByteArray(bytes) => self.blob(out, marker::BYTE_ARRAY, bytes),
            Value::VectorInt(vector) => {
                self.vector(out, marker::VECTOR_INT, vector, |out, n| out.put_i32(n));
            }
            Value::VectorUint(vector) => {
                self.vector(out, marker::VECTOR_UINT, vector, |out, n| out.put_u32(n));
            }
            Value::VectorDouble(vector) => {
                self.vector(out, marker::VECTOR_DOUBLE, vector, |out, n| out.put_f64(n));
            }
            _ => out.put_u8(marker::UNDEFINED),
        }
    }

    fn blob(&mut self, out: &mut BytesMut, marker: u8, bytes: &[u8]) {
        self.begin_complex(out, marker, bytes.len());
        out.put_slice(bytes);
    }

    fn vector<T: Copy>(
        &mut self,
        out: &mut BytesMut,
        marker: u8,
        vector: &Vector<T>,
        put: fn(&mut BytesMut, T),
    ) {
        self.begin_complex(out, marker, vector.items.len());
        out.put_u8(vector.fixed.into());
        for &item in &vector.items {
            put(out, item);
        }
    }

    fn vector_object(&mut self, out: &mut BytesMut, vector: &'v VectorObject, depth: u32) {
        self.begin_complex(out, marker::VECTOR_OBJECT, vector.items.len());
        out.put_u8(vector.fixed.into());
        self.string(out, &vector.class_name);
        for item in &vector.items {
            self.write(out, item, depth);
        }
    }

    fn dictionary(&mut self, out: &mut BytesMut, dictionary: &'v Dictionary, depth: u32) {
        self.begin_complex(out, marker::DICTIONARY, dictionary.entries.len());
        out.put_u8(dictionary.weak_keys.into());
        for (key, value) in &dictionary.entries {
            self.write(out, key, depth);
            self.write(out, value, depth);
        }
    }

    fn array(
        &mut self,
        out: &mut BytesMut,
        associative: &'v [(String, Value)],
        dense: impl ExactSizeIterator<Item = &'v Value>,
        depth: u32,
    ) {
        self.begin_complex(out, marker::ARRAY, dense.len());
        self.dynamic_members(out, associative, depth);
        for item in dense {
            self.write(out, item, depth);
        }
    }

    fn dynamic_members(&mut self, out: &mut BytesMut, members: &'v [(String, Value)], depth: u32) {
        for (name, value) in members {
            if name.is_empty() {
                self.skip(value);
                continue;
            }
            self.string(out, name);
            self.write(out, value, depth);
        }
        self.string(out, "");
    }

    fn object(&mut self, out: &mut BytesMut, object: &'v Object, depth: u32) {
        let (class_name, dynamic) = match &object.traits {
            None => ("", true),
            Some(traits) => (traits.class_name.as_str(), traits.dynamic),
        };
        let (sealed, members) = object.properties.split_at(object.sealed());
        let dynamic = dynamic || !members.is_empty();
        self.begin_object(
            out,
            TraitKey {
                class_name,
                sealed: sealed.iter().map(|(name, _)| name.as_str()).collect(),
                dynamic,
                externalizable: false,
            },
        );
        for (_, value) in sealed {
            self.write(out, value, depth);
        }
        if dynamic {
            self.dynamic_members(out, members, depth);
        }
    }

    fn externalizable(&mut self, out: &mut BytesMut, object: &'v Externalizable, depth: u32) {
        self.begin_object(
            out,
            TraitKey {
                class_name: &object.class_name,
                sealed: Vec::new(),
                dynamic: false,
                externalizable: true,
            },
        );
        match &object.body {
            ExternalBody::Value(value) => self.write(out, value, depth),
            ExternalBody::Opaque(bytes) => out.put_slice(bytes),
        }
    }

    /// Writes an object's marker and traits, in full or by reference.
    fn begin_object(&mut self, out: &mut BytesMut, key: TraitKey<'v>) {
        self.push_place(marker::OBJECT);
        out.put_u8(marker::OBJECT);
        let names = key.class_name.len() + key.sealed.iter().map(|name| name.len()).sum::<usize>();
        if let Some(index) = self.traits.find(&key, names, &mut self.allowance) {
            return write_u29(out, index << 2 | 0b01);
        }
        if key.externalizable {
            write_u29(out, 0b111);
        } else {
            let dynamic = u32::from(key.dynamic) << 3;
            write_u29(out, (key.sealed.len() as u32) << 4 | dynamic | 0b011);
        }
        self.string(out, key.class_name);
        for name in &key.sealed {
            self.string(out, name);
        }
        self.traits.push(key);
    }

    /// Writes a complex value's marker and its length or count.
    fn begin_complex(&mut self, out: &mut BytesMut, marker: u8, length: usize) {
        self.push_place(marker);
        out.put_u8(marker);
        write_length(out, length);
    }

    fn push_place(&mut self, marker: u8) {
        self.places.push(Some((marker, self.written)));
        self.written += 1;
    }

    /// Leaves a complex value out, with all values inside it.
    fn skip(&mut self, value: &'v Value) {
        if value.is_complex() {
            self.places.push(None);
            value.for_each_child(|child| self.skip(child));
        }
    }

    fn reference(&self, out: &mut BytesMut, index: u32) {
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| self.places.get(index).copied().flatten());
        match place {
            Some((marker, place)) => {
                out.put_u8(marker);
                write_u29(out, place << 1);
            }
            None => out.put_u8(marker::UNDEFINED),
        }
    }

    fn string(&mut self, out: &mut BytesMut, text: &'v str) {
        if text.is_empty() {
            return write_length(out, 0);
        }
        if let Some(index) = self.strings.find(&text, text.len(), &mut self.allowance) {
            return write_u29(out, index << 1);
        }
        self.strings.push(text);
        write_length(out, text.len());
        out.put_slice(text.as_bytes());
    }
}

/// The count of members, from the first, named 0, 1, 2 and so on.
fn dense_length(members: &[(String, Value)]) -> usize {
    members
        .iter()
        .enumerate()
        .take_while(|(index, (name, _))| *name == index.to_string())
        .count()
}

/// Writes a whole number that fits in 29 bits with its sign as an integer, as Flash does.
fn write_number(out: &mut BytesMut, number: f64) {
    const MIN: i32 = -(1 << 28);
    const MAX: i32 = (1 << 28) - 1;
    let integer = number as i32;
    let exact = f64::from(integer).to_bits() == number.to_bits();
    if exact && (MIN..=MAX).contains(&integer) {
        out.put_u8(marker::INTEGER);
        write_u29(out, integer.cast_unsigned() & U29_MAX);
    } else {
        out.put_u8(marker::DOUBLE);
        out.put_f64(number);
    }
}

/// Writes a length or count, marked as no reference.
fn write_length(out: &mut BytesMut, length: usize) {
    write_u29(out, (length as u32) << 1 | 1);
}

fn write_u29(out: &mut BytesMut, number: u32) {
    let number = number & U29_MAX;
    let seven = |shift: u32| (number >> shift) as u8 & 0x7F;
    match number {
        0..0x80 => out.put_u8(seven(0)),
        0x80..0x4000 => out.put_slice(&[seven(7) | 0x80, seven(0)]),
        0x4000..0x20_0000 => out.put_slice(&[seven(14) | 0x80, seven(7) | 0x80, seven(0)]),
        _ => out.put_slice(&[
            seven(22) | 0x80,
            seven(15) | 0x80,
            seven(8) | 0x80,
            number as u8,
        ]),
    }
}
