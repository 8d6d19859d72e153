//! FLV files: a header, then tags (Video File Format 10.1, Annex E).
//!
//! A tag is an 11-byte header and the payload of the RTMP message of the same type; the length of
//! the tag follows it.

mod reader;

pub use reader::{FlvError, FlvReader};

use bytes::BufMut;

use crate::{Message, MessageType, RtmpTimestamp, chunk::MAX_MESSAGE_LENGTH};

/// The length of the file header with the back pointer that follows it.
pub const HEADER: usize = 13;

/// The length of a tag without its payload: header and back pointer.
pub const TAG_OVERHEAD: usize = TAG_HEADER + BACK_POINTER;

const TAG_HEADER: usize = 11;
const BACK_POINTER: usize = 4;

/// The file header, with flags for audio and video.
pub fn header(audio: bool, video: bool) -> [u8; HEADER] {
    let flags = u8::from(audio) << 2 | u8::from(video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// The header of a tag; `length` bytes of payload and [`tag_trailer`] follow it.
///
/// # Panics If the length is above [`MAX_MESSAGE_LENGTH`]: no message is longer.
pub fn tag_header(kind: MessageType, timestamp: RtmpTimestamp, length: usize) -> [u8; TAG_HEADER] {
    assert!(
        length <= MAX_MESSAGE_LENGTH as usize,
        "tag of {length} bytes"
    );
    let [_, a, b, c] = (length as u32).to_be_bytes();
    let [high, x, y, z] = timestamp.0.to_be_bytes();
    [kind.0, a, b, c, x, y, z, high, 0, 0, 0]
}

/// The bytes behind the payload of a tag: the tag's length.
pub fn tag_trailer(length: usize) -> [u8; BACK_POINTER] {
    ((TAG_HEADER + length) as u32).to_be_bytes()
}

/// Appends a message as a complete tag. Its message stream id is not kept.
pub fn put_tag(out: &mut impl BufMut, message: &Message) {
    let length = message.payload.len();
    out.put_slice(&tag_header(message.kind, message.timestamp, length));
    out.put_slice(&message.payload);
    out.put_slice(&tag_trailer(length));
}

#[cfg(test)]
mod tests;
