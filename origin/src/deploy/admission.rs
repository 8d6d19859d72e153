//! Admission: each version passes these steps before it is in force.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tributary_node::config;
use tributary_protocol::GroupName;

use super::{
    Deployments, Force,
    folder::{self, Digest, FolderError, Listing, Temporary},
    loader::{Loaded, Loader, Place, Problem},
    status::{DeployStage, Refused, timestamp},
    versions::Snapshot,
};
use crate::{
    app::{Factory, Level, Line, Made},
    group,
};

/// The outcome of an admission.
pub(super) enum Admitted {
    /// The files that are in force already.
    Same,
    New(Box<Version>),
}

/// A version that may be put in force.
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) digest: Digest,
    pub(super) loaded: Loaded,
    pub(super) snapshot: Arc<Snapshot>,
    /// The failure of its trial, where the upload overlooks it.
    pub(super) overlooked: Vec<Problem>,
}

/// Remarks on a folder that is usable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// Those for every origin.
    pub notes: Vec<String>,
    /// Those for an origin in a cluster.
    pub in_cluster: Vec<String>,
}

/// Compiles the application in a folder, as a deployment does. Returns remarks on it, or all problems
/// of it.
pub fn check(
    loader: &dyn Loader,
    name: &str,
    folder: &Path,
    settings: &config::Application,
) -> Result<Remarks, Vec<Problem>> {
    let listing = Listing::of(folder).map_err(|error| vec![of_folder(&error)])?;
    let mut notes = left_out(&listing);
    let loaded = loader.load(name, folder, settings)?;
    notes.extend(loaded.notes);
    Ok(Remarks {
        notes,
        in_cluster: loaded.in_cluster,
    })
}

impl Deployments {
    /// Admits a folder's application, or records the refusal. `work` is held.
    pub(super) fn admit(&self, name: &str, from: &Path, force: Force) -> Result<Admitted, Refused> {
        self.groups.applications().keep(name);
        self.examine(name, from, force)
            .map_err(|(stage, problems)| {
                let at = timestamp(SystemTime::now());
                let refused = Refused {
                    at,
                    stage,
                    problems,
                };
                self.say(
                    name,
                    Level::Error,
                    format!("a version is refused: {refused}"),
                );
                tracing::error!(application = name, why = %refused, "a version is refused");
                let mut known = self.known();
                known.entry(name.to_owned()).or_default().refused = Some(refused.clone());
                refused
            })
    }

    fn examine(
        &self,
        name: &str,
        from: &Path,
        force: Force,
    ) -> Result<Admitted, (DeployStage, Vec<Problem>)> {
        let unusable = |error: FolderError| (DeployStage::Files, vec![of_folder(&error)]);
        let listing = Listing::of(from).map_err(unusable)?;
        // Frees the numbers of versions that were refused before.
        self.versions.sweep();
        let number = self.versions.next(name);
        let snapshot = self.versions.snapshot(name, number);
        let digest = folder::copy(from, &listing, snapshot.path()).map_err(unusable)?;
        let present = self.present_digest(name);
        if present == Some(digest) {
            return Ok(Admitted::Same);
        }
        if present.is_none()
            && let Some(last) = self.admit_last(name)
            && last.digest == digest
        {
            return Ok(Admitted::New(Box::new(last)));
        }
        let settings = self.settings_of(name);
        let loaded = self.loader.load(name, snapshot.path(), &settings);
        let mut loaded = loaded.map_err(|problems| (DeployStage::Compile, problems))?;
        loaded.notes.extend(left_out(&listing));
        let mut version = Version {
            number,
            digest,
            loaded,
            snapshot,
            overlooked: Vec::new(),
        };
        if let Err(problem) = self.try_out(name, &version) {
            match force {
                Force::No => return Err((DeployStage::Trial, vec![problem])),
                Force::DespiteTrial => version.overlooked.push(problem),
            }
        }
        Ok(Admitted::New(Box::new(version)))
    }

