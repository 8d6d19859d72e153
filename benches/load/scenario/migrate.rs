//! Groups that move between two origins over and over under their sessions: for how long each stands still.

use std::{thread, time::Duration};

use clap::Args;
use serde_json::Value;

use super::steady::{Steady, put_outcome, put_quantiles};
use crate::{
    driver::numbers,
    report::{Figures, Report},
    servers,
};

/// Load and moves.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The moves of each of the two groups.
    #[arg(long, default_value_t = 50)]
    moves: usize,
    /// Sessions of one group; each calls once a second.
    #[arg(long, default_value_t = 1_000)]
    sessions: usize,
    /// Publishers of the other group, each with its own stream.
    #[arg(long, default_value_t = 50)]
    publishers: usize,
    /// Viewers of each stream at each edge.
    #[arg(long, default_value_t = 2)]
    viewers: usize,
    /// Seconds of the measurement of each move.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

/// The group of the sessions, and that of the streams.
const CALLED: &str = "counter/g0";
const STREAMED: &str = "live/_definst_";

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "2 edges and 2 origins; a group of {} sessions, and one of {} publishers with {} viewers of each \
         stream at each edge",
        options.sessions, options.publishers, options.viewers
    );
    let mut report = Report::begin("move", &remarks)
        .however_busy()
        .of_runs(options.moves);
    let server = servers::two_origins(2);
    let mut load = Steady {
        sessions: options.sessions,
        members: options.sessions,
        changes: false,
        publishers: options.publishers,
        viewers: options.viewers,
    }
    .start(&server);
    thread::sleep(Duration::from_secs(2));
    let mut at = [CALLED, STREAMED].map(|group| server.place(group));
    let mut all = Delays::default();
    for _ in 0..options.moves {
        let before = server.sample(&[]);
        load.begin(&format!("measure {}", options.seconds));
        let mut frozen = [0.0; 2];
        for (place, group) in [CALLED, STREAMED].iter().enumerate() {
            frozen[place] = server.move_group(group, at[place]);
            at[place] = 1 - at[place];
        }
        let (sessions, viewers) = load.answer();
        let busy = server.sample(&[]).since(&before).busy;
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put("frozen ms, group of calls", frozen[0]);
        put("frozen ms, group of streams", frozen[1]);
        put_outcome(&mut figures, &sessions, &viewers);
        let mut delays = Delays::of(frozen, &sessions);
        delays.put(&mut figures);
        all.add(delays);
        report.add("tributary", "move", busy, figures);
    }
    let mut figures = Figures::new();
    all.put(&mut figures);
    report.add("tributary", "all moves", 0.0, figures);
    report.finish();
}

/// Milliseconds.
#[derive(Default)]
struct Delays {
    /// For which a group stood still.
    frozen: Vec<f64>,
    /// The longest that each session waited for an answer.
    longest: Vec<f64>,
}

impl Delays {
    fn of(frozen: [f64; 2], sessions: &[Value]) -> Self {
        let longest = sessions.iter().flat_map(|it| numbers(it, "/longest_ms"));
        Self {
            frozen: frozen.to_vec(),
            longest: longest.collect(),
        }
    }

    fn add(&mut self, other: Self) {
        self.frozen.extend(other.frozen);
        self.longest.extend(other.longest);
    }

    fn put(&mut self, figures: &mut Figures) {
        put_quantiles(figures, "frozen", &mut self.frozen);
        put_quantiles(figures, "longest call", &mut self.longest);
    }
}
