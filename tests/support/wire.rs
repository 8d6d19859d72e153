//! RTMP on the wire for tests and load alone. It shares no code with the product, so that a mistake
//! there is not repeated here.
//!
//! The parser hands out payloads piece by piece and keeps only the first bytes of each message, as
//! many as a load generator needs; [`Assembler`] keeps whole messages.

use std::collections::VecDeque;

#[path = "amf.rs"]
mod amf;

pub(crate) use amf::Amf;

/// The fields of a message in its chunk headers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) csid: u32,
    pub(crate) kind: u8,
    pub(crate) stream: u32,
    pub(crate) timestamp: u32,
    pub(crate) length: u32,
}

/// Takes the messages that [`Parser`] finds.
pub(crate) trait Sink {
    /// Some bytes of a message's payload.
    fn piece(&mut self, _header: &Header, _bytes: &[u8]) {}

    /// A message is complete; `prefix` is the beginning of its payload, at most [`PREFIX`] bytes.
    fn complete(&mut self, header: &Header, prefix: &[u8]);
}

/// Reads chunks. It trusts its peer, the server under test.
#[derive(Debug)]
pub(crate) struct Parser {
    chunk_size: u32,
    slots: Vec<Slot>,
    head: [u8; 18],
    head_len: usize,
    body: Option<Body>,
}

#[derive(Debug)]
struct Slot {
    header: Header,
    delta: u32,
    extended: bool,
    left: u32,
    prefix: [u8; PREFIX],
    prefix_len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Body {
    slot: usize,
    chunk_left: u32,
}

impl Parser {
    pub(crate) fn new() -> Self {
        Self {
            chunk_size: 128,
            slots: Vec::new(),
            head: [0; 18],
            head_len: 0,
            body: None,
        }
    }

    /// Takes all of `input`.
    pub(crate) fn feed(&mut self, mut input: &[u8], sink: &mut impl Sink) {
        loop {
            if let Some(body) = self.body {
                if input.is_empty() && body.chunk_left > 0 {
                    return;
                }
                input = self.take_body(body, input, sink);
            } else {
                let Some((&byte, rest)) = input.split_first() else {
                    return;
                };
                self.head[self.head_len] = byte;
                self.head_len += 1;
                input = rest;
                if self.head_len >= self.header_len() {
                    self.begin_chunk();
                }
            }
        }
    }

