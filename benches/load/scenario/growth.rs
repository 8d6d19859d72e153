//! Growth: the cost of sessions, groups, viewers and streams as their numbers grow tenfold, and the
//! loads to which the costs of `tributary plan` are fitted.

use clap::Args;

use crate::{
    fit::{self, TARGETS},
    reading::Reading,
    report::{Figures, Report},
    servers::Kind,
};

mod load;
mod run;
mod series;
mod table;

use load::Load;
use series::Series;
use table::Table;

/// Sizes, times and repetitions.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Leaves out loads of more units than this.
    #[arg(long, default_value_t = 15_000)]
    largest: usize,
    /// The series to measure; all of them give a fit.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How viewers read.
    #[arg(long, value_enum, default_value_t = Reading::Prompt)]
    read: Reading,
    /// Seconds between the start of a load and its measurement.
    #[arg(long, default_value_t = 2.0)]
    settle: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Seconds between the start of a load of which nothing moves and its measurement: what the start
    /// leaves to do must be done.
    #[arg(long, default_value_t = 5.0)]
    idle_settle: f64,
    /// Seconds of the measurement of such a load.
    #[arg(long, default_value_t = 6.0)]
    idle_seconds: f64,
    /// Runs of each load.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "one load after the other, each with servers of its own, measured {} s after {} s, and {} s \
         after {} s if nothing moves; viewers read {}",
        options.seconds,
        options.settle,
        options.idle_seconds,
        options.idle_settle,
        options.read.name()
    );
    let all = series::all(options.largest);
    let names: Vec<_> = all.iter().map(|series| series.name).collect();
    for name in &options.only {
        let known = names.contains(&name.as_str());
        assert!(known, "--only {name}: the series are {names:?}");
    }
    let chosen: Vec<_> = all
        .iter()
        .filter(|series| options.only.is_empty() || options.only.iter().any(|n| n == series.name))
        .collect();
    let mut loads: Vec<Load> = Vec::new();
    for (_, load) in chosen.iter().flat_map(|series| series.loads()) {
        if !loads.contains(&load) {
            loads.push(load);
        }
    }
    let mut report = Report::begin("growth", &remarks)
        .of_runs(loads.len() * options.rounds)
        .charted("edge.processor of each");
    let mut table = Table::default();
    for _ in 0..options.rounds {
        let mut known = Vec::new();
        for series in &chosen {
            measure(options, series, &mut known, &mut report, &mut table);
        }
    }
    report.finish();
    table.print(&chosen);
    if options.only.is_empty()
        && let Err(error) = fit::run(&fit::Options::default())
    {
        eprintln!("no fit: {error}");
    }
}

/// Measures the loads of a series, but those that another series has measured.
fn measure(
    options: &Options,
    series: &Series,
    known: &mut Vec<(Load, Figures)>,
    report: &mut Report,
    table: &mut Table,
) {
    let mut base = None;
    for (units, load) in series.loads() {
        let same = known
            .iter()
            .find(|(known, _)| units == 0.0 && *known == load);
        if let Some((_, figures)) = same {
            base = Some(figures.clone());
            continue;
        }
        let (busy, mut figures) = run::one(options, &load);
        known.push((load, figures.clone()));
        if units == 0.0 {
            base = Some(figures.clone());
        } else {
            let each = of_each(&figures, base.as_ref(), units);
            table.add(series.name, units, &each);
            figures.extend(each);
        }
        let name = format!("{}: {load}", series.name);
        report.add(Kind::Tributary.name(), &name, busy, figures);
    }
}

/// The costs of each unit beyond those without any.
fn of_each(figures: &Figures, base: Option<&Figures>, units: f64) -> Figures {
    let targets = TARGETS.iter();
    let each = targets.map(|target| {
        let without = base.map_or(0.0, |base| base[target.name]);
        let cost = (figures[target.name] - without) / units;
        (format!("{} of each", target.name), cost)
    });
    each.collect()
}

impl Options {
    /// The seconds before a load is measured, and of its measurement.
    fn times(&self, load: &Load) -> [f64; 2] {
        let is_moving = load.publishers > 0 || load.calls > 0.0;
        if is_moving {
            [self.settle, self.seconds]
        } else {
            [self.idle_settle, self.idle_seconds]
        }
    }
}
