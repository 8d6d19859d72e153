//! A slot's value in its encoded forms.

use std::fmt;

use bytes::{Bytes, BytesMut};

use crate::amf::{
    self, Budget, ObjectEncoding, Value,
    amf0::{self, Encoder},
};

/// One value, or those of one message, encoded for members of either encoding.
///
/// It is kept as bytes, which are sent and stored as they are, and are far smaller than the tree of
/// values. Most values need one form only, for members of both encodings.
#[derive(Clone, PartialEq, Eq)]
pub struct Encoded {
    /// AMF0, with AMF3 behind the marker `0x11` where AMF0 has no form.
    full: Bytes,
    /// The nearest AMF0 form, where `full` holds AMF3.
    nearest: Option<Bytes>,
}

impl Encoded {
    /// Encodes a value.
    pub fn new(value: &Value) -> Self {
        Self::list(std::slice::from_ref(value))
    }

    /// Encodes the values of one event.
    pub fn list(values: &[Value]) -> Self {
        let needs_amf3 = values.iter().any(amf::needs_amf3);
        Self {
            full: encode(values, ObjectEncoding::Amf3),
            nearest: needs_amf3.then(|| encode(values, ObjectEncoding::Amf0)),
        }
    }

    /// Takes the bytes of [`Self::full`] from a store or a message; `None` if they are not AMF.
    pub fn from_full(full: Bytes) -> Option<Self> {
        let values = amf0::decode_all(&full, &Budget::default()).ok()?;
        let nearest = values
            .iter()
            .any(amf::needs_amf3)
            .then(|| encode(&values, ObjectEncoding::Amf0));
        Some(Self { full, nearest })
    }

    /// The first value, in its AMF3 form.
    pub fn value(&self) -> Value {
        self.values().into_iter().next().unwrap_or(Value::Undefined)
    }

    /// The values, in their AMF3 forms.
    pub fn values(&self) -> Vec<Value> {
        // These bytes are this type's own encoding, of values within the budget.
        amf0::decode_all(&self.full, &Budget::default()).unwrap_or_default()
    }

    /// AMF0, with AMF3 behind the marker `0x11` where AMF0 has no form.
    pub fn full(&self) -> &Bytes {
        &self.full
    }

    /// The form for a member with this encoding.
    pub fn form(&self, encoding: ObjectEncoding) -> &Bytes {
        match (&self.nearest, encoding) {
            (Some(nearest), ObjectEncoding::Amf0) => nearest,
            _ => &self.full,
        }
    }

    /// Whether members of the two encodings receive different bytes.
    pub fn needs_amf3(&self) -> bool {
        self.nearest.is_some()
    }

    /// The bytes of the longer form.
    pub fn size(&self) -> usize {
        let nearest = self.nearest.as_ref().map_or(0, Bytes::len);
        nearest.max(self.full.len())
    }
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.values().as_slice() {
            [value] => value.fmt(f),
            values => values.fmt(f),
        }
    }
}

fn encode(values: &[Value], encoding: ObjectEncoding) -> Bytes {
    let mut out = BytesMut::new();
    let mut encoder = Encoder::new(encoding);
    for value in values {
        encoder.value(&mut out, value);
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amf::Object;

    #[test]
    fn one_form_serves_all_unless_amf3_is_needed() {
        for value in [
            Value::Null,
            Value::from("text"),
            Value::from(1.5),
            Value::Object(Object::new().with("a", 1.0)),
        ] {
            let encoded = Encoded::new(&value);
            assert!(!encoded.needs_amf3());
            assert_eq!(
                encoded.form(ObjectEncoding::Amf0),
                encoded.form(ObjectEncoding::Amf3)
            );
            assert_eq!(encoded.value(), value);
            assert_eq!(Encoded::from_full(encoded.full().clone()), Some(encoded));
        }
        let bytes = Value::ByteArray(Bytes::from_static(&[1, 2]));
        let encoded = Encoded::new(&bytes);
        assert!(encoded.needs_amf3());
        assert_eq!(encoded.value(), bytes);
        assert_eq!(encoded.full()[0], 0x11);
        assert_eq!(encoded.size(), 1 + 4 + 2 * 9);
        let nearest = amf0::decode_all(encoded.form(ObjectEncoding::Amf0), &Budget::default());
        let numbers = Value::StrictArray(vec![1.0.into(), 2.0.into()]);
        assert_eq!(nearest.unwrap(), [numbers]);
        assert_eq!(Encoded::from_full(encoded.full().clone()), Some(encoded));
    }

    #[test]
    fn what_is_no_amf_is_no_value() {
        assert_eq!(Encoded::from_full(Bytes::from_static(&[0x02, 0xff])), None);
    }
}
