//! `tributary check`

use std::{
    fs,
    path::{Path, PathBuf},
};

use tributary_edge::{Policies, tls::Certificates};
use tributary_node::config::{Application, Layers};
use tributary_origin::deploy::{self, folder};

use crate::{config::Config, local, node::Failure};

/// Prints the configuration in force, or every mistake in it with its line and remedy; compiles
/// every script of its applications.
#[derive(clap::Args)]
pub(crate) struct CheckArgs {
    /// The configuration to check, a TOML file; environment variables win over it, as they do for a
    /// node. Or the folder of an application, or of several
    #[arg(value_name = "FILE|FOLDER")]
    file: PathBuf,
}

/// Checks a file or a folder; mistakes are the error.
pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    if holds_applications(&args.file) {
        return applications(&args.file, &Config::default(), true);
    }
    if args.file.is_dir() {
        let settings = Application::default();
        let full = args.file.canonicalize()?;
        let name = full.file_name().unwrap_or_default().to_string_lossy();
        return application(&name, &args.file, &settings, true).map_err(Failure::from);
    }
    if is_script(&args.file) {
        return Err(format!(
            "{}: a script is checked with all that it loads; name the application's folder",
            args.file.display()
        )
        .into());
    }
    let layers = Layers::new().file(&args.file).environment(std::env::vars());
    let config: Config = layers.read()?;
    certificates(&config)?;
    // The files of keys and users.
    Policies::load(&config.applications)?;
    for warning in local::warnings(&config) {
        eprintln!("{warning}");
    }
    if config.cluster.is_some() && config.origin.data.is_none() {
        eprintln!(
            "cluster: an origin in a cluster starts with a data directory alone: set origin.data, or give \
             it --data DIR"
        );
    }
    print!("{}", toml::to_string(&config)?);
    match &config.origin.apps {
        Some(apps) => applications(apps, &config, config.cluster.is_some()),
        None => Ok(()),
    }
}

/// Reads the certificates for clients, and checks that each fits its key.
fn certificates(config: &Config) -> Result<(), Failure> {
    let tickets = config.edge.ticket_keys.clone();
    Certificates::load(&config.tls, tickets)?;
    Ok(())
}

/// Whether this file is a script and no configuration.
fn is_script(file: &Path) -> bool {
    let is = |kind: &str| {
        file.extension()
            .is_some_and(|own| own.eq_ignore_ascii_case(kind))
    };
    ["asc", "js", "mjs", "xml"].into_iter().any(is)
}

/// Whether this directory holds applications: it has folders, and no script of its own.
fn holds_applications(directory: &Path) -> bool {
    let Ok(entries) = fs::read_dir(directory) else {
        return false;
    };
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let own = |path: &PathBuf| is_script(path) || path.ends_with("scripts");
    paths.iter().any(|path| path.is_dir()) && !paths.iter().any(own)
}

/// Checks every application of a directory, which may run in a cluster.
fn applications(apps: &Path, config: &Config, in_cluster: bool) -> Result<(), Failure> {
    let found = match fs::read_dir(apps) {
        Ok(found) => found,
        Err(error) => {
            // The directory may be on another machine.
            eprintln!("origin.apps: {}: {error}; not checked", apps.display());
            return Ok(());
        }
    };
    let mut names: Vec<_> = found
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    let mut wrong = Vec::new();
    for name in names {
        let folder = apps.join(&name);
        if !folder::is_name(&name) {
            let why = "is no name of an application: letters, digits, dots, hyphens, underscores";
            wrong.push(format!("{}: {why}", folder.display()));
            continue;
        }
        let settings = config.applications.get(&name).cloned().unwrap_or_default();
        wrong.extend(application(&name, &folder, &settings, in_cluster).err());
    }
    match wrong.as_slice() {
        [] => Ok(()),
        _ => Err(wrong.join("\n").into()),
    }
}

/// Checks an application's folder and prints its notes.
fn application(
    name: &str,
    at: &Path,
    settings: &Application,
    in_cluster: bool,
) -> Result<(), String> {
    let checked = deploy::check(&*tributary_script::loader(), name, at, settings);
    match checked {
        Ok(remarks) => {
            for note in remarks.notes {
                eprintln!("{}: {note}", at.display());
            }
            for note in remarks.in_cluster.iter().filter(|_| in_cluster) {
                eprintln!("{}: in a cluster: {note}", at.display());
            }
            eprintln!("{}: compiles", at.display());
            Ok(())
        }
        Err(problems) => {
            let shown = problems.iter().map(|problem| match &problem.file {
                Some(_) => format!("{}/{problem}", at.display()),
                None => format!("{}: {problem}", at.display()),
            });
            Err(shown.collect::<Vec<_>>().join("\n"))
        }
    }
}
