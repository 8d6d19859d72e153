//! Deploying: folders become applications, at the start and while the origin runs.
//!
//! ```text
//! a folder is copied into the applications directory ──┐
//!                                                      ├─► copied to DATA/versions/NAME/N,
//! PUT /api/apps/NAME ─► unpacked into a staging folder ┘   compiled, tried out
//!                                                             │            │
//!                                     in force: new groups take it     refused: nothing changes
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `folder` | the files that belong to an application |
//! | `archive` | tar archives |
//! | `directory` | the applications directory |
//! | `versions` | the copies that groups run |
//! | `watch` | the changes of folders, and when they have settled |
//! | `loader` | the trait that reads a folder, and its result |
//! | `admission` | the steps that a version passes |
//! | `configure` | other settings for what is in force |
//! | `api` | the admin API |
//!
//! Three locks, taken in this order: `uploads` while an archive comes in, one at a time; `work`
//! throughout a deployment; `known` and `applications` for moments.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError, Weak},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tributary_node::config::{self, OnDeploy};

use crate::{
    app::{Level, Log, Runs},
    exchange::RelayLine,
    group::Groups,
};

pub mod archive;
pub mod folder;

pub(crate) mod api;

mod admission;
mod configure;
mod directory;
mod error;
mod loader;
mod status;
mod versions;
mod watch;

#[cfg(test)]
mod tests;

pub use admission::{Remarks, check};
pub use error::DeployStartError;
pub use loader::{Loaded, Loader, Make, NoLoader, Place, Problem};

pub(crate) use directory::MAX_APPLICATIONS;
pub(crate) use error::DeployError;
pub(crate) use status::{Refused, Status};

use admission::{Admitted, Version};
use directory::{STAGING, exchange, folders, look_at, settled};
use folder::{Digest, Temporary};
use status::{Kind, timestamp};
use versions::{Snapshot, Versions};
use watch::{Change, Watch};

/// The settings of a [`Deployer`].
#[derive(Clone, Debug, Default)]
pub(crate) struct DeploySettings {
    /// The applications directory.
    pub(crate) apps: Option<PathBuf>,
    /// The folder for data that must survive the process.
    pub(crate) data: Option<PathBuf>,
    /// The tables `[applications.NAME]`.
    pub(crate) applications: BTreeMap<String, config::Application>,
}

/// Deploys applications; clones are the same.
#[derive(Clone)]
pub(crate) struct Deployer(Arc<Deployments>);

struct Deployments {
    /// The applications directory.
    apps: Option<PathBuf>,
    /// The folder for data that must survive the process.
    data: Option<PathBuf>,
    /// The tables `[applications.NAME]` in force.
    applications: Mutex<BTreeMap<String, config::Application>>,
    groups: Groups,
    loader: Arc<dyn Loader>,
    versions: Versions,
    /// Held while an archive comes in, which may take minutes.
    uploads: Mutex<()>,
    work: Mutex<Watch>,
    known: Mutex<BTreeMap<String, Known>>,
}

/// The state of an application's folder.
#[derive(Debug, Default)]
struct Known {
    in_force: Option<InForce>,
    refused: Option<Refused>,
}

#[derive(Debug)]
struct InForce {
    number: u64,
    digest: Digest,
    since: SystemTime,
    notes: Vec<String>,
    snapshot: Arc<Snapshot>,
}

/// The treatment of an upload whose trial fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Force {
    /// The version is refused.
    #[default]
    No,
    /// The version is deployed all the same.
    DespiteTrial,
}

/// The extent of a removal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Purge {
    /// The folder goes; stored data of the application stays.
    #[default]
    No,
    /// Stored data goes as well.
    Data,
}

/// The result of a deployment that was not refused.
#[derive(Clone, Debug)]
pub(crate) struct Deployed {
    /// Whether there is a new version: unchanged files make none.
    pub(crate) is_new: bool,
    /// The failure of its trial, where the upload overlooks it.
    pub(crate) overlooked: Vec<Problem>,
    /// Groups that were restarted.
    pub(crate) restarted: usize,
}

/// Looks take at most one part in this many of the time. Reason: a large directory on a slow disk
/// should cost little.
const POLL_SHARE: u32 = 50;

/// How long a starting origin waits for folders that were changed a moment ago. The watch deploys a
/// folder whose copy takes longer.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// How long a purge waits for the application's groups to end.
const PURGE_PATIENCE: Duration = Duration::from_secs(5);
const PURGE_POLL: Duration = Duration::from_millis(10);

