//! Medians, ratios and the lines of a report.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;
use serde_json::json;

use crate::{
    chart::{self, Bar},
    meter,
};

/// The figures of one run of one server, by name.
pub(crate) type Figures = BTreeMap<String, f64>;

/// All runs of a scenario: server, load and figures, in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    head: [String; 2],
    begun: Instant,
    /// The runs to come, those made included; 0 if not known.
    expected: usize,
    busy_at_most: f64,
    charted: Option<&'static str>,
    runs: Vec<Run>,
}

#[derive(Debug, Serialize)]
struct Run {
    server: String,
    load: String,
    figures: Figures,
    counts: bool,
}

impl Report {
    /// Begins a report and prints its head: where and when it is made.
    pub(crate) fn begin(scenario: &'static str, remarks: &str) -> Self {
        let head = [machine(), remarks.to_owned()];
        println!("# {scenario}: {}", head[0]);
        println!("# {}", head[1]);
        println!("csv,scenario,server,load,run,counts,figure,value");
        Self {
            scenario,
            head,
            begun: Instant::now(),
            expected: 0,
            busy_at_most: BUSY_AT_MOST,
            charted: None,
            runs: Vec::new(),
        }
    }

    /// Says how many runs there will be, for the progress on standard error.
    pub(crate) fn of_runs(mut self, runs: usize) -> Self {
        self.expected = runs;
        self
    }

    /// Draws a chart of this figure when the report is finished.
    pub(crate) fn charted(mut self, figure: &'static str) -> Self {
        self.charted = Some(figure);
        self
    }

    /// Counts also runs on a machine that is fully busy: for loads that take all processors, and
    /// whose figures are of processor time alone.
    pub(crate) fn however_busy(mut self) -> Self {
        self.busy_at_most = f64::INFINITY;
        self
    }

    /// Takes the figures of a run in which the machine was `busy` (0 to 1).
    pub(crate) fn add(&mut self, server: &str, load: &str, busy: f64, mut figures: Figures) {
        let generator = figures.get(GENERATOR_BUSY).copied().unwrap_or(0.0);
        if generator > GENERATOR_BUSY_AT_MOST {
            eprintln!(
                "{load}: {server}: the generator was the bottleneck ({generator:.0} % of its \
                 processor); the run does not count"
            );
        }
        let counts = busy <= self.busy_at_most && generator <= GENERATOR_BUSY_AT_MOST;
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
        self.show_progress();
    }

    fn show_progress(&self) {
        let made = self.runs.len();
        if self.expected > made {
            let left = self.begun.elapsed() / made as u32 * (self.expected - made) as u32;
            eprintln!(
                "{}: run {made} of {} made, about {} s left",
                self.scenario,
                self.expected,
                left.as_secs()
            );
        }
    }

    /// Prints medians, and each server's ratio to the first one of the same load; writes them and all
    /// runs to files under `target/load`.
    pub(crate) fn finish(&self) {
        let groups = self.groups();
        for (load, server) in &groups {
            let runs = self.of(server, load).count();
            let counting = self.of(server, load).filter(|run| run.counts).count();
            println!("\n{load}: {server} (medians of {runs} runs, {counting} of them count)");
            for (figure, median) in self.medians(server, load) {
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
        match self.write(&groups) {
            Ok(file) => println!("{} has every run", file.display()),
            Err(error) => eprintln!("the report's files are not written: {error}"),
        }
    }

    /// Load and server of each group of runs, in the order of the loads.
    fn groups(&self) -> Vec<(&str, &str)> {
        let mut groups: Vec<(&str, &str)> = Vec::new();
        for run in &self.runs {
            let group = (run.load.as_str(), run.server.as_str());
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        groups.sort_by_key(|(load, _)| self.runs.iter().position(|run| run.load == **load));
        groups
    }

    fn write(&self, groups: &[(&str, &str)]) -> io::Result<PathBuf> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/load");
        fs::create_dir_all(&directory)?;
        let medians: Vec<_> = groups
            .iter()
            .map(|(load, server)| {
                let figures: Figures = self
                    .medians(server, load)
                    .into_iter()
                    .map(|(figure, median)| (figure.to_owned(), median))
                    .collect();
                json!({ "load": load, "server": server, "figures": figures })
            })
            .collect();
        let file = directory.join(format!("{}.json", self.scenario));
        let all = json!({
            "scenario": self.scenario,
            "machine": self.head[0],
            "remarks": self.head[1],
            "medians": medians,
            "runs": self.runs,
        });
        fs::write(&file, format!("{all:#}\n"))?;
        if let Some(figure) = self.charted {
            let bars: Vec<_> = groups
                .iter()
                .filter_map(|&(load, server)| {
                    let value = self.median(server, load, figure)?;
                    Some(Bar {
                        load,
                        server,
                        value,
                    })
                })
                .collect();
            chart::draw(&file.with_extension("svg"), self.scenario, figure, &bars)?;
        }
        Ok(file)
    }

    /// The medians of each figure.
    fn medians(&self, server: &str, load: &str) -> Vec<(&str, f64)> {
        let figures = self.figures(server, load).into_iter();
        let medians = figures.map(|figure| (figure, self.median(server, load, figure)));
        medians
            .filter_map(|(figure, median)| Some((figure, median?)))
            .collect()
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
/// The figure of the busiest generator process, in per cent of the one processor it can use.
pub(crate) const GENERATOR_BUSY: &str = "generator busy %";
/// A generator that is busier sends and reads late, which counts against the server.
const GENERATOR_BUSY_AT_MOST: f64 = 85.0;
