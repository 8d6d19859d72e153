use std::sync::Arc;

use bytes::Bytes;

use super::super::state::{
    DecoderState, ReferenceTable, ReferenceTarget, TraitDefinition, room_for_items, text,
};
use super::super::{
    Budget, Date, Dictionary, Error, ExternalBody, Externalizable, MixedArray, Object, Traits,
    Value, Vector, VectorObject,
};
use super::{ONE_VALUE_CLASSES, marker};

/// Decodes the values of one message in pure AMF3, one at a time.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    state: DecoderState<'a>,
}

impl<'a> Decoder<'a> {
    /// Begins a message; its reference tables are empty.
    pub fn new(input: &'a [u8], budget: &Budget) -> Result<Self, Error> {
        Ok(Self {
            state: DecoderState::new(input, budget)?,
        })
    }

    /// The next value, or none at the end of the message. After an error the decoder is no longer
    /// usable.
    pub fn next_value(&mut self) -> Result<Option<Value>, Error> {
        if self.state.is_empty() {
            return Ok(None);
        }
        self.value().map(Some)
    }

    /// The next value; an error at the end of the message.
    pub fn value(&mut self) -> Result<Value, Error> {
        self.state.begin_value();
        value(&mut self.state)
    }

    /// The count of bytes read.
    pub fn position(&self) -> usize {
        self.state.position()
    }

    /// Whether no bytes are left.
    pub fn is_empty(&self) -> bool {
        self.state.is_empty()
    }
}

/// One value with its marker.
pub(in crate::amf) fn value(state: &mut DecoderState<'_>) -> Result<Value, Error> {
    state.meter.element()?;
    let marker = state.u8()?;
    Ok(match marker {
        marker::UNDEFINED => Value::Undefined,
        marker::NULL => Value::Null,
        marker::FALSE => Value::Bool(false),
        marker::TRUE => Value::Bool(true),
        marker::INTEGER => Value::Number(integer(state)?),
        marker::DOUBLE => Value::Number(state.f64()?),
        marker::STRING => Value::String(text(string(state)?)),
        marker::XML_DOCUMENT..=marker::DICTIONARY => return complex(state, marker),
        _ => return Err(Error::UnknownMarker(marker)),
    })
}

/// A value with a number in the object table, or a reference to one.
fn complex(state: &mut DecoderState<'_>, marker: u8) -> Result<Value, Error> {
    let position = state.position();
    let header = u29(state)?;
    if header & 1 == 0 {
        return reference(state, header >> 1);
    }
    state.begin_complex(Some(ReferenceTable::Amf3), marker, position);
    state.meter.enter()?;
    let value = inline(state, marker, header >> 1);
    state.meter.leave();
    value
}

fn inline(state: &mut DecoderState<'_>, marker: u8, header: u32) -> Result<Value, Error> {
    match marker {
        marker::ARRAY => array(state, header),
        marker::OBJECT => object(state, header),
        marker::VECTOR_OBJECT => vector_object(state, header),
        marker::DICTIONARY => dictionary(state, header),
        marker::DATE => state.f64().map(|milliseconds| {
            Value::Date(Date {
                milliseconds,
                time_zone: 0,
            })
        }),
        _ => flat(state, marker, header as usize),
    }
}

/// Values that hold bytes or numbers only.
fn flat(state: &mut DecoderState<'_>, marker: u8, length: usize) -> Result<Value, Error> {
    Ok(match marker {
        marker::XML_DOCUMENT => Value::XmlDocument(text(state.bytes(length)?)),
        marker::XML => Value::Xml(text(state.bytes(length)?)),
        marker::BYTE_ARRAY => Value::ByteArray(Bytes::copy_from_slice(state.bytes(length)?)),
        marker::VECTOR_INT => Value::VectorInt(vector(state, length, i32::from_be_bytes)?),
        marker::VECTOR_UINT => Value::VectorUint(vector(state, length, u32::from_be_bytes)?),
        marker::VECTOR_DOUBLE => Value::VectorDouble(vector(state, length, f64::from_be_bytes)?),
        _ => return Err(Error::UnknownMarker(marker)),
    })
}

fn reference(state: &mut DecoderState<'_>, index: u32) -> Result<Value, Error> {
    match state.target(ReferenceTable::Amf3, index)? {
        ReferenceTarget::Here(index) => Ok(Value::Reference(index)),
        ReferenceTarget::Earlier(copy) => {
            let resume = state.begin_copy(&copy);
            let value = complex(state, copy.marker)?;
            state.end_copy(&copy, &resume)?;
            Ok(value)
        }
    }
}

fn array(state: &mut DecoderState<'_>, count: u32) -> Result<Value, Error> {
    let associative = dynamic_members(state, Vec::new())?;
    let dense = items(state, count)?;
    Ok(if associative.is_empty() {
        Value::StrictArray(dense)
    } else {
        Value::MixedArray(Box::new(MixedArray { associative, dense }))
    })
}

fn items(state: &mut DecoderState<'_>, count: u32) -> Result<Vec<Value>, Error> {
    check_count(state, count)?;
    let mut items = room_for_items(count);
    for _ in 0..count {
        items.push(value(state)?);
    }
    Ok(items)
}

/// Checks that `count` items of at least one byte fit the input, before anything is allocated.
fn check_count(state: &DecoderState<'_>, count: u32) -> Result<(), Error> {
    if count as usize > state.remaining() {
        return Err(Error::Truncated);
    }
    Ok(())
}

