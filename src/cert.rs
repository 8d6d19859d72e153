//! `tributary cert`

use std::path::PathBuf;

use clap::Subcommand;
use tributary_node::cert::{self, Issue};

use crate::node::Failure;

/// Makes the private CA and the nodes' certificates.
#[derive(clap::Args)]
pub(crate) struct CertArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes a private CA in DIR: ca.pem, which every node needs, and ca.key, which stays off the
    /// nodes
    Init {
        /// The directory for it
        dir: PathBuf,
    },
    /// Makes a node's certificate and key
    Issue(Issue),
}

/// Runs the subcommand.
pub(crate) fn run(args: &CertArgs) -> Result<(), Failure> {
    match &args.command {
        Command::Init { dir } => {
            cert::init(dir)?;
            println!(
                "made a CA in {}; keep ca.key where no node can read it",
                dir.display()
            );
        }
        Command::Issue(issue) => {
            cert::issue(issue)?;
            println!(
                "made a certificate for {} {} in {}",
                issue.role,
                issue.name,
                issue.out.display()
            );
        }
    }
    Ok(())
}
