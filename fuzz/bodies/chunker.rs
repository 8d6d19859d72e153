//! A chunk writer that does everything RTMP allows, driven by a string of bytes: any format that
//! can carry a message, any interleaving, changes of the chunk size within a message, aborts,
//! extended timestamps repeated or not.

use std::collections::VecDeque;

use bytes::Bytes;
use tributary_protocol::{Message, MessageStreamId, MessageType, RtmpTimestamp};

/// Decisions, read from a fuzzer's input; zeros when it is used up.
pub(crate) struct Decisions<'a>(pub(crate) &'a [u8]);

impl Decisions<'_> {
    pub(crate) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let wide = usize::from(self.byte()) << 8 | usize::from(self.byte());
        wide % bound
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}

/// The written chunks, and the messages that a reader must make of them.
#[derive(Default)]
pub(crate) struct Chunked {
    pub(crate) bytes: Vec<u8>,
    pub(crate) messages: Vec<Message>,
}

/// Writes messages until the decisions are used up.
pub(crate) fn chunk(decisions: &mut Decisions<'_>) -> Chunked {
    let mut chunker = Chunker {
        repeat_extended: decisions.byte() & 1 == 0,
        chunk_size: 128,
        streams: Vec::new(),
        out: Chunked::default(),
    };
    while !decisions.is_over() && chunker.out.bytes.len() < MAX_BYTES {
        match decisions.byte() % 16 {
            0 => chunker.change_chunk_size(decisions),
            1 => chunker.abort(decisions),
            2..7 => chunker.begin(decisions),
            _ => chunker.go_on(decisions),
        }
    }
    chunker.finish();
    chunker.out
}

/// Enough for every path; more only takes time.
const MAX_BYTES: usize = 256 * 1024;

/// The chunk streams used, in all three forms.
const IDS: [u32; 7] = [2, 3, 63, 64, 319, 320, 65_599];

/// The upper half of every payload byte. No extended timestamp written begins with it, so that
/// payload never passes for a repeated one.
const PAYLOAD: u8 = 0xe0;

fn looks_like_payload(time: u32) -> bool {
    time >> 28 == u32::from(PAYLOAD >> 4)
}

struct Chunker {
    repeat_extended: bool,
    chunk_size: usize,
    streams: Vec<Stream>,
    out: Chunked,
}

/// A chunk stream as the reader should remember it.
struct Stream {
    id: u32,
    message: Message,
    delta: u32,
    extended: bool,
    /// Unwritten payload, in front of which a format 3 header goes.
    left: VecDeque<u8>,
}

impl Chunker {
    /// Begins a message on a chunk stream without an unfinished one.
    fn begin(&mut self, decisions: &mut Decisions<'_>) {
        let id = IDS[decisions.below(IDS.len())];
        let place = self.streams.iter().position(|stream| stream.id == id);
        if place.is_some_and(|place| !self.streams[place].left.is_empty()) {
            return;
        }
        let last = place.map(|place| &self.streams[place]);
        let message = next_message(decisions, last);
        let delta = last.map_or(message.timestamp.0, |last| {
            message.timestamp.0.wrapping_sub(last.message.timestamp.0)
        });
        let formats = self.formats(&message, delta, last);
        let format = formats[decisions.below(formats.len())];
        let before = last.map(|last| (last.delta, last.extended));
        let (field, extended) = match (format, before) {
            (0, _) => (message.timestamp.0, message.timestamp.0 >= 0x00ff_ffff),
            (3, Some(before)) => before,
            _ => (delta, delta >= 0x00ff_ffff),
        };
        self.put_header(format, id, field, extended, &message);
        let stream = Stream {
            id,
            left: message.payload.iter().copied().collect(),
            message,
            delta: field,
            extended,
        };
        let place = place.unwrap_or(self.streams.len());
        if place == self.streams.len() {
            self.streams.push(stream);
        } else {
            self.streams[place] = stream;
        }
        self.put_payload(place);
    }

    /// The formats that can carry this message here.
    fn formats(&self, message: &Message, delta: u32, last: Option<&Stream>) -> Vec<u8> {
        let Some(last) = last else {
            // Format 1 opens a chunk stream on message stream 0.
            return if message.stream.0 == 0 {
                vec![0, 1]
            } else {
                vec![0]
            };
        };
        let mut formats = vec![0];
        if message.stream == last.message.stream && !looks_like_payload(delta) {
            formats.push(1);
            let same = message.kind == last.message.kind
                && message.payload.len() == last.message.payload.len();
            if same {
                formats.push(2);
            }
            // Without the repetition a reader cannot tell the end of such a header.
            if same && delta == last.delta && (self.repeat_extended || !last.extended) {
                formats.push(3);
            }
        }
        formats
    }

