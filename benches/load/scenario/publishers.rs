//! Many publishers, few of whom anybody watches.

use std::{thread, time::Duration};

use clap::Args;

use super::audience::{Audience, Stream, Times};
use crate::{
    delivery::Delivery,
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
    /// Numbers of publishers.
    #[arg(long, value_delimiter = ',', default_value = "500")]
    publishers: Vec<usize>,
    /// The number of streams that one viewer each watches.
    #[arg(long, default_value_t = 10)]
    watched: usize,
    /// Bits per second of each stream.
    #[arg(long, default_value_t = 300_000)]
    bitrate: u32,
    /// The delivery of tributary's live streams; without one, its default.
    #[arg(long, value_enum)]
    delivery: Option<Delivery>,
    #[command(flatten)]
    times: Times,
}

pub(crate) fn run(options: &Options) {
    let Options { times, .. } = options;
    let remarks = format!(
        "streams of {} bit/s, {} of them watched by one viewer each, measured {} s after {} s{}",
        options.bitrate,
        options.watched,
        times.seconds,
        times.warm_up,
        Delivery::remark(options.delivery),
    );
    let runs = times.rounds * options.publishers.len() * options.servers.len();
    let mut report = Report::begin("publishers", &remarks)
        .of_runs(runs)
        .charted("CPU us/message machine");
    for _ in 0..times.rounds {
        for &publishers in &options.publishers {
            for server in &options.servers {
                let (busy, figures) = one(server, options, publishers);
                report.add(
                    &server.name(),
                    &format!("{publishers} publishers"),
                    busy,
                    figures,
                );
            }
        }
    }
    report.finish();
}

fn one(contender: &Contender, options: &Options, publishers: usize) -> (f64, Figures) {
    let server = contender.start_with(&Settings {
        delivery: options.delivery,
        ..Settings::default()
    });
    let stream = Stream::live(&server, "load{}");
    let mut publisher = stream.publish(&server, publishers, options.bitrate);
    let watched = options.watched.min(publishers);
    let mut audience = Audience::join(&server, stream, watched, Reading::Prompt);
    thread::sleep(Duration::from_secs_f64(options.times.warm_up));
    let mut measured = audience.measure(&mut publisher, options.times.seconds);
    measured.per_message(&server);
    (measured.spent.busy, measured.figures)
}
