//! The viewers of one stream: a crowd that reads in one way, in one process or more, and in another
//! process a few that read at once and take the delay.

use std::{thread, time::Duration};

use clap::Args;

use crate::{
    driver::{Generator, number},
    meter::Spent,
    reading::Reading,
    report::{Figures, GENERATOR_BUSY},
    servers::Server,
};

/// The times of a run.
#[derive(Clone, Debug, Args)]
pub(crate) struct Times {
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 4.0)]
    pub(crate) warm_up: f64,
    /// Seconds of each measured time.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Runs of each server and load.
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
}

/// The stream of an audience, or the streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream<'s> {
    pub(crate) app: &'s str,
    /// The name; `{}` in it stands for the number of the stream and of its viewer.
    pub(crate) name: &'s str,
}

impl<'s> Stream<'s> {
    /// A stream of the live application of a server.
    pub(crate) fn live(server: &'s Server, name: &'s str) -> Self {
        let app = server.app("live");
        Self { app, name }
    }

    /// Publishes `count` streams, and returns some time after they have begun.
    pub(crate) fn publish(self, server: &Server, count: usize, bitrate: u32) -> Generator {
        let (count, bitrate) = (count.to_string(), bitrate.to_string());
        let own = [("--count", count.as_str()), ("--bitrate", &bitrate)];
        let arguments = [&self.flags()[..], &own].concat();
        let publisher = server.generator("publisher", &arguments);
        thread::sleep(SETTLE);
        publisher
    }

    fn flags(self) -> [(&'s str, &'s str); 2] {
        [("--app", self.app), ("--name", self.name)]
    }
}

/// The viewers of one stream.
#[derive(Debug)]
pub(crate) struct Audience<'s> {
    server: &'s Server,
    stream: Stream<'s>,
    reading: Reading,
    viewers: usize,
    probes: Generator,
    crowd: Vec<Generator>,
}

impl<'s> Audience<'s> {
    /// Lets viewers join; returns when each of them receives media.
    pub(crate) fn join(
        server: &'s Server,
        stream: Stream<'s>,
        viewers: usize,
        reading: Reading,
    ) -> Self {
        let probes = viewers.min(PROBES);
        let mut audience = Self {
            server,
            stream,
            reading,
            viewers: probes,
            probes: viewers_of(server, stream, 0, probes, Reading::Prompt),
            crowd: Vec::new(),
        };
        audience.grow(viewers);
        audience
    }

    /// Lets further viewers join until there are so many.
    pub(crate) fn grow(&mut self, viewers: usize) {
        while self.viewers < viewers {
            let count = (viewers - self.viewers).min(MOST_OF_A_PROCESS);
            let crowd = viewers_of(self.server, self.stream, self.viewers, count, self.reading);
            self.crowd.push(crowd);
            self.viewers += count;
        }
    }

    /// Measures the viewers and the publisher for some seconds.
    pub(crate) fn measure(&mut self, publisher: &mut Generator, seconds: f64) -> Measured {
        let server = self.server;
        let command = format!("measure {seconds}");
        let mut others: Vec<_> = self.crowd.iter_mut().chain([publisher]).collect();
        let mut generators: Vec<_> = others.iter().map(|other| other.pid()).collect();
        generators.push(self.probes.pid());
        let before = server.sample(&generators);
        for other in &mut others {
            other.begin(&command);
        }
        let probes = self.probes.ask(&command);
        let mut answers: Vec<_> = others.into_iter().map(Generator::answer).collect();
        let spent = server.sample(&generators).since(&before);
        let published = answers.pop().unwrap_or_default();
        let messages = number(&published, "/messages");
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        for (figure, path) in [("p50", "p50_ms"), ("p99", "p99_ms"), ("max", "max_ms")] {
            let value = number(&probes, &format!("/latency/{path}"));
            put(&format!("latency {figure} ms"), value);
        }
        let each = messages * self.viewers.min(PROBES) as f64;
        put(PROBED, number(&probes, "/messages") / each * 100.0);
        put(ARRIVALS, number(&probes, "/arrivals") / each);
        put(MISSED, number(&probes, "/lost"));
        let tallies: Vec<_> = answers.iter().chain([&probes]).collect();
        let all = |path: &'static str| tallies.iter().map(move |tally| number(tally, path));
        for (figure, path) in [
            ("lost", "/lost"),
            ("repeated", "/repeated"),
            (JOINED, "/joined"),
            (FAILED, "/failed"),
            (CLOSED, "/closed"),
        ] {
            put(figure, all(path).sum());
        }
        let fewest = all("/fewest_bytes").fold(f64::INFINITY, f64::min);
        let most = all("/most_bytes").fold(0.0, f64::max);
        put("fewest bytes of most %", fewest / most * 100.0);
        put("publisher late p99 ms", number(&published, "/late/p99_ms"));
        put(GENERATOR_BUSY, spent.generator_busy * 100.0);
        put("generators, of the machine %", spent.generators * 100.0);
        Measured {
            bits: all("/bytes").sum::<f64>() * 8.0,
            messages,
            spent,
            figures,
        }
    }
}

