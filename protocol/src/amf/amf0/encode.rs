use bytes::{BufMut, BytesMut};

use super::super::limits::Allowance;
use super::super::{Budget, EcmaArray, Object, ObjectEncoding, Value, amf3, needs_amf3};
use super::marker;

mod nearest;

/// Encodes the values of one message, one after the other: its reference table spans them.
///
/// A value nested deeper than [`Budget::MAX_DEPTH`] is written as null: decoders refuse it.
#[derive(Debug)]
pub struct Encoder<'v> {
    encoding: ObjectEncoding,
    amf3: amf3::Encoder<'v>,
    /// The count of complex values written.
    written: u32,
    /// For each complex value of the present top-level value: its number on the wire.
    places: Vec<Place<'v>>,
    pub(in crate::amf) allowance: Allowance,
}

/// The form of a reference to a complex value.
#[derive(Clone, Copy, Debug)]
enum Place<'v> {
    /// By its number on the wire.
    Number(u16),
    /// A second copy: dates and XML are not in AMF0's reference table.
    Again(&'v Value),
    /// None.
    Nowhere,
}

impl<'v> Encoder<'v> {
    /// Begins a message to a peer that asked for this encoding.
    pub fn new(encoding: ObjectEncoding) -> Self {
        Self {
            encoding,
            amf3: amf3::Encoder::new(),
            written: 0,
            places: Vec::new(),
            allowance: Allowance::default(),
        }
    }

    /// Appends a top-level value. For an AMF3 peer, a value with parts that only AMF3 has is
    /// written as AMF3 behind the marker `0x11`; for an AMF0 peer in the nearest AMF0 form.
    pub fn value(&mut self, out: &mut BytesMut, value: &'v Value) {
        if self.encoding == ObjectEncoding::Amf3 && needs_amf3(value) {
            return self.avm_plus(out, value);
        }
        self.places.clear();
        self.write(out, value, Budget::MAX_DEPTH);
    }

    /// Appends a top-level value as AMF3 behind the marker `0x11`.
    pub fn avm_plus(&mut self, out: &mut BytesMut, value: &'v Value) {
        out.put_u8(marker::AVM_PLUS);
        self.amf3.value_at(out, value, amf3::BEHIND_MARKER);
    }

    pub(in crate::amf) fn write(&mut self, out: &mut BytesMut, value: &'v Value, depth: u32) {
        match value {
            Value::Undefined => out.put_u8(marker::UNDEFINED),
            Value::Null => out.put_u8(marker::NULL),
            Value::Bool(bool) => out.put_slice(&[marker::BOOLEAN, u8::from(*bool)]),
            Value::Number(number) => write_number(out, *number),
            Value::String(text) => write_string(out, text),
            Value::Unsupported => out.put_u8(marker::UNSUPPORTED),
            Value::MovieClip => out.put_u8(marker::MOVIE_CLIP),
            Value::RecordSet => out.put_u8(marker::RECORD_SET),
            Value::Reference(index) => self.reference(out, *index),
            Value::Date(_) | Value::XmlDocument(_) | Value::Xml(_) => {
                self.places.push(Place::Again(value));
                write_leaf(out, value);
            }
            _ if depth == 0 => {
                self.skip(value);
                out.put_u8(marker::NULL);
            }
            Value::Object(object) => self.object(out, object, depth - 1),
            Value::EcmaArray(array) => self.ecma_array(out, array, depth - 1),
            Value::StrictArray(items) => self.strict_array(out, items, depth - 1),
            _ => nearest::write(self, out, value, depth),
        }
    }

    fn object(&mut self, out: &mut BytesMut, object: &'v Object, depth: u32) {
        self.begin_complex();
        match object.class_name() {
            None => out.put_u8(marker::OBJECT),
            Some(class_name) => {
                out.put_u8(marker::TYPED_OBJECT);
                write_key(out, class_name);
            }
        }
        self.properties(out, &object.properties, depth);
    }

    fn ecma_array(&mut self, out: &mut BytesMut, array: &'v EcmaArray, depth: u32) {
        self.begin_complex();
        out.put_u8(marker::ECMA_ARRAY);
        out.put_u32(array.declared);
        self.properties(out, &array.properties, depth);
    }

