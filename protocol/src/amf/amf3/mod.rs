//! AMF3, the encoding of ActionScript 3.

mod decode;
mod encode;

use bytes::BytesMut;

use super::{Budget, Error, Value};

pub use decode::Decoder;
pub(super) use decode::value as decode_value;
pub(super) use encode::BEHIND_MARKER;
pub use encode::Encoder;

/// Decodes all values of a message in pure AMF3.
pub fn decode_all(input: &[u8], budget: &Budget) -> Result<Vec<Value>, Error> {
    let mut decoder = Decoder::new(input, budget)?;
    let mut values = Vec::new();
    while let Some(value) = decoder.next_value()? {
        values.push(value);
    }
    Ok(values)
}

/// Appends one value on its own.
pub fn encode(out: &mut BytesMut, value: &Value) {
    Encoder::new().value(out, value);
}

/// Appends the values of a message in pure AMF3.
pub fn encode_all<'v>(out: &mut BytesMut, values: impl IntoIterator<Item = &'v Value>) {
    let mut encoder = Encoder::new();
    for value in values {
        encoder.value(out, value);
    }
}

/// Externalizable classes of Flex whose body is one AMF3 value.
const ONE_VALUE_CLASSES: [&[u8]; 3] = [
    b"flex.messaging.io.ArrayCollection",
    b"flex.messaging.io.ArrayList",
    b"flex.messaging.io.ObjectProxy",
];

/// The largest number of 29 bits.
const U29_MAX: u32 = (1 << 29) - 1;

/// The markers of AMF3 (AMF3 specification, 3.1).
mod marker {
    pub(super) const UNDEFINED: u8 = 0x00;
    pub(super) const NULL: u8 = 0x01;
    pub(super) const FALSE: u8 = 0x02;
    pub(super) const TRUE: u8 = 0x03;
    pub(super) const INTEGER: u8 = 0x04;
    pub(super) const DOUBLE: u8 = 0x05;
    pub(super) const STRING: u8 = 0x06;
    pub(super) const XML_DOCUMENT: u8 = 0x07;
    pub(super) const DATE: u8 = 0x08;
    pub(super) const ARRAY: u8 = 0x09;
    pub(super) const OBJECT: u8 = 0x0A;
    pub(super) const XML: u8 = 0x0B;
    pub(super) const BYTE_ARRAY: u8 = 0x0C;
    pub(super) const VECTOR_INT: u8 = 0x0D;
    pub(super) const VECTOR_UINT: u8 = 0x0E;
    pub(super) const VECTOR_DOUBLE: u8 = 0x0F;
    pub(super) const VECTOR_OBJECT: u8 = 0x10;
    pub(super) const DICTIONARY: u8 = 0x11;
}
