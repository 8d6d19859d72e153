//! AMF0, the encoding of commands, data messages and metadata.

mod decode;
pub(super) mod encode;

use bytes::BytesMut;

use super::{Budget, Error, ObjectEncoding, Value};

pub use decode::Decoder;
pub use encode::Encoder;
pub(crate) use encode::write_key as write_bare_string;

/// Decodes all values of a message.
pub fn decode_all(input: &[u8], budget: &Budget) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(input, budget)?;
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

/// Appends one value on its own, in the nearest AMF0 form if AMF0 has none of its own.
pub fn encode(out: &mut BytesMut, value: &Value) {
    Encoder::new(ObjectEncoding::Amf0).value(out, value);
}

/// Appends the values of a message.
pub fn encode_all<'v>(
    out: &mut BytesMut,
    encoding: ObjectEncoding,
    values: impl IntoIterator<Item = &'v Value>,
) {
    let mut encoder = Encoder::new(encoding);
    for value in values {
        encoder.value(out, value);
    }
}

/// The markers of AMF0 (AMF0 specification, 2.1).
pub(crate) mod marker {
    pub(crate) const NUMBER: u8 = 0x00;
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const STRING: u8 = 0x02;
    pub(crate) const OBJECT: u8 = 0x03;
    pub(crate) const MOVIE_CLIP: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const UNDEFINED: u8 = 0x06;
    pub(crate) const REFERENCE: u8 = 0x07;
    pub(crate) const ECMA_ARRAY: u8 = 0x08;
    pub(crate) const OBJECT_END: u8 = 0x09;
    pub(crate) const STRICT_ARRAY: u8 = 0x0A;
    pub(crate) const DATE: u8 = 0x0B;
    pub(crate) const LONG_STRING: u8 = 0x0C;
    pub(crate) const UNSUPPORTED: u8 = 0x0D;
    pub(crate) const RECORD_SET: u8 = 0x0E;
    pub(crate) const XML_DOCUMENT: u8 = 0x0F;
    pub(crate) const TYPED_OBJECT: u8 = 0x10;
    pub(crate) const AVM_PLUS: u8 = 0x11;
}
