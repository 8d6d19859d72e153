//! AMF0, the encoding of commands, data messages and metadata.

mod decode;
mod encode;
pub(crate) mod marker;

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
