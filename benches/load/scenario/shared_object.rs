//! Changes of a shared object with many members on one edge.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::number,
    ground::PathOptions,
    report::{Figures, Report},
    servers::Contender,
};

/// Load, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(long, value_delimiter = ',', default_value = "tributary,bare")]
    servers: Vec<Contender>,
    /// Numbers of members.
    #[arg(long, value_delimiter = ',', default_value = "100,400")]
    members: Vec<usize>,
    /// Changes per second, by one author.
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// The application of the group.
    #[arg(long, default_value = "counter/board")]
    app: String,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Runs of each server and number of members.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    path: PathOptions,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "one author changes a number in one slot {} times a second; an update is a change for one member; {}",
        options.rate,
        options.path.remark()
    );
    let mut report = Report::begin("shared_object", &remarks);
    for _ in 0..options.rounds {
        for &members in &options.members {
            for server in &options.servers {
                let (busy, figures) = one(options, server, members);
                report.add(&server.name(), &format!("{members} members"), busy, figures);
            }
        }
    }
    report.finish();
}

fn one(options: &Options, contender: &Contender, members: usize) -> (f64, Figures) {
    let server = contender.start_over(&options.path);
    let (count, rate) = (members.to_string(), options.rate.to_string());
    let arguments = [
        ("--app", options.app.as_str()),
        ("--count", &count),
        ("--rate", &rate),
    ];
    let mut clients = server.generator("members", &arguments);
    thread::sleep(Duration::from_secs(2));
    let before = server.sample(&[clients.pid()]);
    let tally = clients.ask(&format!("measure {}", options.seconds));
    let spent = server.sample(&[clients.pid()]).since(&before);
    let changes = number(&tally, "/changes");
    let updates = changes * members as f64;
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("changes/s", changes / spent.seconds);
    // The edge is the first process; the bare loop has one process.
    put("updates per CPU s edge", updates / spent.servers[0]);
    put("messages per update", number(&tally, "/messages") / updates);
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(
            &format!("CPU us per change {name}"),
            seconds * 1e6 / changes,
        );
    }
    put("gone", number(&tally, "/gone"));
    server.put_path(&mut figures);
    (spent.busy, figures)
}
