//! Many groups on one link.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::{Generator, number},
    meter::Sample,
    report::{Figures, Report},
    servers::{Contender, Kind},
};

/// Groups, processes and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Groups, with one session in each.
    #[arg(long, default_value_t = 10_000)]
    groups: usize,
    /// Generator processes for the groups.
    #[arg(long, default_value_t = 2)]
    processes: usize,
    /// The application of the groups.
    #[arg(long, default_value = "counter")]
    app: String,
    /// Seconds of silence before the processor time of doing nothing is measured.
    #[arg(long, default_value_t = 5.0)]
    settle: f64,
    /// Seconds of that measurement.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Runs.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = "a session in each group, each calls once, then silence";
    let mut report = Report::begin("groups", remarks);
    for _ in 0..options.rounds {
        let (busy, figures) = one(options);
        let load = format!("{} groups", options.groups);
        report.add(Kind::Tributary.name(), &load, busy, figures);
    }
    report.finish();
}

fn one(options: &Options) -> (f64, Figures) {
    let server = Contender::from(Kind::Tributary).start();
    let app = format!("{}/g{{}}", options.app);
    let share = options.groups.div_ceil(options.processes);
    let mut generators: Vec<_> = (0..options.processes)
        .map(|index| {
            let first = (index * share).to_string();
            let arguments = [("--app", app.as_str()), ("--first", first.as_str())];
            Generator::start("sessions", server.rtmp, &arguments)
        })
        .collect();
    let empty = server.resident();
    let mut sum = |command: &str, field: &str| {
        let answers = generators
            .iter_mut()
            .map(|generator| generator.ask(command));
        let answers: Vec<_> = answers.collect();
        let sum: f64 = answers.iter().map(|answer| number(answer, field)).sum();
        (sum, answers)
    };
    let begun = Sample::take(&server.pids(), &[]);
    let (connected, _) = sum(&format!("grow {share}"), "/connected");
    let opened = Sample::take(&server.pids(), &[]).since(&begun);
    let (answered, answers) = sum("call", "/answered");
    thread::sleep(Duration::from_secs_f64(options.settle));
    let before = Sample::take(&server.pids(), &[]);
    thread::sleep(Duration::from_secs_f64(options.seconds));
    let spent = Sample::take(&server.pids(), &[]).since(&before);
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("connected", connected);
    put("answered", answered);
    put("seconds to open all", opened.seconds);
    let p99 = answers
        .iter()
        .map(|answer| number(answer, "/latency/p99_ms"));
    put("call p99 ms, all at once", p99.fold(0.0, f64::max));
    for ((name, _), seconds) in server.processes.iter().zip(&opened.servers) {
        // The time contains the session's connect, its lane and the start of the group.
        put(&format!("CPU us to open {name}"), seconds * 1e6 / connected);
    }
    let full = server.resident();
    for (index, (name, _)) in server.processes.iter().enumerate() {
        let idle = spent.servers[index] / spent.seconds * 100.0;
        put(&format!("idle CPU % {name}"), idle);
        let kib = (full[index] - empty[index]) / 1024.0 / connected;
        put(&format!("KiB per group {name}"), kib);
    }
    (spent.busy, figures)
}
