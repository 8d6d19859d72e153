//! Media as it was sent and as it was received, packet by packet.

use std::{
    env, fmt, fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use super::{program, wire};

/// The kind of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Audio,
    Video,
    AudioHeader,
    VideoHeader,
    /// An end of sequence or a command frame: a muxer may add or drop it.
    Mark,
    Data,
}

/// One message of media.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) kind: Kind,
    pub(crate) key: bool,
    pub(crate) timestamp: u32,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    pub(crate) fn new(message_type: u8, timestamp: u32, payload: &[u8]) -> Option<Self> {
        let first = payload.first().copied().unwrap_or(0);
        let second = payload.get(1).copied().unwrap_or(0);
        let kind = match message_type {
            wire::VIDEO => video_kind(first, second),
            wire::AUDIO => audio_kind(first, second),
            wire::DATA_AMF0 | wire::DATA_AMF3 => Kind::Data,
            _ => return None,
        };
        Some(Self {
            kind,
            key: kind == Kind::Video && (first >> 4) & 7 == 1,
            timestamp,
            payload: payload.to_vec(),
        })
    }

    /// The RTMP message type.
    pub(crate) fn message_type(&self) -> u8 {
        match self.kind {
            Kind::Audio | Kind::AudioHeader => wire::AUDIO,
            Kind::Video | Kind::VideoHeader | Kind::Mark => wire::VIDEO,
            Kind::Data => wire::DATA_AMF0,
        }
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.payload.hash(&mut hasher);
        hasher.finish()
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = if self.key { " key" } else { "" };
        let (kind, at, bytes) = (self.kind, self.timestamp, self.payload.len());
        write!(
            f,
            "{kind:?}{key} at {at} ({bytes} bytes, {:x})",
            self.hash()
        )
    }
}

fn video_kind(first: u8, second: u8) -> Kind {
    if first & 0x80 != 0 {
        return match (first & 0x0f, second & 0x0f) {
            // Multitrack has the type of its frames in the second byte.
            (0, _) | (6, 0) => Kind::VideoHeader,
            (2 | 4, _) => Kind::Mark,
            _ => Kind::Video,
        };
    }
    match (first & 0x0f, second) {
        (7, 0) => Kind::VideoHeader,
        (7, 2..) => Kind::Mark,
        _ if first >> 4 == 5 => Kind::Mark,
        _ => Kind::Video,
    }
}

fn audio_kind(first: u8, second: u8) -> Kind {
    match (first >> 4, first & 0x0f, second) {
        (9, 0, _) | (10, _, 0) => Kind::AudioHeader,
        (9, 5, nested) if nested & 0x0f == 0 => Kind::AudioHeader,
        (9, 2 | 4, _) => Kind::Mark,
        _ => Kind::Audio,
    }
}

/// Packets in the order of sending or arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recording {
    pub(crate) packets: Vec<Packet>,
}

impl Recording {
    /// Reads an FLV file; a truncated last tag is left out.
    pub(crate) fn read_flv(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_default();
        let mut rest = bytes.get(13..).unwrap_or_default();
        let mut packets = Vec::new();
        while let Some((head, body)) = rest.split_at_checked(11) {
            let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            let timestamp = u32::from_be_bytes([head[7], head[4], head[5], head[6]]);
            let Some(payload) = body.get(..length) else {
                break;
            };
            packets.extend(Packet::new(head[0], timestamp, payload));
            rest = body.get(length + 4..).unwrap_or_default();
        }
        Self { packets }
    }

    pub(crate) fn push(&mut self, message_type: u8, timestamp: u32, payload: &[u8]) {
        let packet = Packet::new(message_type, timestamp, payload);
        self.packets.extend(packet);
    }

    pub(crate) fn of(&self, kind: Kind) -> impl Iterator<Item = &Packet> {
        self.packets
            .iter()
            .filter(move |packet| packet.kind == kind)
    }

    /// Audio and video frames.
    pub(crate) fn frames(&self) -> impl Iterator<Item = &Packet> {
        self.packets
            .iter()
            .filter(|packet| matches!(packet.kind, Kind::Audio | Kind::Video))
    }

    /// Asserts that the time of a track never goes back.
    pub(crate) fn assert_time_never_goes_back(&self) {
        for kind in [Kind::Audio, Kind::Video] {
            let frames: Vec<_> = self.of(kind).collect();
            for pair in frames.windows(2) {
                assert!(
                    pair[1].timestamp >= pair[0].timestamp,
                    "time goes back: {:?} then {:?}",
                    pair[0],
                    pair[1]
                );
            }
        }
    }
}

/// The precision that a comparison of received and sent media requires.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Likeness {
    /// The largest difference of a timestamp, for clients that round.
    pub(crate) tolerance_ms: i64,
    /// Frames of a track that may be missing at the end.
    pub(crate) missing_at_end: usize,
    /// Whether audio and video must also keep their order among each other.
    pub(crate) interleaving: bool,
}

