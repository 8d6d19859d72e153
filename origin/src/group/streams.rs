//! The live streams of a group: who publishes, who watches, who may take over.

use std::{
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tributary_node::config::SecondPublisher;
use tributary_protocol::{
    MessageStreamId,
    link::{Generation, LiveId, WriterId},
};

use crate::{
    app::{Identity, Registered},
    link::handle::{LaneKey, SessionKey},
    live::LiveStream,
};

/// A message stream of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) session: SessionKey,
    pub(super) stream: MessageStreamId,
}

/// Who asks for a name.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub(super) place: Place,
    pub(super) generation: Generation,
    pub(super) identity: Option<Identity>,
}

/// What a claim of a name got.
#[derive(Debug)]
pub(super) enum Claim {
    /// The name was free: its viewers are to be told.
    Fresh {
        live: Arc<LiveStream>,
        writer: WriterId,
    },
    /// A take-over or a return: viewers are told nothing.
    Continued {
        live: Arc<LiveStream>,
        writer: WriterId,
        displaced: Option<Holder>,
    },
    /// Somebody else has it.
    Taken,
}

/// A publisher and what it holds.
#[derive(Clone, Debug)]
pub(super) struct Holder {
    pub(super) place: Place,
    pub(super) generation: Generation,
    pub(super) writer: WriterId,
    identity: Option<Identity>,
    stalled: bool,
}

/// A stream that has lost its publisher for good; its viewers are to be told.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) live: Arc<LiveStream>,
    /// Who published last.
    pub(super) publisher: SessionKey,
}

/// What a viewer of a name gets.
#[derive(Debug)]
pub(super) enum Watch {
    /// The stream: it is being published, or its publisher may return.
    Live(Arc<LiveStream>),
    /// Nothing until somebody publishes.
    Wait,
    /// Too many names of this application are waited for.
    Full,
}

/// All live streams of a group, by name.
pub(super) struct Streams {
    table: HashMap<Rc<str>, Stream>,
    ids: Arc<AtomicU64>,
    app: Arc<Registered>,
    /// Lanes whose link is lost: their publishers' timers stand still.
    lost_lanes: Vec<LaneKey>,
}

#[derive(Default)]
struct Stream {
    /// Since the first publish.
    live: Option<Arc<LiveStream>>,
    holding: Holding,
    /// Sorted: sessions mostly come in ascending order.
    viewers: Vec<Place>,
    /// Whether the name counts as waited for.
    counted: bool,
}

/// ```text
///          claim              lost
/// Free ───────────► Held ───────────► Lost ──┐ return time over
///  ▲ ◄── unpublish ──┘ ▲ ◄── claim ────┘     │
///  └─────────────────────────────────────────┘
/// ```
#[derive(Default)]
enum Holding {
    /// Nobody publishes. The ring of an ended stream is emptied a little later, once the edges
    /// have sent its end.
    #[default]
    Free,
    Ended {
        empty_at: Instant,
    },
    Held(Holder),
    Lost(Lost),
}

struct Lost {
    publisher: SessionKey,
    writer: WriterId,
    identity: Option<Identity>,
    timer: Timer,
}

enum Timer {
    Runs(Instant),
    /// The publisher's link is lost; this much is left.
    Still(Duration),
}

/// How long an ended stream's last messages are kept for the edges that have not sent them yet.
/// Reason: an edge further behind than this has lost its feed.
const EMPTY_AFTER: Duration = Duration::from_secs(5);

impl Streams {
    pub(super) fn new(ids: Arc<AtomicU64>, app: Arc<Registered>) -> Self {
        Self {
            table: HashMap::new(),
            ids,
            app,
            lost_lanes: Vec::new(),
        }
    }

    /// Gives the name to the claimant, if it may have it.
    pub(super) fn claim(&mut self, name: &str, claimant: Claimant) -> (Rc<str>, Claim) {
        let key = self.key(name);
        let may_take = self
            .table
            .get(&key)
            .is_none_or(|stream| match &stream.holding {
                Holding::Free | Holding::Ended { .. } => true,
                Holding::Lost(lost) => {
                    lost.identity.is_none() || lost.identity == claimant.identity
                }
                Holding::Held(holder) => self.may_displace(holder, claimant.identity.as_ref()),
            });
        if !may_take {
            return (key, Claim::Taken);
        }
        let stream = self.table.entry(Rc::clone(&key)).or_default();
        if std::mem::take(&mut stream.counted) {
            self.app.common.waiting.leave();
        }
        let live = stream.live.get_or_insert_with(|| {
            LiveStream::new(LiveId(self.ids.fetch_add(1, Ordering::Relaxed)))
        });
        let live = Arc::clone(live);
        let writer = live.begin_writer();
        let holder = Holder {
            place: claimant.place,
            generation: claimant.generation,
            writer,
            identity: claimant.identity,
            stalled: false,
        };
        let claim = match std::mem::replace(&mut stream.holding, Holding::Held(holder)) {
            Holding::Free | Holding::Ended { .. } => Claim::Fresh { live, writer },
            Holding::Lost(_) => Claim::Continued {
                live,
                writer,
                displaced: None,
            },
            Holding::Held(old) => Claim::Continued {
                live,
                writer,
                displaced: Some(old),
            },
        };
        (key, claim)
    }

