//! Which applications exist, and their settings.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tributary_node::config;
use tributary_protocol::GroupName;

use super::{Application, counter::Counter, live::Live};

/// Makes an instance of an application; runs on the group's thread.
pub type Factory = Arc<dyn Fn(&GroupName) -> Box<dyn Application> + Send + Sync>;

/// The applications of this process, by name.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    entries: HashMap<String, Arc<Registered>>,
}

/// One application as its groups see it.
pub(crate) struct Registered {
    pub(crate) factory: Factory,
    pub(crate) settings: config::Application,
    pub(crate) idle_time: Duration,
    pub(crate) waiting: WaitingNames,
}

/// Counts the names of one application that viewers wait for and nobody has published.
#[derive(Debug, Default)]
pub(crate) struct WaitingNames(AtomicUsize);

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
        let registered = Registered {
            factory: Arc::new(factory),
            idle_time: settings.idle_time.map_or(IDLE_TIME, config::Duration::get),
            settings,
            waiting: WaitingNames::default(),
        };
        self.entries.insert(name.into(), Arc::new(registered));
    }

    /// Adds the built-in application that its settings name.
    pub fn add_builtin(&mut self, name: impl Into<String>, mut settings: config::Application) {
        match settings.builtin {
            config::Builtin::Counter => {
                self.add(name, settings, |_| Box::new(Counter::default()));
            }
            _ => {
                // `live` has no state but its streams, and those end by themselves.
                settings.idle_time.get_or_insert_default();
                let live = settings.clone();
                self.add(name, settings, move |_| Box::new(Live::new(live.clone())));
            }
        }
    }

    /// The names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Registered>> {
        self.entries.get(name)
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
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