impl Likeness {
    /// Everything from the first key frame to the end is received unchanged.
    pub(crate) const EXACT: Self = Self {
        tolerance_ms: 0,
        missing_at_end: 0,
        interleaving: true,
    };
}

/// Compares: the received media begins at a key frame of the sent media, and from there on it has
/// the same payloads, order, and differences of timestamps.
pub(crate) fn compare(sent: &Recording, got: &Recording, like: Likeness) -> Result<(), String> {
    for kind in [Kind::VideoHeader, Kind::AudioHeader] {
        let has = |recording: &Recording, header: &Packet| {
            recording
                .of(kind)
                .any(|other| other.payload == header.payload)
        };
        if let Some(lost) = sent.of(kind).find(|header| !has(got, header)) {
            return Err(format!("{lost:?} is lost: {:02x?}", lost.payload));
        }
        if let Some(new) = got.of(kind).find(|header| !has(sent, header)) {
            return Err(format!("{new:?} was never sent: {:02x?}", new.payload));
        }
    }
    match got.of(Kind::Video).next() {
        Some(first) if first.key => {}
        first => return Err(format!("video begins with {first:?}")),
    }
    let mut shift = None;
    for kind in [Kind::Video, Kind::Audio] {
        compare_track(sent, got, kind, like, &mut shift)?;
    }
    if like.interleaving {
        compare_order(sent, got)?;
    }
    Ok(())
}

fn compare_track(
    sent: &Recording,
    got: &Recording,
    kind: Kind,
    like: Likeness,
    shift: &mut Option<i64>,
) -> Result<(), String> {
    let sent: Vec<_> = sent.of(kind).collect();
    let got: Vec<_> = got.of(kind).collect();
    let Some(first) = got.first() else {
        return Err(format!("no {kind:?}"));
    };
    let Some(start) = sent
        .iter()
        .position(|packet| packet.payload == first.payload)
    else {
        return Err(format!("{first:?} was never sent"));
    };
    for (index, packet) in got.iter().enumerate() {
        let Some(original) = sent.get(start + index) else {
            return Err(format!("{packet:?} comes after the end"));
        };
        if packet.payload != original.payload {
            let known = sent
                .iter()
                .position(|packet| packet.payload == got[index].payload);
            return Err(format!(
                "frame {index} of {kind:?}, sent as number {}: {original:?} became {packet:?}, which is number {known:?}",
                start + index
            ));
        }
        let moved = i64::from(packet.timestamp) - i64::from(original.timestamp);
        let expected = *shift.get_or_insert(moved);
        if (moved - expected).abs() > like.tolerance_ms {
            return Err(format!(
                "{original:?} became {packet:?}, others moved by {expected} ms"
            ));
        }
    }
    let missing = sent.len() - start - got.len();
    if missing > like.missing_at_end {
        return Err(format!(
            "{missing} frames of {kind:?} are missing at the end"
        ));
    }
    Ok(())
}

/// Checks that every received frame has the same neighbours as when it was sent.
fn compare_order(sent: &Recording, got: &Recording) -> Result<(), String> {
    let sent: Vec<_> = sent.frames().collect();
    let mut at = 0;
    for packet in got.frames() {
        let found = sent[at..]
            .iter()
            .position(|other| other.payload == packet.payload);
        let Some(found) = found else {
            return Err(format!("{packet:?} is out of order"));
        };
        at += found + 1;
    }
    Ok(())
}

/// Eight seconds of a moving picture and noise, so that no two frames are the same: H.264 with
/// B-frames and a key frame every second, and AAC.
pub(crate) fn clip() -> &'static Path {
    static CLIP: OnceLock<PathBuf> = OnceLock::new();
    CLIP.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join("clip-2.flv");
        if !path.exists() {
            fs::create_dir_all(directory).expect("cargo's own directory");
            // The file is made aside and then moved: another test process may look for it now.
            let aside = directory.join(format!("clip-{}.flv", std::process::id()));
            program::run(
                Command::new("ffmpeg")
                    .args(["-hide_banner", "-loglevel", "error", "-y"])
                    .args([
                        "-f",
                        "lavfi",
                        "-i",
                        "testsrc2=size=320x180:rate=30:duration=8",
                    ])
                    .args([
                        "-f",
                        "lavfi",
                        "-i",
                        "anoisesrc=color=pink:seed=7:duration=8:r=44100",
                    ])
                    .args([
                        "-c:v", "libx264", "-preset", "veryfast", "-b:v", "500k", "-g", "30",
                    ])
                    .args([
                        "-profile:v",
                        "main",
                        "-sc_threshold",
                        "0",
                        "-pix_fmt",
                        "yuv420p",
                        "-threads",
                        "1",
                    ])
                    .args(["-c:a", "aac", "-b:a", "96k", "-ac", "2", "-f", "flv"])
                    .arg(&aside),
            );
            fs::rename(&aside, &path).expect("a rename within a directory");
        }
        path
    })
}
