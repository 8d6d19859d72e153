//! Few viewers, and a stream that nobody watches.

use std::{thread, time::Duration};

use clap::Args;

use super::{
    audience::{Stream, Times, put_cost},
    fanout,
};
use crate::{
    delivery::Delivery,
    driver::number,
    ground::PathOptions,
    reading::Reading,
    report::{Figures, Report},
    servers::{Contender, Settings},
};

/// Load, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(long, value_delimiter = ',', default_value = "tributary,nginx")]
    servers: Vec<Contender>,
    /// Numbers of viewers; 0 is a stream that nobody watches.
    #[arg(long, value_delimiter = ',', default_value = "0,1,10,50")]
    viewers: Vec<usize>,
    /// The ways in which the viewers read, but six of them, which read at once.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "prompt,lazy")]
    read: Vec<Reading>,
    /// Bits per second of the stream.
    #[arg(long, default_value_t = 1_000_000)]
    bitrate: u32,
    /// The delivery of tributary's live streams; without one, its default.
    #[arg(long, value_enum)]
    delivery: Option<Delivery>,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    path: PathOptions,
}

/// A number of viewers and how they read, where it makes a difference.
#[derive(Clone, Copy, Debug)]
enum Load {
    Unwatched,
    Watched(usize, Reading),
}

pub(crate) fn run(options: &Options) {
    let Options { times, .. } = options;
    let remarks = format!(
        "one stream of {} bit/s, measured {} s after {} s{}; {}",
        options.bitrate,
        times.seconds,
        times.warm_up,
        Delivery::remark(options.delivery),
        options.path.remark()
    );
    let settings = Settings {
        delivery: options.delivery,
        path: options.path.clone(),
        ..Settings::default()
    };
    let loads = loads(options);
    let runs = times.rounds * loads.len() * options.servers.len();
    let mut report = Report::begin("light", &remarks)
        .of_runs(runs)
        .charted("latency p99 ms");
    for _ in 0..times.rounds {
        for &load in &loads {
            for server in &options.servers {
                let (name, (busy, figures)) = match load {
                    Load::Unwatched => (
                        "unwatched".to_owned(),
                        unwatched(server, &settings, options.bitrate, times),
                    ),
                    Load::Watched(viewers, reading) => (
                        format!("{viewers} {} viewers", reading.name()),
                        fanout::one(
                            server,
                            &settings,
                            options.bitrate,
                            times,
                            (viewers, reading),
                        ),
                    ),
                };
                report.add(&server.name(), &name, busy, figures);
            }
        }
    }
    report.finish();
}

fn loads(options: &Options) -> Vec<Load> {
    let mut loads = Vec::new();
    for &viewers in &options.viewers {
        if viewers == 0 {
            loads.push(Load::Unwatched);
        } else {
            loads.extend(
                options
                    .read
                    .iter()
                    .map(|&read| Load::Watched(viewers, read)),
            );
        }
    }
    loads
}

/// The cost of each message of a stream that has no viewer.
fn unwatched(
    contender: &Contender,
    settings: &Settings,
    bitrate: u32,
    times: &Times,
) -> (f64, Figures) {
    let server = contender.start_with(settings);
    let mut publisher = Stream::live(&server, "load").publish(&server, 1, bitrate);
    thread::sleep(Duration::from_secs_f64(times.warm_up));
    let generators = [publisher.pid()];
    let before = server.sample(&generators);
    let tally = publisher.ask(&format!("measure {}", times.seconds));
    let spent = server.sample(&generators).since(&before);
    let messages = number(&tally, "/messages");
    let mut figures = Figures::from([("messages".to_owned(), messages)]);
    put_cost(
        &mut figures,
        &server,
        &spent,
        "CPU us/message",
        1e6 / messages,
    );
    server.put_path(&mut figures);
    (spent.busy, figures)
}
