//! As many viewers of one stream as the machine bears.

use std::{thread, time::Duration};

use clap::Args;

use super::audience::{Audience, CLOSED, FAILED, JOINED, MISSED, Measured, PROBED, PROBES, Stream};
use crate::{
    delivery::Delivery,
    driver::Generator,
    reading::Reading,
    report::{Figures, GENERATOR_BUSY, Report},
    servers::{Contender, Server, Settings},
};

/// Load, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(long, value_delimiter = ',', default_value = "tributary,nginx")]
    servers: Vec<Contender>,
    /// The numbers of viewers, in steps; an edge and a process of nginx have 20,000 descriptors.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,2000,3000,4000,5000,6000,7000,8000,10000,12000,14000,16000,18000"
    )]
    viewers: Vec<usize>,
    /// The way in which the viewers read, but six of them, which read at once.
    #[arg(long, value_enum, default_value = "lazy")]
    read: Reading,
    /// Bits per second of the stream.
    #[arg(long, default_value_t = 300_000)]
    bitrate: u32,
    /// The delivery of tributary's live streams.
    #[arg(long, value_enum, default_value = "broadcast")]
    delivery: Delivery,
    /// The machine bears the viewers while 99 of 100 messages come within so many milliseconds.
    #[arg(long, default_value_t = 200.0)]
    limit: f64,
    /// Seconds between the last join of a step and its measured time.
    #[arg(long, default_value_t = 4.0)]
    warm_up: f64,
    /// Seconds of the measured time of a step.
    #[arg(long, default_value_t = 6.0)]
    seconds: f64,
    /// Seconds of the measured time beyond the limit.
    #[arg(long, default_value_t = 15.0)]
    beyond: f64,
    /// Runs of each server.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "one stream of {} bit/s, delivery {}, {} viewers in steps, each measured {} s after {} s; the last step within {} ms counts",
        options.bitrate,
        options.delivery.name(),
        options.read.name(),
        options.seconds,
        options.warm_up,
        options.limit,
    );
    let mut report = Report::begin("capacity", &remarks)
        .charted(BORNE)
        .however_busy();
    for _ in 0..options.rounds {
        for server in &options.servers {
            climb(options, server, &mut report);
        }
    }
    report.finish();
}

/// A server under a number of viewers that grows.
struct Climb<'s> {
    name: String,
    server: &'s Server,
    audience: Audience<'s>,
    publisher: Generator,
    warm_up: Duration,
}

/// Raises the number of viewers of a server until the limit is passed, and one step further.
fn climb(options: &Options, contender: &Contender, report: &mut Report) {
    let settings = Settings {
        delivery: Some(options.delivery),
        ..Settings::default()
    };
    let server = contender.start_with(&settings);
    let stream = Stream::live(&server, "load");
    let mut climb = Climb {
        name: contender.name(),
        server: &server,
        publisher: stream.publish(&server, 1, options.bitrate),
        audience: Audience::join(&server, stream, PROBES, options.read),
        warm_up: Duration::from_secs_f64(options.warm_up),
    };
    let mut borne = 0;
    let mut steps = options.viewers.iter().copied();
    while let Some(viewers) = steps.next() {
        let measured = climb.step(viewers, options.seconds);
        let is_borne = bears(options, &measured.figures);
        let load = format!("{viewers} viewers");
        report.add(&climb.name, &load, measured.spent.busy, measured.figures);
        if !is_borne {
            let beyond = climb.step(steps.next().unwrap_or(viewers), options.beyond);
            let figures = at_the_limit(borne, &beyond);
            return report.add(&climb.name, AT_THE_LIMIT, beyond.spent.busy, figures);
        }
        borne = viewers;
    }
    eprintln!("capacity: {}: no step passes the limit", climb.name);
    let figures = Figures::from([(BORNE.to_owned(), borne as f64)]);
    report.add(&climb.name, AT_THE_LIMIT, 0.0, figures);
}

impl Climb<'_> {
    /// Measures so many viewers, and shows that while the scenario runs.
    fn step(&mut self, viewers: usize, seconds: f64) -> Measured {
        self.audience.grow(viewers);
        thread::sleep(self.warm_up);
        let mut measured = self.audience.measure(&mut self.publisher, seconds);
        measured.per_gbit(self.server);
        let (name, spent) = (&self.name, &measured.spent);
        let figure = |name: &str| measured.figures.get(name).copied().unwrap_or(f64::NAN);
        eprintln!(
            "capacity: {name}: {viewers} viewers, {} joined, {} sessions closed; p99 {:.1} ms; \
             machine {:.0} % busy, generators {:.0} % of it",
            figure(JOINED),
            figure(CLOSED),
            figure(P99),
            spent.busy * 100.0,
            spent.generators * 100.0,
        );
        measured
    }
}

/// Whether the delay is within the limit, and the probes have it from nearly all messages of a stream
/// that every viewer has joined.
fn bears(options: &Options, figures: &Figures) -> bool {
    let figure = |name: &str| figures.get(name).copied().unwrap_or(f64::NAN);
    figure(P99) <= options.limit && figure(PROBED) >= PROBED_AT_LEAST && figure(FAILED) == 0.0
}

/// The viewers within the limit, and the state of their sessions beyond it.
fn at_the_limit(borne: usize, beyond: &Measured) -> Figures {
    let kept = [P99, MISSED, JOINED, FAILED, CLOSED, GENERATOR_BUSY];
    let beyond = kept.iter().filter_map(|name| {
        let value = beyond.figures.get(*name)?;
        Some((format!("{name}, beyond it"), *value))
    });
    let borne = (BORNE.to_owned(), borne as f64);
    beyond.chain([borne]).collect()
}

/// The load of the figures that compare servers.
const AT_THE_LIMIT: &str = "at the limit";
/// The figure of the viewers of the last step within the limit.
const BORNE: &str = "viewers within the limit";
const P99: &str = "latency p99 ms";
/// A probe that gets less has a delay that no stamp shows.
const PROBED_AT_LEAST: f64 = 95.0;
