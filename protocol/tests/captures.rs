//! The bytes that real clients sent: captured on a loopback connection to this server by a
//! proxy that wrote down the client's direction. Two seconds of 64x48 video and 8 kHz sound.
//!
//! The GStreamer ones are of `rtmp2sink` and `rtmp2src`; those of librtmp of its `RTMP_Write`, a tag
//! at a time; rtmpdump, which is librtmp as well, shakes hands with a digest for `--swfhash`. Encoders
//! that run on desktops alone (OBS Studio, Flash Media Live Encoder) are not among them: OBS
//! publishes by a copy of librtmp.

use std::time::Instant;

use tributary_protocol::{
    MessageType,
    chunk::ReadLimits,
    command::Command,
    session::{ConnectionLimits, ServerConnection, ServerEvent},
};

struct Capture {
    name: &'static str,
    bytes: &'static [u8],
    commands: &'static str,
    media: &'static [Media],
}

/// The messages of one kind: how many, the time of the first and the last, their payload's bytes.
#[derive(Debug, PartialEq, Eq)]
struct Media(MessageType, usize, u32, u32, usize);

macro_rules! capture {
    ($name:literal, $commands:expr, $media:expr) => {
        Capture {
            name: $name,
            bytes: include_bytes!(concat!("captures/", $name, ".bin")),
            commands: $commands,
            media: &$media,
        }
    };
}

const AUDIO: MessageType = MessageType::AUDIO;
const VIDEO: MessageType = MessageType::VIDEO;
const DATA: MessageType = MessageType::DATA_AMF0;

const PUBLISH: &str =
    "connect releaseStream FCPublish createStream publish FCUnpublish deleteStream";

/// Those called extended begin with times just below 2^24 ms, where headers grow; those called wrap
/// just below 2^32 ms, which librtmp sends as they are, ffmpeg cuts to what FLV can say, and GStreamer
/// holds at 0 until they have wrapped.
const CAPTURES: [Capture; 15] = [
    capture!(
        "ffmpeg-publish",
        PUBLISH,
        [
            Media(DATA, 1, 0, 0, 309),
            Media(VIDEO, 22, 0, 2028, 3209),
            Media(AUDIO, 18, 0, 2048, 4541)
        ]
    ),
    capture!(
        "ffmpeg-publish-extended",
        PUBLISH,
        [
            Media(DATA, 1, 0, 0, 309),
            Media(VIDEO, 22, 0, 0x10002ac, 3209),
            Media(AUDIO, 18, 0, 0x10002c0, 4541)
        ]
    ),
    capture!(
        "ffmpeg-publish-wrap",
        PUBLISH,
        [
            Media(DATA, 1, 0, 0, 309),
            Media(VIDEO, 22, 0, 0x7fffffa0, 3209),
            Media(AUDIO, 18, 0, 624, 4541)
        ]
    ),
    capture!(
        "ffmpeg-publish-audio",
        PUBLISH,
        [Media(DATA, 1, 0, 0, 209), Media(AUDIO, 41, 0, 2090, 4325)]
    ),
    capture!(
        "gstreamer-publish",
        PUBLISH,
        [
            Media(DATA, 9, 0, 1600, 3195),
            Media(VIDEO, 22, 0, 2088, 7307),
            Media(AUDIO, 30, 0, 2088, 2190)
        ]
    ),
    capture!(
        "ffmpeg-play",
        "connect createStream getStreamLength play deleteStream",
        []
    ),
    capture!("gstreamer-play", "connect createStream play", []),
    capture!(
        "rtmpdump-play",
        "connect createStream FCSubscribe play deleteStream",
        []
    ),
    capture!(
        "librtmp-publish",
        PUBLISH,
        [
            Media(DATA, 1, 0, 0, 309),
            Media(VIDEO, 22, 0, 2028, 7450),
            Media(AUDIO, 18, 0, 2048, 4541)
        ]
    ),
    capture!(
        "librtmp-publish-extended",
        PUBLISH,
        [
            Media(DATA, 1, 0xfffd00, 0xfffd00, 309),
            Media(VIDEO, 22, 0xfffd00, 0x10004ec, 7450),
            Media(AUDIO, 18, 0xfffd00, 0x1000500, 4541)
        ]
    ),
    capture!(
        "librtmp-publish-wrap",
        PUBLISH,
        [
            Media(DATA, 1, 0xfffffd00, 0xfffffd00, 309),
            Media(VIDEO, 22, 0xfffffd00, 1260, 7450),
            Media(AUDIO, 18, 0xfffffd00, 1280, 4541)
        ]
    ),
    capture!(
        "gstreamer-publish-extended",
        PUBLISH,
        [
            Media(DATA, 1, 0xfffd00, 0xfffd00, 309),
            Media(VIDEO, 22, 0xfffd00, 0x10004ec, 7450),
            Media(AUDIO, 18, 0xfffd00, 0x1000500, 4541)
        ]
    ),
    capture!(
        "gstreamer-publish-wrap",
        PUBLISH,
        [
            Media(DATA, 1, 0, 0, 309),
            Media(VIDEO, 22, 0, 1260, 7450),
            Media(AUDIO, 18, 0, 1280, 4541)
        ]
    ),
    capture!(
        "ffmpeg-publish-speex",
        PUBLISH,
        [Media(DATA, 1, 0, 0, 209), Media(AUDIO, 100, 0, 1980, 3300)]
    ),
    capture!(
        "rtmpdump-play-digest",
        "connect createStream FCSubscribe play deleteStream",
        []
    ),
];

/// All events of the capture, read in pieces of this size.
fn events(bytes: &[u8], step: usize) -> Vec<ServerEvent> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    let now = Instant::now();
    let limits = ConnectionLimits {
        read: ReadLimits::default(),
        ..ConnectionLimits::default()
    };
    let mut server = ServerConnection::new([7; 1528], now, limits);
    let mut events = Vec::new();
    for piece in bytes.chunks(step) {
        server.handle_input(now, piece).expect("a real client");
        events.extend(std::iter::from_fn(|| server.poll_event()));
        server.take_output();
    }
    events
}

#[test]
fn real_clients_read_the_same_in_pieces_of_any_size() {
    for capture in &CAPTURES {
        let whole = events(capture.bytes, usize::MAX);
        for step in [1, 2, 3, 127, 1536, 4096] {
            assert!(
                events(capture.bytes, step) == whole,
                "{} by {step}",
                capture.name
            );
        }
        let mut commands = Vec::new();
        let mut media = Vec::new();
        for event in &whole {
            let ServerEvent::Message(message) = event else {
                continue;
            };
            let kind = message.kind;
            if kind.is_command() {
                let command = Command::decode(kind, &message.payload);
                commands.push(command.expect("a command").name);
                continue;
            }
            let (time, length) = (message.timestamp.0, message.payload.len());
            match media.iter_mut().find(|media: &&mut Media| media.0 == kind) {
                None => media.push(Media(kind, 1, time, time, length)),
                Some(Media(_, count, _, last, bytes)) => {
                    *count += 1;
                    *last = time;
                    *bytes += length;
                }
            }
        }
        let commands = commands.join(" ");
        assert_eq!(commands, capture.commands, "{}", capture.name);
        assert_eq!(media, capture.media, "{}", capture.name);
    }
}
