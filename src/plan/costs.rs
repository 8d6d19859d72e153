//! The measured costs.

use std::{collections::BTreeMap, fs, path::Path};

use serde::{Deserialize, Serialize};

use super::quantity::{Amounts, Quantity};

/// The costs of the nodes' loads, and their origin.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Costs {
    pub(super) source: Source,
    pub(super) edge: EdgeCosts,
    pub(super) origin: OriginCosts,
}

/// The command that measured the costs; the commit and the machine on which it ran.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source {
    pub(super) command: String,
    pub(super) measured: String,
}

/// The costs of an edge: us of processor time in a second, bytes of the process, bytes of the kernel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EdgeCosts {
    pub(super) processor: Fit,
    pub(super) memory: Fit,
    pub(super) kernel: Fit,
}

/// The costs of an origin: us of processor time in a second, those of its link thread alone, bytes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OriginCosts {
    pub(super) processor: Fit,
    pub(super) link_thread: Fit,
    pub(super) memory: Fit,
}

/// The cost of each quantity, as far as it has one.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fit {
    /// The root of the mean square of the errors, as a share of the measured costs.
    pub(super) typical_error: f64,
    pub(super) largest_error: f64,
    costs: BTreeMap<Quantity, Cost>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cost {
    value: f64,
    /// The standard deviation.
    error: f64,
}

impl Costs {
    /// The costs that this program was built with.
    pub(super) fn built_in() -> Self {
        toml::from_str(include_str!("costs.toml")).expect("a test reads this file")
    }

    /// The costs of a file; the error names the file and its fault.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let faulty = |why: String| {
            format!(
                "--costs {}: {why}; `cargo bench --bench load -- growth` writes such a file",
                file.display()
            )
        };
        let text = fs::read_to_string(file).map_err(|error| faulty(error.to_string()))?;
        let costs: Self = toml::from_str(&text).map_err(|error| faulty(error.to_string()))?;
        match costs.fault() {
            None => Ok(costs),
            Some(quantity) => Err(faulty(format!(
                "the cost of {quantity:?} is below 0 or no number"
            ))),
        }
    }

    /// A quantity with a cost that is below 0, or not finite.
    fn fault(&self) -> Option<Quantity> {
        let costs = self.fits().into_iter().flat_map(|(_, fit)| &fit.costs);
        let is_number = |number: f64| number.is_finite() && number >= 0.0;
        let mut faulty =
            costs.filter(|(_, cost)| !(is_number(cost.value) && is_number(cost.error)));
        faulty.next().map(|(quantity, _)| *quantity)
    }

    /// Every fit with its name for people.
    pub(super) fn fits(&self) -> [(&'static str, &Fit); 6] {
        [
            ("edge, processor", &self.edge.processor),
            ("edge, memory", &self.edge.memory),
            ("edge, kernel memory", &self.edge.kernel),
            ("origin, processor", &self.origin.processor),
            ("origin, link thread", &self.origin.link_thread),
            ("origin, memory", &self.origin.memory),
        ]
    }
}

impl Fit {
    /// The cost of these amounts.
    pub(super) fn of(&self, amounts: &Amounts) -> f64 {
        let costs = self.costs.iter();
        costs
            .map(|(&quantity, cost)| cost.value * amounts.of(quantity))
            .sum()
    }
}
