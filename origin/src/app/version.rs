//! One version of an application, and the counts of its groups and instances.

use std::{
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tributary_node::config;

use super::log::Log;

/// One version of one application as its groups see it.
#[derive(Debug)]
pub(crate) struct AppVersion {
    pub(crate) number: u64,
    /// They change when the origin's configuration does.
    settings: RwLock<Arc<config::Application>>,
    pub(crate) common: Arc<Common>,
    /// The thread on which its groups run.
    pub(crate) runs: Runs,
    instances: AtomicUsize,
}

/// The thread on which the groups of an application run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runs {
    /// A worker's.
    OnWorker,
    /// The link's, while that has little to do: each turn is short and waits for nothing.
    BesideLink,
}

/// State that all versions of an application share.
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
pub(crate) struct Instance(Arc<AppVersion>);

/// Counts the names of one application that viewers wait for and that have no publisher.
#[derive(Debug, Default)]
pub(crate) struct WaitingNames(AtomicUsize);

/// A group's version; the group is counted for as long as it has one.
#[derive(Debug)]
pub(crate) struct InUse(Arc<AppVersion>);

impl AppVersion {
    pub(super) fn new(
        number: u64,
        settings: config::Application,
        common: Arc<Common>,
        runs: Runs,
    ) -> Self {
        Self {
            number,
            runs,
            settings: RwLock::new(Arc::new(settings)),
            common,
            instances: AtomicUsize::new(0),
        }
    }

    /// The settings in force.
    pub(crate) fn settings(&self) -> Arc<config::Application> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts settings in force, for the groups that run too.
    pub(super) fn set_settings(&self, settings: config::Application) {
        let settings = Arc::new(settings);
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// The life of an instance without clients.
    pub(crate) fn idle_time(&self) -> Duration {
        let idle_time = self.settings().idle_time;
        idle_time.map_or(IDLE_TIME, config::Duration::get)
    }

    /// Whether this origin runs as many groups of the application as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.common.groups() >= self.settings().max_groups
    }

    /// Instances of this version that live.
    pub(super) fn instances(&self) -> usize {
        self.instances.load(Ordering::Acquire)
    }
}

impl Common {
    /// Instances that live, of any version.
    pub(super) fn instances(&self) -> usize {
        self.instances.load(Ordering::Acquire)
    }

    /// Groups that run, of any version.
    pub(super) fn groups(&self) -> usize {
        self.groups.load(Ordering::Acquire)
    }
}

impl InUse {
    pub(crate) fn new(of: Arc<AppVersion>) -> Self {
        of.common.groups.fetch_add(1, Ordering::AcqRel);
        Self(of)
    }

    pub(crate) fn version(&self) -> &Arc<AppVersion> {
        &self.0
    }
}

impl Instance {
    pub(crate) fn new(of: Arc<AppVersion>) -> Self {
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

/// The idle time of an instance where nothing is set.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// The most names of one application that viewers may wait for at once. Reason: each costs its text
/// and some hundred bytes, so that a million plays of names that never come cannot take more than
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
