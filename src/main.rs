//! Tributary, a two-tier RTMP server: `tributary --help` lists what the program does.

mod admin_client;
mod apps;
mod cert;
mod check;
mod cluster;
mod config;
mod dev;
mod drain;
mod edge;
mod local;
mod node;
mod origin;
mod plan;
mod reload;
mod replace;
mod sample;
mod system;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A two-tier RTMP server: edges terminate clients, origins hold the applications.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Origin and edge in one process, without any configuration
    Dev(dev::DevArgs),
    /// The tier that holds applications, groups and live streams
    Origin(origin::OriginArgs),
    /// The tier that clients connect to
    Edge(edge::EdgeArgs),
    /// Deploys, lists, restarts and removes the applications of a running origin
    Apps(apps::AppsArgs),
    /// Shows the cluster of a running origin, and moves groups to its other origins
    Cluster(cluster::ClusterArgs),
    /// Lets a running edge leave: its clients go to other edges
    Drain(drain::DrainArgs),
    /// Lets a running node read its configuration again
    Reload(reload::ReloadArgs),
    /// Makes the private CA and the nodes' certificates
    Cert(cert::CertArgs),
    /// Prints the configuration in force, or every mistake in it
    Check(check::CheckArgs),
    /// Answers how many edges and origins an audience needs, from measured costs
    Plan(plan::PlanArgs),
}

fn main() -> ExitCode {
    let result = match Program::parse().command {
        Command::Dev(args) => dev::run(&args),
        Command::Origin(args) => origin::run(&args),
        Command::Edge(args) => edge::run(&args),
        Command::Apps(args) => apps::run(&args),
        Command::Cluster(args) => cluster::run(&args),
        Command::Drain(args) => drain::run(&args),
        Command::Reload(args) => reload::run(&args),
        Command::Cert(args) => cert::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Plan(args) => plan::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tributary: {error}");
            ExitCode::FAILURE
        }
    }
}
