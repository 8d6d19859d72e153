//! The load of an origin that is lost, or whose groups move: sessions that call each second, and streams.

use serde_json::Value;

use crate::{
    driver::{Generator, number},
    histogram::quantile,
    report::Figures,
    servers,
};

/// The extent of the load.
pub(super) struct Steady {
    /// Sessions that call once a second.
    pub(super) sessions: usize,
    /// The sessions of each group.
    pub(super) members: usize,
    /// Whether they change the shared object of their group, once a second too.
    pub(super) changes: bool,
    /// Publishers, each with its own stream.
    pub(super) publishers: usize,
    /// Viewers of each stream at each edge.
    pub(super) viewers: usize,
}

/// The generators at work; the sessions and the viewers are at both edges, the publishers at the first.
pub(super) struct SteadyLoad {
    sessions: Vec<Generator>,
    viewers: Vec<Generator>,
    _publishers: Generator,
}

impl Steady {
    /// Starts the generators.
    pub(super) fn start(&self, server: &servers::Server) -> SteadyLoad {
        let publishers = self.publishers.to_string();
        let streams = [
            ("--app", "live"),
            ("--name", "s{}"),
            ("--count", &*publishers),
        ];
        let slow = [("--bitrate", "64000"), ("--slowness", "10")];
        let publisher = server.generator("publisher", &[&streams[..], &slow].concat());
        let edges = [server.rtmp, server.more[0]];
        let each_edge = |_| edges.map(|edge| server.generator_at(edge, "viewers", &streams));
        let viewers = (0..self.viewers).flat_map(each_edge).collect();
        let half = self.sessions / 2;
        let (count, members) = (half.to_string(), self.members.to_string());
        let changes = self.changes.to_string();
        let sessions = edges.iter().enumerate().map(|(index, edge)| {
            let first = (index * half).to_string();
            let arguments = [
                ("--app", "counter/g{}"),
                ("--first", &*first),
                ("--count", &*count),
                ("--members", &*members),
                ("--changes", &*changes),
            ];
            server.generator_at(*edge, "steady", &arguments)
        });
        SteadyLoad {
            sessions: sessions.collect(),
            viewers,
            _publishers: publisher,
        }
    }
}

impl SteadyLoad {
    pub(super) fn begin(&mut self, command: &str) {
        let generators = self.sessions.iter_mut().chain(&mut self.viewers);
        generators.for_each(|it| it.begin(command));
    }

    /// The answers of the sessions, and those of the viewers.
    pub(super) fn answer(&mut self) -> (Vec<Value>, Vec<Value>) {
        let answers =
            |of: &mut Vec<Generator>| of.iter_mut().map(Generator::answer).collect::<Vec<_>>();
        (answers(&mut self.sessions), answers(&mut self.viewers))
    }
}

/// Adds what became of sessions, calls, viewers and messages.
pub(super) fn put_outcome(figures: &mut Figures, sessions: &[Value], viewers: &[Value]) {
    let sums = [
        ("sessions gone", sessions, "/gone"),
        ("calls answered", sessions, "/answered"),
        ("calls failed", sessions, "/failed"),
        ("calls wrong", sessions, "/wrong"),
        ("viewers gone", viewers, "/failed"),
        ("messages lost", viewers, "/lost"),
        ("messages repeated", viewers, "/repeated"),
    ];
    for (name, of, path) in sums {
        let sum = of.iter().map(|it| number(it, path)).sum();
        figures.insert(name.to_owned(), sum);
    }
}

/// Adds the quantiles of a kind of times.
pub(super) fn put_quantiles(figures: &mut Figures, kind: &str, values: &mut [f64]) {
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        figures.insert(format!("{kind} {name} ms"), quantile(values, share));
    }
}
