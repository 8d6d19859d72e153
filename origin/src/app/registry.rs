//! Which applications exist, in which version, and their settings. They change at run time.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tributary_node::config;
use tributary_protocol::GroupName;

use super::{Application, Log, counter::Counter, live::Live};

/// Makes an instance of an application; runs on the group's thread.
pub type Factory = Arc<dyn Fn(&GroupName) -> Box<dyn Application> + Send + Sync>;

/// The applications of this process, by name. Clones are the same applications.
///
/// A name holds one version at a time. A group starts with the version in force and keeps it until
/// its application ends: by itself, by a restart, or by failing.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    table: Arc<RwLock<HashMap<String, Entry>>>,
}

/// What an application is at this moment.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its name.
    pub name: String,
    /// The version that new groups take; `None` once it is removed.
    pub version: Option<u64>,
    /// Instances that live, of any version.
    pub groups: usize,
    /// Of those, how many run an older version.
    pub older_groups: usize,
    /// Sessions of all its groups, pending ones included.
    pub sessions: usize,
    /// What it has said.
    pub log: Log,
}

#[derive(Debug)]
struct Entry {
    /// `None` once removed, while groups of it may still run.
    current: Option<Arc<Registered>>,
    /// The highest version so far.
    last: u64,
    common: Arc<Common>,
    /// Known to a deployer, with or without a version.
    is_kept: bool,
}

/// One version of one application as its groups see it.
pub(crate) struct Registered {
    pub(crate) version: u64,
    pub(crate) factory: Factory,
    pub(crate) settings: config::Application,
    pub(crate) idle_time: Duration,
    pub(crate) common: Arc<Common>,
    instances: AtomicUsize,
}

/// What all versions of an application have in common.
#[derive(Debug, Default)]
pub(crate) struct Common {
    pub(crate) waiting: WaitingNames,
    pub(crate) sessions: AtomicUsize,
    pub(crate) log: Log,
    groups: AtomicUsize,
    instances: AtomicUsize,
}

/// An instance of an application, counted for as long as it lives.
#[derive(Debug)]
pub(crate) struct Instance(Arc<Registered>);

/// Counts the names of one application that viewers wait for and nobody has published.
#[derive(Debug, Default)]
pub(crate) struct WaitingNames(AtomicUsize);

