//! An origin that is killed over and over under its sessions: how long until each is served.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::Value;

use super::steady::{Steady, put_outcome, put_quantiles};
use crate::{
    driver::numbers,
    report::{Figures, Report},
    servers,
};

/// Load and kills.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The kills.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// Seconds from a kill to the start of the next process, as a supervisor waits.
    #[arg(long, default_value_t = 1.0)]
    restart: f64,
    /// Sessions that change a shared object and call, each once a second.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// The sessions of each group.
    #[arg(long, default_value_t = 10)]
    members: usize,
    /// Publishers, each with its own stream.
    #[arg(long, default_value_t = 100)]
    publishers: usize,
    /// Viewers of each stream at each edge.
    #[arg(long, default_value_t = 2)]
    viewers: usize,
    /// Seconds of the measurement after each kill.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
}

const SETTINGS: &str = r#"
[cluster]
name = "load"
"#;

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "2 edges; the origin is killed and starts again after {} s; {} sessions in groups of {}, \
         {} publishers, {} viewers of each stream at each edge",
        options.restart, options.sessions, options.members, options.publishers, options.viewers
    );
    let mut report = Report::begin("restore", &remarks)
        .however_busy()
        .of_runs(options.kills);
    let mut server = servers::with_settings(2, SETTINGS);
    let mut load = Steady {
        sessions: options.sessions,
        members: options.members,
        changes: true,
        publishers: options.publishers,
        viewers: options.viewers,
    }
    .start(&server);
    thread::sleep(Duration::from_secs(2));
    let mut all = Served::default();
    for _ in 0..options.kills {
        let before = server.sample(&[]);
        let link = server.kill_origin();
        load.begin(&format!("measure {}", options.seconds));
        thread::sleep(Duration::from_secs_f64(options.restart));
        let started = Instant::now();
        server.start_origin(link);
        let started = started.elapsed();
        let (sessions, viewers) = load.answer();
        let mut served = Served::of(&sessions, &viewers);
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("ms until the origin listens", started.as_secs_f64() * 1e3);
        put_outcome(&mut figures, &sessions, &viewers);
        served.put(&mut figures);
        all.add(served);
        // The processor time of the origin that was killed is not in it.
        let busy = server.sample(&[]).since(&before).busy;
        report.add("tributary", "kill", busy, figures);
    }
    let mut figures = Figures::new();
    all.put(&mut figures);
    report.add("tributary", "all kills", 0.0, figures);
    report.finish();
}

/// The milliseconds from a kill until each session was served.
#[derive(Default)]
struct Served {
    sessions: Vec<f64>,
    viewers: Vec<f64>,
}

impl Served {
    fn of(sessions: &[Value], viewers: &[Value]) -> Self {
        let served = |of: &[Value]| of.iter().flat_map(|it| numbers(it, "/served_ms")).collect();
        Self {
            sessions: served(sessions),
            viewers: served(viewers),
        }
    }

    fn add(&mut self, other: Self) {
        self.sessions.extend(other.sessions);
        self.viewers.extend(other.viewers);
    }

    fn put(&mut self, figures: &mut Figures) {
        for (kind, values) in [
            ("sessions", &mut self.sessions),
            ("viewers", &mut self.viewers),
        ] {
            let count = values.len() as f64;
            figures.insert(format!("{kind} served"), count);
            put_quantiles(figures, &format!("{kind} served"), values);
        }
    }
}