impl Deployer {
    /// Deploys the folders of the applications directory and goes on watching it.
    pub(crate) fn start(
        settings: DeploySettings,
        groups: Groups,
        loader: Arc<dyn Loader>,
    ) -> Result<Self, DeployStartError> {
        let versions =
            Versions::open(settings.data.as_deref()).map_err(DeployStartError::Versions)?;
        let deployer = Self(Arc::new(Deployments {
            apps: settings.apps,
            data: settings.data,
            applications: Mutex::new(settings.applications),
            groups,
            loader,
            versions,
            uploads: Mutex::default(),
            work: Mutex::default(),
            known: Mutex::default(),
        }));
        if let Some(apps) = &deployer.0.apps {
            deployer.0.first_look(apps)?;
            let shared = Arc::downgrade(&deployer.0);
            let watcher = thread::Builder::new().name("deploy".to_owned());
            let watcher = watcher.spawn(move || watch_apps(&shared));
            watcher.map_err(DeployStartError::Thread)?;
        }
        Ok(deployer)
    }

    /// The pushes and pulls at this moment.
    pub(crate) fn relays(&self) -> Vec<RelayLine> {
        self.0.groups.relays().lines()
    }

    /// Every application, in the order of their names.
    pub(crate) fn list(&self) -> Vec<Status> {
        let mut names = self.0.known().keys().cloned().collect::<Vec<_>>();
        let running = self.0.groups.applications().summaries();
        names.extend(running.into_iter().map(|summary| summary.name));
        names.sort();
        names.dedup();
        let all = names.iter().filter_map(|name| self.status(name));
        all.collect()
    }

    /// One application.
    pub(crate) fn status(&self, name: &str) -> Option<Status> {
        self.0.status(name)
    }

    /// The log of an application.
    pub(crate) fn log(&self, name: &str) -> Option<Log> {
        self.0.groups.applications().log(name)
    }

    /// Deploys an archive: unpacks it beside the others, and puts it in place if it is not
    /// refused. Blocks until it is done.
    pub(crate) fn put(
        &self,
        name: &str,
        archive: impl Read,
        force: Force,
    ) -> Result<Deployed, DeployError> {
        let shared = &self.0;
        let apps = shared.writable(name)?;
        let _upload = shared.begin_upload()?;
        if !apps.join(name).exists() && shared.known().len() >= MAX_APPLICATIONS {
            return Err(DeployError::TooMany);
        }
        let staging = Temporary::new(&apps.join(STAGING)).map_err(DeployError::Io)?;
        archive::unpack(archive, staging.path()).map_err(DeployError::Archive)?;
        let mut work = shared.work();
        let admitted = shared.admit(name, staging.path(), force);
        let admitted = admitted.map_err(DeployError::Refused)?;
        exchange(staging.path(), &apps.join(name)).map_err(DeployError::Io)?;
        let print = look_at(&apps.join(name)).1;
        work.handled(name, print, Instant::now());
        Ok(shared.put_in_force(name, admitted))
    }

    /// Removes an application's folder. Blocks until it is done.
    pub(crate) fn delete(&self, name: &str, purge: Purge) -> Result<usize, DeployError> {
        let shared = &self.0;
        let apps = shared.writable(name)?;
        let mut work = shared.work();
        let folder = apps.join(name);
        if folder.exists() {
            let staging = Temporary::new(&apps.join(STAGING)).map_err(DeployError::Io)?;
            fs::rename(folder, staging.path().join(name)).map_err(DeployError::Io)?;
        } else if let Some(status) = shared.status(name) {
            if status.kind == Kind::BuiltIn {
                return Err(DeployError::BuiltIn);
            }
        } else if purge == Purge::No || !shared.has_data(name) {
            return Err(DeployError::Unknown);
        }
        work.forget(name);
        match purge {
            Purge::No => Ok(shared.remove(name)),
            Purge::Data => shared.purge(name),
        }
    }

    /// Restarts the groups of an application. Returns how many there were.
    pub(crate) fn restart(&self, name: &str) -> Result<usize, DeployError> {
        if self.status(name).is_none() {
            return Err(DeployError::Unknown);
        }
        let groups = self.0.groups.restart(name);
        self.0
            .say(name, Level::Info, format!("restarts; {groups} groups"));
        tracing::info!(application = name, groups, "application restarts");
        Ok(groups)
    }
}