/// Names and values up to the empty name.
fn dynamic_members(
    state: &mut DecoderState<'_>,
    mut members: Vec<(String, Value)>,
) -> Result<Vec<(String, Value)>, Error> {
    loop {
        let name = string(state)?;
        if name.is_empty() {
            state.end_members(&members);
            return Ok(members);
        }
        if members.is_empty() {
            members = state.room_for_members();
        }
        let value = value(state)?;
        members.push((text(name), value));
    }
}

fn object(state: &mut DecoderState<'_>, header: u32) -> Result<Value, Error> {
    let definition = traits(state, header)?;
    if definition.externalizable {
        return externalizable(state, definition.class_name);
    }
    let mut properties = Vec::new();
    if !definition.sealed.is_empty() {
        properties = state.room_for_members();
    }
    for name in &definition.sealed {
        properties.push((text(name), value(state)?));
    }
    if definition.dynamic {
        properties = dynamic_members(state, properties)?;
    } else {
        state.end_members(&properties);
    }
    let plain =
        definition.class_name.is_empty() && definition.sealed.is_empty() && definition.dynamic;
    let traits = (!plain).then(|| {
        Box::new(Traits {
            class_name: text(definition.class_name),
            sealed: definition.sealed.len() as u32,
            dynamic: definition.dynamic,
        })
    });
    Ok(Value::Object(Object { properties, traits }))
}

fn traits<'a>(
    state: &mut DecoderState<'a>,
    header: u32,
) -> Result<Arc<TraitDefinition<'a>>, Error> {
    if header & 1 == 0 {
        let index = header >> 1;
        let definition = state
            .traits
            .get(index as usize)
            .ok_or(Error::BadReference(index))?
            .clone();
        state.meter.referenced(definition.names)?;
        return Ok(definition);
    }
    let definition = Arc::new(inline_traits(state, header >> 1)?);
    if state.is_first_reading() {
        state.traits.push(definition.clone());
    }
    Ok(definition)
}

fn inline_traits<'a>(
    state: &mut DecoderState<'a>,
    header: u32,
) -> Result<TraitDefinition<'a>, Error> {
    let class_name = string(state)?;
    let mut definition = TraitDefinition {
        class_name,
        names: class_name.len(),
        externalizable: header & 1 != 0,
        ..TraitDefinition::default()
    };
    if definition.externalizable {
        return Ok(definition);
    }
    definition.dynamic = header & 2 != 0;
    let sealed = header >> 2;
    check_count(state, sealed)?;
    for _ in 0..sealed {
        state.meter.element()?;
        let name = string(state)?;
        definition.names += name.len();
        definition.sealed.push(name);
    }
    Ok(definition)
}

fn externalizable(state: &mut DecoderState<'_>, class_name: &[u8]) -> Result<Value, Error> {
    let body = if ONE_VALUE_CLASSES.contains(&class_name) {
        ExternalBody::Value(value(state)?)
    } else if state.is_top_level() {
        let rest = state.remaining();
        ExternalBody::Opaque(Bytes::copy_from_slice(state.bytes(rest)?))
    } else {
        let class_name = text(class_name).into_boxed_str();
        return Err(Error::UnknownExternalizable(class_name));
    };
    Ok(Value::Externalizable(Box::new(Externalizable {
        class_name: text(class_name),
        body,
    })))
}

fn vector<T, const N: usize>(
    state: &mut DecoderState<'_>,
    count: usize,
    item: fn([u8; N]) -> T,
) -> Result<Vector<T>, Error> {
    let fixed = state.u8()? != 0;
    let length = count.checked_mul(N).ok_or(Error::Truncated)?;
    let (chunks, _) = state.bytes(length)?.as_chunks::<N>();
    let items = chunks.iter().map(|chunk| item(*chunk)).collect();
    Ok(Vector { fixed, items })
}

fn vector_object(state: &mut DecoderState<'_>, count: u32) -> Result<Value, Error> {
    let fixed = state.u8()? != 0;
    let class_name = text(string(state)?);
    let items = items(state, count)?;
    Ok(Value::VectorObject(Box::new(VectorObject {
        fixed,
        class_name,
        items,
    })))
}

fn dictionary(state: &mut DecoderState<'_>, count: u32) -> Result<Value, Error> {
    let weak_keys = state.u8()? != 0;
    check_count(state, count)?;
    let mut entries = Vec::new();
    for _ in 0..count {
        let key = value(state)?;
        entries.push((key, value(state)?));
    }
    Ok(Value::Dictionary(Dictionary { weak_keys, entries }))
}

/// Text, or a reference to text; the empty text is never in the table.
fn string<'a>(state: &mut DecoderState<'a>) -> Result<&'a [u8], Error> {
    let header = u29(state)?;
    let value = header >> 1;
    if header & 1 == 0 {
        let text = *state
            .strings
            .get(value as usize)
            .ok_or(Error::BadReference(value))?;
        state.meter.referenced(text.len())?;
        return Ok(text);
    }
    let text = state.bytes(value as usize)?;
    if !text.is_empty() && state.is_first_reading() {
        state.strings.push(text);
    }
    Ok(text)
}

/// A signed number of 29 bits.
fn integer(state: &mut DecoderState<'_>) -> Result<f64, Error> {
    let number = u29(state)?;
    let signed = (number << 3).cast_signed() >> 3;
    Ok(signed.into())
}

/// An unsigned number of 29 bits: seven in each of up to three bytes, eight in a fourth.
fn u29(state: &mut DecoderState<'_>) -> Result<u32, Error> {
    let mut number = 0;
    for _ in 0..3 {
        let byte = state.u8()?;
        number = number << 7 | u32::from(byte & 0x7F);
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Ok(number << 8 | u32::from(state.u8()?))
}
