//! `tributary check`

use std::path::PathBuf;

use tributary_node::config::Layers;

use crate::{config::Config, node::Failure};

/// Prints the configuration in force, or every mistake in it with its line and remedy.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to check; environment variables win over it, as they do for a node
    file: PathBuf,
}

/// Checks a file; mistakes are the error.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let layers = Layers::new().file(&args.file).environment(std::env::vars());
    let config: Config = layers.read()?;
    print!("{}", toml::to_string(&config)?);
    Ok(())
}