    /// Frees a name for a publisher that is about to come, if it may displace the holder.
    /// Returns the holder that has to go.
    pub(super) fn release(
        &mut self,
        name: &str,
        by: SessionKey,
        identity: Option<&Identity>,
        now: Instant,
    ) -> Option<Holder> {
        let Holding::Held(holder) = &self.table.get(name)?.holding else {
            return None;
        };
        if holder.place.session == by || !self.may_displace(holder, identity) {
            return None;
        }
        let holder = holder.clone();
        self.lose(name, holder.place, now);
        Some(holder)
    }

    /// Ends a publish at its publisher's word.
    pub(super) fn unpublish(&mut self, name: &str, place: Place, now: Instant) -> Option<Ended> {
        let stream = self.table.get_mut(name)?;
        match &stream.holding {
            Holding::Held(holder) if holder.place == place => {
                let (writer, publisher) = (holder.writer, place.session);
                stream.end(writer, publisher, now)
            }
            _ => None,
        }
    }

    /// A publisher is gone without a word: the stream waits for its return.
    pub(super) fn lose(&mut self, name: &str, place: Place, now: Instant) {
        let still = self.lost_lanes.contains(&place.session.lane);
        let wait = self.app.settings.return_time.get();
        let Some(stream) = self.table.get_mut(name) else {
            return;
        };
        let Holding::Held(holder) = &mut stream.holding else {
            return;
        };
        if holder.place != place {
            return;
        }
        let timer = if still {
            Timer::Still(wait)
        } else {
            Timer::Runs(now + wait)
        };
        stream.holding = Holding::Lost(Lost {
            publisher: place.session,
            writer: holder.writer,
            identity: holder.identity.take(),
            timer,
        });
    }

    /// What is due for this name by now.
    pub(super) fn expire(&mut self, name: &str, now: Instant) -> Option<Ended> {
        let stream = self.table.get_mut(name)?;
        match &stream.holding {
            Holding::Lost(Lost {
                timer: Timer::Runs(at),
                writer,
                publisher,
                ..
            }) if *at <= now => {
                let (writer, publisher) = (*writer, *publisher);
                stream.end(writer, publisher, now)
            }
            Holding::Ended { empty_at } if *empty_at <= now => {
                stream.holding = Holding::Free;
                if let Some(live) = &stream.live {
                    live.ring().clear();
                }
                None
            }
            _ => None,
        }
    }

    /// When something is due for this name.
    pub(super) fn deadline(&self, name: &str) -> Option<Instant> {
        match &self.table.get(name)?.holding {
            Holding::Lost(lost) => lost.timer.deadline(),
            Holding::Ended { empty_at } => Some(*empty_at),
            Holding::Free | Holding::Held(_) => None,
        }
    }

    /// A publisher's edge says that it sends nothing, or sends again.
    pub(super) fn stalled(&mut self, name: &str, place: Place, stalled: bool) {
        if let Some(Stream {
            holding: Holding::Held(holder),
            ..
        }) = self.table.get_mut(name)
            && holder.place == place
        {
            holder.stalled = stalled;
        }
    }

    /// The link of a lane is lost: what waits for its publishers stands still.
    pub(super) fn lane_lost(&mut self, lane: LaneKey, now: Instant) {
        if self.lost_lanes.contains(&lane) {
            return;
        }
        self.lost_lanes.push(lane);
        for stream in self.table.values_mut() {
            if let Holding::Lost(lost) = &mut stream.holding
                && lost.publisher.lane == lane
                && let Timer::Runs(at) = lost.timer
            {
                lost.timer = Timer::Still(at.saturating_duration_since(now));
            }
        }
    }

