//! The packet of AMF remoting: the body of type `application/x-amf`.
//!
//! ```text
//! u16 version   u16 headers   { name, u8 must understand, u32 length, value } ...
//!               u16 bodies    { target, response target, u32 length, value } ...
//! ```
//!
//! Names and targets are AMF0 strings without a marker, values AMF0 with marker 0x11 for AMF3.

use bytes::{BufMut, BytesMut};
use tributary_protocol::amf::{
    Budget, Error, ObjectEncoding, Value,
    amf0::{Decoder, Encoder},
};

/// One packet, request or response.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Packet {
    pub(crate) version: u16,
    pub(crate) headers: Vec<PacketHeader>,
    pub(crate) bodies: Vec<PacketBody>,
}

/// A header of a packet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PacketHeader {
    pub(crate) name: String,
    pub(crate) must_understand: bool,
    pub(crate) value: Value,
}

/// A call, or an answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PacketBody {
    /// `Service.method`, or `/1/onResult`.
    pub(crate) target: String,
    /// `/1`, or `null`.
    pub(crate) response: String,
    pub(crate) value: Value,
}

/// Headers of a packet, and bodies. Reason: more than a gateway ever sends; a count alone allocates
/// nothing.
pub(crate) const MAX_PARTS: u16 = 1024;

/// The length of a value whose length is not stated.
const UNKNOWN: u32 = u32::MAX;

impl Packet {
    /// The version in requests of Flash Media Server.
    pub(crate) const SERVER: u16 = 1;
    /// The version in requests of clients whose values are AMF3.
    pub(crate) const AMF3: u16 = 3;

    /// Reads a packet. Every part has its own reference tables; all parts share one budget.
    pub(crate) fn decode(input: &[u8]) -> Result<Self, PacketError> {
        let mut reader = Reader {
            input,
            at: 0,
            budget: Budget::default(),
        };
        let version = reader.u16()?;
        let mut headers = Vec::new();
        for _ in 0..reader.count()? {
            let name = reader.text()?;
            let must_understand = reader.u8()? != 0;
            let value = reader.value()?;
            headers.push(PacketHeader {
                name,
                must_understand,
                value,
            });
        }
        let mut bodies = Vec::new();
        for _ in 0..reader.count()? {
            let target = reader.text()?;
            let response = reader.text()?;
            let value = reader.value()?;
            bodies.push(PacketBody {
                target,
                response,
                value,
            });
        }
        Ok(Self {
            version,
            headers,
            bodies,
        })
    }

    /// Writes a packet; with [`ObjectEncoding::Amf3`], values that only AMF3 has as such.
    pub(crate) fn encode(&self, encoding: ObjectEncoding) -> BytesMut {
        let mut out = BytesMut::new();
        out.put_u16(self.version);
        out.put_u16(self.headers.len().try_into().unwrap_or(u16::MAX));
        for header in self.headers.iter().take(u16::MAX.into()) {
            put_text(&mut out, &header.name);
            out.put_u8(header.must_understand.into());
            put_value(&mut out, &header.value, encoding);
        }
        out.put_u16(self.bodies.len().try_into().unwrap_or(u16::MAX));
        for body in self.bodies.iter().take(u16::MAX.into()) {
            put_text(&mut out, &body.target);
            put_text(&mut out, &body.response);
            put_value(&mut out, &body.value, encoding);
        }
        out
    }
}

/// An error that makes a packet unreadable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PacketError {
    /// The packet ends too early.
    Truncated,
    /// The packet states more than [`MAX_PARTS`] parts.
    TooMany,
    /// A value is malformed.
    Value(Error),
}

impl std::fmt::Display for PacketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("the packet is truncated"),
            Self::TooMany => f.write_str("the packet states too many parts"),
            Self::Value(error) => write!(f, "a value of the packet is wrong: {error}"),
        }
    }
}

/// The arguments of a call as one value; references move with them.
pub(crate) fn arguments(mut arguments: Vec<Value>) -> Value {
    let mut before = 1;
    for argument in &mut arguments {
        argument.shift_references(before);
        before = before.saturating_add(complex_values(argument));
    }
    Value::StrictArray(arguments)
}

/// The number of complex values in a value, itself included. The depth is bounded, as that of every
/// value.
fn complex_values(value: &Value) -> u32 {
    if !value.is_complex() {
        return 0;
    }
    let mut count = 1u32;
    value.for_each_child(|child| count = count.saturating_add(complex_values(child)));
    count
}

fn put_text(out: &mut BytesMut, text: &str) {
    let mut end = text.len().min(u16::MAX.into());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    out.put_u16(text.len().try_into().unwrap_or(u16::MAX));
    out.put_slice(text.as_bytes());
}