impl Deployments {
    /// Deploys the folders that were there before the process. A folder that is still being copied
    /// waits.
    fn first_look(&self, apps: &Path) -> Result<(), DeployStartError> {
        let unreadable = |source| DeployStartError::Apps {
            apps: apps.to_owned(),
            source,
        };
        folder::remove(&apps.join(STAGING));
        let names = folders(apps).map_err(unreadable)?;
        for name in self.versions.names() {
            if names.contains(&name) {
                self.versions.clean(&name);
            } else {
                self.versions.remove(&name);
            }
        }
        let applications = self.groups.applications();
        for name in &names {
            // A folder takes the place of the program's application, even if the folder is refused.
            applications.remove(name);
            self.known().entry(name.clone()).or_default();
        }
        let mut watch = self.work();
        let patience = Instant::now() + START_PATIENCE;
        for name in names {
            if let Some(print) = settled(&apps.join(&name), patience) {
                watch.handled(&name, print, Instant::now());
                self.deploy_first(apps, &name);
            }
        }
        Ok(())
    }

    /// Deploys a folder at the start. If it is refused, the version that ran last runs on.
    fn deploy_first(&self, apps: &Path, name: &str) {
        match self.admit(name, &apps.join(name), Force::No) {
            Ok(admitted) => {
                self.put_in_force(name, admitted);
            }
            Err(refused) => {
                if let Some(last) = self.admit_last(name) {
                    self.replace(name, last, Some(refused));
                }
            }
        }
    }

    /// Looks at the directory once; folders that have changed are deployed or removed.
    fn look(&self, apps: &Path) {
        let names = match folders(apps) {
            Ok(names) => names,
            Err(error) => {
                // A directory that is gone as a whole is more likely out of reach than empty.
                tracing::warn!(directory = %apps.display(), %error, "applications cannot be read");
                return;
            }
        };
        let present = names.into_iter().map(|name| {
            let print = look_at(&apps.join(&name)).1;
            (name, print)
        });
        let present = present.collect();
        let mut watch = self.work();
        for change in watch.look(Instant::now(), present) {
            match change {
                Change::Deploy(name) => {
                    if let Ok(admitted) = self.admit(&name, &apps.join(&name), Force::No) {
                        self.put_in_force(&name, admitted);
                    }
                }
                Change::Remove(name) => {
                    self.remove(&name);
                }
            }
        }
        drop(watch);
        self.versions.sweep();
    }

    /// Gives new groups a version, and running groups as well if the settings restart them.
    fn put_in_force(&self, name: &str, admitted: Admitted) -> Deployed {
        let (is_new, overlooked, restarted) = match admitted {
            Admitted::Same => {
                if let Some(known) = self.known().get_mut(name) {
                    known.refused = None;
                }
                (false, Vec::new(), 0)
            }
            Admitted::New(version) => {
                let overlooked = version.overlooked.clone();
                (true, overlooked, self.replace(name, *version, None))
            }
        };
        Deployed {
            is_new,
            overlooked,
            restarted,
        }
    }

    /// Gives new groups this version. `refused` is a refusal since that version.
    fn replace(&self, name: &str, version: Version, refused: Option<Refused>) -> usize {
        let number = version.number;
        let applications = self.groups.applications();
        applications.keep(name);
        let policy = version.loaded.settings.on_deploy;
        let snapshot = Arc::clone(&version.snapshot);
        let factory = admission::factory(&version.loaded, snapshot, self.files(name));
        applications.put(
            name.to_owned(),
            Some(number),
            version.loaded.settings,
            factory,
            Runs::OnWorker,
        );
        let restarted = match policy {
            OnDeploy::Restart => self.groups.restart(name),
            _ => 0,
        };
        self.versions.accept(name, number);
        version.snapshot.keep();
        let new = InForce {
            number,
            digest: version.digest,
            since: SystemTime::now(),
            notes: version.loaded.notes,
            snapshot: version.snapshot,
        };
        let mut known = self.known();
        let entry = known.entry(name.to_owned()).or_default();
        entry.refused = refused;
        if let Some(old) = entry.in_force.replace(new)
            && old.number != number
        {
            old.snapshot.retire();
        }
        drop(known);
        let text = match restarted {
            0 => format!("version {number} is in force"),
            _ => format!("version {number} is in force; groups that restart: {restarted}"),
        };
        self.say(name, Level::Info, text);
        tracing::info!(
            application = name,
            version = number,
            restarted,
            "application deployed"
        );
        restarted
    }

    /// Removes a folder's application; a built-in one of its name comes back. Returns how many
    /// groups were restarted.
    fn remove(&self, name: &str) -> usize {
        let applications = self.groups.applications();
        self.say(name, Level::Info, "its folder is gone".to_owned());
        tracing::info!(application = name, "application removed");
        applications.remove(name);
        let settings = self.applications().get(name).cloned();
        if let Some(settings) = settings {
            applications.replace_with_builtin(name, settings);
        }
        self.versions.forget(name);
        if let Some(old) = self.known().remove(name).and_then(|known| known.in_force) {
            old.snapshot.retire();
        }
        match self.settings_of(name).on_deploy {
            OnDeploy::Restart => self.groups.restart(name),
            _ => 0,
        }
    }

