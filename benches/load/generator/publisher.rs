//! Publishes video at 30 frames a second and AAC at 43, each message with a stamp.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    task,
    time::{sleep, sleep_until, timeout},
};

use super::{Commands, say};
use crate::{
    client::Client,
    histogram::Histogram,
    stamp::Stamp,
    wire::{self, Amf, Header, Sink},
};

/// The streams that one process publishes.
pub(super) struct Streams {
    pub(super) server: SocketAddr,
    pub(super) app: String,
    /// The name; `{}` in it stands for the stream's number.
    pub(super) name: String,
    pub(super) count: usize,
    /// Bits per second of each stream.
    pub(super) bitrate: u32,
    /// The usual messages per second by those of these streams.
    pub(super) slowness: u32,
}

pub(super) async fn run(mut commands: Commands, streams: Streams) -> io::Result<()> {
    let tally = Rc::new(RefCell::new(Tally::default()));
    for index in 0..streams.count {
        let name = streams.name.replace("{}", &index.to_string());
        let mut client = Client::open(streams.server, PUBLISHER + index).await?;
        client.connect(&streams.app).await?;
        let stream = client.create_stream().await?;
        client.publish(stream, &name).await?;
        let mut publisher = Publisher::new(stream, streams.bitrate, streams.slowness);
        client.send(&publisher.beginning()).await?;
        let tally = Rc::clone(&tally);
        task::spawn_local(async move {
            let error = publisher.publish(&mut client, &tally).await;
            tally.borrow_mut().failed += 1;
            eprintln!("publisher {index}: {error}");
        });
    }
    say(&json!({"ready": true}));
    while let Some((_, seconds)) = commands.next().await {
        *tally.borrow_mut() = Tally::default();
        sleep(Duration::from_secs_f64(seconds)).await;
        say(&tally.borrow().summary());
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    messages: u64,
    failed: usize,
    /// The delay of each message against its due time: the generator's own.
    late: Histogram,
}

impl Tally {
    fn sent(&mut self, late: Duration) {
        self.messages += 1;
        self.late.record(late.as_nanos() as u64);
    }

    fn summary(&self) -> Value {
        json!({
            "messages": self.messages,
            "failed": self.failed,
            "late": self.late.summary(),
        })
    }
}

struct Publisher {
    stream: u32,
    begun: Instant,
    video: u64,
    audio: u64,
    video_per_second: f64,
    audio_per_second: f64,
    key_every: u64,
    inter_bytes: usize,
    payload: Vec<u8>,
    out: Vec<u8>,
}

impl Publisher {
    fn new(stream: u32, bitrate: u32, slowness: u32) -> Self {
        let audio_per_second = AUDIO_PER_SECOND / f64::from(slowness);
        let video_per_second = VIDEO_PER_SECOND / f64::from(slowness);
        let audio = AUDIO_BYTES as f64 * audio_per_second;
        let video = (f64::from(bitrate) / 8.0 - audio).max(1000.0) / video_per_second;
        let key_every = (KEY_EVERY / u64::from(slowness)).max(1);
        Self {
            stream,
            begun: Instant::now(),
            video: 0,
            audio: 0,
            video_per_second,
            audio_per_second,
            key_every,
            // A key frame is five times as large as the others, and one in `key_every`.
            inter_bytes: (video * key_every as f64 / (key_every as f64 + 4.0)) as usize,
            payload: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Chunk size, metadata and sequence headers.
    fn beginning(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let chunk_size = Header {
            csid: 2,
            kind: wire::SET_CHUNK_SIZE,
            ..Header::default()
        };
        wire::write_message(
            &mut out,
            &chunk_size,
            &(CHUNK_SIZE as u32).to_be_bytes(),
            128,
        );
        let metadata = Amf::encode_all(&[
            "@setDataFrame".into(),
            "onMetaData".into(),
            Amf::Object(vec![
                ("width".into(), 640.0.into()),
                ("height".into(), 360.0.into()),
                ("videocodecid".into(), 7.0.into()),
                ("audiocodecid".into(), 10.0.into()),
            ]),
        ]);
        for (kind, payload) in [
            (wire::DATA_AMF0, metadata.as_slice()),
            (wire::VIDEO, AVC_HEADER),
            (wire::AUDIO, AAC_HEADER),
        ] {
            wire::write_message(&mut out, &self.header(kind, 0), payload, CHUNK_SIZE);
        }
        out
    }

    /// Publishes until the connection ends.
    async fn publish(&mut self, client: &mut Client, tally: &RefCell<Tally>) -> io::Error {
        loop {
            let due = self.due();
            sleep_until(due.into()).await;
            if let Err(error) = client.send(self.message()).await {
                return error;
            }
            tally.borrow_mut().sent(due.elapsed());
            // Messages of the server are read so that its window never fills.
            let _ = timeout(Duration::ZERO, client.receive(&mut Nothing)).await;
        }
    }

    /// The time at which the next message must leave.
    fn due(&self) -> Instant {
        let video = self.video as f64 / self.video_per_second;
        let audio = self.audio as f64 / self.audio_per_second;
        self.begun + Duration::from_secs_f64(video.min(audio))
    }

    fn message(&mut self) -> &[u8] {
        let video = self.video as f64 / self.video_per_second;
        let audio = self.audio as f64 / self.audio_per_second;
        self.payload.clear();
        let header = if video <= audio {
            let key = self.video.is_multiple_of(self.key_every);
            let size = self.inter_bytes * if key { 5 } else { 1 };
            Stamp::now(self.video).video(&mut self.payload, key, size);
            self.video += 1;
            self.header(wire::VIDEO, (video * 1000.0) as u32)
        } else {
            Stamp::now(self.audio).audio(&mut self.payload, AUDIO_BYTES);
            self.audio += 1;
            self.header(wire::AUDIO, (audio * 1000.0) as u32)
        };
        self.out.clear();
        wire::write_message(&mut self.out, &header, &self.payload, CHUNK_SIZE);
        &self.out
    }

    fn header(&self, kind: u8, timestamp: u32) -> Header {
        Header {
            csid: if kind == wire::AUDIO { 4 } else { 6 },
            kind,
            stream: self.stream,
            timestamp,
            length: 0,
        }
    }
}

struct Nothing;

impl Sink for Nothing {
    fn complete(&mut self, _header: &Header, _prefix: &[u8]) {}
}

/// The first publisher's number among the clients; no run has as many viewers.
const PUBLISHER: usize = 1_000_000;
/// The chunk size that OBS sends, too.
const CHUNK_SIZE: usize = 4096;
const VIDEO_PER_SECOND: f64 = 30.0;
const AUDIO_PER_SECOND: f64 = 43.0;
const AUDIO_BYTES: usize = 370;
/// A key frame every two seconds.
const KEY_EVERY: u64 = 60;
/// A sequence header as x264 makes it for 640x360; a server that parses it finds no fault.
const AVC_HEADER: &[u8] = &[
    0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1e, 0xff, 0xe1, 0, 0x18, 0x67, 0x64, 0, 0x1e, 0xac, 0xd9, 0x40,
    0xa0, 0x2f, 0xf9, 0x70, 0x11, 0, 0, 3, 0, 1, 0, 0, 3, 0, 0x3c, 0x0f, 0x16, 0x2d, 0x96, 1, 0, 6,
    0x68, 0xeb, 0xe3, 0xcb, 0x22, 0xc0,
];
const AAC_HEADER: &[u8] = &[0xaf, 0, 0x12, 0x10];
