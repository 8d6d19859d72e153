//! Very many sessions: several edges, one origin, groups whose members come through all edges.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::Value;

use crate::{
    driver::{self, Generator, number, sum},
    meter::Sample,
    report::{Figures, GENERATOR_BUSY, Report},
    scenario::members,
    servers::{self, EDGE, Kind, ORIGIN, Server},
};

/// Sessions, groups and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Sessions in all; those beyond whole groups do not connect.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// Edges; a process for each holds its clients. A process has 20,000 descriptors.
    #[arg(long, default_value_t = 6)]
    edges: usize,
    /// Members of each group; they come through all edges in turn.
    #[arg(long, default_value_t = 50)]
    members: usize,
    /// Sessions that connect in a second.
    #[arg(long, default_value_t = 2_000.0)]
    connects: f64,
    /// Changes of shared objects in a second, in all groups together.
    #[arg(long, default_value_t = 1_000.0)]
    changes: f64,
    /// Seconds of silence before the processor time of doing nothing is measured.
    #[arg(long, default_value_t = 30.0)]
    settle: f64,
    /// Seconds of that measurement, and of the changes.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Runs.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

impl Options {
    fn groups(&self) -> usize {
        self.sessions / self.members
    }

    /// Sessions in whole groups.
    fn connecting(&self) -> usize {
        self.groups() * self.members
    }
}

pub(crate) fn run(options: &Options) {
    assert!(
        members::through(0, options.edges, options.connecting()) <= MOST_OF_AN_EDGE,
        "more than {MOST_OF_AN_EDGE} sessions for each edge: give more --edges"
    );
    let remarks = format!(
        "groups of {} members, which come through all edges and use the shared object of their \
         group, each its own slot; KiB per session: resident memory after {} s of silence less that before the \
         first session, by the sessions; latencies are those of the slowest edge",
        options.members, options.settle
    );
    let mut report = Report::begin("scale", &remarks).charted("KiB per session edges");
    for _ in 0..options.rounds {
        let (busy, figures) = one(options);
        let load = format!("{} sessions, {} edges", options.sessions, options.edges);
        report.add(Kind::Tributary.name(), &load, busy, figures);
    }
    report.finish();
}

fn one(options: &Options) -> (f64, Figures) {
    let mut run = Run::start(options);
    run.connect();
    run.rest();
    run.call();
    let busy = run.change();
    (busy, run.figures)
}

/// One run; each step adds its figures.
struct Run<'o> {
    options: &'o Options,
    /// Dropped before the server, whose log then shows no sessions that its end closed.
    generators: Vec<Generator>,
    server: Server,
    /// Resident bytes of the edges and of the origin before the first session.
    empty: [f64; 2],
    figures: Figures,
}

impl<'o> Run<'o> {
    fn start(options: &'o Options) -> Self {
        let server = servers::with_edges(options.edges);
        let rate = (options.connects / options.edges as f64).to_string();
        let (changes, groups) = (options.changes.to_string(), options.groups().to_string());
        let more = [
            ("--rate", rate.as_str()),
            ("--changes", &changes),
            ("--groups", &groups),
        ];
        Self {
            options,
            generators: members::start(&server, "counter/g{}", options.members, &more),
            empty: by_tier(&server, &server.resident()),
            server,
            figures: Figures::new(),
        }
    }

    /// Connects all sessions, in steps.
    fn connect(&mut self) {
        let begun = Instant::now();
        let all = self.options.connecting();
        let (mut connected, mut gone) = (0.0, 0.0);
        for step in 1..=STEPS {
            let wanted = all * step / STEPS;
            let answers = members::grow(&mut self.generators, wanted);
            (connected, gone) = (sum(&answers, "/connected"), sum(&answers, "/gone"));
            let seconds = begun.elapsed().as_secs_f64();
            eprintln!("scale: {connected} sessions after {seconds:.1} s, {gone} failed");
        }
        self.put("sessions", connected);
        self.put("sessions that failed to connect", gone);
        self.put("seconds to connect all", begun.elapsed().as_secs_f64());
    }

