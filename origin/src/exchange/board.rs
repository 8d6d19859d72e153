//! The state of every relay of a process: for the metrics, the admin API and the log.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use tributary_node::config::{self, RelayUrl};

/// The direction of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Course {
    Push,
    Pull,
}

/// The state of a relay.
///
/// ```text
/// idle ──► connecting ──► running
///  ▲           │  ▲          │
///  │           ▼  │          │
///  └──────── waiting ◄───────┘
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RelayState {
    /// There is nothing to do: no stream to push, no viewer to pull for.
    Idle,
    Connecting,
    /// Media passes.
    Running,
    /// For the next attempt, or for the other side's publisher.
    Waiting,
}

/// All relays of a process. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<BoardState>);

#[derive(Default)]
struct BoardState {
    table: Mutex<Table>,
    states: Family<StateLabel, Gauge>,
    attempts: Family<TargetLabel, Counter>,
    failures: Family<TargetLabel, Counter>,
    bytes: Family<TargetLabel, Counter>,
    refused: Counter,
}

#[derive(Default)]
struct Table {
    relays: BTreeMap<u64, RelayLine>,
    last: u64,
    /// Those of the configuration, and how many relays each has now.
    configured: BTreeSet<TargetLabel>,
    active: HashMap<TargetLabel, usize>,
}

/// A relay that is about to begin.
#[derive(Debug)]
pub(crate) struct NewRelay<'a> {
    pub(crate) application: &'a str,
    pub(crate) instance: &'a str,
    /// The stream's name here, as logs show it.
    pub(crate) stream: &'a str,
    /// The name itself, if it is secret.
    pub(crate) secret: Option<&'a str>,
    pub(crate) course: Course,
    pub(crate) url: &'a RelayUrl,
    /// Whether it stands in the configuration. All others share one label of the metrics.
    pub(crate) configured: bool,
}

/// A relay's place on the board, which it leaves when this is dropped.
pub(crate) struct Relayed {
    board: Arc<BoardState>,
    number: u64,
    label: TargetLabel,
    url: RelayUrl,
    instance: String,
    stream: String,
    /// The stream's name, if it is secret.
    secret: Option<String>,
    state: RelayState,
}

/// A relay at this moment.
#[derive(Clone, Debug)]
pub(crate) struct RelayLine {
    pub(crate) application: String,
    pub(crate) kind: &'static str,
    pub(crate) target: String,
    /// Instance and stream; none for a target without a relay.
    pub(crate) stream: Option<(String, String)>,
    pub(crate) state: &'static str,
    pub(crate) reason: String,
    pub(crate) since: SystemTime,
    pub(crate) next_attempt: Option<SystemTime>,
    pub(crate) attempts: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EncodeLabelSet)]
struct TargetLabel {
    application: String,
    kind: &'static str,
    target: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    application: String,
    kind: &'static str,
    target: String,
    state: &'static str,
}

/// The most relays of a process at a time. Reason: each is a connection; relays that feed each other
/// in a circle end here.
pub(crate) const MAX_RELAYS: usize = 1_024;

/// The target of relays that are not in the configuration, for metrics.
const ASKED: &str = "asked";

/// The longest reason that is shown, in bytes. Reason: servers write into it.
const MAX_REASON: usize = 200;

impl Board {
    pub(crate) fn register(&self, origin: &mut Registry) {
        let shared = &self.0;
        origin.register(
            "relays",
            "Pushes and pulls by target and state",
            shared.states.clone(),
        );
        origin.register(
            "relay_attempts",
            "Connections that pushes and pulls have tried, by target",
            shared.attempts.clone(),
        );
        origin.register(
            "relay_failures",
            "Attempts that failed, and connections that were lost, by target",
            shared.failures.clone(),
        );
        origin.register(
            "relay_bytes",
            "Bytes sent by pushes and received by pulls, by target",
            shared.bytes.clone(),
        );
        origin.register(
            "relays_refused",
            "Pushes and pulls that did not begin because there were too many",
            shared.refused.clone(),
        );
    }

    /// Notes the relays of an application's settings, which are idle until they begin, in place of
    /// those of the settings before.
    pub(crate) fn configure(&self, application: &str, settings: &config::Application) {
        let pushes = settings.push.iter().map(|push| (Course::Push, &push.url));
        let pulls = settings.pull.iter().map(|pull| (Course::Pull, &pull.url));
        let relays = pushes.chain(pulls);
        let next: BTreeSet<_> = relays
            .map(|(course, url)| TargetLabel::new(application, course, url))
            .collect();
        let mut table = self.0.lock();
        let is_gone = |it: &&TargetLabel| it.application == application && !next.contains(*it);
        let gone: Vec<_> = table.configured.iter().filter(is_gone).cloned().collect();
        for label in gone {
            table.configured.remove(&label);
            self.0.gauge(&label, RelayState::Idle).set(0);
        }
        for label in next {
            if table.configured.insert(label.clone()) && !table.active.contains_key(&label) {
                self.0.gauge(&label, RelayState::Idle).set(1);
            }
        }
    }

