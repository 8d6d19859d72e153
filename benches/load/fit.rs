//! Fits the cost of each quantity to the loads that `growth` has measured, for `tributary plan`.

use std::{
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use crate::quantity::Quantity::{self, *};

mod solve;

use solve::Row;

/// The loads that count.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// Also take loads during which the machine was busy, to try the fit.
    #[arg(long)]
    however_busy: bool,
}

/// A cost that is measured for each load.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its figure, and its table in the file of costs.
    pub(crate) name: &'static str,
    tier: Tier,
    pub(crate) unit: &'static str,
    /// The quantities that it consists of.
    quantities: &'static [Quantity],
    /// Less than this is not measurable.
    pub(crate) noise: f64,
}

/// The tier whose amounts make a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Edge,
    Origin,
}

pub(crate) const EDGE_PROCESSOR: &str = "edge.processor";
pub(crate) const EDGE_MEMORY: &str = "edge.memory";
pub(crate) const EDGE_KERNEL: &str = "edge.kernel";
pub(crate) const ORIGIN_PROCESSOR: &str = "origin.processor";
pub(crate) const LINK_THREAD: &str = "origin.link_thread";
pub(crate) const ORIGIN_MEMORY: &str = "origin.memory";

const PROCESSOR: &str = "us/s";
const BYTES: &str = "bytes";

pub(crate) const TARGETS: [Target; 6] = [
    Target {
        name: EDGE_PROCESSOR,
        tier: Tier::Edge,
        unit: PROCESSOR,
        quantities: &[
            Process,
            Session,
            Lane,
            Call,
            PublishedMessage,
            PublishedMbit,
            FeedMessage,
            FeedMbit,
            Wake,
            InteractiveWrite,
            StandardWrite,
            BroadcastWrite,
            DeliveredMbit,
        ],
        noise: 1_000.0,
    },
    Target {
        name: EDGE_MEMORY,
        tier: Tier::Edge,
        unit: BYTES,
        quantities: &[
            Process,
            Session,
            Viewer,
            Publisher,
            Lane,
            Feed,
            RingMegabyte,
        ],
        noise: 1_048_576.0,
    },
    Target {
        name: EDGE_KERNEL,
        tier: Tier::Edge,
        unit: BYTES,
        quantities: &[Session],
        noise: 16_777_216.0,
    },
    Target {
        name: ORIGIN_PROCESSOR,
        tier: Tier::Origin,
        unit: PROCESSOR,
        quantities: &[
            Process,
            Link,
            Session,
            Lane,
            Group,
            ScriptGroup,
            Call,
            ScriptCall,
            PublishedMessage,
            PublishedMbit,
            FeedMessage,
            FeedMbit,
            Wake,
        ],
        noise: 1_000.0,
    },
    Target {
        name: LINK_THREAD,
        tier: Tier::Origin,
        unit: PROCESSOR,
        quantities: &[
            Process,
            Link,
            Lane,
            Call,
            ScriptCall,
            PublishedMessage,
            PublishedMbit,
            FeedMessage,
            FeedMbit,
            Wake,
        ],
        noise: 1_000.0,
    },
    Target {
        name: ORIGIN_MEMORY,
        tier: Tier::Origin,
        unit: BYTES,
        quantities: &[
            Process,
            Link,
            Session,
            Lane,
            Group,
            ScriptGroup,
            Publisher,
            Feed,
            RingMegabyte,
        ],
        noise: 1_048_576.0,
    },
];

/// The figure of an amount.
pub(crate) fn amount(tier: Tier, quantity: Quantity) -> String {
    let tier = match tier {
        Tier::Edge => "edge",
        Tier::Origin => "origin",
    };
    format!("{tier} {}", name(quantity))
}

/// The name of a quantity in files.
fn name(quantity: Quantity) -> String {
    let value = serde_json::to_value(quantity).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Reads the loads, prints the costs with their errors, and writes them as the file that the planner
/// has.
pub(crate) fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let measured = fs::read_to_string(file("growth.json"))
        .map_err(|error| format!("target/load/growth.json: {error}; run `growth` first"))?;
    let measured: Value = serde_json::from_str(&measured)?;
    let runs = measured["runs"].as_array().ok_or("no runs")?;
    let counts = |run: &&Value| options.however_busy || run["counts"] == true;
    let counting: Vec<_> = runs.iter().filter(counts).collect();
    println!("{} of {} loads count", counting.len(), runs.len());
    let machine = measured["machine"].as_str().unwrap_or_default();
    let mut costs = format!("{HEAD}measured = {machine:?}\n");
    for target in &TARGETS {
        costs.push_str(&section(target, &counting)?);
    }
    fs::write(file("costs.toml"), &costs)?;
    println!("{costs}");
    println!("target/load/costs.toml has it, for src/plan/costs.toml or `tributary plan --costs`");
    Ok(())
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/load")
        .join(name)
}

/// The table of one target.
fn section(target: &Target, runs: &[&Value]) -> Result<String, Box<dyn Error>> {
    let figure = |run: &Value, name: &str| run["figures"][name].as_f64();
    let rows: Vec<_> = runs
        .iter()
        .filter_map(|run| {
            let amounts = target.quantities.iter();
            let amounts = amounts
                .map(|&quantity| figure(run, &amount(target.tier, quantity)).unwrap_or_default());
            Some(Row {
                amounts: amounts.collect(),
                cost: figure(run, target.name)?,
            })
        })
        .collect();
    let fit = solve::fit(&rows, target.noise);
    let worst = fit.errors.iter().copied().enumerate();
    let (at, largest) = worst
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .ok_or("no load counts: the machine was too busy for each")?;
    println!(
        "{}: error of the fit {:.0} %, at most {:.0} % ({})",
        target.name,
        fit.typical_error() * 100.0,
        largest * 100.0,
        runs[at]["load"]
    );
    let mut text = format!("\n[{}] # {}\n", target.name, target.unit);
    writeln!(text, "typical_error = {:.3}", fit.typical_error())?;
    writeln!(text, "largest_error = {largest:.3}")?;
    for (index, &quantity) in target.quantities.iter().enumerate() {
        let (value, error) = (fit.costs[index], fit.deviations[index]);
        let name = name(quantity);
        writeln!(
            text,
            "costs.{name} = {{ value = {value:.3}, error = {error:.3} }}"
        )?;
    }
    Ok(text)
}

const HEAD: &str = "\
# Measured costs, which `tributary plan` multiplies with the load of a node: of each thing that it holds,
# and of each event in a second. `error` is one standard deviation; `typical_error` and `largest_error` are
# shares of the measured costs. docs/scale.md has the model.
# Made by `cargo bench --bench load -- growth`; do not edit.

[source]
command = \"cargo bench --bench load -- growth\"
";
