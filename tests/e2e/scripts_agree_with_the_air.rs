//! Publishers come, go, are killed and take over, and edges end: the scripts' view of live streams,
//! the media that viewers get and the publishers' own state agree.
//!
//! `TRIBUTARY_CHURN_SECONDS` sets the length of the run (25), `TRIBUTARY_CHURN_SEED` repeats a run.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::Path,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use self::{
    agreement::{Air, Belief},
    publisher::{Doing, Encoder, Order, Publisher, ROOM},
    viewer::Viewer,
};
use crate::support::{clients::wired::Wired, cluster::Cluster, wait};

mod agreement;
mod publisher;
mod viewer;

/// An application, with a client that asks its script and a viewer.
struct Watched {
    app: &'static str,
    asker: Wired,
    viewer: Viewer,
}

struct Churn {
    cluster: Cluster,
    watched: Vec<Watched>,
    publishers: Vec<Publisher>,
    encoders: Vec<Encoder>,
    guests: BTreeSet<u32>,
    random: StdRng,
    next_number: u32,
    log: Vec<String>,
}

#[test]
fn scripts_believe_what_is_on_the_air() {
    let seed = setting("TRIBUTARY_CHURN_SEED").unwrap_or_else(rand::random);
    let time = Duration::from_secs(setting("TRIBUTARY_CHURN_SECONDS").unwrap_or(25));
    println!("TRIBUTARY_CHURN_SEED={seed}");
    let mut churn = Churn::start(seed);
    let begun = Instant::now();
    let mut settled = 0;
    while begun.elapsed() < time {
        for _ in 0..churn.random.random_range(3..12) {
            churn.act();
            churn.look_on();
        }
        churn.settle();
        settled += 1;
    }
    churn.end_everything();
    churn.settle();
    for index in 0..churn.watched.len() {
        let names = churn.ask(index).names;
        assert!(names.is_empty(), "{}: {names:?}", churn.watched[index].app);
    }
    let mut counts = BTreeMap::new();
    for line in &churn.log {
        let verb = line.split(' ').next().unwrap_or_default();
        *counts.entry(verb.to_owned()).or_insert(0) += 1;
    }
    println!("settled {settled} times after {counts:?}");
}

impl Churn {
    fn start(seed: u64) -> Self {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications");
        let tables: String = APPS.iter().map(|app| table(app)).collect();
        let cluster = Cluster::with_applications_and_tables(1, 2, &tables, |directory| {
            for app in APPS {
                fs::create_dir(directory.join(app)).expect("a directory");
                let main = scripts.join(app).join("main.asc");
                fs::copy(main, directory.join(app).join("main.asc")).expect("a copy");
                let checks = scripts.join("checks.asc");
                fs::copy(checks, directory.join(app).join("checks.asc")).expect("a copy");
            }
        });
        let watched = APPS.map(|app| Watched {
            app,
            asker: Wired::session_with(cluster.rtmp(1), app, &["asker".into()]),
            viewer: Viewer::start(cluster.rtmp(1), app, NAMES, &object(app)),
        });
        Self {
            cluster,
            watched: watched.into(),
            publishers: Vec::new(),
            encoders: Vec::new(),
            guests: BTreeSet::new(),
            random: StdRng::seed_from_u64(seed),
            next_number: 0,
            log: Vec::new(),
        }
    }

    /// Does one thing at random.
    fn act(&mut self) {
        self.publishers.retain(|one| one.doing() != Doing::Gone);
        self.encoders.retain_mut(|one| one.program.is_running());
        let full = self.publishers.len() >= PUBLISHERS;
        match self.random.random_range(0..100) {
            0..40 if !full => self.begin(),
            0..52 => self.begin_again(),
            52..58 => self.order("unpublishes", Order::Unpublish),
            58..64 => self.order("leaves", Order::Leave),
            64..71 => self.order("vanishes", Order::Vanish),
            71..78 => self.order("resets", Order::Reset),
            78..88 if self.encoders.len() < ENCODERS => self.begin_encoder(),
            78..97 => self.kill_encoder(),
            _ => self.restart_edge(),
        }
    }

    fn begin(&mut self) {
        let app = self.pick(&APPS);
        let number = self.number();
        let guest = app == "registrar" && self.random.random_ratio(1, 4);
        let kind = if guest { "guest" } else { "publisher" };
        let nick = format!("{kind}{number}");
        let edge = self.random.random_range(0..2);
        let name = self.name();
        self.log
            .push(format!("begins: {nick} at edge {edge} with {app}/{name}"));
        if guest {
            self.guests.insert(number);
        }
        let publisher = Publisher::connect(self.cluster.rtmp(edge), app, nick, number);
        publisher.order(Order::Publish(name));
        self.publishers.push(publisher);
    }

    fn begin_again(&mut self) {
        let name = self.name();
        let Some(index) = self.some_publisher() else {
            return;
        };
        let publisher = &self.publishers[index];
        let nick = &publisher.nick;
        self.log.push(format!("changes: {nick} to {name}"));
        publisher.order(Order::Unpublish);
        publisher.order(Order::Publish(name));
    }

    fn order(&mut self, verb: &str, order: Order) {
        let Some(index) = self.some_publisher() else {
            return;
        };
        let nick = &self.publishers[index].nick;
        self.log.push(format!("{verb}: {nick}"));
        self.publishers[index].order(order);
    }