    /// Takes a relay onto the board; `None` if there are too many.
    pub(crate) fn begin(&self, new: &NewRelay<'_>) -> Option<Relayed> {
        let mut label = TargetLabel::new(new.application, new.course, new.url);
        if !new.configured {
            label.target = ASKED.to_owned();
        }
        let mut table = self.0.lock();
        if table.relays.len() >= MAX_RELAYS {
            drop(table);
            self.0.refused.inc();
            tracing::warn!(
                application = new.application,
                instance = new.instance,
                stream = new.stream,
                target = new.url.shown(),
                "{} refused: {MAX_RELAYS} relays are at work",
                new.course.as_str(),
            );
            return None;
        }
        table.last += 1;
        let number = table.last;
        table.relays.insert(number, RelayLine::new(&label, new));
        let active = table.active.entry(label.clone()).or_default();
        *active += 1;
        if *active == 1 && table.configured.contains(&label) {
            self.0.gauge(&label, RelayState::Idle).set(0);
        }
        drop(table);
        self.0.gauge(&label, RelayState::Connecting).inc();
        Some(Relayed {
            board: Arc::clone(&self.0),
            number,
            label,
            url: new.url.clone(),
            instance: new.instance.to_owned(),
            stream: new.stream.to_owned(),
            secret: new.secret.map(str::to_owned),
            state: RelayState::Connecting,
        })
    }

    /// Every relay, and every target of the configuration that has none.
    pub(crate) fn lines(&self) -> Vec<RelayLine> {
        let table = self.0.lock();
        let idle = table.configured.iter();
        let idle = idle.filter(|label| !table.active.contains_key(label));
        let idle = idle.map(RelayLine::idle);
        table.relays.values().cloned().chain(idle).collect()
    }
}

impl BoardState {
    fn lock(&self) -> MutexGuard<'_, Table> {
        // Only whole entries come and go under this lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gauge(&self, label: &TargetLabel, state: RelayState) -> Gauge {
        let label = StateLabel {
            application: label.application.clone(),
            kind: label.kind,
            target: label.target.clone(),
            state: state.as_str(),
        };
        self.states.get_or_create_owned(&label)
    }
}

impl Relayed {
    /// An attempt begins.
    pub(crate) fn connects(&mut self) {
        self.board.attempts.get_or_create(&self.label).inc();
        if let Some(line) = self.board.lock().relays.get_mut(&self.number) {
            line.attempts += 1;
        }
        self.change(RelayState::Connecting, "", None);
    }

    /// Media passes.
    pub(crate) fn runs(&mut self) {
        self.change(RelayState::Running, "", None);
    }

    /// The connection is there, and the other side has nothing for it.
    pub(crate) fn waits_for_media(&mut self, reason: &str) {
        self.change(RelayState::Waiting, reason, None);
    }

    /// An attempt has failed, or a connection is lost; the next attempt follows after `next`.
    pub(crate) fn failed(&mut self, reason: &str, next: Duration) {
        self.board.failures.get_or_create(&self.label).inc();
        self.change(RelayState::Waiting, reason, Some(next));
    }

    /// Counts the bytes of the relay's media.
    pub(crate) fn bytes(&self) -> Counter {
        self.board.bytes.get_or_create_owned(&self.label)
    }

    /// Notes a state, and logs it. The reason may be of the other side.
    fn change(&mut self, state: RelayState, reason: &str, next: Option<Duration>) {
        let mut reason = self.url.hide_in(reason);
        if let Some(name) = &self.secret {
            reason = reason.replace(name, &self.stream);
        }
        let reason = shown(&reason);
        self.board.gauge(&self.label, self.state).dec();
        self.board.gauge(&self.label, state).inc();
        self.state = state;
        if let Some(line) = self.board.lock().relays.get_mut(&self.number) {
            line.state = state.as_str();
            line.since = SystemTime::now();
            line.next_attempt = next.map(|next| line.since + next);
            line.reason.clone_from(&reason);
        }
        tracing::info!(
            application = self.label.application,
            instance = self.instance,
            stream = self.stream,
            target = self.url.shown(),
            state = state.as_str(),
            reason,
            next_ms = next.map(|next| next.as_millis() as u64),
            "{}",
            self.label.kind,
        );
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        self.board.gauge(&self.label, self.state).dec();
        let mut table = self.board.lock();
        table.relays.remove(&self.number);
        let left = table.active.get_mut(&self.label).map(|active| {
            *active -= 1;
            *active
        });
        if left == Some(0) {
            table.active.remove(&self.label);
            if table.configured.contains(&self.label) {
                self.board.gauge(&self.label, RelayState::Idle).set(1);
            }
        }
        drop(table);
        tracing::info!(
            application = self.label.application,
            instance = self.instance,
            stream = self.stream,
            target = self.url.shown(),
            state = RelayState::Idle.as_str(),
            "{}",
            self.label.kind,
        );
    }
}

impl RelayLine {
    fn new(label: &TargetLabel, new: &NewRelay<'_>) -> Self {
        Self {
            target: new.url.shown().to_owned(),
            stream: Some((new.instance.to_owned(), new.stream.to_owned())),
            state: RelayState::Connecting.as_str(),
            ..Self::idle(label)
        }
    }

    fn idle(label: &TargetLabel) -> Self {
        Self {
            application: label.application.clone(),
            kind: label.kind,
            target: label.target.clone(),
            stream: None,
            state: RelayState::Idle.as_str(),
            reason: String::new(),
            since: SystemTime::now(),
            next_attempt: None,
            attempts: 0,
        }
    }
}

impl TargetLabel {
    fn new(application: &str, course: Course, url: &RelayUrl) -> Self {
        Self {
            application: application.to_owned(),
            kind: course.as_str(),
            target: url.shown().to_owned(),
        }
    }
}

impl Course {
    fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Pull => "pull",
        }
    }
}

impl RelayState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Connecting => "connecting",
            Self::Running => "running",
            Self::Waiting => "waiting",
        }
    }
}

/// A reason as it is shown: short, and on one line.
fn shown(reason: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let mut text: String = reason.chars().map(plain).collect();
    let mut end = MAX_REASON.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

impl fmt::Debug for BoardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board")
            .field("relays", &self.lock().relays.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed")
            .field("target", &self.label.target)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}