    /// The link of a lane is back, or the lane is over. Returns the names whose time runs again.
    pub(super) fn lane_back(&mut self, lane: LaneKey, now: Instant) -> Vec<Rc<str>> {
        let Some(at) = self.lost_lanes.iter().position(|&lost| lost == lane) else {
            return Vec::new();
        };
        self.lost_lanes.swap_remove(at);
        let mut running = Vec::new();
        for (name, stream) in &mut self.table {
            if let Holding::Lost(lost) = &mut stream.holding
                && lost.publisher.lane == lane
                && let Timer::Still(left) = lost.timer
            {
                lost.timer = Timer::Runs(now + left);
                running.push(Rc::clone(name));
            }
        }
        running
    }

    /// Whether the link of this lane is lost.
    pub(super) fn is_lost(&self, lane: LaneKey) -> bool {
        self.lost_lanes.contains(&lane)
    }

    /// Adds a viewer.
    pub(super) fn watch(&mut self, name: &str, place: Place) -> (Rc<str>, Watch) {
        let key = self.key(name);
        if !self.table.contains_key(&key) {
            if !self.app.common.waiting.enter() {
                return (key, Watch::Full);
            }
            let stream = Stream {
                counted: true,
                ..Stream::default()
            };
            self.table.insert(Rc::clone(&key), stream);
        }
        let Some(stream) = self.table.get_mut(&key) else {
            return (key, Watch::Full);
        };
        if let Err(at) = stream.viewers.binary_search(&place) {
            if stream.viewers.capacity() == 0 {
                // Most names that are waited for have one viewer.
                stream.viewers.reserve_exact(1);
            }
            stream.viewers.insert(at, place);
        }
        let live = stream.live.as_ref().filter(|_| stream.is_published());
        let watch = live.map_or(Watch::Wait, |live| Watch::Live(Arc::clone(live)));
        (key, watch)
    }

    /// Removes a viewer.
    pub(super) fn unwatch(&mut self, name: &str, place: Place) {
        if let Some(stream) = self.table.get_mut(name) {
            if let Ok(at) = stream.viewers.binary_search(&place) {
                stream.viewers.remove(at);
            }
            self.prune(name);
        }
    }

    /// Forgets a name that nobody publishes or watches.
    pub(super) fn prune(&mut self, name: &str) {
        let unused = self
            .table
            .get(name)
            .is_some_and(|stream| stream.viewers.is_empty() && !stream.is_published());
        if unused && let Some(stream) = self.table.remove(name) {
            if stream.counted {
                self.app.common.waiting.leave();
            }
            if self.table.is_empty() {
                self.table = HashMap::new();
            }
        }
    }

    /// Whether this name has a publisher, or one that may return.
    pub(super) fn is_published(&self, name: &str) -> bool {
        self.table.get(name).is_some_and(Stream::is_published)
    }

    /// How many names have a publisher, or one that may return.
    pub(super) fn published(&self) -> usize {
        self.table
            .values()
            .filter(|stream| stream.is_published())
            .count()
    }

    /// Everyone who watches this name.
    pub(super) fn viewers(&self, name: &str) -> Vec<Place> {
        self.table
            .get(name)
            .map(|stream| stream.viewers.clone())
            .unwrap_or_default()
    }

    /// Whether nothing is published, waited for or about to end.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    fn key(&self, name: &str) -> Rc<str> {
        self.table
            .get_key_value(name)
            .map_or_else(|| Rc::from(name), |(key, _)| Rc::clone(key))
    }

    fn may_displace(&self, holder: &Holder, identity: Option<&Identity>) -> bool {
        let same = identity.is_some() && holder.identity.as_ref() == identity;
        let policy = self.app.settings.second_publisher == SecondPublisher::Takeover;
        holder.stalled || (same && (policy || self.is_lost(holder.place.session.lane)))
    }
}

impl Stream {
    fn is_published(&self) -> bool {
        matches!(self.holding, Holding::Held(_) | Holding::Lost(_))
    }

    fn end(&mut self, writer: WriterId, publisher: SessionKey, now: Instant) -> Option<Ended> {
        self.holding = Holding::Ended {
            empty_at: now + EMPTY_AFTER,
        };
        let live = Arc::clone(self.live.as_ref()?);
        live.end_writer(writer);
        Some(Ended { live, publisher })
    }
}

impl Timer {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Runs(at) => Some(*at),
            Self::Still(_) => None,
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        for stream in self.table.values() {
            if stream.counted {
                self.app.common.waiting.leave();
            }
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams")
            .field("names", &self.table.len())
            .finish_non_exhaustive()
    }
}
