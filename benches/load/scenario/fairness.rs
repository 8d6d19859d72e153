//! A group in which one member sends large commands without pause.

use clap::Args;

use crate::{
    driver::{Generator, number},
    meter::Sample,
    report::{Figures, Report},
    servers::{Contender, Kind},
};

/// Callers, heavy commands and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Sessions of the group, the heavy one included.
    #[arg(long, default_value_t = 100)]
    sessions: usize,
    /// The application of the group.
    #[arg(long, default_value = "counter/fairness")]
    app: String,
    /// The called method.
    #[arg(long, default_value = "count")]
    method: String,
    /// Bytes of each of the heavy member's commands.
    #[arg(long, default_value_t = 1 << 20)]
    bytes: usize,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Runs with and without.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "{} sessions of one group call every 100 ms; one more thing: a member that sends commands of {} bytes",
        options.sessions - 1,
        options.bytes
    );
    let mut report = Report::begin("fairness", &remarks);
    let server = Contender::from(Kind::Tributary).start();
    let (count, bytes) = (
        (options.sessions - 1).to_string(),
        options.bytes.to_string(),
    );
    let mut callers = Generator::start(
        "calls",
        server.rtmp,
        &[
            ("--app", &options.app),
            ("--count", &count),
            ("--method", &options.method),
            ("--bulk-bytes", &bytes),
        ],
    );
    for _ in 0..options.rounds {
        for (mode, load) in [("quiet", "without"), ("bulk", "with")] {
            let before = Sample::take(&server.pids(), &[callers.pid()]);
            let tally = callers.ask(&format!("{mode} {}", options.seconds));
            let spent = Sample::take(&server.pids(), &[callers.pid()]).since(&before);
            let figures = [
                ("call p50 ms", number(&tally, "/latency/p50_ms")),
                ("call p99 ms", number(&tally, "/latency/p99_ms")),
                ("call max ms", number(&tally, "/latency/max_ms")),
                ("calls", number(&tally, "/latency/count")),
                ("large commands", number(&tally, "/bulk")),
                ("failed", number(&tally, "/failed")),
            ];
            let figures = figures.map(|(name, value)| (name.to_owned(), value));
            report.add(
                Kind::Tributary.name(),
                load,
                spent.busy,
                Figures::from(figures),
            );
        }
    }
    report.finish();
}
