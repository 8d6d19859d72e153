//! `tributary cert`

use std::path::PathBuf;

use clap::Subcommand;
use tributary_node::{
    cert::{self, Issue, Serve},
    tls::CA_FILE,
};

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
    /// Makes a certificate for clients and its key, for trying RTMPS: clients have to know the CA
    Server(Serve),
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
        Command::Server(server) => {
            cert::serve(server)?;
            println!(
                "made {} and {} in {} for {}; clients have to know {}",
                cert::SERVER_CERTIFICATE_FILE,
                cert::SERVER_KEY_FILE,
                server.out.display(),
                server.names.join(", "),
                server.ca.join(CA_FILE).display(),
            );
        }
    }
    Ok(())
}
