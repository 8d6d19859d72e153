use super::super::state::{DecoderState, ReferenceTable, ReferenceTarget, room_for_items, text};
use super::super::{Budget, Date, EcmaArray, Error, Object, Traits, Value, amf3};
use super::marker;

/// Decodes the values of one message, one at a time.
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

    /// Text with its length in 16 bits and no marker, as in shared-object messages.
    pub fn bare_string(&mut self) -> Result<String, Error> {
        key(&mut self.state).map(text)
    }

    /// A 32-bit number without a marker.
    pub(crate) fn bare_u32(&mut self) -> Result<u32, Error> {
        self.state.u32()
    }

    /// The rest of the budget, for a message whose values are decoded in several parts.
    pub fn budget_left(&self) -> Budget {
        self.state.meter.left()
    }

    /// Whether a value so far was, or held, AMF3.
    pub fn has_amf3(&self) -> bool {
        self.state.has_amf3
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
    let marker = state.u8()?;
    body(state, marker)
}

/// The value behind a marker.
fn body(state: &mut DecoderState<'_>, marker: u8) -> Result<Value, Error> {
    state.meter.element()?;
    Ok(match marker {
        marker::NUMBER => Value::Number(state.f64()?),
        marker::BOOLEAN => Value::Bool(state.u8()? != 0),
        marker::STRING => Value::String(text(key(state)?)),
        marker::LONG_STRING => Value::String(long_text(state)?),
        marker::NULL => Value::Null,
        marker::UNDEFINED => Value::Undefined,
        marker::UNSUPPORTED => Value::Unsupported,
        marker::MOVIE_CLIP => Value::MovieClip,
        marker::RECORD_SET => Value::RecordSet,
        marker::OBJECT_END => return Err(Error::UnexpectedObjectEnd),
        marker::DATE | marker::XML_DOCUMENT => return leaf(state, marker),
        marker::REFERENCE => return reference(state),
        marker::OBJECT
        | marker::ECMA_ARRAY
        | marker::STRICT_ARRAY
        | marker::TYPED_OBJECT
        | marker::AVM_PLUS => return nested(state, marker),
        _ => return Err(Error::UnknownMarker(marker)),
    })
}

fn nested(state: &mut DecoderState<'_>, marker: u8) -> Result<Value, Error> {
    state.meter.enter()?;
    let value = match marker {
        marker::OBJECT => {
            begin(state, marker);
            properties(state).map(|properties| object(properties, None))
        }
        marker::TYPED_OBJECT => typed_object(state),
        marker::ECMA_ARRAY => ecma_array(state),
        marker::STRICT_ARRAY => strict_array(state),
        _ => {
            state.has_amf3 = true;
            amf3::decode_value(state)
        }
    };
    state.meter.leave();
    value
}

fn begin(state: &mut DecoderState<'_>, marker: u8) {
    let position = state.position();
    state.begin_complex(Some(ReferenceTable::Amf0), marker, position);
}

fn object(properties: Vec<(String, Value)>, traits: Option<Box<Traits>>) -> Value {
    Value::Object(Object { properties, traits })
}

fn typed_object(state: &mut DecoderState<'_>) -> Result<Value, Error> {
    begin(state, marker::TYPED_OBJECT);
    let class_name = text(key(state)?);
    let traits = Traits {
        class_name,
        sealed: 0,
        dynamic: true,
    };
    Ok(object(properties(state)?, Some(Box::new(traits))))
}

fn ecma_array(state: &mut DecoderState<'_>) -> Result<Value, Error> {
    begin(state, marker::ECMA_ARRAY);
    let declared = state.u32()?;
    let properties = properties(state)?;
    Ok(Value::EcmaArray(EcmaArray {
        properties,
        declared,
    }))
}

fn strict_array(state: &mut DecoderState<'_>) -> Result<Value, Error> {
    begin(state, marker::STRICT_ARRAY);
    let count = state.u32()?;
    // Each item has at least its marker: the decoder refuses a higher count before it allocates.
    if usize::try_from(count).map_or(true, |count| count > state.remaining()) {
        return Err(Error::Truncated);
    }
    let mut items = room_for_items(count);
    for _ in 0..count {
        items.push(value(state)?);
    }
    Ok(Value::StrictArray(items))
}

fn properties(state: &mut DecoderState<'_>) -> Result<Vec<(String, Value)>, Error> {
    let mut properties = Vec::new();
    loop {
        let name = key(state)?;
        let marker = state.u8()?;
        if name.is_empty() && marker == marker::OBJECT_END {
            state.end_members(&properties);
            return Ok(properties);
        }
        if properties.is_empty() {
            properties = state.room_for_members();
        }
        let value = body(state, marker)?;
        properties.push((text(name), value));
    }
}

fn leaf(state: &mut DecoderState<'_>, marker: u8) -> Result<Value, Error> {
    let position = state.position();
    state.begin_complex(None, marker, position);
    if marker == marker::XML_DOCUMENT {
        return long_text(state).map(Value::XmlDocument);
    }
    let milliseconds = state.f64()?;
    let time_zone = state.array().map(i16::from_be_bytes)?;
    Ok(Value::Date(Date {
        milliseconds,
        time_zone,
    }))
}

fn reference(state: &mut DecoderState<'_>) -> Result<Value, Error> {
    let index = state.u16()?;
    match state.target(ReferenceTable::Amf0, index.into())? {
        ReferenceTarget::Here(index) => Ok(Value::Reference(index)),
        ReferenceTarget::Earlier(copy) => {
            let resume = state.begin_copy(&copy);
            let value = nested(state, copy.marker)?;
            state.end_copy(&copy, &resume)?;
            Ok(value)
        }
    }
}

/// The bytes of a text with its length in 16 bits.
fn key<'a>(state: &mut DecoderState<'a>) -> Result<&'a [u8], Error> {
    let length = state.u16()?;
    state.bytes(length.into())
}

fn long_text(state: &mut DecoderState<'_>) -> Result<String, Error> {
    let length = state.u32()?;
    let length = usize::try_from(length).map_err(|_| Error::Truncated)?;
    state.bytes(length).map(text)
}
