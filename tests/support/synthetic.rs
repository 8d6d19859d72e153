//! Synthetic media: opaque frames under the headers of H.264, AAC and Enhanced RTMP.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{
    clients::wired::Wired,
    media::{Packet, Recording},
    wire,
};

/// The codecs of a synthetic stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codec {
    /// H.264 and AAC under the old headers.
    Avc,
    /// HEVC and Opus by FourCC.
    HevcOpus,
    /// AV1 and Opus by FourCC.
    Av1Opus,
    /// VP9 and AAC by FourCC.
    Vp9Aac,
    /// Two video tracks of one codec and two of audio, in multitrack messages.
    Multitrack,
}

impl Codec {
    pub(crate) fn headers(self) -> Vec<Packet> {
        let made = match self {
            Self::Avc => vec![
                (
                    wire::VIDEO,
                    [&[0x17, 0, 0, 0, 0][..], AVC_CONFIGURATION].concat(),
                ),
                (wire::AUDIO, vec![0xaf, 0, 0x12, 0x10]),
            ],
            Self::HevcOpus => vec![
                (wire::VIDEO, [b"\x90hvc1", &[1, 2, 0x60, 7, 7][..]].concat()),
                (wire::AUDIO, b"\x90OpusOpusHead\x01\x02".to_vec()),
            ],
            Self::Av1Opus => vec![
                (wire::VIDEO, [b"\x90av01", &[0x81, 4, 0x0c, 0][..]].concat()),
                (wire::AUDIO, b"\x90OpusOpusHead\x01\x02".to_vec()),
            ],
            Self::Vp9Aac => vec![
                (
                    wire::VIDEO,
                    [b"\x90vp09", &[1, 0, 0, 0, 0, 0x0a][..]].concat(),
                ),
                (wire::AUDIO, [b"\x90mp4a", &[0x12, 0x10][..]].concat()),
            ],
            // Type 6 (video) and 5 (audio) are multitrack; one track each, sequence start inside.
            Self::Multitrack => (0..2)
                .flat_map(|track| {
                    [
                        (
                            wire::VIDEO,
                            [b"\x96\x00hvc1", &[track, 1, 2, track][..]].concat(),
                        ),
                        (
                            wire::AUDIO,
                            [b"\x95\x00Opus", &[track, 9, track][..]].concat(),
                        ),
                    ]
                })
                .collect(),
        };
        made.into_iter()
            .filter_map(|(kind, payload)| Packet::new(kind, 0, &payload))
            .collect()
    }

    /// The frames of one instant; `number` makes them unlike all others.
    pub(crate) fn frames(self, number: u32, key: bool, bytes: usize) -> Vec<(u8, Vec<u8>)> {
        let frame = if key { 0x10 } else { 0x20 };
        let stamp = number.to_be_bytes();
        let video = |head: &[u8]| (wire::VIDEO, filled(&[head, &stamp].concat(), bytes));
        let audio = |head: &[u8]| (wire::AUDIO, filled(&[head, &stamp].concat(), 200));
        match self {
            Self::Avc => vec![video(&[frame | 7, 1, 0, 0, 0]), audio(&[0xaf, 1])],
            Self::HevcOpus => {
                // Coded frames carry a composition time for HEVC.
                let head = [&[0x80 | frame | 1][..], b"hvc1", &[0, 0, 33]].concat();
                vec![video(&head), audio(b"\x91Opus")]
            }
            Self::Av1Opus => {
                vec![
                    video(&[&[0x80 | frame | 1][..], b"av01"].concat()),
                    audio(b"\x91Opus"),
                ]
            }
            Self::Vp9Aac => {
                vec![
                    video(&[&[0x80 | frame | 1][..], b"vp09"].concat()),
                    audio(b"\x91mp4a"),
                ]
            }
            Self::Multitrack => (0..2)
                .flat_map(|track| {
                    let head = [&[0x80 | frame | 6, 1][..], b"hvc1", &[track, 0, 0, 0]].concat();
                    let sound = [b"\x95\x01Opus", &[track][..]].concat();
                    [video(&head), audio(&sound)]
                })
                .collect(),
        }
    }
}

/// A publisher of a synthetic stream at an even rate, in a thread.
#[derive(Debug)]
pub(crate) struct Synthetic {
    stop: Arc<AtomicBool>,
    bytes: Arc<AtomicU64>,
    thread: Option<JoinHandle<Recording>>,
}

impl Synthetic {
    /// Publishes 30 frames a second, each of `bytes`, a key frame every second.
    pub(crate) fn start(
        server: SocketAddr,
        app: &str,
        name: &str,
        codec: Codec,
        bytes: usize,
    ) -> Self {
        let (client, stream) = Wired::publisher(server, app, name);
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread =
            thread::spawn(move || publish(client, stream, codec, bytes, &stopped, &counted));
        Self {
            stop,
            bytes: sent,
            thread: Some(thread),
        }
    }

    /// Bytes of media sent so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// Ends the stream; returns the sent media.
    pub(crate) fn finish(mut self) -> Recording {
        self.stop.store(true, Relaxed);
        let thread = self.thread.take().expect("taken only here");
        thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl Drop for Synthetic {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn publish(
    mut client: Wired,
    stream: u32,
    codec: Codec,
    bytes: usize,
    stop: &AtomicBool,
    sent: &AtomicU64,
) -> Recording {
    let mut recording = Recording::default();
    let mut send = |client: &mut Wired, kind: u8, timestamp: u32, payload: &[u8]| {
        let written = client.media(stream, kind, timestamp, payload);
        written.expect("the publisher stays connected");
        sent.fetch_add(payload.len() as u64, Relaxed);
        recording.push(kind, timestamp, payload);
    };
    for header in codec.headers() {
        send(&mut client, header.message_type(), 0, &header.payload);
    }
    let begun = Instant::now();
    let mut number = 0;
    while !stop.load(Relaxed) {
        let timestamp = number * 100 / 3;
        for (kind, payload) in codec.frames(number, number.is_multiple_of(30), bytes) {
            send(&mut client, kind, timestamp, &payload);
        }
        number += 1;
        // Messages of the server are read so that its window never fills.
        let due = begun + Duration::from_micros(u64::from(number) * 100_000 / 3);
        while let Some(left) = due.checked_duration_since(Instant::now()) {
            // The messages do not matter to this client.
            let _ = client.next(left.max(Duration::from_micros(100)));
        }
    }
    let values = [
        "deleteStream".into(),
        0.0.into(),
        wire::Amf::Null,
        f64::from(stream).into(),
    ];
    client
        .command(0, &values)
        .expect("the publisher stays connected");
    // The answer shows that the server has handled all media.
    client.call("nothing", &[]);
    recording
}

fn filled(head: &[u8], bytes: usize) -> Vec<u8> {
    let mut payload = head.to_vec();
    payload.resize(bytes.max(head.len()), 0x6b);
    payload
}

/// Main profile, 320x180.
const AVC_CONFIGURATION: &[u8] = &[
    1, 0x4d, 0x40, 0x14, 0xff, 0xe1, 0, 0x19, 0x67, 0x4d, 0x40, 0x14, 0xec, 0xa0, 0xa0, 0xcf, 0xcf,
    0x80, 0x88, 0, 0, 3, 0, 8, 0, 0, 3, 1, 0xe0, 0x78, 0xa1, 0x4c, 0xb0, 1, 0, 4, 0x68, 0xeb, 0xec,
    0xb2,
];