    /// Whether an application has stored data or files.
    fn has_data(&self, name: &str) -> bool {
        let store = self.groups.store();
        self.files(name).is_some_and(|files| files.exists())
            || store.is_some_and(|store| store.used(name) > 0)
    }

    /// Removes an application with its stored data.
    fn purge(&self, name: &str) -> Result<usize, DeployError> {
        let applications = self.groups.applications();
        applications.remove(name);
        let restarted = self.groups.restart(name);
        let patience = Instant::now() + PURGE_PATIENCE;
        while applications.instances(name) > 0 {
            if Instant::now() > patience {
                return Err(DeployError::StillRunning);
            }
            thread::sleep(PURGE_POLL);
        }
        if let Some(files) = self.files(name) {
            folder::remove(&files);
        }
        if let Some(store) = self.groups.store() {
            let failed = |error| DeployError::Io(io::Error::other(error));
            store.purge(name).map_err(failed)?;
        }
        self.remove(name);
        tracing::info!(application = name, "application purged");
        Ok(restarted)
    }

    /// The applications directory, if an application of this name may be written there.
    fn writable(&self, name: &str) -> Result<&Path, DeployError> {
        if !folder::is_name(name) {
            return Err(DeployError::BadName);
        }
        self.apps.as_deref().ok_or(DeployError::NoDirectory)
    }

    fn status(&self, name: &str) -> Option<Status> {
        let summary = self.groups.applications().summary(name);
        let known = self.known();
        if summary.is_none() && !known.contains_key(name) {
            return None;
        }
        let folder = known.get(name);
        let in_force = folder.and_then(|known| known.in_force.as_ref());
        let settings = self.settings_of(name);
        let summary = summary.as_ref();
        Some(Status {
            name: name.to_owned(),
            kind: folder.map_or(Kind::BuiltIn, |_| Kind::Folder),
            version: in_force.map(|version| version.number),
            digest: in_force.map(|version| version.digest.to_string()),
            deployed_at: in_force.map(|version| timestamp(version.since)),
            on_deploy: settings.on_deploy,
            max_groups: settings.max_groups,
            groups: summary.map_or(0, |summary| summary.groups),
            older_groups: summary.map_or(0, |summary| summary.older_groups),
            sessions: summary.map_or(0, |summary| summary.sessions),
            notes: in_force.map_or_else(Vec::new, |version| version.notes.clone()),
            refused: folder.and_then(|known| known.refused.clone()),
        })
    }
}

impl Deployments {
    /// The settings of an application, whether the configuration has a table for it or not.
    fn settings_of(&self, name: &str) -> config::Application {
        self.applications().get(name).cloned().unwrap_or_default()
    }

    /// The folder for the files that an application's instances write.
    fn files(&self, name: &str) -> Option<PathBuf> {
        Some(self.data.as_deref()?.join("apps").join(name))
    }

    /// Adds a line to an application's log.
    fn say(&self, name: &str, level: Level, text: String) {
        if let Some(log) = self.groups.applications().log(name) {
            log.push(level, None, text);
        }
    }

    fn applications(&self) -> MutexGuard<'_, BTreeMap<String, config::Application>> {
        // The whole value changes under this lock.
        (self.applications.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        // Whole entries change under this lock.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) -> MutexGuard<'_, Watch> {
        // The next look repeats a deployment that panicked.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The right to upload, unless another upload runs.
    fn begin_upload(&self) -> Result<MutexGuard<'_, ()>, DeployError> {
        match self.uploads.try_lock() {
            Ok(upload) => Ok(upload),
            Err(TryLockError::Poisoned(upload)) => Ok(upload.into_inner()),
            Err(TryLockError::WouldBlock) => Err(DeployError::Busy),
        }
    }
}

/// Looks at the directory until the deployer is dropped.
fn watch_apps(shared: &Weak<Deployments>) {
    let mut pause = Duration::ZERO;
    loop {
        thread::sleep(pause);
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let Some(apps) = &shared.apps else {
            return;
        };
        let begun = Instant::now();
        shared.look(apps);
        let took = begun.elapsed();
        pause = shared.work().pause(begun + took).max(took * POLL_SHARE);
    }
}

impl fmt::Debug for Deployer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deployer")
            .field("apps", &self.0.apps)
            .finish_non_exhaustive()
    }
}
