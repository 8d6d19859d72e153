//! Medians, ratios and the lines of a report.

use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    time::{Duration, SystemTime},
};

use crate::meter;

/// The figures of one run of one server, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// All runs of a scenario: server, load and figures, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    busy_at_most: f64,
    runs: Vec<Run>,
}

#[derive(Debug)]
struct Run {
    server: String,
    load: String,
    figures: Figures,
    counts: bool,
}

impl Report {
    /// Begins a report and prints its head: where and when it is made.
    pub(crate) fn begin(scenario: &'static str, remarks: &str) -> Self {
        println!("# {scenario}: {}", machine());
        println!("# {remarks}");
        println!("csv,scenario,server,load,run,counts,figure,value");
        Self {
            scenario,
            busy_at_most: BUSY_AT_MOST,
            runs: Vec::new(),
        }
    }

    /// Counts also runs on a machine that is fully busy: for loads that take all processors, and
    /// whose figures are of processor time alone.
    pub(crate) fn however_busy(mut self) -> Self {
        self.busy_at_most = f64::INFINITY;
        self
    }

    /// Takes the figures of a run in which the machine was `busy` (0 to 1).
    pub(crate) fn add(&mut self, server: &str, load: &str, busy: f64, mut figures: Figures) {
        let counts = busy <= self.busy_at_most;
        figures.insert("machine busy %".to_owned(), busy * 100.0);
        let run = self.of(server, load).count() + 1;
        for (figure, value) in &figures {
            let scenario = self.scenario;
            println!("csv,{scenario},{server},{load},{run},{counts},{figure},{value:.6}");
        }
        self.runs.push(Run {
            server: server.to_owned(),
            load: load.to_owned(),
            figures,
            counts,
        });
    }

    /// Prints medians, and each server's ratio to the first one of the same load.
    pub(crate) fn finish(&self) {
        let mut groups: Vec<(&str, &str)> = Vec::new();
        for run in &self.runs {
            let group = (run.load.as_str(), run.server.as_str());
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|(load, _)| self.runs.iter().position(|run| run.load == **load));
        for (load, server) in &groups {
            let runs = self.of(server, load).count();
            let counting = self.of(server, load).filter(|run| run.counts).count();
            println!("\n{load}: {server} (medians of {runs} runs, {counting} of them count)");
            for figure in self.figures(server, load) {
                let Some(median) = self.median(server, load, figure) else {
                    continue;
                };
                let ratios = groups
                    .iter()
                    .filter(|(other_load, other)| other_load == load && other != server)
                    .filter_map(|(_, other)| {
                        let theirs = self.median(other, load, figure)?;
                        (theirs != 0.0).then(|| format!("{:.2} x {other}", median / theirs))
                    })
                    .collect::<Vec<_>>()
                    .join(", ");
                println!("  {figure:<34} {median:>14.4}   {ratios}");
            }
        }
        println!();
    }

    fn of(&self, server: &str, load: &str) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .filter(move |run| run.server == server && run.load == load)
    }

    fn figures(&self, server: &str, load: &str) -> Vec<&str> {
        let first = self.of(server, load).next();
        first.map_or_else(Vec::new, |run| {
            run.figures.keys().map(String::as_str).collect()
        })
    }

    /// The median of the runs that count, or of all if none does.
    fn median(&self, server: &str, load: &str, figure: &str) -> Option<f64> {
        let values = |only_counting: bool| {
            self.of(server, load)
                .filter(|run| run.counts || !only_counting)
                .filter_map(|run| run.figures.get(figure).copied())
                .filter(|value| value.is_finite())
                .collect::<Vec<_>>()
        };
        let mut counting = values(true);
        if counting.is_empty() {
            counting = values(false);
        }
        median(counting)
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some(f64::midpoint(lower, upper))
}

/// Commit, processor, kernel, congestion control and time.
fn machine() -> String {
    let output = |program: &str, arguments: &[&str]| {
        Command::new(program)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
            .unwrap_or_default()
    };
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(": "))
        .map_or("unknown processor", |(_, name)| name);
    let congestion =
        fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    format!(
        "commit {}, {} x {cpu}, Linux {}, congestion control {}, unix time {}",
        output("git", &["describe", "--always", "--dirty"]),
        meter::processors(),
        output("uname", &["-r"]),
        congestion.trim(),
        now.as_secs(),
    )
}

/// A run on a busier machine measures the machine more than the server.
const BUSY_AT_MOST: f64 = 0.85;
