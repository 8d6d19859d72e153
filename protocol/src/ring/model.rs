//! A model of a reader's legal deliveries, checked against random streams, limits and readers.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{tests::message, *};
use crate::{MessageType, link::Filter, media::Kind, parcel};

const RUNS: u64 = 150;
const STEPS: usize = 250;

/// The pushed messages, by number.
#[derive(Default)]
struct Log {
    classes: Vec<Class>,
    /// The payload length, by which the model distinguishes headers.
    lengths: Vec<usize>,
}

/// A reader and its deliveries.
struct Reader {
    cursor: Cursor,
    max_lag: Duration,
    /// The number of the last video message of each track that it could decode.
    shown: HashMap<u8, u64>,
    headers: HashMap<Class, usize>,
    data: Vec<u64>,
    last: Option<u64>,
    joined_at: u64,
    paused_once: bool,
}

impl Reader {
    fn read(&mut self, ring: &Ring<Message>, log: &Log, most: usize) {
        for _ in 0..most {
            let Some(delivery) = ring.next(&mut self.cursor, self.max_lag) else {
                return;
            };
            assert_eq!(delivery.item.timestamp, delivery.timestamp);
            if delivery.class.is_header() {
                self.headers
                    .insert(delivery.class, delivery.item.payload.len());
            }
            let Some(seq) = delivery.seq else {
                assert!(delivery.class.is_header());
                continue;
            };
            assert!(self.last < Some(seq), "time goes forward");
            assert!(seq >= self.joined_at || self.paused_once || self.last.is_none());
            self.last = Some(seq);
            assert_eq!(log.classes[seq as usize], delivery.class);
            self.check(log, seq, delivery.class);
            assert_eq!(self.cursor.position(), seq + 1);
        }
    }

    fn check(&mut self, log: &Log, seq: u64, class: Class) {
        let filter = self.cursor.filter();
        assert!(!filter.paused);
        assert!(filter.audio || !class.is_audio());
        assert!(filter.video || !class.is_video());
        match class.kind {
            Kind::VideoKey => {
                self.shown.insert(class.track, seq);
            }
            Kind::VideoInter => {
                let before = log.classes[..seq as usize].iter().rposition(|other| {
                    other.track == class.track
                        && matches!(other.kind, Kind::VideoKey | Kind::VideoInter)
                });
                let shown = self.shown.insert(class.track, seq);
                assert_eq!(shown, before.map(|seq| seq as u64), "a frame it can decode");
            }
            Kind::Data => self.data.push(seq),
            _ => {}
        }
        if !matches!(class.kind, Kind::VideoKey | Kind::VideoInter | Kind::Audio) {
            return;
        }
        let needed = |header: &Class| match header {
            header if header.is_audio() => class.is_audio(),
            header if header.is_video() => class.is_video(),
            _ => true,
        };
        for (&header, &length) in in_force(log, seq)
            .iter()
            .filter(|(header, _)| needed(header))
        {
            assert_eq!(
                self.headers.get(&header),
                Some(&length),
                "{header:?} in force at {seq}"
            );
        }
    }
}

fn in_force(log: &Log, seq: u64) -> HashMap<Class, usize> {
    let before = log.classes.iter().zip(&log.lengths).take(seq as usize);
    before
        .filter(|(class, _)| class.is_header())
        .map(|(&class, &length)| (class, length))
        .collect()
}

fn random_class(random: &mut StdRng, tracks: u8) -> Class {
    let track = random.random_range(0..tracks);
    let kind = match random.random_range(0..100) {
        0..40 => Kind::Audio,
        40..80 => Kind::VideoInter,
        80..86 => Kind::VideoKey,
        86..92 => Kind::Data,
        92..94 => Kind::AudioHeader,
        94..97 => Kind::VideoHeader,
        _ => Kind::Metadata,
    };
    match kind {
        kind if kind.is_video() => Class { kind, track },
        kind => Class::of(kind),
    }
}

fn random_filter(random: &mut StdRng) -> Filter {
    Filter {
        audio: random.random_bool(0.8),
        video: random.random_bool(0.8),
        paused: random.random_bool(0.2),
    }
}

/// The ring of another process, and the feed that fills it.
struct Successor {
    ring: Ring<Message>,
    feed: Cursor,
}

