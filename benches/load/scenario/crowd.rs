//! Very many idle sessions whose origin is lost, or drained: how long until all of them go on.

use std::{
    thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    driver::{self, Generator, number, sum},
    http::Metrics,
    report::{Figures, Report},
    scenario::members,
    servers::{self, Kind, Server},
};

/// Sessions, groups, kills and drains.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Sessions in all.
    #[arg(long, default_value_t = 100_000)]
    sessions: usize,
    /// The groups of the sessions.
    #[arg(long, default_value_t = 1)]
    groups: usize,
    /// Edges; a process for each holds its clients. A process has 20,000 descriptors.
    #[arg(long, default_value_t = 7)]
    edges: usize,
    /// Sessions that connect in a second.
    #[arg(long, default_value_t = 4_000.0)]
    connects: f64,
    /// Kills of the origin, which starts again.
    #[arg(long, default_value_t = 3)]
    kills: usize,
    /// Seconds from a kill to the start of the next process, as a supervisor waits.
    #[arg(long, default_value_t = 1.0)]
    restart: f64,
    /// Drains of the one and the other of two origins, in place of the kills.
    #[arg(long, default_value_t = 0)]
    drains: usize,
}

const SETTINGS: &str = r#"
[cluster]
name = "load"
"#;

/// Counts, at an edge, sessions that have gone on at another process.
const RESTORED: &str = "tributary_edge_link_sessions_restored_total";

/// A restore that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "{} idle sessions in {} groups at {} edges; seconds from the kill, after which the origin stays away for {} s, \
         or from the order to drain",
        options.sessions, options.groups, options.edges, options.restart
    );
    let mut report = Report::begin("crowd", &remarks).however_busy();
    match options.drains {
        0 => {
            let mut server = servers::with_settings(options.edges, SETTINGS);
            let mut crowd = Crowd::connect(options, &server);
            for _ in 0..options.kills {
                let (busy, figures) = crowd.outlive_a_kill(&mut server, options);
                report.add(Kind::Tributary.name(), "kill", busy, figures);
            }
        }
        drains => {
            let server = servers::two_origins(options.edges);
            let mut crowd = Crowd::connect(options, &server);
            for number in 0..drains {
                let (busy, figures) = crowd.follow_a_drain(&server, number % 2);
                report.add(Kind::Tributary.name(), "drain", busy, figures);
            }
        }
    }
    report.finish();
}

/// The sessions, a process of them for each edge.
struct Crowd {
    generators: Vec<Generator>,
    sessions: f64,
}

impl Crowd {
    fn connect(options: &Options, server: &Server) -> Self {
        let members = options.sessions.div_ceil(options.groups);
        let rate = (options.connects / options.edges as f64).to_string();
        let mut generators = members::start(server, "counter/g{}", members, &[("--rate", &rate)]);
        let answers = members::grow(&mut generators, options.sessions);
        let sessions = sum(&answers, "/connected");
        eprintln!("crowd: {sessions} sessions");
        thread::sleep(Duration::from_secs(3));
        Self {
            generators,
            sessions,
        }
    }

    fn outlive_a_kill(&mut self, server: &mut Server, options: &Options) -> (f64, Figures) {
        let before = server.sample(&[]);
        let restored = restored(server);
        let killed = Instant::now();
        let link = server.kill_origin();
        thread::sleep(Duration::from_secs_f64(options.restart));
        server.start_origin(link);
        let mut figures = Figures::new();
        figures.insert("seconds until it listens".into(), seconds(killed));
        self.wait_for(server, restored, killed, &mut figures);
        let busy = self.finish(server, &before, killed, &mut figures);
        (busy, figures)
    }

    fn follow_a_drain(&mut self, server: &Server, from: usize) -> (f64, Figures) {
        let before = server.sample(&[]);
        let begun = Instant::now();
        let status = server.drain(from);
        let mut figures = Figures::new();
        figures.insert("seconds until drained".into(), seconds(begun));
        figures.insert("groups left".into(), number(&status, "/groups"));
        figures.insert("sessions left".into(), number(&status, "/sessions"));
        let busy = self.finish(server, &before, begun, &mut figures);
        server.undrain(from);
        (busy, figures)
    }

    /// Waits until all sessions go on, and notes when half of them, nearly all and all did.
    fn wait_for(
        &self,
        server: &Server,
        restored_before: f64,
        since: Instant,
        figures: &mut Figures,
    ) {
        let mut shares = [("half", 0.5), ("99 %", 0.99), ("all", 1.0)].iter();
        let mut next = shares.next();
        while let Some((name, share)) = next {
            let count = restored(server) - restored_before;
            if count >= self.sessions * share {
                figures.insert(format!("seconds until {name} go on"), seconds(since));
                next = shares.next();
                continue;
            }
            if since.elapsed() > PATIENCE {
                eprintln!("crowd: {count} of {} sessions go on", self.sessions);
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Has one session of each group call, and counts those that are gone.
    fn finish(
        &mut self,
        server: &Server,
        before: &crate::meter::Sample,
        since: Instant,
        figures: &mut Figures,
    ) -> f64 {
        let answers = driver::ask_all(&mut self.generators, "call");
        figures.insert("seconds until all groups answer".into(), seconds(since));
        figures.insert("calls answered".into(), sum(&answers, "/answered"));
        figures.insert("sessions gone".into(), sum(&answers, "/gone"));
        let spent = server.sample(&[]).since(before);
        let resident = server.resident();
        let origin = resident.last().expect("an origin");
        figures.insert("resident MiB origin".into(), origin / 1024.0 / 1024.0);
        spent.busy
    }
}

fn restored(server: &Server) -> f64 {
    let admins = server.edge_admins().into_iter();
    admins
        .map(|admin| Metrics::scrape(admin).sum(RESTORED))
        .sum()
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
