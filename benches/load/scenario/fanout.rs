//! One stream to many viewers.

use std::{thread, time::Duration};

use clap::Args;

use super::audience::{ARRIVALS, Audience, Stream, Times};
use crate::{
    delivery::Delivery,
    ground::PathOptions,
    reading::Reading,
    report::{Figures, Report},
    servers::{self, Contender, Settings},
    transport::Transport,
};

/// Load, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "tributary,nginx,nginx-nodelay,bare,bare-alike"
    )]
    servers: Vec<Contender>,
    /// Numbers of viewers.
    #[arg(long, value_delimiter = ',', default_value = "500,1000")]
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
    /// The transports of tributary's viewers; the others have TCP.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "tcp")]
    transport: Vec<Transport>,
    #[command(flatten)]
    times: Times,
    #[command(flatten)]
    path: PathOptions,
}

pub(crate) fn run(options: &Options) {
    let Options { times, .. } = options;
    let remarks = format!(
        "one stream of {} bit/s, measured {} s after {} s{}; {}; {}; nginx: chunk_size 4096, wait_key on, access_log off",
        options.bitrate,
        times.seconds,
        times.warm_up,
        Delivery::remark(options.delivery),
        options.path.remark(),
        servers::nginx_version().unwrap_or_default(),
    );
    let loads: Vec<_> = options
        .viewers
        .iter()
        .flat_map(|&viewers| options.read.iter().map(move |&reading| (viewers, reading)))
        .collect();
    let runs_each = options.servers.iter();
    let runs_each = runs_each.map(|server| server.transports(&options.transport).len());
    let runs = times.rounds * loads.len() * runs_each.sum::<usize>();
    let mut report = Report::begin("fanout", &remarks)
        .of_runs(runs)
        .charted("CPU s/Gbit machine");
    for _ in 0..times.rounds {
        for &(viewers, reading) in &loads {
            let mut settings = Settings {
                delivery: options.delivery,
                writes: None,
                path: options.path.clone(),
                transport: Transport::Tcp,
            };
            let runs = options.servers.iter().flat_map(|server| {
                let transports = server.transports(&options.transport).into_iter();
                transports.map(move |transport| (server, transport))
            });
            for (server, transport) in runs {
                settings.transport = transport;
                let load = (viewers, reading);
                let (busy, figures) = one(server, &settings, options.bitrate, times, load);
                if server.is_tributary() && transport == Transport::Tcp {
                    settings.writes = figures.get(ARRIVALS).copied();
                }
                let load = format!("{viewers} {} viewers", reading.name());
                report.add(&transport.label(&server.name()), &load, busy, figures);
            }
        }
    }
    report.finish();
}

/// One run: a publisher, and viewers who join it.
pub(super) fn one(
    contender: &Contender,
    settings: &Settings,
    bitrate: u32,
    times: &Times,
    (viewers, reading): (usize, Reading),
) -> (f64, Figures) {
    let server = contender.start_with(settings);
    let stream = Stream::live(&server, "load");
    let mut publisher = stream.publish(&server, 1, bitrate);
    let alone = server.resident();
    let mut audience = Audience::join(&server, stream, viewers, reading);
    thread::sleep(Duration::from_secs_f64(times.warm_up));
    let mut measured = audience.measure(&mut publisher, times.seconds);
    measured.per_gbit(&server);
    let mut figures = measured.figures;
    let processes = server.processes.iter().zip(server.resident()).zip(alone);
    for (((name, _), with), without) in processes {
        let kib = (with - without) / 1024.0 / viewers as f64;
        figures.insert(format!("KiB per viewer {name}"), kib);
    }
    server.put_path(&mut figures);
    (measured.spent.busy, figures)
}