impl Successor {
    /// The feed begins as one that goes on over another link: with the last data messages, and at a
    /// key frame with a group of pictures behind it.
    fn new(source: &Ring<Message>, limits: RingLimits) -> Self {
        let mut ring = Ring::new(limits);
        ring.restart();
        let feed = source.join(Start::Gop);
        for (number, _, item) in source.data_before(&feed, 0) {
            ring.push_at(number, Class::of(Kind::Data), item.timestamp, item.clone());
        }
        let mut successor = Self { ring, feed };
        successor.follow(source);
        successor
    }

    /// Takes what is new.
    fn follow(&mut self, source: &Ring<Message>) {
        while let Some(delivery) = source.next(&mut self.feed, Duration::MAX) {
            let (class, at) = (delivery.class, delivery.timestamp);
            let item = delivery.item.into_owned();
            match delivery.seq {
                Some(seq) => self.ring.push_at(seq, class, at, item),
                None => self.ring.push_header(class, at, item),
            };
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]
fn start() -> Instant {
    Instant::now()
}

fn moved(cursor: &Cursor) -> Cursor {
    let now = start();
    let parcel = parcel::pack(cursor, now).expect("it can move");
    parcel::unpack(&parcel, now, (), 1000).expect("it fits")
}

fn run(seed: u64) {
    let random = &mut StdRng::seed_from_u64(seed);
    let limits = RingLimits {
        bytes: random.random_range(2_000..60_000),
        messages: random.random_range(5..400),
        span: Duration::from_millis(random.random_range(100..20_000)),
        late: Duration::from_millis(random.random_range(100..20_000)),
    };
    let tracks = random.random_range(1..=2);
    let with_filters = random.random_bool(0.5);
    let with_moves = random.random_bool(0.5);
    let mut ring = Ring::new(limits);
    let mut successor: Option<Successor> = None;
    let mut log = Log::default();
    let mut readers: Vec<Reader> = Vec::new();
    let mut time = 0_u32;
    for _ in 0..STEPS {
        for _ in 0..random.random_range(0..6) {
            let class = random_class(random, tracks);
            time = time.wrapping_add(random.random_range(0..40));
            let item = message(MessageType::AUDIO, time, random.random_range(1..200));
            log.classes.push(class);
            log.lengths.push(item.payload.len());
            let seq = ring.push(class, item.timestamp, item);
            assert_eq!(seq as usize + 1, log.classes.len());
            assert!(ring.len() <= limits.messages);
            assert!(ring.bytes() <= limits.bytes || ring.len() == 1);
            if let Some(successor) = &mut successor {
                successor.follow(&ring);
            }
        }
        if with_moves && random.random_bool(0.02) {
            successor = Some(Successor::new(&ring, limits));
            for reader in &mut readers {
                reader.cursor = moved(&reader.cursor);
            }
        }
        let read = successor.as_ref().map_or(&ring, |it| &it.ring);
        if random.random_bool(0.05) {
            let start = [Start::KeyFrame, Start::Gop, Start::Live][random.random_range(0..3)];
            let cursor = read.join(start);
            readers.push(Reader {
                joined_at: cursor.position(),
                cursor,
                max_lag: Duration::from_millis(random.random_range(50..5000)),
                shown: HashMap::new(),
                headers: HashMap::new(),
                data: Vec::new(),
                last: None,
                paused_once: false,
            });
        }
        for reader in &mut readers {
            if with_filters && random.random_bool(0.02) {
                let filter = random_filter(random);
                reader.paused_once |= filter.paused;
                reader.cursor.set_filter(filter);
            }
            if random.random_bool(0.3) {
                let most = if random.random_bool(0.5) { 1000 } else { 3 };
                reader.read(read, &log, most);
            }
        }
    }
    let read = successor.as_ref().map_or(&ring, |it| &it.ring);
    for reader in &mut readers {
        reader.read(read, &log, usize::MAX);
        // A feed leaves out what its reader cannot decode; a reader that has moved may be beyond.
        let is_beyond = with_moves && reader.cursor.position() > read.head();
        assert!(reader.cursor.position() == read.head() || is_beyond);
        if !reader.paused_once {
            // All data messages of a run together are less than a jump carries.
            let all = reader.joined_at..ring.head();
            let data: Vec<_> = all
                .filter(|&seq| log.classes[seq as usize].kind == Kind::Data)
                .collect();
            let mut seen = reader.data.clone();
            seen.retain(|&seq| seq >= reader.joined_at);
            assert_eq!(seen, data, "every data message, once, in order");
        }
    }
}

#[test]
fn readers_get_what_they_can_decode_in_order_and_every_data_message() {
    let only = std::env::var("RING_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seeds = only.map_or(0..RUNS, |seed| seed..seed + 1);
    for seed in seeds {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed}: run again with RING_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
