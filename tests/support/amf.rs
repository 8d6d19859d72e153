//! AMF0 for tests and load.

use super::be32;

/// The AMF0 values of the tests.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Amf {
    Number(f64),
    Bool(bool),
    String(String),
    Object(Vec<(String, Self)>),
    Null,
    Undefined,
    List(Vec<Self>),
}

impl Amf {
    pub(crate) fn encode_all(values: &[Self]) -> Vec<u8> {
        let mut out = Vec::new();
        for value in values {
            value.encode(&mut out);
        }
        out
    }

    pub(crate) fn decode_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut values = Vec::new();
        while let Some(value) = Self::decode(&mut bytes) {
            values.push(value);
        }
        values
    }

    /// A property of an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => fields
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Number(number) => {
                out.push(0);
                out.extend_from_slice(&number.to_be_bytes());
            }
            Self::Bool(value) => out.extend([1, u8::from(*value)]),
            Self::String(text) if text.len() > 0xffff => {
                out.push(12);
                out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            Self::String(text) => {
                out.push(2);
                encode_key(out, text);
            }
            Self::Object(fields) => {
                out.push(3);
                for (key, value) in fields {
                    encode_key(out, key);
                    value.encode(out);
                }
                out.extend([0, 0, 9]);
            }
            Self::Null => out.push(5),
            Self::Undefined => out.push(6),
            Self::List(values) => {
                out.push(10);
                out.extend_from_slice(&(values.len() as u32).to_be_bytes());
                for value in values {
                    value.encode(out);
                }
            }
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let marker = take(bytes, 1)?[0];
        Some(match marker {
            0 => Self::Number(f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?)),
            1 => Self::Bool(take(bytes, 1)?[0] != 0),
            2 => Self::String(decode_key(bytes)?),
            3 => Self::Object(decode_fields(bytes)?),
            5 => Self::Null,
            6 => Self::Undefined,
            8 => {
                take(bytes, 4)?;
                Self::Object(decode_fields(bytes)?)
            }
            10 => {
                let count = be32(take(bytes, 4)?);
                let mut values = Vec::new();
                for _ in 0..count {
                    values.push(Self::decode(bytes)?);
                }
                Self::List(values)
            }
            11 => {
                let millis = f64::from_be_bytes(take(bytes, 8)?.try_into().ok()?);
                take(bytes, 2)?;
                Self::Number(millis)
            }
            12 => {
                let length = be32(take(bytes, 4)?) as usize;
                Self::String(String::from_utf8_lossy(take(bytes, length)?).into_owned())
            }
            _ => return None,
        })
    }
}

impl From<&str> for Amf {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<f64> for Amf {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

fn encode_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(key.as_bytes());
}

fn decode_key(bytes: &mut &[u8]) -> Option<String> {
    let length = take(bytes, 2)?;
    let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
    Some(String::from_utf8_lossy(take(bytes, length)?).into_owned())
}

fn decode_fields(bytes: &mut &[u8]) -> Option<Vec<(String, Amf)>> {
    let mut fields = Vec::new();
    loop {
        if bytes.starts_with(&[0, 0, 9]) {
            take(bytes, 3)?;
            return Some(fields);
        }
        let key = decode_key(bytes)?;
        fields.push((key, Amf::decode(bytes)?));
    }
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}
