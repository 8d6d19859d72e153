//! The simulated network: the clock, and paths between nodes with delays, cuts and links over them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::link::{
    Control,
    lane_frame::{LaneAnswer, OpenLane},
};

/// A node by its place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Edge(usize),
    Origin(usize),
}

/// A node that dials, and the origin that it dials.
pub(super) type Path = (Node, usize);

/// One end of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LinkEnd {
    pub(super) path: Path,
    /// The number of the link: each dial begins one.
    pub(super) link: u64,
    /// Whether it is the end of the origin that is dialled.
    pub(super) at_target: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Packet {
    /// The greeting of the node that dials: the number of its process.
    Hello {
        process: u64,
    },
    /// The answer of the origin: the number of its process.
    Welcome {
        process: u64,
    },
    Control(Control),
    OpenLane(OpenLane),
    Answer(LaneAnswer),
    Lane(Bytes),
    /// The stream ends.
    End,
}

#[derive(Debug)]
pub(super) enum Event {
    /// A packet arrives at this end.
    Packet {
        to: LinkEnd,
        stream: u64,
        packet: Packet,
    },
    /// This end notices that its link is gone.
    Lost(LinkEnd),
    Dial(Path),
    /// The supervisor starts an origin.
    Start(usize),
    /// The edges' names of an origin's process are on its disk.
    Synced(usize, Vec<String>),
}

pub(super) struct Network {
    pub(super) now: Instant,
    pub(super) rng: StdRng,
    events: BTreeMap<(Instant, u64), Event>,
    /// The cut of a path: its beginning and its end.
    cuts: BTreeMap<Path, (Instant, Instant)>,
    /// The links over which nothing comes any more.
    dead: BTreeSet<(Path, u64)>,
    /// When the newest packet of a stream arrives.
    newest: BTreeMap<(LinkEnd, u64), Instant>,
    numbers: u64,
    start: Instant,
    /// Whether each event is printed.
    prints: bool,
    /// A hash of all events.
    pub(super) trace: u64,
}

/// The stream of control frames.
pub(super) const CONTROL: u64 = 0;

/// The time after which the ends of a silent link give it up.
pub(super) const IDLE: Duration = Duration::from_secs(3);

impl Network {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            now,
            rng: StdRng::seed_from_u64(seed),
            events: BTreeMap::new(),
            cuts: BTreeMap::new(),
            dead: BTreeSet::new(),
            newest: BTreeMap::new(),
            numbers: 0,
            start: now,
            prints: std::env::var_os("TRACE").is_some(),
            trace: 0,
        }
    }

    /// A number that was not given before.
    pub(super) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// A random time.
    pub(super) fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(range))
    }

    pub(super) fn after(&mut self, pause: Duration, event: Event) {
        let key = (self.now + pause, self.number());
        self.events.insert(key, event);
    }

    /// The next event that is due.
    pub(super) fn next(&mut self) -> Option<Event> {
        let (&key, _) = self.events.first_key_value()?;
        let event = (key.0 <= self.now).then(|| self.events.remove(&key))??;
        self.note(&format!("{event:?}"));
        Some(event)
    }

    /// Adds to the trace.
    pub(super) fn note(&mut self, text: &str) {
        if self.prints {
            eprintln!("{:>8.3} {text}", (self.now - self.start).as_secs_f64());
        }
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(text.as_bytes(), self.trace);
        self.trace = hash;
    }

    /// Whether packets leave this path at this time.
    pub(super) fn is_cut(&self, path: Path) -> bool {
        let cut = self.cuts.get(&path);
        cut.is_some_and(|(_, end)| self.now < *end)
    }

    /// Cuts a path for a while. `link` is the link that is over it: both ends notice a long cut.
    pub(super) fn cut(&mut self, path: Path, link: u64, time: Duration) {
        if self.is_cut(path) {
            return;
        }
        self.cuts.insert(path, (self.now, self.now + time));
        if time >= IDLE {
            self.dead.insert((path, link));
            for at_target in [false, true] {
                let late = self.millis(0..800);
                let end = LinkEnd {
                    path,
                    link,
                    at_target,
                };
                self.after(IDLE + late, Event::Lost(end));
            }
        }
    }

    /// Sends a packet to an end of a link. Packets of one stream keep their order.
    pub(super) fn send(&mut self, to: LinkEnd, stream: u64, packet: Packet) {
        let mut leaves = self.now;
        if self.dead.contains(&(to.path, to.link)) {
            return;
        }
        if let Some(&(_, end)) = self.cuts.get(&to.path) {
            leaves = leaves.max(end);
        }
        let slow = self.rng.random_bool(0.02);
        let delay = self.millis(if slow { 20..80 } else { 1..10 });
        let newest = self.newest.entry((to, stream)).or_insert(leaves);
        let arrives = (*newest).max(leaves + delay);
        *newest = arrives;
        let pause = arrives - self.now;
        self.after(pause, Event::Packet { to, stream, packet });
    }
}

impl LinkEnd {
    pub(super) fn other(self) -> Self {
        Self {
            at_target: !self.at_target,
            ..self
        }
    }
}
