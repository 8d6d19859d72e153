//! The table of growth: the cost of each unit at each size, and how it grows.

use std::collections::BTreeMap;

use super::series::Series;
use crate::{fit::TARGETS, report::Figures};

/// The costs of each unit, by series and size; the latest round counts.
#[derive(Debug, Default)]
pub(super) struct Table(BTreeMap<&'static str, BTreeMap<u64, Figures>>);

impl Table {
    /// Takes the costs of each of so many units.
    pub(super) fn add(&mut self, series: &'static str, units: f64, each: &Figures) {
        let sizes = self.0.entry(series).or_default();
        sizes.insert(units as u64, each.clone());
    }

    /// Prints every series in which a number grows.
    pub(super) fn print(&self, series: &[&Series]) {
        println!(
            "The cost of each unit beyond the load without units, and in brackets the exponent with \
             which the cost of all of them grows: 1 is linear. \"WORSE\" marks a unit that costs \
             more than {MOST} times as much as at the size before. \"-\": too little to measure."
        );
        for series in series.iter().filter(|series| series.grows()) {
            if let Some(sizes) = self.0.get(series.name) {
                print_series(series.name, sizes);
            }
        }
        println!();
    }
}

fn print_series(name: &str, sizes: &BTreeMap<u64, Figures>) {
    println!("\n{name}");
    print!("{:<28}", "");
    for units in sizes.keys() {
        print!("{units:>24}");
    }
    println!();
    for target in &TARGETS {
        let figure = format!("{} of each", target.name);
        let mut line = format!("{:<28}", format!("{}, {}", target.name, target.unit));
        let mut before: Option<(f64, f64)> = None;
        for (&units, each) in sizes {
            let (units, each) = (units as f64, each[&figure]);
            let measurable = each * units > target.noise;
            let cell = match before {
                _ if !measurable => "-".to_owned(),
                None => format!("{each:.2}"),
                Some((less, cost)) => {
                    let exponent = (each * units / (cost * less)).ln() / (units / less).ln();
                    let mark = if each > cost * MOST { " WORSE" } else { "" };
                    format!("{each:.2} ({exponent:.2}){mark}")
                }
            };
            line.push_str(&format!("{cell:>24}"));
            before = measurable.then_some((units, each));
        }
        println!("{line}");
    }
}

/// A unit that costs more than this many times its cost at a tenth of the size grows worse than
/// linearly; less may be the noise of a run.
const MOST: f64 = 1.25;