    fn take_body<'a>(&mut self, body: Body, input: &'a [u8], sink: &mut impl Sink) -> &'a [u8] {
        let slot = &mut self.slots[body.slot];
        let count = input.len().min(body.chunk_left as usize);
        let (bytes, rest) = input.split_at(count);
        if count > 0 {
            let room = (PREFIX - slot.prefix_len).min(count);
            slot.prefix[slot.prefix_len..][..room].copy_from_slice(&bytes[..room]);
            slot.prefix_len += room;
            slot.left -= count as u32;
            sink.piece(&slot.header, bytes);
        }
        let chunk_left = body.chunk_left - count as u32;
        if chunk_left > 0 {
            self.body = Some(Body { chunk_left, ..body });
            return rest;
        }
        self.body = None;
        if slot.left == 0 {
            let prefix = &slot.prefix[..slot.prefix_len];
            if slot.header.kind == SET_CHUNK_SIZE && prefix.len() >= 4 {
                self.chunk_size = be32(prefix).max(1);
            }
            sink.complete(&slot.header, prefix);
            slot.prefix_len = 0;
        }
        rest
    }

    /// The number of header bytes of this chunk, by the bytes so far.
    fn header_len(&self) -> usize {
        let head = &self.head[..self.head_len];
        let basic = match head[0] & 0x3f {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        if head.len() < basic {
            return basic;
        }
        let message = [11, 7, 3, 0][usize::from(head[0] >> 6)];
        if head.len() < basic + message {
            return basic + message;
        }
        let extended = if message == 0 {
            let csid = self.csid();
            self.slots
                .iter()
                .any(|slot| slot.header.csid == csid && slot.extended)
        } else {
            be24(&head[basic..]) == EXTENDED
        };
        basic + message + if extended { 4 } else { 0 }
    }

    fn csid(&self) -> u32 {
        match self.head[0] & 0x3f {
            0 => u32::from(self.head[1]) + 64,
            1 => u32::from(self.head[1]) + u32::from(self.head[2]) * 256 + 64,
            small => u32::from(small),
        }
    }

    fn begin_chunk(&mut self) {
        let csid = self.csid();
        let head = &self.head[..self.head_len];
        let format = head[0] >> 6;
        let basic = match head[0] & 0x3f {
            0 => 2,
            1 => 3,
            _ => 1,
        };
        let fields = &head[basic..];
        let index = match self.slots.iter().position(|slot| slot.header.csid == csid) {
            Some(index) => index,
            None => {
                self.slots.push(Slot::new(csid));
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[index];
        if format < 3 {
            slot.extended = be24(fields) == EXTENDED;
        }
        let time = match (slot.extended, format) {
            (true, _) => be32(&head[head.len() - 4..]),
            (false, 3) => slot.delta,
            (false, _) => be24(fields),
        };
        if format < 2 {
            slot.header.length = be24(&fields[3..]);
            slot.header.kind = fields[6];
        }
        if format == 0 {
            slot.header.stream = u32::from_le_bytes([fields[7], fields[8], fields[9], fields[10]]);
            slot.header.timestamp = time;
            slot.delta = 0;
            slot.left = slot.header.length;
        } else if slot.left == 0 {
            if format < 3 {
                slot.delta = time;
            }
            slot.header.timestamp = slot.header.timestamp.wrapping_add(slot.delta);
            slot.left = slot.header.length;
        }
        self.body = Some(Body {
            slot: index,
            chunk_left: slot.left.min(self.chunk_size),
        });
        self.head_len = 0;
    }
}

impl Slot {
    fn new(csid: u32) -> Self {
        Self {
            header: Header {
                csid,
                ..Header::default()
            },
            delta: 0,
            extended: false,
            left: 0,
            prefix: [0; PREFIX],
            prefix_len: 0,
        }
    }
}

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Message {
    /// The AMF0 values of a command or data message; unreadable ones are left out.
    pub(crate) fn values(&self) -> Vec<Amf> {
        let bytes = match self.header.kind {
            COMMAND_AMF3 | DATA_AMF3 => self.payload.get(1..).unwrap_or_default(),
            _ => &self.payload,
        };
        Amf::decode_all(bytes)
    }

    /// The name of a command or data message.
    pub(crate) fn name(&self) -> Option<String> {
        if !matches!(
            self.header.kind,
            COMMAND_AMF0 | COMMAND_AMF3 | DATA_AMF0 | DATA_AMF3
        ) {
            return None;
        }
        match self.values().first() {
            Some(Amf::String(name)) => Some(name.clone()),
            _ => None,
        }
    }

    /// The `code` of the information object of an answer or an onStatus.
    pub(crate) fn code(&self) -> Option<String> {
        self.values()
            .iter()
            .find_map(|value| match value.field("code") {
                Some(Amf::String(code)) => Some(code.clone()),
                _ => None,
            })
    }
}

/// Collects whole messages.
#[derive(Debug, Default)]
pub(crate) struct Assembler {
    partial: Vec<(u32, Vec<u8>)>,
    pub(crate) messages: VecDeque<Message>,
}

impl Sink for Assembler {
    fn piece(&mut self, header: &Header, bytes: &[u8]) {
        match self
            .partial
            .iter_mut()
            .find(|(csid, _)| *csid == header.csid)
        {
            Some((_, payload)) => payload.extend_from_slice(bytes),
            None => self.partial.push((header.csid, bytes.to_vec())),
        }
    }

    fn complete(&mut self, header: &Header, _prefix: &[u8]) {
        let payload = self
            .partial
            .iter_mut()
            .find(|(csid, _)| *csid == header.csid)
            .map(|(_, payload)| std::mem::take(payload))
            .unwrap_or_default();
        self.messages.push_back(Message {
            header: *header,
            payload,
        });
    }
}

/// Appends one message as chunks: a full header, then continuations.
pub(crate) fn write_message(out: &mut Vec<u8>, header: &Header, payload: &[u8], chunk_size: usize) {
    let time = header.timestamp.min(EXTENDED);
    basic_header(out, 0, header.csid);
    out.extend_from_slice(&time.to_be_bytes()[1..]);
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
    out.push(header.kind);
    out.extend_from_slice(&header.stream.to_le_bytes());
    let extended = (time == EXTENDED).then(|| header.timestamp.to_be_bytes());
    out.extend(extended.into_iter().flatten());
    let mut chunks = payload.chunks(chunk_size.max(1));
    out.extend_from_slice(chunks.next().unwrap_or_default());
    for chunk in chunks {
        basic_header(out, 3, header.csid);
        out.extend(extended.into_iter().flatten());
        out.extend_from_slice(chunk);
    }
}

/// Appends a basic header in the shortest form that holds the chunk stream id.
pub(crate) fn basic_header(out: &mut Vec<u8>, format: u8, csid: u32) {
    let format = format << 6;
    match csid {
        2..=63 => out.push(format | csid as u8),
        64..=319 => out.extend([format, (csid - 64) as u8]),
        _ => out.extend([format | 1, (csid - 64) as u8, ((csid - 64) >> 8) as u8]),
    }
}

/// A command message's chunks, on message stream 0 and chunk stream 3.
pub(crate) fn command(values: &[Amf]) -> Vec<u8> {
    command_on(0, values)
}

/// A command message's chunks, on the given message stream.
pub(crate) fn command_on(stream: u32, values: &[Amf]) -> Vec<u8> {
    let payload = Amf::encode_all(values);
    let mut out = Vec::with_capacity(payload.len() + 32);
    let header = Header {
        csid: if stream == 0 { 3 } else { 8 },
        kind: COMMAND_AMF0,
        stream,
        ..Header::default()
    };
    write_message(&mut out, &header, &payload, 128);
    out
}

/// A connect command as an ordinary client sends it.
pub(crate) fn connect(app: &str, tc_url: &str) -> Vec<Amf> {
    connect_with(app, tc_url, Vec::new())
}

/// As [`connect`], with further properties.
pub(crate) fn connect_with(app: &str, tc_url: &str, more: Vec<(String, Amf)>) -> Vec<Amf> {
    let mut properties = vec![
        ("app".into(), app.into()),
        ("type".into(), "nonprivate".into()),
        ("flashVer".into(), "FMLE/3.0 (compatible; tests)".into()),
        ("tcUrl".into(), tc_url.into()),
    ];
    properties.extend(more);
    vec!["connect".into(), 1.0.into(), Amf::Object(properties)]
}

/// C0 and C1 of the simple handshake.
pub(crate) fn c0c1() -> Vec<u8> {
    let mut out = vec![0u8; 1 + HANDSHAKE];
    out[0] = 3;
    for (index, byte) in out[9..].iter_mut().enumerate() {
        *byte = (index * 31 % 251) as u8;
    }
    out
}

fn be24(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
}

fn be32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// The bytes of a message's beginning that the parser keeps.
pub(crate) const PREFIX: usize = 64;

/// The size of C1, S1, C2 and S2.
pub(crate) const HANDSHAKE: usize = 1536;

pub(crate) const SET_CHUNK_SIZE: u8 = 1;
pub(crate) const ACKNOWLEDGEMENT: u8 = 3;
pub(crate) const USER_CONTROL: u8 = 4;
pub(crate) const AUDIO: u8 = 8;
pub(crate) const VIDEO: u8 = 9;
pub(crate) const DATA_AMF3: u8 = 15;
pub(crate) const COMMAND_AMF3: u8 = 17;
pub(crate) const DATA_AMF0: u8 = 18;
pub(crate) const COMMAND_AMF0: u8 = 20;
pub(crate) const SHARED_OBJECT_AMF0: u8 = 19;

const EXTENDED: u32 = 0x00ff_ffff;