    fn put_header(&mut self, format: u8, id: u32, field: u32, extended: bool, message: &Message) {
        self.put_basic(format, id);
        let out = &mut self.out.bytes;
        if format < 3 {
            out.extend_from_slice(&field.min(0x00ff_ffff).to_be_bytes()[1..]);
        }
        if format < 2 {
            out.extend_from_slice(&(message.payload.len() as u32).to_be_bytes()[1..]);
            out.push(message.kind.0);
        }
        if format == 0 {
            out.extend_from_slice(&message.stream.0.to_le_bytes());
        }
        if extended {
            out.extend_from_slice(&field.to_be_bytes());
        }
    }

    fn put_basic(&mut self, format: u8, id: u32) {
        let out = &mut self.out.bytes;
        match id {
            0..64 => out.push(format << 6 | id as u8),
            64..320 => out.extend_from_slice(&[format << 6, (id - 64) as u8]),
            _ => {
                let [low, high, ..] = (id - 64).to_le_bytes();
                out.extend_from_slice(&[format << 6 | 1, low, high]);
            }
        }
    }

    /// Writes one chunk's payload; the last one completes the message.
    fn put_payload(&mut self, place: usize) {
        let stream = &mut self.streams[place];
        let count = stream.left.len().min(self.chunk_size);
        self.out.bytes.extend(stream.left.drain(..count));
        if stream.left.is_empty() {
            self.out.messages.push(stream.message.clone());
        }
    }

    /// Writes the next chunk of an unfinished message.
    fn go_on(&mut self, decisions: &mut Decisions<'_>) {
        let under_way: Vec<usize> = self.under_way();
        if under_way.is_empty() {
            return self.begin(decisions);
        }
        let place = under_way[decisions.below(under_way.len())];
        self.put_continuation(place);
    }

    fn put_continuation(&mut self, place: usize) {
        let stream = &self.streams[place];
        let (id, field) = (stream.id, stream.delta);
        let repeat = stream.extended && self.repeat_extended;
        self.put_basic(3, id);
        if repeat {
            self.out.bytes.extend_from_slice(&field.to_be_bytes());
        }
        self.put_payload(place);
    }

    fn under_way(&self) -> Vec<usize> {
        let all = 0..self.streams.len();
        all.filter(|&place| !self.streams[place].left.is_empty())
            .collect()
    }

    /// Finishes every message.
    fn finish(&mut self) {
        while let Some(&place) = self.under_way().first() {
            self.put_continuation(place);
        }
    }

    fn change_chunk_size(&mut self, decisions: &mut Decisions<'_>) {
        const SIZES: [u32; 8] = [1, 2, 3, 127, 128, 129, 1000, 65_536];
        let size = SIZES[decisions.below(SIZES.len())];
        self.put_control(1, size);
        self.chunk_size = size as usize;
    }

    fn abort(&mut self, decisions: &mut Decisions<'_>) {
        let id = IDS[decisions.below(IDS.len())];
        self.put_control(2, id);
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.id == id) {
            stream.left.clear();
        }
    }

    /// A control message, on a chunk stream that nothing else uses, at any chunk size.
    fn put_control(&mut self, kind: u8, value: u32) {
        const ID: u8 = 5;
        self.out
            .bytes
            .extend_from_slice(&[ID, 0, 0, 0, 0, 0, 4, kind, 0, 0, 0, 0]);
        for (n, piece) in value.to_be_bytes().chunks(self.chunk_size).enumerate() {
            if n > 0 {
                self.out.bytes.push(3 << 6 | ID);
            }
            self.out.bytes.extend_from_slice(piece);
        }
    }
}

/// A message that has some or no fields in common with the last one.
fn next_message(decisions: &mut Decisions<'_>, last: Option<&Stream>) -> Message {
    const KINDS: [u8; 5] = [8, 9, 18, 20, 255];
    const LENGTHS: [usize; 10] = [0, 1, 2, 3, 100, 128, 129, 300, 5000, 20_000];
    const TIMES: [u32; 8] = [
        0,
        1,
        40,
        0x00ff_fffe,
        0x00ff_ffff,
        0x0100_0000,
        0x7fff_ffff,
        0xed00_0000,
    ];
    let choice = decisions.byte();
    let time = TIMES[decisions.below(TIMES.len())];
    let timestamp = match last {
        Some(last) if choice & 1 == 0 => last.message.timestamp.0.wrapping_add(last.delta),
        Some(last) if choice & 2 == 0 => last.message.timestamp.0.wrapping_add(time),
        _ => time,
    };
    let timestamp = if looks_like_payload(timestamp) {
        0
    } else {
        timestamp
    };
    let (kind, stream, length) = match last {
        Some(last) if choice & 4 == 0 => (
            last.message.kind.0,
            last.message.stream.0,
            last.message.payload.len(),
        ),
        _ => (
            KINDS[decisions.below(KINDS.len())],
            u32::from(decisions.byte() & 1) * 0x0102_0304,
            LENGTHS[decisions.below(LENGTHS.len())],
        ),
    };
    let payload: Vec<u8> = (0..length)
        .map(|n| PAYLOAD | (n as u8 ^ choice) & 0x0f)
        .collect();
    Message {
        kind: MessageType(kind),
        stream: MessageStreamId(stream),
        timestamp: RtmpTimestamp(timestamp),
        payload: Bytes::from(payload),
    }
}
