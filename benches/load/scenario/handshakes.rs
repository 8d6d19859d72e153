//! Full handshakes of TLS at a rate, each with a session of RTMP behind it.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::number,
    report::{Figures, Report},
    servers::{Contender, Kind, Settings},
    transport::Transport,
};

/// Rates and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Numbers of clients that come each second.
    #[arg(long, value_delimiter = ',', default_value = "250,500")]
    rates: Vec<f64>,
    /// The transports of the clients.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "tls,tcp")]
    transport: Vec<Transport>,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Runs of each rate.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Clients at the same time. Reason: a server that keeps up has far fewer.
const AT_ONCE: &str = "1000";

pub(crate) fn run(options: &Options) {
    let remarks =
        "handshake of TLS (none resumed), handshake of RTMP, connect, createStream, close";
    let mut report = Report::begin("handshakes", remarks).however_busy();
    for _ in 0..options.rounds {
        for &rate in &options.rates {
            for &transport in &options.transport {
                let (busy, figures) = one(options, transport, rate);
                let name = transport.label(Kind::Tributary.name());
                report.add(&name, &format!("{rate} per second"), busy, figures);
            }
        }
    }
    report.finish();
}

fn one(options: &Options, transport: Transport, rate: f64) -> (f64, Figures) {
    let server = Contender::from(Kind::Tributary).start_with(&Settings {
        transport,
        ..Settings::default()
    });
    let rate_text = rate.to_string();
    let arguments = [
        ("--app", server.app("live")),
        ("--concurrency", AT_ONCE),
        ("--rate", &rate_text),
    ];
    let mut clients = server.crowd("connects", &arguments);
    thread::sleep(Duration::from_secs(2));
    let before = server.sample(&[clients.pid()]);
    let tally = clients.ask(&format!("measure {}", options.seconds));
    let spent = server.sample(&[clients.pid()]).since(&before);
    let done = number(&tally, "/done");
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("answered %", done / (rate * options.seconds) * 100.0);
    put("failed", number(&tally, "/failed"));
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(&format!("CPU ms each {name}"), seconds * 1000.0 / done);
    }
    put(
        "CPU ms each client",
        spent.generators * spent.seconds * 1000.0 / done,
    );
    (spent.busy, figures)
}