    /// The version that was in force when the last process ended. It has passed before.
    pub(super) fn admit_last(&self, name: &str) -> Option<Version> {
        let number = self.versions.in_force(name)?;
        let path = self.versions.path(name, number);
        let listing = Listing::of(&path).ok()?;
        let digest = folder::digest(&path, &listing, |_, _| Ok(())).ok()?;
        let loaded = self.loader.load(name, &path, &self.settings_of(name));
        let snapshot = self.versions.snapshot(name, number);
        // It stays the version that was accepted last, even if it does not load now.
        snapshot.keep();
        Some(Version {
            number,
            digest,
            loaded: loaded.ok()?,
            snapshot,
            overlooked: Vec::new(),
        })
    }

    fn present_digest(&self, name: &str) -> Option<Digest> {
        let known = self.known();
        let in_force = known.get(name)?.in_force.as_ref();
        in_force.map(|version| version.digest)
    }

    /// Starts an instance without clients. It sees the files and shared objects of `_definst_`, and
    /// cannot change them.
    fn try_out(&self, name: &str, version: &Version) -> Result<(), Problem> {
        let failed = |error: &dyn std::fmt::Display| Problem {
            message: error.to_string(),
            ..Problem::default()
        };
        let group: GroupName = name.parse().map_err(|error| failed(&error))?;
        let scratch = self.versions.scratch().map_err(|error| failed(&error))?;
        if let Some(files) = self.files(name) {
            self.copy_files(&group, &files, &scratch);
        }
        let make = Arc::clone(&version.loaded.make);
        let place = Place {
            files: Some(scratch.path().to_owned()),
            is_trial: true,
        };
        let factory: Factory = Arc::new(move |name| Made::Fixed(make(name, &place)));
        let settings = version.loaded.settings.clone();
        let (store, stack) = (self.groups.store(), self.loader.stack());
        let tried = group::trial(&group, settings, factory, store, stack);
        tried.map_err(|trial| {
            self.tell(name, &group, &trial.said);
            failed(&trial.error)
        })
    }

    /// Adds the lines of an instance whose trial failed to its application's log.
    fn tell(&self, name: &str, group: &GroupName, said: &[Line]) {
        let Some(log) = self.groups.applications().log(name) else {
            return;
        };
        for line in said {
            let text = format!("trial: {}", line.text);
            log.push(line.level, Some(group.instance()), text);
        }
    }

    fn copy_files(&self, group: &GroupName, files: &Path, scratch: &Temporary) {
        let from = files.join(group.instance());
        if !from.is_dir() {
            return;
        }
        let to = scratch.path().join(group.instance());
        let copied = Listing::of(&from).and_then(|listing| folder::copy(&from, &listing, &to));
        if let Err(error) = copied {
            let name = group.application();
            let mut text = "the trial does not see the files of the instance: ".to_owned();
            let _ = write!(text, "{error}");
            tracing::warn!(application = name, "{text}");
            self.say(name, Level::Warning, text);
        }
    }
}

/// Makes instances of a version; its files stay for as long as one may be made.
pub(super) fn factory(loaded: &Loaded, snapshot: Arc<Snapshot>, files: Option<PathBuf>) -> Factory {
    let make = Arc::clone(&loaded.make);
    let place = Place {
        files,
        is_trial: false,
    };
    Arc::new(move |name| {
        let _held = &snapshot;
        Made::Fixed(make(name, &place))
    })
}

fn of_folder(error: &FolderError) -> Problem {
    Problem {
        message: error.to_string(),
        file: error
            .path()
            .filter(|path| !path.is_empty())
            .map(str::to_owned),
        ..Problem::default()
    }
}

/// Notes about files of the folder that are no part of the application.
fn left_out(listing: &Listing) -> Vec<String> {
    let note = |name: &String| {
        format!("the folder {name}/ is left out: recordings and persistent objects stand elsewhere")
    };
    listing.data_folders.iter().map(note).collect()
}
