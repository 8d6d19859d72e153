//! Messages of shared objects, byte by byte, without the product's code.

use super::wire::{self, Message};

/// The flags of a persistent object, and of a temporary one.
pub(crate) const PERSISTENT: u32 = 2;
pub(crate) const TEMPORARY: u32 = 0;

/// The content of a server's message.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) version: u32,
    /// The type and data of each event.
    pub(crate) events: Vec<(u8, Vec<u8>)>,
}

impl Told {
    /// Reads a message of type 19.
    pub(crate) fn read(message: &Message) -> Option<Self> {
        if message.header.kind != wire::SHARED_OBJECT_AMF0 {
            return None;
        }
        let (name, rest) = slot(&message.payload);
        let version = u32::from_be_bytes(rest[..4].try_into().expect("a version"));
        let mut rest = &rest[12..];
        let mut events = Vec::new();
        while let [kind, length @ ..] = rest {
            let (length, data) = length.split_at(4);
            let length = u32::from_be_bytes(length.try_into().expect("a length")) as usize;
            events.push((*kind, data[..length].to_vec()));
            rest = &data[length..];
        }
        Some(Self {
            name,
            version,
            events,
        })
    }

    /// The code of its first status.
    pub(crate) fn status(&self) -> Option<String> {
        let (_, data) = self.events.iter().find(|(kind, _)| *kind == 7)?;
        Some(slot(data).0)
    }
}

/// A client's message.
pub(crate) fn message(name: &str, version: u32, flags: u32, events: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend_from_slice(&version.to_be_bytes());
    bytes.extend_from_slice(&flags.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for (kind, data) in events {
        bytes.push(*kind);
        bytes.extend_from_slice(&(data.len() as u32).to_be_bytes());
        bytes.extend_from_slice(data);
    }
    bytes
}

/// The data of a request to change a slot to a number.
pub(crate) fn change(slot: &str, value: f64) -> Vec<u8> {
    let mut data = text(slot);
    data.push(0);
    data.extend_from_slice(&value.to_be_bytes());
    data
}

/// The slot of an event, and the bytes that follow its name.
pub(crate) fn slot(data: &[u8]) -> (String, &[u8]) {
    let length = usize::from(u16::from_be_bytes([data[0], data[1]]));
    let (name, rest) = data[2..].split_at(length);
    (String::from_utf8_lossy(name).into_owned(), rest)
}

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
