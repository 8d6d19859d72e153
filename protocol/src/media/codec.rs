//! The codec of a message's track, in the FLV form and in that of Enhanced RTMP.

use super::{tracks::Multitrack, tracks::skip_mod_ex};
use crate::MessageType;

/// The codec of an audio or video message. Codecs are comparable within one kind of media only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codec(u32);

/// The codec of a message's track, or of the first if it carries several of one codec. `None` if
/// the message is too short, is a command, has several codecs or one that is not assigned. The work
/// is bounded for any length of the payload.
#[inline]
pub fn codec(kind: MessageType, payload: &[u8]) -> Option<Codec> {
    match (kind, payload) {
        (MessageType::AUDIO, &[first, ref rest @ ..]) if !rest.is_empty() => match first >> 4 {
            AUDIO_EX_HEADER => extended(first & 0x0f, AUDIO_MULTITRACK, rest),
            format => legacy_audio(format),
        },
        (MessageType::VIDEO, &[first, ref rest @ ..]) if !rest.is_empty() => {
            match (first & 0x80 != 0, (first >> 4) & 0x07) {
                (true, VIDEO_COMMAND) if first & 0x0f != VIDEO_METADATA => None,
                (true, _) => extended(first & 0x0f, VIDEO_MULTITRACK, rest),
                (false, VIDEO_COMMAND) => None,
                (false, _) => legacy_video(first & 0x0f),
            }
        }
        _ => None,
    }
}

fn extended(packet_type: u8, multitrack: u8, body: &[u8]) -> Option<Codec> {
    let (packet_type, body) = skip_mod_ex(packet_type, body)?;
    if packet_type == multitrack {
        return Multitrack::parse(body)?.codec().map(Codec::of);
    }
    body.first_chunk::<4>().copied().map(Codec::of)
}

/// The codec of a SoundFormat, equal to that of its FourCC if Enhanced RTMP has one.
fn legacy_audio(format: u8) -> Option<Codec> {
    match format {
        2 | 14 => Some(Codec::of(*b".mp3")),
        10 => Some(Codec::of(*b"mp4a")),
        // Reserved, and device-specific sound.
        12 | 13 | 15 => None,
        other => Some(Codec(other.into())),
    }
}

/// The codec of a CodecID, equal to that of its FourCC if Enhanced RTMP has one.
fn legacy_video(id: u8) -> Option<Codec> {
    match id {
        7 => Some(Codec::of(*b"avc1")),
        12 => Some(Codec::of(*b"hvc1")),
        13 => Some(Codec::of(*b"av01")),
        1..=6 => Some(Codec(id.into())),
        _ => None,
    }
}

impl Codec {
    fn of(four_cc: [u8; 4]) -> Self {
        Self(u32::from_be_bytes(four_cc))
    }
}

const AUDIO_EX_HEADER: u8 = 9;
const AUDIO_MULTITRACK: u8 = 5;
const VIDEO_COMMAND: u8 = 5;
const VIDEO_METADATA: u8 = 4;
const VIDEO_MULTITRACK: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_the_same_in_either_dress() {
        let (audio, video) = (MessageType::AUDIO, MessageType::VIDEO);
        let aac = Some(Codec::of(*b"mp4a"));
        let avc = Some(Codec::of(*b"avc1"));
        let hevc = Some(Codec::of(*b"hvc1"));
        let opus = Some(Codec::of(*b"Opus"));
        for (name, kind, payload, expected) in [
            ("AAC", audio, &b"\xaf\x01x"[..], aac),
            ("AAC, enhanced", audio, b"\x91mp4ax", aac),
            ("MP3 at 8 kHz", audio, b"\xeex", Some(Codec::of(*b".mp3"))),
            ("Speex", audio, b"\xb6x", Some(Codec(11))),
            ("Opus", audio, b"\x91Opusx", opus),
            ("Opus of a track", audio, b"\x95\x01Opus\x03x", opus),
            ("many codecs", audio, b"\x95\x21Opus\x03\0\0\x01x", None),
            ("nano offset", audio, b"\x97\x02\0\0\x05\x01Opusx", opus),
            ("device-specific", audio, b"\xffx", None),
            ("silence", audio, b"\xaf", None),
            ("no FourCC", audio, b"\x91Op", None),
            ("AVC", video, b"\x27\x01x", avc),
            ("AVC, enhanced", video, b"\xa1avc1x", avc),
            ("HEVC", video, b"\x1c\x01x", hevc),
            ("colorInfo", video, b"\xd4hvc1x", hevc),
            ("Sorenson", video, b"\x12x", Some(Codec(2))),
            ("command", video, b"\x57\0", None),
            ("enhanced command", video, b"\xd1\0abcd", None),
            ("not assigned", video, b"\x1fx", None),
            ("data", MessageType::DATA_AMF0, b"\x12x", None),
        ] {
            assert_eq!(codec(kind, payload), expected, "{name}");
        }
    }
}