    pub(in crate::amf) fn strict_array(
        &mut self,
        out: &mut BytesMut,
        items: &'v [Value],
        depth: u32,
    ) {
        self.begin_complex();
        out.put_u8(marker::STRICT_ARRAY);
        out.put_u32(items.len() as u32);
        for item in items {
            self.write(out, item, depth);
        }
    }

    fn properties(&mut self, out: &mut BytesMut, properties: &'v [(String, Value)], depth: u32) {
        for (name, value) in properties {
            self.property(out, name, value, depth);
        }
        end_object(out);
    }

    pub(in crate::amf) fn property(
        &mut self,
        out: &mut BytesMut,
        name: &str,
        value: &'v Value,
        depth: u32,
    ) {
        write_key(out, name);
        self.write(out, value, depth);
    }

    /// Begins a complex value with a number in AMF0's reference table.
    pub(in crate::amf) fn begin_complex(&mut self) {
        self.places.push(self.next_place());
        self.written = self.written.saturating_add(1);
    }

    /// Begins a complex value in whose place the value inside it is written. Until its end it has
    /// the number of the next complex value, if it `has_members` that may refer to it.
    pub(in crate::amf) fn begin_alias(&mut self, has_members: bool) -> usize {
        self.places.push(if has_members {
            self.next_place()
        } else {
            Place::Nowhere
        });
        self.places.len()
    }

    /// Ends it: from here on it has the number of the value written for it, if that is complex.
    pub(in crate::amf) fn end_alias(&mut self, inner: usize) {
        self.places[inner - 1] = self.places.get(inner).copied().unwrap_or(Place::Nowhere);
    }

    fn next_place(&self) -> Place<'v> {
        u16::try_from(self.written).map_or(Place::Nowhere, Place::Number)
    }

    /// Leaves a complex value out, with all values inside it.
    pub(in crate::amf) fn skip(&mut self, value: &'v Value) {
        if value.is_complex() {
            self.places.push(Place::Nowhere);
            value.for_each_child(|child| self.skip(child));
        }
    }

    /// A target that AMF0 cannot refer to (the 65,537th object, a value left out) becomes
    /// undefined.
    fn reference(&mut self, out: &mut BytesMut, index: u32) {
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| self.places.get(index).copied());
        match place {
            Some(Place::Number(place)) => {
                out.put_u8(marker::REFERENCE);
                out.put_u16(place);
            }
            Some(Place::Again(leaf)) if self.allowance.take(leaf_length(leaf)) => {
                write_leaf(out, leaf);
            }
            _ => out.put_u8(marker::UNDEFINED),
        }
    }
}

/// A date or XML.
fn write_leaf(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Date(date) => {
            out.put_u8(marker::DATE);
            out.put_f64(date.milliseconds);
            out.put_i16(date.time_zone);
        }
        Value::XmlDocument(text) | Value::Xml(text) => {
            out.put_u8(marker::XML_DOCUMENT);
            write_long(out, text);
        }
        _ => out.put_u8(marker::UNDEFINED),
    }
}

fn leaf_length(value: &Value) -> usize {
    match value {
        Value::XmlDocument(text) | Value::Xml(text) => text.len() + 5,
        _ => 11,
    }
}

/// The bytes of a number with its marker.
pub(in crate::amf) const NUMBER_LENGTH: usize = 9;

pub(in crate::amf) fn write_number(out: &mut BytesMut, number: f64) {
    out.put_u8(marker::NUMBER);
    out.put_f64(number);
}

pub(in crate::amf) fn end_object(out: &mut BytesMut) {
    out.put_slice(&[0, 0, marker::OBJECT_END]);
}

fn write_string(out: &mut BytesMut, text: &str) {
    match u16::try_from(text.len()) {
        Ok(length) => {
            out.put_u8(marker::STRING);
            out.put_u16(length);
            out.put_slice(text.as_bytes());
        }
        Err(_) => {
            out.put_u8(marker::LONG_STRING);
            write_long(out, text);
        }
    }
}

fn write_long(out: &mut BytesMut, text: &str) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    out.put_u32(length);
    out.put_slice(&text.as_bytes()[..length as usize]);
}

/// A name has 16 bits for its length: the encoder cuts a longer one at a character.
pub(crate) fn write_key(out: &mut BytesMut, name: &str) {
    let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
    out.put_u16(name.len() as u16);
    out.put_slice(name.as_bytes());
}
