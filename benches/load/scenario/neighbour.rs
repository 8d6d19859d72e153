//! Groups whose neighbour burns its whole processor time in every turn.

use clap::Args;

use crate::{
    driver::{Generator, number},
    meter::Sample,
    report::{Figures, Report},
    servers::{Contender, Kind},
};

/// Callers, busy groups and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Sessions of a group of scripts that call.
    #[arg(long, default_value_t = 20)]
    sessions: usize,
    /// Groups that burn, with one session in each.
    #[arg(long, default_value_t = 1)]
    burners: usize,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Runs with and without.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "{} sessions of one group of scripts call every 100 ms; beside them {} groups whose every turn takes 95 of its 100 ms",
        options.sessions, options.burners
    );
    let mut report = Report::begin("neighbour", &remarks).however_busy();
    for _ in 0..options.rounds {
        for (burners, load) in [(0, "without"), (options.burners, "with")] {
            let (busy, figures) = one(options, burners);
            report.add(Kind::Tributary.name(), load, busy, figures);
        }
    }
    report.finish();
}

fn one(options: &Options, burners: usize) -> (f64, Figures) {
    let server = Contender::from(Kind::Tributary).start();
    let sessions = options.sessions.to_string();
    let arguments = [
        ("--app", "rpc/neighbour"),
        ("--count", &sessions),
        ("--method", "echo"),
        ("--bulk-bytes", "0"),
    ];
    let mut callers = Generator::start("calls", server.rtmp, &arguments);
    let count = burners.to_string();
    let mut generators = vec![callers.pid()];
    let _burner = (burners > 0).then(|| {
        let arguments = [
            ("--app", "burner/b{}"),
            ("--count", count.as_str()),
            ("--groups", count.as_str()),
        ];
        let burner = Generator::start("rpc", server.rtmp, &arguments);
        generators.push(burner.pid());
        burner
    });
    let before = Sample::take(&server.pids(), &generators);
    let tally = callers.ask(&format!("quiet {}", options.seconds));
    let spent = Sample::take(&server.pids(), &generators).since(&before);
    let figures = [
        ("call p50 ms", number(&tally, "/latency/p50_ms")),
        ("call p99 ms", number(&tally, "/latency/p99_ms")),
        ("call max ms", number(&tally, "/latency/max_ms")),
        ("calls", number(&tally, "/latency/count")),
        ("failed", number(&tally, "/failed")),
    ];
    let figures = figures.map(|(name, value)| (name.to_owned(), value));
    (spent.busy, Figures::from(figures))
}