/// A group's version; the group is counted for as long as it has one.
#[derive(Debug)]
pub(crate) struct InUse(Arc<Registered>);

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

    /// Adds the built-in application that its settings name, if they name one.
    pub fn add_builtin(&mut self, name: impl Into<String>, settings: config::Application) {
        self.replace_with_builtin(name, settings);
    }

    /// Gives an application a new version, and returns its number. Groups that run keep theirs.
    pub fn replace(
        &self,
        name: impl Into<String>,
        settings: config::Application,
        factory: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) -> u64 {
        self.put(name.into(), None, settings, Arc::new(factory))
    }

    /// As [`Applications::replace`], with the built-in application that the settings name; without
    /// one the application is removed.
    pub fn replace_with_builtin(
        &self,
        name: impl Into<String>,
        mut settings: config::Application,
    ) -> Option<u64> {
        let name = name.into();
        // What clients store without an application's doing nobody looks after.
        let temporary = config::SharedObjects::Temporary;
        settings.shared_objects.get_or_insert(temporary);
        let factory: Factory = match settings.builtin {
            config::Builtin::Counter => Arc::new(|_| Box::new(Counter::default())),
            config::Builtin::Live => {
                // `live` has no state but its streams, and those end by themselves.
                settings.idle_time.get_or_insert_default();
                let live = settings.clone();
                Arc::new(move |_| Box::new(Live::new(live.clone())))
            }
            _ => {
                self.remove(&name);
                return None;
            }
        };
        Some(self.put(name, None, settings, factory))
    }

    /// As [`Applications::replace`], with a number from elsewhere.
    pub(crate) fn put(
        &self,
        name: String,
        version: Option<u64>,
        settings: config::Application,
        factory: Factory,
    ) -> u64 {
        let mut table = self.write();
        table.retain(|_, entry| !entry.is_over());
        let entry = table.entry(name).or_insert_with(Entry::new);
        let version = version.unwrap_or(entry.last + 1);
        entry.last = entry.last.max(version);
        entry.current = Some(Arc::new(Registered {
            version,
            factory,
            idle_time: settings.idle_time.map_or(IDLE_TIME, config::Duration::get),
            settings,
            common: Arc::clone(&entry.common),
            instances: AtomicUsize::new(0),
        }));
        version
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

    /// Knows an application, with its log, until it is removed: with a version or without.
    pub(crate) fn keep(&self, name: &str) {
        let mut table = self.write();
        let entry = table.entry(name.to_owned()).or_insert_with(Entry::new);
        entry.is_kept = true;
    }

    /// Whether an application is known to a deployer, with a version or without.
    pub(crate) fn is_kept(&self, name: &str) -> bool {
        self.read().get(name).is_some_and(|entry| entry.is_kept)
    }

    /// What an application has said.
    pub fn log(&self, name: &str) -> Option<Log> {
        self.read().get(name).map(|entry| entry.common.log.clone())
    }

    /// How many instances of an application live, of any version.
    pub(crate) fn instances(&self, name: &str) -> usize {
        let table = self.read();
        let instances = table.get(name).map(|entry| &entry.common.instances);
        instances.map_or(0, |instances| instances.load(Ordering::Acquire))
    }

    /// The names of those that can be connected to, in no order.
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

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Registered>> {
        self.read().get(name)?.current.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Entry>> {
        // Only whole entries change under this lock.
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, Entry>> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
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
        let instances = self.common.instances.load(Ordering::Acquire);
        self.current.is_none() && !self.is_kept && instances == 0
    }

    fn summary(&self, name: &str) -> Summary {
        let groups = self.common.instances.load(Ordering::Acquire);
        let current = self.current.as_ref();
        let newest = current.map_or(0, |current| current.instances.load(Ordering::Acquire));
        Summary {
            name: name.to_owned(),
            version: current.map(|current| current.version),
            groups,
            older_groups: groups.saturating_sub(newest),
            sessions: self.common.sessions.load(Ordering::Relaxed),
            log: self.common.log.clone(),
        }
    }
}

impl Registered {
    /// Whether this origin runs as many groups of the application as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.common.groups() >= self.settings.max_groups
    }
}

impl Common {
    /// Groups that run, of any version.
    fn groups(&self) -> usize {
        self.groups.load(Ordering::Acquire)
    }
}

impl InUse {
    pub(crate) fn new(of: Arc<Registered>) -> Self {
        of.common.groups.fetch_add(1, Ordering::AcqRel);
        Self(of)
    }

    pub(crate) fn registered(&self) -> &Arc<Registered> {
        &self.0
    }
}

impl Instance {
    pub(crate) fn new(of: Arc<Registered>) -> Self {
        of.instances.fetch_add(1, Ordering::AcqRel);
        of.common.instances.fetch_add(1, Ordering::AcqRel);
        Self(of)
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.0.instances.fetch_sub(1, Ordering::AcqRel);
        self.0.common.instances.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.common.groups.fetch_sub(1, Ordering::AcqRel);
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("version", &self.version)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// How long an instance without clients lives on where nothing is set.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// The most names of one application that are waited for at once. Reason: each costs its text and
/// some hundred bytes, so that a million plays of names that never come cannot take more than
/// 64 MiB.
pub(crate) const WAITING_NAMES: usize = 65_536;

impl WaitingNames {
    /// Counts one more, if there is room.
    pub(crate) fn enter(&self) -> bool {
        self.0
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |count| {
                (count < WAITING_NAMES).then_some(count + 1)
            })
            .is_ok()
    }

    /// Counts one less.
    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
