//! Memory of idle sessions, as a slope between two numbers of them.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::number,
    meter::Sample,
    report::{Figures, Report},
    servers::{Contender, Settings},
    transport::Transport,
};

/// Sessions, servers and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The servers, in this order in each round.
    #[arg(long, value_delimiter = ',', default_value = "tributary,nginx")]
    servers: Vec<Contender>,
    /// Sessions at the first reading.
    #[arg(long, default_value_t = 2_000)]
    from: usize,
    /// Sessions at the second reading; a process has 20,000 descriptors.
    #[arg(long, default_value_t = 9_000)]
    to: usize,
    /// Seconds of silence before a reading.
    #[arg(long, default_value_t = 30.0)]
    settle: f64,
    /// The transports of tributary's sessions; the others have TCP.
    #[arg(long, value_delimiter = ',', value_enum, default_value = "tcp")]
    transport: Vec<Transport>,
    /// Runs of each server.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "sessions of one group after connect and createStream, {} s of silence",
        options.settle
    );
    let mut report = Report::begin("idle", &remarks);
    let load = format!("{} to {} sessions", options.from, options.to);
    for _ in 0..options.rounds {
        for server in &options.servers {
            for transport in server.transports(&options.transport) {
                let (busy, figures) = one(options, server, transport);
                report.add(&transport.label(&server.name()), &load, busy, figures);
            }
        }
    }
    report.finish();
}

fn one(options: &Options, contender: &Contender, transport: Transport) -> (f64, Figures) {
    let server = contender.start_with(&Settings {
        transport,
        ..Settings::default()
    });
    let mut sessions = server.crowd("sessions", &[("--app", server.app("live"))]);
    let mut reading = |count: usize| {
        let answer = sessions.ask(&format!("grow {count}"));
        thread::sleep(Duration::from_secs_f64(options.settle / 2.0));
        let before = Sample::take(&server.pids(), &[]);
        thread::sleep(Duration::from_secs_f64(options.settle / 2.0));
        let spent = Sample::take(&server.pids(), &[]).since(&before);
        (answer, server.resident(), spent)
    };
    let (first, resident_first, _) = reading(options.from);
    let (second, resident_second, spent) = reading(options.to);
    let gone = number(&second, "/gone");
    let [first, second] = [first, second].map(|answer| number(&answer, "/connected"));
    let mut figures = Figures::new();
    figures.insert("sessions".to_owned(), second);
    figures.insert("sessions that failed".to_owned(), gone);
    let readings = resident_first.iter().zip(&resident_second);
    for (index, ((name, _), (before, after))) in server.processes.iter().zip(readings).enumerate() {
        let slope = (after - before) / (second - first) / 1024.0;
        figures.insert(format!("KiB per session {name}"), slope);
        let idle = spent.servers[index] / spent.seconds * 100.0;
        figures.insert(format!("idle CPU % {name}"), idle);
    }
    (spent.busy, figures)
}
