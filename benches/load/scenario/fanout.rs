//! One stream to many viewers.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::{Generator, number},
    meter::Sample,
    report::{Figures, Report},
    servers::{self, Contender},
};

/// Load, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "tributary,nginx,nginx-nodelay,bare"
    )]
    servers: Vec<Contender>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_value = "500,1000")]
    viewers: Vec<usize>,
    /// Bits per second of the stream.
    #[arg(long, default_value_t = 1_000_000)]
    bitrate: u32,
    /// Runs of each server and number of viewers.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 4.0)]
    warm_up: f64,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "one stream of {} bit/s, measured {} s after {} s; {}; nginx: chunk_size 4096, wait_key on, access_log off",
        options.bitrate,
        options.seconds,
        options.warm_up,
        servers::nginx_version().unwrap_or_default(),
    );
    let mut report = Report::begin("fanout", &remarks);
    for _ in 0..options.rounds {
        for &viewers in &options.viewers {
            for server in &options.servers {
                let (busy, figures) = one(options, server, viewers);
                report.add(&server.name(), &format!("{viewers} viewers"), busy, figures);
            }
        }
    }
    report.finish();
}

fn one(options: &Options, contender: &Contender, viewers: usize) -> (f64, Figures) {
    let server = contender.start();
    let bitrate = options.bitrate.to_string();
    let stream = [("--app", "live"), ("--name", "load")];
    let publisher = Generator::start(
        "publisher",
        server.rtmp,
        &[&stream[..], &[("--bitrate", &bitrate)]].concat(),
    );
    thread::sleep(Duration::from_secs(1));
    let alone = server.resident();
    let count = viewers.to_string();
    let mut players = Generator::start(
        "viewers",
        server.rtmp,
        &[&stream[..], &[("--count", &count)]].concat(),
    );
    thread::sleep(Duration::from_secs_f64(options.warm_up));
    let generators = [publisher.pid(), players.pid()];
    let before = Sample::take(&server.pids(), &generators);
    let tally = players.ask(&format!("measure {}", options.seconds));
    let spent = Sample::take(&server.pids(), &generators).since(&before);
    let gbit = number(&tally, "/bytes") * 8.0 / 1e9;
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("delivered Gbit/s", gbit / spent.seconds);
    put("CPU s/Gbit machine", spent.machine / gbit);
    put(
        "CPU s/Gbit servers",
        spent.servers.iter().sum::<f64>() / gbit,
    );
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(&format!("CPU s/Gbit {name}"), seconds / gbit);
    }
    put("latency p50 ms", number(&tally, "/latency/p50_ms"));
    put("latency p99 ms", number(&tally, "/latency/p99_ms"));
    put("latency max ms", number(&tally, "/latency/max_ms"));
    put("messages", number(&tally, "/messages"));
    put("fewest messages of a viewer", number(&tally, "/fewest"));
    put("lost", number(&tally, "/lost"));
    put("repeated", number(&tally, "/repeated"));
    put("failed viewers", number(&tally, "/failed"));
    let processes = server.processes.iter().zip(server.resident()).zip(alone);
    for (((name, _), with), without) in processes {
        let kib = (with - without) / 1024.0 / viewers as f64;
        put(&format!("KiB per viewer {name}"), kib);
    }
    (spent.busy, figures)
}
