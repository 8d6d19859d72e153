//! `tributary check`

use std::{
    fs,
    path::{Path, PathBuf},
};

use tributary_node::config::{Application, Layers};
use tributary_origin::deploy::{self, folder};

use crate::{config::Config, node::Failure};

/// Prints the configuration in force, or every mistake in it with its line and remedy; compiles
/// every script of its applications.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The file to check; environment variables win over it, as they do for a node. Or the folder
    /// of one application
    file: PathBuf,
}

/// Checks a file or a folder; mistakes are the error.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.file.is_dir() {
        let settings = Application::default();
        let full = args.file.canonicalize()?;
        let name = full.file_name().unwrap_or_default().to_string_lossy();
        return application(&name, &args.file, &settings).map_err(Failure::from);
    }
    let layers = Layers::new().file(&args.file).environment(std::env::vars());
    let config: Config = layers.read()?;
    print!("{}", toml::to_string(&config)?);
    match &config.origin.apps {
        Some(apps) => applications(apps, &config),
        None => Ok(()),
    }
}

/// Checks every application of a directory.
fn applications(apps: &Path, config: &Config) -> Result<(), Failure> {
    let found = match fs::read_dir(apps) {
        Ok(found) => found,
        Err(error) => {
            // It may be on another machine.
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
        wrong.extend(application(&name, &folder, &settings).err());
    }
    match wrong.as_slice() {
        [] => Ok(()),
        _ => Err(wrong.join("\n").into()),
    }
}

/// Checks an application's folder; prints what is worth knowing about it.
fn application(name: &str, at: &Path, settings: &Application) -> Result<(), String> {
    let checked = deploy::check(&*deploy::scripts(), name, at, settings);
    match checked {
        Ok(notes) => {
            for note in notes {
                eprintln!("{}: {note}", at.display());
            }
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
