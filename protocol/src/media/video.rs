//! Video messages: FLV's video tag header and Enhanced RTMP's.

use super::{
    Class, Kind, TrackSet,
    tracks::{Multitrack, skip_mod_ex},
};

/// Codec ids that have a packet type byte: AVC, and HEVC and AV1 in the same form.
const AVC: u8 = 7;
const HEVC: u8 = 12;
const AV1: u8 = 13;

const FRAME_KEY: u8 = 1;
const FRAME_DISPOSABLE: u8 = 3;
const FRAME_GENERATED_KEY: u8 = 4;
const FRAME_COMMAND: u8 = 5;

const SEQUENCE_START: u8 = 0;
const CODED_FRAMES: u8 = 1;
const SEQUENCE_END: u8 = 2;
const CODED_FRAMES_X: u8 = 3;
const METADATA: u8 = 4;
const MPEG2_TS_SEQUENCE_START: u8 = 5;
const MULTITRACK: u8 = 6;

/// The packet type byte and composition time of legacy AVC, in bytes.
const AVC_HEADER: usize = 4;

pub(super) fn classify(payload: &[u8]) -> Class {
    let class = match payload {
        [first, rest @ ..] if first & 0x80 != 0 => extended(*first, rest),
        // One byte is a header and no frame.
        [first, rest @ ..] if !rest.is_empty() => Some(Class::of(legacy(*first, rest))),
        _ => None,
    };
    class.unwrap_or(Class::of(Kind::VideoInter))
}

fn legacy(first: u8, rest: &[u8]) -> Kind {
    let frame = frame_kind(first >> 4);
    match (first & 0x0f, rest[0]) {
        _ if first >> 4 == FRAME_COMMAND => Kind::VideoInter,
        (AVC | HEVC | AV1, 0) if rest.len() > AVC_HEADER => Kind::VideoHeader,
        (AVC | HEVC | AV1, 1) if rest.len() >= AVC_HEADER => frame,
        (AVC | HEVC | AV1, 2) => Kind::VideoEnd,
        (AVC | HEVC | AV1, _) => Kind::VideoInter,
        _ => frame,
    }
}

fn extended(first: u8, rest: &[u8]) -> Option<Class> {
    let frame_type = frame_type(first);
    let (packet_type, body) = skip_mod_ex(first & 0x0f, rest)?;
    if frame_type == FRAME_COMMAND && packet_type != METADATA {
        return None;
    }
    if packet_type != MULTITRACK {
        // The FourCC.
        body.first_chunk::<4>()?;
        return Some(Class::of(kind(packet_type, frame_type)));
    }
    let multitrack = Multitrack::parse(body)?;
    let kind = match kind(multitrack.packet_type, frame_type) {
        Kind::VideoHeader if multitrack.is_several() => Kind::VideoHeaders,
        kind => kind,
    };
    Some(Class {
        kind,
        track: multitrack.track(),
    })
}

pub(super) fn tracks(payload: &[u8]) -> Option<TrackSet> {
    let (&first, rest) = payload.split_first()?;
    // The bytes behind a command are no track.
    if first & 0x80 == 0 || frame_type(first) == FRAME_COMMAND {
        return None;
    }
    let (MULTITRACK, body) = skip_mod_ex(first & 0x0f, rest)? else {
        return None;
    };
    let multitrack = Multitrack::parse(body)?;
    let headers = matches!(
        multitrack.packet_type,
        SEQUENCE_START | MPEG2_TS_SEQUENCE_START
    );
    multitrack.tracks(headers)
}

/// The frame type in the first byte of an extended header.
fn frame_type(first: u8) -> u8 {
    (first >> 4) & 0x07
}

fn kind(packet_type: u8, frame_type: u8) -> Kind {
    match packet_type {
        SEQUENCE_START | MPEG2_TS_SEQUENCE_START => Kind::VideoHeader,
        SEQUENCE_END => Kind::VideoEnd,
        METADATA => Kind::VideoMetadata,
        CODED_FRAMES | CODED_FRAMES_X => frame_kind(frame_type),
        _ => Kind::VideoInter,
    }
}

fn frame_kind(frame_type: u8) -> Kind {
    match frame_type {
        FRAME_KEY | FRAME_GENERATED_KEY => Kind::VideoKey,
        FRAME_DISPOSABLE => Kind::VideoDisposable,
        _ => Kind::VideoInter,
    }
}
