//! Feeds: the media of one live stream, one way, over one unidirectional QUIC stream.
//!
//! A feed begins with [`FeedOpen`]. Then [`FeedMessage`]s follow: first the headers in force, which
//! have no number, then messages in the order of the stream. [`Feed::NewPublication`] precedes the
//! first message of another publication.

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    FrameError, LiveId, WriterId,
    frame::{self, FrameReader, take_u8, take_u32},
    varint,
};
use crate::{Message, MessageStreamId, MessageType, RtmpTimestamp, ring::Publication};

/// The first frame of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedOpen {
    /// The live stream.
    pub live: LiveId,
    /// Rises each time the sender gives up a feed and begins another; the receiver ignores older
    /// feeds.
    pub epoch: u64,
    /// Towards the origin: the accepted publish of the feed. Towards the edge: 0.
    pub writer: WriterId,
}

/// One message of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedMessage {
    /// The message's number in the stream; none for a repeated header.
    pub number: Option<u64>,
    /// The message; its message stream id is 0.
    pub message: Message,
}

/// A frame of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// The first frame, once.
    Open(FeedOpen),
    Message(FeedMessage),
    /// The frames that follow belong to this publication; before the first such frame the
    /// publication is the stream's first. Only an edge with the feature
    /// [`PUBLICATION`](super::features::PUBLICATION) receives it.
    NewPublication(Publication),
}

const FEED_OPEN: u64 = 0x40;
const MESSAGE: u64 = 0x41;
const NEW_PUBLICATION: u64 = 0x44;

/// The longest frame of a feed: the longest message of RTMP, and its head.
pub const MAX_FRAME: usize = 0xff_ffff + 64;

/// The longest payload that is copied behind its head, in bytes; a longer one is sent from its own
/// buffer.
pub const INLINE: usize = 4 * 1024;

impl FeedOpen {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        let mut body = Vec::with_capacity(24);
        varint::encode(self.live.0, &mut body);
        varint::encode(self.epoch, &mut body);
        varint::encode(self.writer.0, &mut body);
        frame::encode(FEED_OPEN, &body, out);
    }
}

impl FeedMessage {
    /// Appends the frame's head; the caller sends the payload behind it.
    pub fn encode_head(number: Option<u64>, message: &Message, out: &mut impl BufMut) {
        // 0 is a repeated header; any other value is the number and one.
        let number = number.map_or(0, |number| number + 1);
        let length = 1 + 4 + varint::length(number) + message.payload.len();
        frame::head(MESSAGE, length, out);
        out.put_u8(message.kind.0);
        out.put_u32(message.timestamp.0);
        varint::encode(number, out);
    }
}

/// Cuts a feed's stream into messages.
#[derive(Debug)]
pub struct FeedReader {
    frames: FrameReader,
}

impl FeedReader {
    /// A reader that refuses messages over `max_message` bytes. Memory grows with the bytes that
    /// arrive.
    pub fn new(max_message: usize) -> Self {
        Self {
            frames: FrameReader::new(max_message.saturating_add(64).min(MAX_FRAME)),
        }
    }

    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// The next frame; frames of later versions are skipped.
    pub fn poll_frame(&mut self) -> Result<Option<Feed>, FrameError> {
        while let Some(frame) = self.frames.poll_frame()? {
            let input = &mut &*frame.body;
            match frame.kind {
                FEED_OPEN => {
                    return Ok(Some(Feed::Open(FeedOpen {
                        live: LiveId(varint::decode(input)?),
                        epoch: varint::decode(input)?,
                        writer: WriterId(varint::decode(input)?),
                    })));
                }
                MESSAGE => return decode_message(&frame.body, input).map(Some),
                NEW_PUBLICATION => {
                    return Ok(Some(Feed::NewPublication(Publication {
                        first: varint::decode(input)?,
                        writer: varint::decode(input)?,
                    })));
                }
                _ => {}
            }
        }
        Ok(None)
    }
}

fn decode_message(body: &Bytes, input: &mut &[u8]) -> Result<Feed, FrameError> {
    let kind = MessageType(take_u8(input)?);
    let timestamp = RtmpTimestamp(take_u32(input)?);
    let number = varint::decode(input)?.checked_sub(1);
    let payload = body.slice_ref(input);
    let stream = MessageStreamId::CONNECTION;
    Ok(Feed::Message(FeedMessage {
        number,
        message: Message {
            kind,
            stream,
            timestamp,
            payload,
        },
    }))
}

/// Gathers a feed's frames into few pieces for the stream.
#[derive(Debug, Default)]
pub struct FeedBatch {
    small: BytesMut,
    pieces: Vec<Bytes>,
    bytes: usize,
}

