//! Audio messages: FLV's audio tag header and Enhanced RTMP's.

use super::{
    Class, Kind, TrackSet,
    tracks::{Multitrack, skip_mod_ex},
};

/// SoundFormat 10, AAC: a packet type byte follows.
const AAC: u8 = 10;
/// SoundFormat 9, the extended header of Enhanced RTMP.
const EX_HEADER: u8 = 9;

const SEQUENCE_START: u8 = 0;
const SEQUENCE_END: u8 = 2;
const MULTICHANNEL_CONFIG: u8 = 4;
const MULTITRACK: u8 = 5;

pub(super) fn classify(payload: &[u8]) -> Class {
    let Some((&first, rest)) = payload.split_first() else {
        return Class::of(Kind::Audio);
    };
    match first >> 4 {
        // An AudioSpecificConfig has at least two bytes: an empty one must not replace a real one.
        AAC if rest.len() >= 3 && rest[0] == 0 => Class::of(Kind::AudioHeader),
        EX_HEADER => extended(first & 0x0f, rest).unwrap_or(Class::of(Kind::Audio)),
        _ => Class::of(Kind::Audio),
    }
}

fn extended(packet_type: u8, body: &[u8]) -> Option<Class> {
    let (packet_type, body) = skip_mod_ex(packet_type, body)?;
    if packet_type != MULTITRACK {
        // The FourCC.
        body.first_chunk::<4>()?;
        return Some(Class::of(kind(packet_type)));
    }
    let multitrack = Multitrack::parse(body)?;
    let kind = match kind(multitrack.packet_type) {
        Kind::AudioHeader if multitrack.is_several() => Kind::AudioHeaders,
        kind => kind,
    };
    Some(Class {
        kind,
        track: multitrack.track(),
    })
}

pub(super) fn tracks(payload: &[u8]) -> Option<TrackSet> {
    let (&first, rest) = payload.split_first()?;
    if first >> 4 != EX_HEADER {
        return None;
    }
    let (MULTITRACK, body) = skip_mod_ex(first & 0x0f, rest)? else {
        return None;
    };
    let multitrack = Multitrack::parse(body)?;
    multitrack.tracks(multitrack.packet_type == SEQUENCE_START)
}

fn kind(packet_type: u8) -> Kind {
    match packet_type {
        SEQUENCE_START => Kind::AudioHeader,
        SEQUENCE_END => Kind::AudioEnd,
        MULTICHANNEL_CONFIG => Kind::MultichannelConfig,
        _ => Kind::Audio,
    }
}
