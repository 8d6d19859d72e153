//! `tributary plan`

use std::path::PathBuf;

mod costs;
mod demand;
mod fleet;
mod node;
mod quantity;
mod show;
#[cfg(test)]
mod tests;

use costs::Costs;
use demand::{Demand, Machine};
use fleet::Plan;

use crate::node::Failure;

/// Answers how many edges and origins an audience needs, from measured costs.
#[derive(clap::Args)]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    demand: Demand,
    #[command(flatten)]
    machine: Machine,
    /// A file of costs in place of those of this program; `cargo bench --bench load -- growth` makes
    /// one
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the plan; mistakes, and an audience that no number of machines can serve, are the error.
pub(crate) fn run(args: &PlanArgs) -> Result<(), Failure> {
    let mistakes = [args.demand.mistakes(), args.machine.mistakes()].concat();
    if !mistakes.is_empty() {
        return Err(mistakes.join("\n").into());
    }
    let costs = match &args.costs {
        None => Costs::built_in(),
        Some(file) => Costs::read(file)?,
    };
    let plan = Plan::new(&args.demand, &args.machine, &costs)?;
    if args.json {
        println!("{:#}", show::json(&plan));
    } else {
        print!("{}", show::text(&plan));
    }
    Ok(())
}
