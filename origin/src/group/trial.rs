//! Trials of an application: an instance that starts without clients, apart from all others.

use std::{
    fmt,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime::Builder, task::LocalSet};
use tributary_node::{config, queue};
use tributary_protocol::GroupName;

use super::{
    actor::now, clock::Clock, mailbox::MAILBOX, media::Media, process::Settings, registry::Groups,
    worker::Load, workers::Workers,
};
use crate::{
    app::{Applications, Factory, Level, Line, Log, Runs},
    metrics::Metrics,
    store::Store,
};

/// The reason why an application failed its trial.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum TrialError {
    /// An error, as text.
    Failed(String),
    /// The start took too long.
    Late,
}

/// A failed trial, with the application's log lines until then.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    pub(crate) error: TrialError,
    /// Oldest first.
    pub(crate) said: Vec<Line>,
}

/// How many lines of a trial are reported. Reason: those before them stay in the application's log.
const MAX_SAID: usize = 100;

/// How long a start may take. Reason: a script's turn has its own, shorter limit; this one is for a
/// start that hangs in other code.
const TIME: Duration = Duration::from_secs(10);

/// Starts an instance in a group of this name, apart from the process's own groups, and drops it.
/// It reads the store; its writes are dropped. Its thread has `stack` bytes of stack.
pub(crate) fn trial(
    name: &GroupName,
    settings: config::Application,
    factory: Factory,
    store: Option<&Store>,
    stack: usize,
) -> Result<(), Failed> {
    let applications = Applications::new();
    applications.put(
        name.application().to_owned(),
        None,
        settings,
        factory,
        Runs::OnWorker,
    );
    let log = applications.log(name.application()).unwrap_or_default();
    try_out(name, applications, store, stack).map_err(|error| Failed {
        error,
        said: log.after(0, MAX_SAID),
    })
}

fn try_out(
    name: &GroupName,
    applications: Applications,
    store: Option<&Store>,
    stack: usize,
) -> Result<(), TrialError> {
    let store = store.map(Store::scratch).transpose();
    let store = store.map_err(|error| TrialError::Failed(error.to_string()))?;
    let name = Arc::new(name.clone());
    let (done, result) = mpsc::sync_channel(1);
    let started = thread::Builder::new()
        .name("trial".to_owned())
        .stack_size(stack)
        .spawn(move || {
            let _ = done.send(run(name, applications, store));
        });
    started.map_err(|error| TrialError::Failed(error.to_string()))?;
    // A thread of its own: an instance that hangs holds up no other work.
    result.recv_timeout(TIME).unwrap_or(Err(TrialError::Late))
}

fn run(
    name: Arc<GroupName>,
    applications: Applications,
    store: Option<Store>,
) -> Result<(), TrialError> {
    let failed = |error: &dyn fmt::Display| TrialError::Failed(error.to_string());
    let runtime = Builder::new_current_thread().enable_time().build();
    let runtime = runtime.map_err(|error| failed(&error))?;
    let registered = applications.find(name.application());
    let registered = registered.ok_or_else(|| failed(&"it is not there"))?;
    let settings = Settings {
        workers: 0,
        max_groups: 1,
        fms_version: String::new(),
        store,
        restores: false,
        stack: Settings::DEFAULT_STACK,
    };
    LocalSet::new().block_on(&runtime, async {
        let workers =
            Workers::start(settings.workers, settings.stack).map_err(|error| failed(&error))?;
        let clock = Clock::new(now());
        let (metrics, media) = (Metrics::default(), Media::Nowhere);
        let groups = Groups::new(settings, applications, metrics, workers, media, clock);
        let (mailbox, inbox) = queue::queue(MAILBOX);
        let load = Load::default();
        let log = registered.version.common.log.clone();
        let actor = groups.actor(name, registered, mailbox, inbox, load);
        let tried = actor.try_out();
        tried.map_err(|why| TrialError::Failed(errors(&log).unwrap_or(why)))
    })
}

/// The application's own lines about its failure: they name the place.
fn errors(log: &Log) -> Option<String> {
    let lines = log.after(0, usize::MAX).into_iter();
    let errors = lines.filter(|line| line.level == Level::Error);
    let texts: Vec<_> = errors.map(|line| line.text).collect();
    (!texts.is_empty()).then(|| texts.join("\n"))
}

impl fmt::Display for TrialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => f.write_str(why),
            Self::Late => write!(f, "its start took longer than {} s", TIME.as_secs()),
        }
    }
}

impl std::error::Error for TrialError {}