    /// Measures memory and the processor time of doing nothing.
    fn rest(&mut self) {
        eprintln!("scale: silence");
        sleep(self.options.settle);
        let before = self.sample();
        sleep(self.options.seconds);
        let spent = self.sample().since(&before);
        let idle = by_tier(&self.server, &spent.servers);
        let resident = by_tier(&self.server, &self.server.resident());
        let sessions = self.figures["sessions"];
        for (index, tier) in TIERS.into_iter().enumerate() {
            let kib = (resident[index] - self.empty[index]) / 1024.0 / sessions;
            self.put(&format!("KiB per session {tier}"), kib);
            let mib = resident[index] / 1024.0 / 1024.0;
            self.put(&format!("resident MiB {tier}"), mib);
            let idle = idle[index] / spent.seconds * 100.0;
            self.put(&format!("idle CPU % {tier}"), idle);
        }
    }

    /// One member of each group calls.
    fn call(&mut self) {
        eprintln!("scale: calls");
        let answers = driver::ask_all(&mut self.generators, "call");
        self.put("calls answered", sum(&answers, "/answered"));
        self.put(
            "call p99 ms, all at once",
            most(&answers, "/latency/p99_ms"),
        );
    }

    /// The members change their objects; returns how busy the machine was.
    fn change(&mut self) -> f64 {
        eprintln!("scale: changes");
        let before = self.sample();
        let command = format!("act {}", self.options.seconds);
        driver::ask_all(&mut self.generators, &command);
        let spent = self.sample().since(&before);
        thread::sleep(REST_ARRIVES);
        let answers = driver::ask_all(&mut self.generators, "tally");
        let changes = sum(&answers, "/changes");
        let arrived = sum(&answers, "/latency/count");
        let others = (self.options.members - 1) as f64;
        self.put("changes/s", changes / spent.seconds);
        self.put("changes that arrived, times members", arrived);
        self.put("changes lost, times members", changes * others - arrived);
        self.put("change p50 ms", most(&answers, "/latency/p50_ms"));
        self.put("change p99 ms", most(&answers, "/latency/p99_ms"));
        self.put("change max ms", most(&answers, "/latency/max_ms"));
        let tiers = by_tier(&self.server, &spent.servers);
        for (tier, seconds) in TIERS.into_iter().zip(tiers) {
            let share = seconds / spent.seconds * 100.0;
            self.put(&format!("CPU % of the changes {tier}"), share);
            let each = seconds * 1e6 / changes;
            self.put(&format!("CPU us per change {tier}"), each);
        }
        self.put("sessions that failed", sum(&answers, "/gone"));
        self.put(GENERATOR_BUSY, spent.generator_busy * 100.0);
        spent.busy
    }

    fn sample(&self) -> Sample {
        let generators: Vec<_> = self.generators.iter().map(Generator::pid).collect();
        Sample::take(&self.server.pids(), &generators)
    }

    fn put(&mut self, name: &str, value: f64) {
        self.figures.insert(name.to_owned(), value);
    }
}

/// The sums of the edges' and of the origin's values.
pub(super) fn by_tier(server: &Server, values: &[f64]) -> [f64; 2] {
    [EDGE, ORIGIN].map(|tier| {
        let processes = server.processes.iter().zip(values);
        let own = processes.filter(|((name, _), _)| *name == tier);
        own.map(|(_, value)| value).sum()
    })
}

fn most(answers: &[Value], path: &str) -> f64 {
    let values = answers.iter().map(|answer| number(answer, path));
    values.fold(0.0, f64::max)
}

pub(super) fn sleep(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

/// The names of the tiers in figures.
const TIERS: [&str; 2] = ["edges", "origin"];
/// A process has 20,000 descriptors, of which an edge needs some for itself.
const MOST_OF_AN_EDGE: usize = 19_000;
/// The steps of connecting, after each of which the progress is shown.
const STEPS: usize = 10;
/// The time that the last changes have to arrive.
const REST_ARRIVES: Duration = Duration::from_secs(5);
