//! Calls per processor second.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::number,
    ground::PathOptions,
    report::{Figures, Report},
    servers::{Contender, Kind},
};

/// Load and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round, after a bare echo.
    #[arg(long, value_delimiter = ',', default_value = "relay,tributary")]
    servers: Vec<Contender>,
    /// Sessions; each calls again when it has its answer.
    #[arg(long, value_delimiter = ',', default_value = "16,256,1000")]
    sessions: Vec<usize>,
    /// Groups of these sessions.
    #[arg(long, default_value_t = 16)]
    groups: usize,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Runs of each.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    path: PathOptions,
}

/// The applications that answer calls: the name in the report, and the application.
const HANDLERS: [(&str, &str); 2] = [
    ("Rust handler", "counter/g{}"),
    ("script handler", "rpc/g{}"),
];

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "each session calls, waits for the answer, calls again; a string of 16 letters there and back; {}",
        options.path.remark()
    );
    let runs = runs(&options.servers);
    let expected = options.rounds * options.sessions.len() * runs.len();
    let mut report = Report::begin("rpc", &remarks)
        .of_runs(expected)
        .charted("calls per CPU s")
        .however_busy();
    for _ in 0..options.rounds {
        for &sessions in &options.sessions {
            let load = format!("{sessions} sessions");
            for (name, server, app) in &runs {
                let (busy, figures) = one(options, sessions, server, *app);
                report.add(name, &load, busy, figures);
            }
        }
    }
    report.finish();
}

/// The runs of a round with one number of sessions: name in the report, server, and application if
/// the server has any.
fn runs(servers: &[Contender]) -> Vec<(String, Contender, Option<&'static str>)> {
    let mut runs = Vec::new();
    for server in [Kind::Echo.into()].iter().chain(servers) {
        if server.echoes() {
            runs.push((server.name(), server.clone(), None));
            continue;
        }
        for (handler, app) in HANDLERS {
            let name = format!("{handler} {}", server.name());
            runs.push((name, server.clone(), Some(app)));
        }
    }
    runs
}

fn one(
    options: &Options,
    sessions: usize,
    contender: &Contender,
    app: Option<&str>,
) -> (f64, Figures) {
    let server = contender.start_over(&options.path);
    let (count, groups) = (sessions.to_string(), options.groups.to_string());
    let mut arguments = vec![("--count", count.as_str()), ("--groups", groups.as_str())];
    if let Some(app) = app {
        arguments.push(("--app", app));
    }
    let mut callers = server.generator("rpc", &arguments);
    thread::sleep(Duration::from_secs(1));
    let before = server.sample(&[callers.pid()]);
    let tally = callers.ask(&format!("measure {}", options.seconds));
    let spent = server.sample(&[callers.pid()]).since(&before);
    let calls = number(&tally, "/latency/count");
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("calls/s", calls / spent.seconds);
    put("calls per CPU s", calls / spent.servers.iter().sum::<f64>());
    put("calls per CPU s machine", calls / spent.machine);
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(&format!("CPU us per call {name}"), seconds * 1e6 / calls);
    }
    put("call p50 ms", number(&tally, "/latency/p50_ms"));
    put("call p99 ms", number(&tally, "/latency/p99_ms"));
    put("failed", number(&tally, "/failed"));
    server.put_path(&mut figures);
    (spent.busy, figures)
}