/// Starts a process of viewers, numbered from `first`.
fn viewers_of(
    server: &Server,
    stream: Stream<'_>,
    first: usize,
    count: usize,
    reading: Reading,
) -> Generator {
    let (first, count) = (first.to_string(), count.to_string());
    let own = [
        ("--first", first.as_str()),
        ("--count", &count),
        ("--read", reading.name()),
    ];
    server.crowd("viewers", &[&stream.flags()[..], &own].concat())
}

/// An audience's figures of one run.
#[derive(Debug)]
pub(crate) struct Measured {
    /// Delivered to all viewers together.
    pub(crate) bits: f64,
    /// Published.
    pub(crate) messages: f64,
    pub(crate) spent: Spent,
    pub(crate) figures: Figures,
}

impl Measured {
    /// Adds the processor time for each delivered Gbit.
    pub(crate) fn per_gbit(&mut self, server: &Server) {
        let gbit = self.bits / 1e9;
        let rate = gbit / self.spent.seconds;
        self.figures.insert("delivered Gbit/s".to_owned(), rate);
        put_cost(
            &mut self.figures,
            server,
            &self.spent,
            "CPU s/Gbit",
            1.0 / gbit,
        );
    }

    /// Adds the processor time for each published message.
    pub(crate) fn per_message(&mut self, server: &Server) {
        let scale = 1e6 / self.messages;
        put_cost(
            &mut self.figures,
            server,
            &self.spent,
            "CPU us/message",
            scale,
        );
    }
}

/// Adds a cost of the machine, of all server processes, and of each.
pub(crate) fn put_cost(
    figures: &mut Figures,
    server: &Server,
    spent: &Spent,
    unit: &str,
    scale: f64,
) {
    let mut put = |name: &str, seconds: f64| {
        figures.insert(format!("{unit} {name}"), seconds * scale);
    };
    put("machine", spent.machine);
    put("servers", spent.servers.iter().sum());
    for ((name, _), seconds) in server.processes.iter().zip(&spent.servers) {
        put(name, *seconds);
    }
}

/// The figure of the messages that the probes received, of those published.
pub(crate) const PROBED: &str = "arrived at the probes %";
/// The figure of the probes' reads for each message: each write arrives by itself where the kernel
/// merges nothing, and a read of two that came together counts once.
pub(crate) const ARRIVALS: &str = "arrivals per message";
/// The figure of the messages that the probes did not receive, with others after them.
pub(crate) const MISSED: &str = "messages the probes missed";
/// The figures of the viewers that have received media, that have no connection any more, and that
/// have lost theirs after they had received media.
pub(crate) const JOINED: &str = "joined viewers";
pub(crate) const FAILED: &str = "failed viewers";
pub(crate) const CLOSED: &str = "closed sessions";

/// The pause after a stream has begun, before its first viewer.
const SETTLE: Duration = Duration::from_secs(1);
/// Enough for a p99 of a few seconds of one stream, and few enough to read at once.
pub(crate) const PROBES: usize = 6;
/// More viewers in one process would keep its one thread busy.
const MOST_OF_A_PROCESS: usize = 2500;