fn put_value(out: &mut BytesMut, value: &Value, encoding: ObjectEncoding) {
    let mut bytes = BytesMut::new();
    Encoder::new(encoding).value(&mut bytes, value);
    out.put_u32(bytes.len().try_into().unwrap_or(UNKNOWN));
    out.put_slice(&bytes);
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    budget: Budget,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], PacketError> {
        let taken = self.rest().get(..count).ok_or(PacketError::Truncated)?;
        self.at += count;
        Ok(taken)
    }

    fn u8(&mut self) -> Result<u8, PacketError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    fn u16(&mut self) -> Result<u16, PacketError> {
        let bytes = self.take(2)?.try_into();
        Ok(u16::from_be_bytes(bytes.unwrap_or_default()))
    }

    fn count(&mut self) -> Result<u16, PacketError> {
        let count = self.u16()?;
        if count > MAX_PARTS {
            return Err(PacketError::TooMany);
        }
        Ok(count)
    }

    fn text(&mut self) -> Result<String, PacketError> {
        let length = self.u16()?;
        let bytes = self.take(length.into())?;
        Ok(String::from_utf8_lossy(bytes).into_owned())
    }

    /// Reads a value after its length. A length counts only if the value is shorter: some gateways
    /// state wrong ones.
    fn value(&mut self) -> Result<Value, PacketError> {
        let bytes = self.take(4)?.try_into();
        let length = u32::from_be_bytes(bytes.unwrap_or_default());
        let mut decoder = Decoder::new(self.rest(), &self.budget).map_err(PacketError::Value)?;
        let value = decoder.value().map_err(PacketError::Value)?;
        self.budget = decoder.budget_left();
        self.at += decoder.position();
        let padding = usize::try_from(length)
            .unwrap_or(usize::MAX)
            .saturating_sub(decoder.position());
        if length != UNKNOWN && padding > 0 {
            self.at = self.at.saturating_add(padding).min(self.input.len());
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tributary_protocol::amf::{EcmaArray, Object};

    use super::*;

    /// A call with a header, as a server sends it.
    const REQUEST: &[u8] = b"\x00\x01\x00\x01\x00\x0bCredentials\x01\x00\x00\x00\x12\
        \x03\x00\x06userid\x02\x00\x03bob\x00\x00\x09\
        \x00\x01\x00\x0aEcho.hello\x00\x02/1\x00\x00\x00\x0d\
        \x0a\x00\x00\x00\x01\x02\x00\x05world";

    fn request() -> Packet {
        Packet {
            version: Packet::SERVER,
            headers: vec![PacketHeader {
                name: "Credentials".to_owned(),
                must_understand: true,
                value: Object::new().with("userid", "bob").into(),
            }],
            bodies: vec![PacketBody {
                target: "Echo.hello".to_owned(),
                response: "/1".to_owned(),
                value: arguments(vec!["world".into()]),
            }],
        }
    }

    #[test]
    fn packets_are_written_and_read() {
        let encoded = request().encode(ObjectEncoding::Amf0);
        assert_eq!(encoded, REQUEST);
        assert_eq!(Packet::decode(REQUEST), Ok(request()));
    }

    #[test]
    fn lengths_may_be_unknown_or_wrong() {
        for length in [u32::MAX, 0, 3, 17] {
            let mut bytes = b"\x00\x00\x00\x00\x00\x01\x00\x0b/1/onResult\x00\x04null".to_vec();
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(b"\x02\x00\x02ok");
            let packet = Packet::decode(&bytes).unwrap();
            assert_eq!(packet.bodies[0].value, Value::from("ok"), "{length}");
        }
    }

    #[test]
    fn truncated_and_lying_packets_are_refused() {
        for end in 0..REQUEST.len() {
            assert!(Packet::decode(&REQUEST[..end]).is_err(), "{end}");
        }
        assert_eq!(
            Packet::decode(b"\x00\x00\xff\xff"),
            Err(PacketError::TooMany)
        );
    }

    #[test]
    fn amf3_values_go_out_as_such_if_asked_for() {
        let mut packet = request();
        let bytes = Value::ByteArray(bytes::Bytes::from_static(b"\x01\x02"));
        packet.bodies[0].value = arguments(vec![bytes]);
        let encoded = packet.encode(ObjectEncoding::Amf3);
        assert_eq!(Packet::decode(&encoded), Ok(packet));
    }

    #[test]
    fn references_stay_inside_their_argument() {
        // An object that holds itself, behind an array of two objects.
        let objects = vec![Object::new().into(), EcmaArray::default().into()];
        let cyclic = Object::new().with("me", Value::Reference(0));
        let value = arguments(vec![Value::StrictArray(objects), cyclic.into()]);
        let Value::StrictArray(moved) = &value else {
            panic!("{value:?}")
        };
        assert_eq!(moved[1].get("me"), Some(&Value::Reference(4)));
        let target = value.target(4).unwrap();
        assert_eq!(target.members().len(), 1);
    }

    proptest! {
        #[test]
        fn anything_is_decoded_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Packet::decode(&bytes);
        }

        #[test]
        fn changed_packets_are_decoded_without_a_panic(at in 0..REQUEST.len(), byte: u8) {
            let mut bytes = REQUEST.to_vec();
            bytes[at] = byte;
            let _ = Packet::decode(&bytes);
        }
    }
}