    fn begin_encoder(&mut self) {
        let app = self.pick(&APPS);
        let nick = format!("ffmpeg{}", self.number());
        let edge = self.random.random_range(0..2);
        let name = self.name();
        self.log
            .push(format!("encodes: {nick} at edge {edge} with {app}/{name}"));
        let directory = self.cluster.directory().to_owned();
        let server = self.cluster.rtmp(edge);
        let encoder = Encoder::start(server, app, nick, &name, &directory);
        self.encoders.push(encoder);
    }

    fn kill_encoder(&mut self) {
        if self.encoders.is_empty() {
            return;
        }
        let index = self.random.random_range(0..self.encoders.len());
        let mut encoder = self.encoders.swap_remove(index);
        self.log.push(format!("killed: {}", encoder.nick));
        encoder.program.kill();
    }

    fn restart_edge(&mut self) {
        let stop = self.random.random_bool(0.5);
        let how = if stop { "stopped" } else { "killed-edge" };
        self.log.push(format!("{how}: edge 0"));
        if stop {
            self.cluster.stop_and_restart_edge(0);
        } else {
            self.cluster.restart_edge(0);
        }
        self.cluster.await_links();
    }

    fn end_everything(&mut self) {
        for index in 0..self.publishers.len() {
            let order = match self.random.random_range(0..3) {
                0 => Order::Leave,
                1 => Order::Vanish,
                _ => Order::Reset,
            };
            self.publishers[index].order(order);
        }
        for encoder in &mut self.encoders {
            encoder.program.kill();
        }
    }

    /// Asks the scripts for a while, and checks each time the conditions that must hold always.
    fn look_on(&mut self) {
        let until = Instant::now() + Duration::from_millis(self.random.random_range(0..250));
        loop {
            for index in 0..self.watched.len() {
                self.ask(index);
            }
            if Instant::now() >= until {
                return;
            }
        }
    }

    /// Asks a script for its view of the live streams, and checks the conditions that must hold
    /// always.
    fn ask(&mut self, index: usize) -> Belief {
        let watched = &mut self.watched[index];
        let answer = watched.asker.call("believes", &[]);
        let values = answer.values();
        let belief = values.get(3).and_then(Belief::read);
        let belief = belief.unwrap_or_else(|| panic!("{}: {values:?}", watched.app));
        let watched = &self.watched[index];
        let seen = watched.viewer.seen();
        assert!(!seen.closed, "{}: the viewer is closed", watched.app);
        let guests: Vec<_> = seen.everybody.intersection(&self.guests).collect();
        assert!(
            belief.wrong.is_empty() && guests.is_empty(),
            "{}: {:?}; frames of guests {guests:?}\n{}",
            watched.app,
            belief.wrong,
            self.recent()
        );
        belief
    }

    /// Waits until scripts, viewers and publishers agree.
    fn settle(&mut self) {
        let frames: Vec<BTreeMap<&str, u64>> = self
            .watched
            .iter()
            .map(|watched| {
                let viewer = &watched.viewer;
                NAMES
                    .iter()
                    .map(|&name| (name, viewer.frames(name)))
                    .collect()
            })
            .collect();
        let mut why = None;
        let agreed = wait::some(AGREE_WITHIN, || {
            why = self.disagreement(&frames);
            why.is_none().then_some(())
        });
        assert!(agreed.is_some(), "{why:?}\n{}", self.recent());
    }

    /// The first difference between scripts, viewers and publishers.
    fn disagreement(&mut self, frames: &[BTreeMap<&str, u64>]) -> Option<String> {
        self.encoders.retain_mut(|one| one.program.is_running());
        if self
            .publishers
            .iter()
            .any(|one| one.doing() == Doing::Asking)
        {
            return Some("a publisher waits for its answer".to_owned());
        }
        for (index, before) in frames.iter().enumerate() {
            let belief = self.ask(index);
            let watched = &self.watched[index];
            let air = Air::of(watched.app, &self.publishers, &self.encoders);
            let seen = watched.viewer.seen();
            let differs = air.differs(watched.app, &belief, &seen, before);
            if let Some(differs) = differs {
                return Some(format!("{}: {differs}", watched.app));
            }
        }
        None
    }

    fn recent(&self) -> String {
        let from = self.log.len().saturating_sub(40);
        self.log[from..].join("\n")
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    /// A name, half of the time with a query that gives all publishers one identity.
    fn name(&mut self) -> String {
        let name = self.pick(NAMES);
        match self.random.random_range(0..4) {
            0 | 1 => format!("{name}?by=one"),
            2 => format!("{name}?by=two"),
            _ => name.to_owned(),
        }
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())]
    }

    fn some_publisher(&mut self) -> Option<usize> {
        let count = self.publishers.len();
        (count > 0).then(|| self.random.random_range(0..count))
    }
}

/// The settings of an application: short times, so that much happens in a run.
fn table(app: &str) -> String {
    format!(
        "[applications.{app}]\nsecond_publisher = \"takeover\"\nreturn_time = \"1 s\"\n\
         grace_time = \"6 s\"\npublish_from = \"anywhere\"\n"
    )
}

/// The shared object that shows what an application believes; `stock` has none.
fn object(app: &str) -> String {
    match app {
        "rooms" => format!("rooms/{ROOM}"),
        _ => "publishers".to_owned(),
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

const APPS: [&str; 3] = ["stock", "rooms", "registrar"];
const NAMES: &[&str] = &["north", "south", "east", "west"];

/// Publishers, and encoders, at a time.
const PUBLISHERS: usize = 14;
const ENCODERS: usize = 3;

/// The grace time, which a machine that stands still for some seconds must not exceed, the return time
/// and the start of ffmpeg on a busy machine.
const AGREE_WITHIN: Duration = Duration::from_secs(45);
