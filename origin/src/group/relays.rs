//! The pushes and pulls of a group: live streams that other servers get, and that come from them.
//!
//! Tasks on the media thread ([`exchange`](crate::exchange)) do the work. A push lives as long as the
//! publication that it carries; a pull as long as the group, or as its viewers.
//!
//! ```text
//!             viewer, start of the group           media
//! pull: idle ───────────────────────────► begun ───────────► on air
//!        ▲       no viewer for `linger`     │ ▲   lost, ended    │
//!        └──────────────────────────────────┘ └──────────────────┘
//! ```
//!
//! State is each pull that was asked for and not configured; the rest follows from the settings and
//! the streams. A restore makes all tasks anew.

use std::{collections::HashMap, sync::Arc, time::Instant};

use tributary_node::config::{Application, Pull, RelayUrl, When};

use super::pull_id::PullId;
use crate::{
    exchange::{pull::Pulling, push::Pushing},
    live::{LiveStream, relay::Relay},
};

pub(super) mod acts;
mod changes;

/// The pushes and pulls of a group.
#[derive(Default)]
pub(super) struct Relays {
    /// By the name of the stream, and the target; made with the first one.
    pushes: Option<Box<PushTable>>,
    /// Those of the settings first.
    pulls: Vec<PulledStream>,
    /// Counts the runs of pulls.
    last_run: u64,
}

type PushTable = HashMap<(Arc<str>, PushTarget), Pushing>;

/// The target of a push.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum PushTarget {
    /// A target of the settings: connect and name.
    Configured(String, String),
    /// A target that was asked for: connect and name.
    Asked(String, String),
}

/// A stream that comes from another server.
struct PulledStream {
    name: Arc<str>,
    url: RelayUrl,
    when: When,
    linger: std::time::Duration,
    /// `None` for one of the settings; else whether it is wanted.
    asked: Option<bool>,
    run: Option<PullRun>,
    /// Since when a pull that runs for its viewers has had none.
    unwatched: Option<Instant>,
}

/// A pull at work.
struct PullRun {
    number: u64,
    pulling: Pulling,
    on_air: Option<PullOnAir>,
}

/// The publication of a pull.
struct PullOnAir {
    live: Arc<LiveStream>,
    writer: tributary_protocol::link::WriterId,
    _relay: Relay,
}

/// The most pulls of one group that were asked for. Reason: each keeps a name and an address.
const MAX_ASKED_PULLS: usize = 64;

/// The most pushes of one stream that were asked for. Reason: each is a connection.
const MAX_ASKED_PUSHES: usize = 16;

impl Relays {
    /// The pulls of an instance, none of which runs.
    pub(super) fn set_up(&mut self, pulls: &[Pull], instance: &str) {
        let own = pulls.iter().filter(|pull| pull.instance == instance);
        self.pulls = own.map(PulledStream::configured).collect();
    }

    /// Ends everything; reports of older runs may be on their way.
    pub(super) fn reset(&mut self) {
        *self = Self {
            last_run: self.last_run,
            ..Self::default()
        };
    }

    /// Ends the pushes of a stream whose publication is over.
    pub(super) fn push_ends(&mut self, name: &str) {
        if let Some(pushes) = &mut self.pushes {
            pushes.retain(|(pushed, _), _| **pushed != *name);
        }
    }

    /// Ends the pushes of the settings before that these do not have.
    fn end_other_pushes(&mut self, settings: &Application, instance: &str) {
        let Some(pushes) = &mut self.pushes else {
            return;
        };
        pushes.retain(|(name, target), _| match target {
            PushTarget::Asked(..) => true,
            PushTarget::Configured(connect, there) => settings.push.iter().any(|push| {
                push.fits(instance, name)
                    && push.url.connect() == connect
                    && push.url.name_of(name) == *there
            }),
        });
    }

    /// Notes that the application, or a client for it, has ended a pull's publication.
    pub(super) fn kicked(&mut self, id: PullId) {
        if let Some(run) = self.pull_mut(id).and_then(|pull| pull.run.as_mut())
            && run.on_air.take().is_some()
        {
            run.pulling.refuse();
        }
    }

    /// Whether a pull runs for viewers that may come back.
    pub(super) fn linger(&self) -> bool {
        self.pulls.iter().any(|pull| pull.unwatched.is_some())
    }

    /// The place of the pull with this name.
    fn pull_named(&self, name: &str) -> Option<usize> {
        self.pulls.iter().position(|pull| *pull.name == *name)
    }

    /// A place for one more pull that is asked for: that of one that is over, or a new one.
    fn place_for_asked(&self) -> Option<usize> {
        let is_over = |pull: &PulledStream| pull.asked == Some(false) && pull.run.is_none();
        let asked = self.pulls.iter().filter(|pull| pull.asked.is_some());
        let has_room = asked.count() < MAX_ASKED_PULLS;
        let over = self.pulls.iter().position(is_over);
        over.or_else(|| has_room.then_some(self.pulls.len()))
    }

    fn pull_mut(&mut self, id: PullId) -> Option<&mut PulledStream> {
        self.pulls.get_mut(usize::try_from(id.0).ok()?)
    }

    fn next_run(&mut self) -> u64 {
        self.last_run += 1;
        self.last_run
    }

    /// Whether a stream is pushed to a target.
    fn has_push(&self, name: &Arc<str>, target: &PushTarget) -> bool {
        let key = (Arc::clone(name), target.clone());
        let pushes = self.pushes.as_ref();
        pushes.is_some_and(|pushes| pushes.contains_key(&key))
    }

    /// How many pushes of a stream were asked for.
    fn asked_pushes(&self, name: &str) -> usize {
        let asked =
            |(pushed, target): &&(Arc<str>, PushTarget)| **pushed == *name && target.is_asked();
        let pushes = self.pushes.iter().flat_map(|pushes| pushes.keys());
        pushes.filter(asked).count()
    }
}

impl PushTarget {
    fn is_asked(&self) -> bool {
        matches!(self, Self::Asked(..))
    }
}

impl PulledStream {
    /// A pull of the settings, which does not run.
    fn configured(pull: &Pull) -> Self {
        Self {
            name: Arc::from(pull.stream.as_str()),
            url: pull.url.clone(),
            when: pull.when,
            linger: pull.linger.get(),
            asked: None,
            run: None,
            unwatched: None,
        }
    }

    /// Whether it runs while somebody watches.
    fn is_for_viewers(&self) -> bool {
        self.asked.is_some() || self.when == When::Watched
    }
}