impl FeedBatch {
    /// Appends the opening frame.
    pub fn open(&mut self, open: &FeedOpen) {
        let before = self.small.len();
        open.encode(&mut self.small);
        self.bytes += self.small.len() - before;
    }

    /// Appends the start of another publication.
    pub fn publication(&mut self, publication: Publication) {
        let before = self.small.len();
        let mut body = [0; 16];
        let mut rest = &mut body[..];
        varint::encode(publication.first, &mut rest);
        varint::encode(publication.writer, &mut rest);
        let length = 16 - rest.len();
        frame::encode(NEW_PUBLICATION, &body[..length], &mut self.small);
        self.bytes += self.small.len() - before;
    }

    /// Appends a message.
    pub fn message(&mut self, number: Option<u64>, message: &Message) {
        let before = self.small.len();
        FeedMessage::encode_head(number, message, &mut self.small);
        if message.payload.len() <= INLINE {
            self.small.extend_from_slice(&message.payload);
            self.bytes += self.small.len() - before;
            return;
        }
        self.bytes += self.small.len() - before + message.payload.len();
        self.pieces.push(self.small.split().freeze());
        self.pieces.push(message.payload.clone());
    }

    /// Bytes gathered.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Takes the pieces, in order.
    pub fn take(&mut self) -> Vec<Bytes> {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
        self.bytes = 0;
        std::mem::take(&mut self.pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `docs/link.md` shows the same bytes.
    #[test]
    fn the_frames_of_a_feed_have_fixed_bytes() {
        let message = |time, payload: &'static [u8]| Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(time),
            payload: Bytes::from_static(payload),
        };
        let sound = Message {
            kind: MessageType::AUDIO,
            ..message(1000, b"\xaf\x01\x21\x10")
        };
        let publication = |first, writer| Publication { first, writer };
        let open = FeedOpen {
            live: LiveId(9),
            epoch: 2,
            writer: WriterId(0),
        };
        let mut batch = FeedBatch::default();
        batch.open(&open);
        batch.message(Some(7), &sound);
        batch.message(None, &message(0, b"\x17\0\0"));
        batch.publication(publication(7, 7));
        batch.publication(publication(7, 100));
        let wire: &[u8] = b"\x40\x40\x03\x09\x02\0\
            \x40\x41\x0a\x08\0\0\x03\xe8\x08\xaf\x01\x21\x10\
            \x40\x41\x09\x09\0\0\0\0\0\x17\0\0\
            \x40\x44\x02\x07\x07\
            \x40\x44\x03\x07\x40\x64";
        assert_eq!(batch.take().concat(), wire);
        let mut reader = FeedReader::new(1 << 20);
        reader.push(wire);
        let mut frames = Vec::new();
        while let Some(frame) = reader.poll_frame().unwrap() {
            frames.push(frame);
        }
        let carried = |number, message| Feed::Message(FeedMessage { number, message });
        let expected = [
            Feed::Open(open),
            carried(Some(7), sound),
            carried(None, message(0, b"\x17\0\0")),
            Feed::NewPublication(publication(7, 7)),
            Feed::NewPublication(publication(7, 100)),
        ];
        assert_eq!(frames, expected);
        // A frame that is cut off.
        reader.push(b"\x40\x44\x01\x07");
        assert_eq!(reader.poll_frame(), Err(FrameError::Truncated));
    }

    #[test]
    fn a_feed_comes_out_as_it_went_in_from_any_split() {
        let message = |length: usize, time| Message {
            kind: MessageType::VIDEO,
            stream: MessageStreamId::CONNECTION,
            timestamp: RtmpTimestamp(time),
            payload: (0..length).map(|n| n as u8).collect::<Vec<_>>().into(),
        };
        let open = FeedOpen {
            live: LiveId(7),
            epoch: 3,
            writer: WriterId(2),
        };
        let messages = [
            (None, message(5, 0)),
            (Some(0), message(INLINE + 1, 1)),
            (Some(1), message(0, 0xffff_ffff)),
            (Some(900), message(INLINE, 40)),
        ];
        let mut batch = FeedBatch::default();
        batch.open(&open);
        for (number, message) in &messages {
            batch.message(*number, message);
        }
        let length = batch.len();
        let wire: Vec<u8> = batch.take().concat();
        assert_eq!(wire.len(), length);
        let mut expected = vec![Feed::Open(open)];
        expected.extend(
            messages.map(|(number, message)| Feed::Message(FeedMessage { number, message })),
        );
        for split in (0..wire.len()).step_by(7) {
            let mut reader = FeedReader::new(1 << 20);
            let mut frames = Vec::new();
            for part in [&wire[..split], &wire[split..]] {
                reader.push(part);
                while let Some(frame) = reader.poll_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, expected);
        }
    }
}
