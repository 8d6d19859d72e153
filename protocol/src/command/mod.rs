//! The commands of NetConnection and NetStream, their answers, and data messages.

pub mod call;
pub mod connect;
pub mod data;
pub mod status;
pub mod stream;

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::amf::{self, Budget, Value, amf0};
use crate::{MessageType, TransactionId};

pub use crate::amf::ObjectEncoding;
pub use call::{
    close, error, on_bw_done, on_fc_publish, on_fc_subscribe, on_fc_unpublish, on_status, result,
};
pub use connect::Connect;
pub use data::DataMessage;
pub use status::{Level, Status};
pub use stream::{ArgumentError, NetStreamCommand};

/// A command message: a call, or the answer to one.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// The method's name; `_result` and `_error` are answers.
    pub name: String,
    /// The number that an answer shares with its call.
    pub transaction: TransactionId,
    /// The command object; null nearly everywhere but in connect.
    pub object: Value,
    /// The values behind the command object.
    pub arguments: Vec<Value>,
}

impl Command {
    /// A command with a null command object and no arguments.
    pub fn new(name: impl Into<String>, transaction: TransactionId) -> Self {
        Self {
            name: name.into(),
            transaction,
            object: Value::Null,
            arguments: Vec::new(),
        }
    }

    /// Sets the command object.
    #[must_use]
    pub fn with_object(mut self, object: impl Into<Value>) -> Self {
        self.object = object.into();
        self
    }

    /// Appends an argument.
    #[must_use]
    pub fn with(mut self, argument: impl Into<Value>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Decodes the payload of a message of type 20 or 17. A missing command object reads as null.
    pub fn decode(kind: MessageType, payload: &[u8]) -> Result<Self, Error> {
        let body = body(kind, payload)?;
        let mut decoder = amf0::Decoder::new(body, &Budget::default())?;
        let Some(Value::String(name)) = decoder.next_value()? else {
            return Err(Error::Name);
        };
        let Some(Value::Number(transaction)) = decoder.next_value()? else {
            return Err(Error::Transaction);
        };
        let object = decoder.next_value()?.unwrap_or(Value::Null);
        let mut arguments = Vec::new();
        while let Some(argument) = decoder.next_value()? {
            arguments.push(argument);
        }
        Ok(Self {
            name,
            transaction: TransactionId(transaction),
            object,
            arguments,
        })
    }

    /// The name and transaction id, borrowed from the payload, of which the rest is not read. None
    /// if they are missing or the name is not UTF-8.
    pub fn peek(kind: MessageType, payload: &[u8]) -> Option<(&str, TransactionId)> {
        let (name, rest) = peek_string(body(kind, payload).ok()?)?;
        let (&amf0::marker::NUMBER, rest) = rest.split_first()? else {
            return None;
        };
        let number = f64::from_be_bytes(*rest.first_chunk()?);
        Some((name, TransactionId(number)))
    }

    /// The message for a peer with this encoding: type 20, or 17 with a leading 0. connect and its
    /// answer are [`ObjectEncoding::Amf0`] for every peer.
    pub fn encode(&self, encoding: ObjectEncoding) -> (MessageType, Bytes) {
        let mut out = BytesMut::new();
        if encoding == ObjectEncoding::Amf3 {
            out.put_u8(AMF0_VALUES);
        }
        let name = Value::from(self.name.as_str());
        let transaction = Value::Number(self.transaction.0);
        let values = [&name, &transaction, &self.object];
        amf0::encode_all(
            &mut out,
            encoding,
            values.into_iter().chain(&self.arguments),
        );
        let kind = match encoding {
            ObjectEncoding::Amf0 => MessageType::COMMAND_AMF0,
            ObjectEncoding::Amf3 => MessageType::COMMAND_AMF3,
        };
        (kind, out.freeze())
    }
}

/// The reason for which a message is not a command or a data message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The message type is another one.
    Kind(MessageType),
    /// A message of type 15 or 17 does not begin with 0, which announces AMF0 values.
    Format,
    /// The payload does not begin with a name.
    Name,
    /// The name is not followed by a number.
    Transaction,
    /// A value is not AMF, or exceeds the budget.
    Amf(amf::Error),
}

impl From<amf::Error> for Error {
    fn from(error: amf::Error) -> Self {
        Self::Amf(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "message type {} holds no command or data", kind.0),
            Self::Format => f.write_str("AMF3 message does not begin with 0"),
            Self::Name => f.write_str("message does not begin with a name"),
            Self::Transaction => f.write_str("command has no transaction id"),
            Self::Amf(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Amf(error) => Some(error),
            _ => None,
        }
    }
}

/// The first byte of a message of type 15, 16 or 17: AMF0 values follow, with switches to AMF3.
pub(crate) const AMF0_VALUES: u8 = 0;

/// The AMF0 values of a command or data message.
fn body(kind: MessageType, payload: &[u8]) -> Result<&[u8], Error> {
    match kind {
        MessageType::COMMAND_AMF0 | MessageType::DATA_AMF0 => Ok(payload),
        MessageType::COMMAND_AMF3 | MessageType::DATA_AMF3 => match payload.split_first() {
            Some((&AMF0_VALUES, body)) => Ok(body),
            _ => Err(Error::Format),
        },
        _ => Err(Error::Kind(kind)),
    }
}

/// A short string at the start of AMF0 values, and the bytes behind it.
fn peek_string(body: &[u8]) -> Option<(&str, &[u8])> {
    let (&amf0::marker::STRING, rest) = body.split_first()? else {
        return None;
    };
    let (length, rest) = rest.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests;
