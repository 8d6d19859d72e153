//! `tributary apps`

use std::{
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use clap::{Args, Subcommand};
use tributary_origin::deploy::{
    archive,
    folder::{self, Listing},
};

use crate::{
    admin_client::{Client, OriginAdmin},
    node::{self, Failure},
};

mod show;

/// Deploys, lists, restarts and removes the applications of a running origin.
#[derive(Args)]
pub(crate) struct AppsArgs {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    origin: OriginAdmin,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the applications
    List,
    /// Deploys a folder: new groups take it, running ones follow the setting on_deploy
    Deploy {
        /// The application's folder
        folder: PathBuf,
        /// The application's name [default: the folder's]
        #[arg(long)]
        name: Option<String>,
        /// Deploy it although it fails at its start; a folder that does not compile is refused
        #[arg(long)]
        force: bool,
    },
    /// Removes an application's folder
    Remove {
        /// The application
        name: String,
        /// Also end its groups and remove the files and persistent objects it has stored
        #[arg(long)]
        purge: bool,
    },
    /// Ends the sessions of an application's groups; clients that connect again get the newest
    /// version
    Restart {
        /// The application
        name: String,
    },
    /// Prints an application's latest log lines
    Logs {
        /// The application
        name: String,
        /// The number of lines
        #[arg(long, default_value_t = 100)]
        lines: usize,
        /// Go on printing new lines
        #[arg(long, short)]
        follow: bool,
    },
}

/// The time between two requests for a followed log.
const FOLLOW: Duration = Duration::from_millis(500);

/// Runs the subcommand.
pub(crate) fn run(args: &AppsArgs) -> Result<(), Failure> {
    let client = args.origin.client()?;
    node::block_on(async {
        match &args.command {
            Command::List => show::list(&client.get("/api/apps").await?),
            Command::Deploy {
                folder,
                name,
                force,
            } => deploy(&client, folder, name.as_deref(), *force).await?,
            Command::Remove { name, purge } => {
                let query = if *purge { "?purge=true" } else { "" };
                let done = client.delete(&format!("{}{query}", path(name)?)).await?;
                show::ended(name, "removed", &done);
            }
            Command::Restart { name } => {
                let done = client.post(&format!("{}/restart", path(name)?)).await?;
                show::ended(name, "restarted", &done);
            }
            Command::Logs {
                name,
                lines,
                follow,
            } => logs(&client, name, *lines, *follow).await?,
        }
        Ok(())
    })?
}

async fn deploy(
    client: &Client,
    from: &Path,
    name: Option<&str>,
    force: bool,
) -> Result<(), Failure> {
    let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}", from.display());
    let full = from
        .canonicalize()
        .map_err(|error| unusable(&format!("{error}; name an application's folder")))?;
    if !full.is_dir() {
        return Err(unusable(&"is a file; name the folder that it is in").into());
    }
    let name = match name {
        Some(name) => name,
        None => full
            .file_name()
            .and_then(|name| name.to_str())
            .ok_or_else(|| unusable(&"it has no name; give one with --name"))?,
    };
    let path = path(name)?;
    let listing = Listing::of(&full).map_err(|error| unusable(&error))?;
    let archive = archive::pack(&full, &listing).map_err(|error| unusable(&error))?;
    let (files, kib) = (listing.files.len(), listing.size().div_ceil(1024));
    let files = match files {
        0 => return Err(unusable(&"there is no file in it; name an application's folder").into()),
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    eprintln!("{name}: {files}, {kib} KiB, to {}", client.address());
    let query = if force { "?force=true" } else { "" };
    let done = client.put(&format!("{path}{query}"), archive).await?;
    show::deployed(name, &done);
    Ok(())
}

async fn logs(client: &Client, name: &str, lines: usize, follow: bool) -> Result<(), Failure> {
    let path = path(name)?;
    let mut last = 0;
    let mut most = lines;
    loop {
        let query = format!("{path}/logs?after={last}&lines={most}");
        let answer = client.get(&query).await?;
        last = show::lines(&answer)?.unwrap_or(last);
        if !follow {
            return Ok(());
        }
        most = usize::MAX;
        thread::sleep(FOLLOW);
    }
}

/// The path of an application in the API.
fn path(name: &str) -> Result<String, Failure> {
    if folder::is_name(name) {
        return Ok(format!("/api/apps/{name}"));
    }
    let most = folder::MAX_NAME;
    Err(format!(
        "{name:?} cannot be an application's name; use 1 to {most} letters, digits, dots, hyphens \
         and underscores"
    )
    .into())
}
