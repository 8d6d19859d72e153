//! Connects per processor second.

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
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "tributary,nginx,nginx-nodelay"
    )]
    servers: Vec<Contender>,
    /// Numbers of clients that connect at the same time.
    #[arg(long, value_delimiter = ',', default_value = "1,256")]
    concurrency: Vec<usize>,
    /// Numbers of clients that connect each second, so that all servers do the same work.
    #[arg(long, value_delimiter = ',', default_value = "3000")]
    rates: Vec<f64>,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 8.0)]
    seconds: f64,
    /// Runs of each server and concurrency.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    #[command(flatten)]
    path: PathOptions,
}

/// Clients at the same time when they come at a rate. Reason: a server that keeps up has fewer.
const AT_A_RATE: usize = 1_000;

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "handshake, connect, createStream, close; all in one group; {}",
        options.path.remark()
    );
    let mut report = Report::begin("connect", &remarks).however_busy();
    let full = options.concurrency.iter().map(|&count| (count, None));
    let rates = options.rates.iter().map(|&rate| (AT_A_RATE, Some(rate)));
    let loads: Vec<_> = full.chain(rates).collect();
    for _ in 0..options.rounds {
        for &(concurrency, rate) in &loads {
            let load = match rate {
                None => format!("{concurrency} at a time"),
                Some(rate) => format!("{rate} per second"),
            };
            for server in &options.servers {
                let (busy, figures) = one(options, server, concurrency, rate);
                report.add(&server.name(), &load, busy, figures);
            }
        }
    }
    report.finish();
}

fn one(
    options: &Options,
    contender: &Contender,
    concurrency: usize,
    rate: Option<f64>,
) -> (f64, Figures) {
    let server = contender.start_over(&options.path);
    let (count, rate) = (concurrency.to_string(), rate.map(|rate| rate.to_string()));
    let mut arguments = vec![
        ("--app", server.app("live")),
        ("--concurrency", count.as_str()),
    ];
    arguments.extend(rate.as_deref().map(|rate| ("--rate", rate)));
    let mut clients = server.generator("connects", &arguments);
    thread::sleep(Duration::from_secs(2));
    let before = server.sample(&[clients.pid()]);
    let tally = clients.ask(&format!("measure {}", options.seconds));
    let spent = server.sample(&[clients.pid()]).since(&before);
    let done = number(&tally, "/done");
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("connects/s", done / spent.seconds);
    put("connects per CPU s machine", done / spent.machine);
    put(
        "connects per CPU s servers",
        done / spent.servers.iter().sum::<f64>(),
    );
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(
            &format!("CPU ms per connect {name}"),
            seconds * 1000.0 / done,
        );
    }
    put("failed", number(&tally, "/failed"));
    server.put_path(&mut figures);
    (spent.busy, figures)
}
