//! The applications that exist, with their versions and settings. They change at run time.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, atomic::Ordering},
};

use tributary_node::config;
use tributary_protocol::GroupName;

use super::{
    application::Application,
    log::Log,
    made::Made,
    version::{AppVersion, Common, Runs},
};

/// Makes an instance of an application; runs on the group's thread.
pub(crate) type Factory = Arc<dyn Fn(&GroupName) -> Made + Send + Sync>;

/// The applications of this process, by name. Clones are the same applications.
///
/// A name holds one version at a time. A group starts with the version in force and keeps it until
/// its application ends: by itself, by a restart, or by failing.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    table: Arc<RwLock<HashMap<String, AppEntry>>>,
}

/// The state of an application at this moment.
#[derive(Clone, Debug)]
pub struct Summary {
    pub name: String,
    /// The version that new groups take; `None` once it is removed.
    pub version: Option<u64>,
    /// Instances that live, of any version.
    pub groups: usize,
    /// Of those, how many run an older version.
    pub older_groups: usize,
    /// Sessions of all its groups, pending ones included.
    pub sessions: usize,
    pub log: Log,
}

#[derive(Debug)]
struct AppEntry {
    /// `None` once removed, while groups of it may still run.
    current: Option<Registered>,
    /// The highest version so far.
    last: u64,
    common: Arc<Common>,
    /// Known to a deployer, with or without a version.
    is_kept: bool,
}

/// One version of one application, with the factory of its instances.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) version: Arc<AppVersion>,
    pub(crate) factory: Factory,
}

impl Applications {
    /// No applications.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an application, or replaces the one of that name.
    pub fn add(
        &mut self,
        name: impl Into<String>,
        settings: config::Application,
        factory: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) {
        self.replace(name, settings, factory);
    }

    /// Gives an application a new version, and returns its number. Groups that run keep theirs.
    pub fn replace(
        &self,
        name: impl Into<String>,
        settings: config::Application,
        factory: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) -> u64 {
        self.put(
            name.into(),
            None,
            settings,
            Arc::new(move |group| Made::Fixed(factory(group))),
            Runs::OnWorker,
        )
    }

    /// As [`Applications::add`], for an application whose every turn ends within some 100 us, waits
    /// for nothing, and stores nothing. While the origin has little to do, its groups run on the
    /// thread of the links, which saves two wake-ups for each message of a client. A turn of more
    /// than 1 ms is counted (`tributary_origin_long_turns_total`) and sends the next group to a worker.
    /// A group that takes more than a quarter of a second of that thread goes to a worker itself,
    /// between two turns.
    pub fn add_inline(
        &mut self,
        name: impl Into<String>,
        settings: config::Application,
        factory: impl Fn(&GroupName) -> Box<dyn Application + Send> + Send + Sync + 'static,
    ) {
        let factory: Factory = Arc::new(move |group| Made::Mobile(factory(group)));
        self.put(name.into(), None, settings, factory, Runs::BesideLink);
    }

    /// As [`Applications::replace`], with a number from elsewhere.
    pub(crate) fn put(
        &self,
        name: String,
        version: Option<u64>,
        settings: config::Application,
        factory: Factory,
        runs: Runs,
    ) -> u64 {
        let mut table = self.write();
        table.retain(|_, entry| !entry.is_over());
        let entry = table.entry(name).or_insert_with(AppEntry::new);
        let version = version.unwrap_or(entry.last + 1);
        entry.last = entry.last.max(version);
        let common = Arc::clone(&entry.common);
        entry.current = Some(Registered {
            version: Arc::new(AppVersion::new(version, settings, common, runs)),
            factory,
        });
        version
    }

    /// Puts other settings of an application's present version in force, for the groups that run it
    /// too. Groups that start take the factory.
    pub(crate) fn configure(&self, name: &str, settings: config::Application, factory: Factory) {
        let mut table = self.write();
        let current = table.get_mut(name).and_then(|it| it.current.as_mut());
        if let Some(current) = current {
            current.version.set_settings(settings);
            current.factory = factory;
        }
    }

    /// Takes an application away: no group of it starts any more. Groups that run go on. `false`
    /// if there was none.
    pub fn remove(&self, name: &str) -> bool {
        let mut table = self.write();
        let removed = table.get_mut(name).is_some_and(|entry| {
            entry.is_kept = false;
            entry.current.take().is_some()
        });
        table.retain(|_, entry| !entry.is_over());
        removed
    }

    /// Keeps an application, with its log, until it is removed: with a version or without.
    pub(crate) fn keep(&self, name: &str) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_insert_with(AppEntry::new);
        entry.is_kept = true;
    }

    /// Whether an application is known to a deployer, with a version or without.
    pub(crate) fn is_kept(&self, name: &str) -> bool {
        self.read().get(name).is_some_and(|entry| entry.is_kept)
    }

    /// The log of an application.
    pub fn log(&self, name: &str) -> Option<Log> {
        self.read().get(name).map(|entry| entry.common.log.clone())
    }

    /// How many instances of an application live, of any version.
    pub(crate) fn instances(&self, name: &str) -> usize {
        let table = self.read();
        table.get(name).map_or(0, |entry| entry.common.instances())
    }

    /// The names of the applications that clients can connect to, in no order.
    pub fn names(&self) -> Vec<String> {
        let table = self.read();
        let known = table.iter().filter(|(_, entry)| entry.current.is_some());
        known.map(|(name, _)| name.clone()).collect()
    }

    /// An application that exists, or of which groups still run.
    pub fn summary(&self, name: &str) -> Option<Summary> {
        let table = self.read();
        let entry = table.get(name).filter(|entry| !entry.is_past())?;
        Some(entry.summary(name))
    }

    /// Every application that exists, or of which groups still run, in no order.
    pub fn summaries(&self) -> Vec<Summary> {
        let table = self.read();
        let all = table.iter().filter(|(_, entry)| !entry.is_past());
        all.map(|(name, entry)| entry.summary(name)).collect()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Registered> {
        self.read().get(name)?.current.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, AppEntry>> {
        // Only whole entries change under this lock.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, AppEntry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AppEntry {
    fn new() -> Self {
        Self {
            current: None,
            last: 0,
            common: Arc::default(),
            is_kept: false,
        }
    }

    /// Whether it is removed and its last group has ended.
    fn is_over(&self) -> bool {
        self.current.is_none() && !self.is_kept && self.common.groups() == 0
    }

    /// Whether it is removed and its last instance has ended; lanes may still hold on to groups.
    fn is_past(&self) -> bool {
        self.current.is_none() && !self.is_kept && self.common.instances() == 0
    }

    fn summary(&self, name: &str) -> Summary {
        let groups = self.common.instances();
        let current = self.current.as_ref().map(|current| &current.version);
        let newest = current.map_or(0, |current| current.instances());
        Summary {
            name: name.to_owned(),
            version: current.map(|current| current.number),
            groups,
            older_groups: groups.saturating_sub(newest),
            sessions: self.common.sessions.load(Ordering::Relaxed),
            log: self.common.log.clone(),
        }
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.version.fmt(f)
    }
}
