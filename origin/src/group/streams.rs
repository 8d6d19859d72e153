//! The live streams of a group: publishers, viewers and take-overs.
//!
//! State is the table of names, each with its holder and viewers, and the lost lanes. A restore makes
//! anew: the rings, the numbers of streams in this process, and the application's version.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tributary_node::config::SecondPublisher;
use tributary_protocol::{
    RtmpTimestamp,
    link::{LiveId, TakeoverKey, WriterId},
};

pub(super) use super::publisher::{
    Bid, Claim, Claimant, Ended, Holder, Holds, KnownStream, News, Own, StreamSlot, Viewing,
};
use super::reconnecting::Reconnecting;
use crate::{
    app::{AppVersion, ClientId, Identity, Publisher, StreamStatistics},
    live::{Begins, LiveStream},
    session::{LaneKey, SessionKey},
};

mod lanes;
mod restore;
mod viewers;

use lanes::PublisherLanes;

/// All live streams of a group, by name.
pub(super) struct Streams {
    table: HashMap<Arc<str>, NamedStream>,
    ids: Arc<AtomicU64>,
    app: Arc<AppVersion>,
    /// Set while a lane's link is lost, or a client has come back by another lane.
    lanes: Option<Box<PublisherLanes>>,
    reconnecting: Reconnecting,
    /// How far the live streams of the process before had come, until clients go on with them.
    reached: Option<Box<ReachedStreams>>,
    /// Whether viewers or publishers have come or gone since the last look.
    changed: bool,
}

/// The live streams of the process before: the time that viewers had, and when.
pub(super) type ReachedStreams = HashMap<LiveId, (RtmpTimestamp, Instant)>;

#[derive(Default)]
struct NamedStream {
    /// There is one since the first publish.
    live: Option<Arc<LiveStream>>,
    holding: Holding,
    /// Sorted: sessions mostly come in ascending order.
    viewers: Vec<StreamSlot>,
    /// Whether the application counts the name as waited for.
    counted: bool,
    /// Whether viewers have the beginning of the stream, and not its end.
    announced: bool,
}

/// ```text
///          claim              lost
/// Free ───────────► Held ───────────► Lost ──┐ return time over
///  ▲ ◄── unpublish ──┘ ▲ ◄── claim ────┘     │
///  └─────────────────────────────────────────┘
/// ```
#[derive(Default)]
enum Holding {
    /// The name has no publisher. The ring of an ended stream is emptied a little later, once the
    /// edges have sent its end.
    #[default]
    Free,
    Ended {
        empty_at: Instant,
    },
    Held(Holder),
    Lost(LostHolder),
}

struct LostHolder {
    publisher: StreamSlot,
    /// The lane of its session, which may be gone by now.
    lane: LaneKey,
    writer: WriterId,
    identity: Option<Identity>,
    since: Instant,
    timer: ReturnTimer,
}

enum ReturnTimer {
    Runs(Instant),
    /// The publisher's link is lost; this much of the return time is left.
    Still(Duration),
}

/// How long an ended stream's last messages are kept for the edges that have not sent them yet.
/// Reason: an edge further behind than this has lost its feed.
const EMPTY_AFTER: Duration = Duration::from_secs(5);

impl Streams {
    pub(super) fn new(ids: Arc<AtomicU64>, app: Arc<AppVersion>) -> Self {
        Self {
            table: HashMap::new(),
            ids,
            app,
            lanes: None,
            reconnecting: Reconnecting::default(),
            reached: None,
            changed: false,
        }
    }

    /// No streams, as for a group that begins.
    pub(super) fn reset(&mut self) {
        *self = Self::new(Arc::clone(&self.ids), Arc::clone(&self.app));
    }

    /// Gives the name to the claimant, if it may have it.
    pub(super) fn claim(
        &mut self,
        name: &str,
        claimant: Claimant,
        now: Instant,
    ) -> (Arc<str>, Claim) {
        let key = self.key(name);
        let bid = Bid {
            session: claimant.slot.session,
            identity: claimant.identity.as_ref(),
            key: claimant.key,
        };
        if !self.may_claim(&key, &bid, now) {
            return (key, Claim::Taken);
        }
        if let Some(holder) = self.table.get(&key).and_then(|it| it.holding.session())
            && self.is_expected(holder, &bid, now)
        {
            self.reconnecting.used(holder, claimant.slot.session);
        }
        let live = self.live(&key);
        let stream = self.table.entry(Arc::clone(&key)).or_default();
        let goes_on = match &stream.holding {
            Holding::Held(old) => old.told && old.slot.session == claimant.slot.session,
            _ => false,
        };
        let writer = match &stream.holding {
            // A publish would have ended the one before on its message stream.
            Holding::Held(old) if old.slot == claimant.slot => live.begin_again(now),
            holding => live.begin_writer(holding.next_writer()),
        };
        let holder = Holder {
            slot: claimant.slot,
            generation: claimant.generation,
            writer,
            query: claimant.query,
            holds: claimant.holds,
            identity: claimant.identity,
            stalled: false,
            told: goes_on,
            silent: false,
            since: now,
        };
        let before = std::mem::replace(&mut stream.holding, Holding::Held(holder));
        let was_loose = matches!(&before, Holding::Held(old) if old.holds == Holds::Loosely);
        if was_loose {
            stream.announced = false;
        }
        let displaced = match before {
            Holding::Held(old) if !was_loose => Some(old),
            Holding::Lost(_) => None,
            _ => return (key, Claim::Fresh { live, writer }),
        };
        let claim = Claim::Continued {
            live,
            writer,
            displaced,
        };
        (key, claim)
    }

    /// The live stream of a name, made if there is none.
    fn live(&mut self, name: &str) -> Arc<LiveStream> {
        let key = self.key(name);
        let stream = self.table.entry(Arc::clone(&key)).or_default();
        if std::mem::take(&mut stream.counted) {
            self.app.common.waiting.leave();
        }
        let live = stream.live.get_or_insert_with(|| {
            let id = LiveId(self.ids.fetch_add(1, Ordering::Relaxed));
            LiveStream::new(id, key)
        });
        Arc::clone(live)
    }

    /// Whether a name is free for a claimant, or its holder gives way to the claimant.
    fn may_claim(&self, key: &str, bid: &Bid<'_>, now: Instant) -> bool {
        let stream = self.table.get(key);
        stream.is_none_or(|stream| match &stream.holding {
            Holding::Free | Holding::Ended { .. } => true,
            Holding::Lost(lost) => {
                let comes_back = lost.identity.is_none() || lost.identity.as_ref() == bid.identity;
                comes_back || self.is_expected(lost.publisher.session, bid, now)
            }
            Holding::Held(holder) => self.may_displace(holder, bid, now),
        })
    }

    /// Whether a session was asked to reconnect, and the claimant is its client.
    fn is_expected(&self, holder: SessionKey, bid: &Bid<'_>, now: Instant) -> bool {
        self.reconnecting.lets(holder, bid.session, bid.key, now)
    }

    /// Expects the client of a session that publishes to come back with this key.
    pub(super) fn expect(&mut self, session: SessionKey, key: TakeoverKey, now: Instant) {
        let publishes = |stream: &NamedStream| stream.holding.session() == Some(session);
        if self.table.values().any(publishes) {
            self.reconnecting.expect(session, key, now);
        }
    }

    /// Frees a name for a publisher that is about to come, if it may displace the holder. Returns
    /// the displaced holder.
    pub(super) fn release(&mut self, name: &str, bid: &Bid<'_>, now: Instant) -> Option<Holder> {
        let Holding::Held(holder) = &self.table.get(name)?.holding else {
            return None;
        };
        if holder.slot.session == bid.session
            || holder.holds == Holds::Loosely
            || !self.may_displace(holder, bid, now)
        {
            return None;
        }
        let slot = holder.slot;
        self.lose(name, slot, now)
    }

    /// The news of a publisher for its application, if it holds its name since this claim. From
    /// here on the application counts as notified.
    pub(super) fn tell(&mut self, name: &str, writer: WriterId) -> News {
        match self.table.get_mut(name).map(|stream| &mut stream.holding) {
            Some(Holding::Held(holder)) if holder.writer == writer => {
                if std::mem::replace(&mut holder.told, true) {
                    News::Known
                } else {
                    News::New
                }
            }
            _ => News::Gone,
        }
    }

    /// The stream of this writer, if it holds its name.
    pub(super) fn written(
        &self,
        name: &str,
        writer: WriterId,
    ) -> Option<(&Holder, &Arc<LiveStream>)> {
        let stream = self.table.get(name)?;
        match &stream.holding {
            Holding::Held(holder) if holder.writer == writer => {
                Some((holder, stream.live.as_ref()?))
            }
            _ => None,
        }
    }

    /// Notes that viewers get the beginning of a stream. `false` if they have it.
    pub(super) fn announce(&mut self, name: &str) -> bool {
        let stream = self.table.get_mut(name);
        stream.is_some_and(|stream| !std::mem::replace(&mut stream.announced, true))
    }

    /// Ends a publish at its publisher's command.
    pub(super) fn unpublish(
        &mut self,
        name: &str,
        slot: StreamSlot,
        now: Instant,
    ) -> Option<(Holder, Ended)> {
        let stream = self.table.get_mut(name)?;
        match &stream.holding {
            Holding::Held(holder) if holder.slot == slot => {
                let holder = holder.clone();
                let ended = stream.end(holder.writer, slot, holder.holds, now)?;
                Some((holder, ended))
            }
            _ => None,
        }
    }

    /// Ends a stream of any publisher. Returns the holder of the name, if there was one, and the
    /// end.
    pub(super) fn kick(&mut self, name: &str, now: Instant) -> Option<(Option<Holder>, Ended)> {
        let stream = self.table.get_mut(name)?;
        match &stream.holding {
            Holding::Held(holder) => {
                let holder = holder.clone();
                let (slot, holds) = (holder.slot, holder.holds);
                let ended = stream.end(holder.writer, slot, holds, now)?;
                Some((Some(holder), ended))
            }
            Holding::Lost(lost) => {
                let (writer, publisher) = (lost.writer, lost.publisher);
                let ended = stream.end(writer, publisher, Holds::Firmly, now)?;
                Some((None, ended))
            }
            Holding::Free | Holding::Ended { .. } => None,
        }
    }

    /// The present publisher of this name.
    pub(super) fn holder(&self, name: &str) -> Option<&Holder> {
        match &self.table.get(name)?.holding {
            Holding::Held(holder) => Some(holder),
            _ => None,
        }
    }

    /// The stream of this name, if it has a publisher, or one that may return.
    pub(super) fn known(&self, name: &str) -> Option<KnownStream<'_>> {
        let stream = self.table.get(name)?;
        let (publisher, since) = match &stream.holding {
            Holding::Held(holder) => (holder.slot, holder.since),
            Holding::Lost(lost) => (lost.publisher, lost.since),
            Holding::Free | Holding::Ended { .. } => return None,
        };
        Some(KnownStream {
            live: stream.live.as_ref()?,
            publisher,
            viewers: stream.viewers.len(),
            since,
        })
    }

    /// The figures of a stream that has a publisher, or one that may return.
    pub(super) fn statistics(&self, name: &str, now: Instant) -> Option<StreamStatistics> {
        let known = self.known(name)?;
        let counts = known.live.counts();
        Some(StreamStatistics {
            publisher: match known.publisher.of() {
                Some(Own::Stream(stream)) => Publisher::Application(stream),
                Some(Own::Pull(_)) => Publisher::Pull,
                _ => Publisher::Client(ClientId(known.publisher.session)),
            },
            viewers: known.viewers,
            messages: counts.messages,
            bytes: counts.bytes,
            time: now.saturating_duration_since(known.since),
        })
    }

    /// The names that have a publisher, or one that may return, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let table = self.table.iter();
        table.filter_map(|(name, stream)| stream.is_published().then_some(name))
    }

    /// The streams that viewers have the beginning of and that have a firm publisher now, in no order.
    pub(super) fn on_air(&self) -> Vec<(Arc<str>, Arc<LiveStream>)> {
        let is_firm =
            |holding: &Holding| matches!(holding, Holding::Held(of) if of.holds == Holds::Firmly);
        let table = self.table.iter();
        let on_air = table.filter(|(_, stream)| stream.announced && is_firm(&stream.holding));
        let live = on_air.filter_map(|(name, stream)| Some((name, stream.live.as_ref()?)));
        live.map(|(name, live)| (Arc::clone(name), Arc::clone(live)))
            .collect()
    }

    /// Notes that a publisher is gone without a command: the stream waits for its return. Returns
    /// its hold.
    pub(super) fn lose(&mut self, name: &str, slot: StreamSlot, now: Instant) -> Option<Holder> {
        let lane = self.lane_of(slot.session);
        let still = self.is_lost(lane);
        let wait = self.app.settings().return_time.get();
        let stream = self.table.get_mut(name)?;
        let holder = match &stream.holding {
            Holding::Held(holder) if holder.slot == slot => holder.clone(),
            _ => return None,
        };
        let timer = if still {
            ReturnTimer::Still(wait)
        } else {
            ReturnTimer::Runs(now + wait)
        };
        stream.holding = Holding::Lost(LostHolder {
            publisher: slot,
            lane,
            writer: holder.writer,
            identity: holder.identity.clone(),
            since: holder.since,
            timer,
        });
        Some(holder)
    }

    /// Carries out the step that is due for this name. Returns the end of a stream that ended.
    pub(super) fn expire(&mut self, name: &str, now: Instant) -> Option<Ended> {
        let stream = self.table.get_mut(name)?;
        match &stream.holding {
            Holding::Lost(LostHolder {
                timer: ReturnTimer::Runs(at),
                writer,
                publisher,
                ..
            }) if *at <= now => {
                let (writer, publisher) = (*writer, *publisher);
                stream.end(writer, publisher, Holds::Firmly, now)
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

    /// When this name is due.
    pub(super) fn deadline(&self, name: &str) -> Option<Instant> {
        match &self.table.get(name)?.holding {
            Holding::Lost(lost) => lost.timer.deadline(),
            Holding::Ended { empty_at } => Some(*empty_at),
            Holding::Free | Holding::Held(_) => None,
        }
    }

    /// Notes that a publisher's edge reports a stall, or its end.
    pub(super) fn stalled(&mut self, name: &str, slot: StreamSlot, stalled: bool) {
        if let Some(NamedStream {
            holding: Holding::Held(holder),
            ..
        }) = self.table.get_mut(name)
            && holder.slot == slot
        {
            holder.stalled = stalled;
        }
    }

    /// Forgets a name without publisher and viewers.
    pub(super) fn prune(&mut self, name: &str) {
        self.changed = true;
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
        self.table.get(name).is_some_and(NamedStream::is_published)
    }

    /// How many names have a publisher, or one that may return; those of data messages alone do
    /// not count.
    pub(super) fn published(&self) -> usize {
        let counts = |stream: &&NamedStream| stream.is_published() && !stream.is_held_loosely();
        self.table.values().filter(counts).count()
    }

    /// Whether no name has a publisher, a viewer or a near end, except of the application itself.
    pub(super) fn is_empty(&self) -> bool {
        self.table.values().all(NamedStream::is_of_application)
    }

    fn key(&self, name: &str) -> Arc<str> {
        self.table
            .get_key_value(name)
            .map_or_else(|| Arc::from(name), |(key, _)| Arc::clone(key))
    }

    fn may_displace(&self, holder: &Holder, bid: &Bid<'_>, now: Instant) -> bool {
        let same = bid.identity.is_some() && holder.identity.as_ref() == bid.identity;
        let policy = self.app.settings().second_publisher == SecondPublisher::Takeover;
        let yields = holder.stalled || holder.holds == Holds::Loosely;
        let lane = self.lane_of(holder.slot.session);
        // Any publisher of a bare name may be the one whose edge is lost.
        let is_bare = holder.identity.is_none();
        yields
            || (same && (policy || self.is_lost(lane)))
            || (is_bare && self.is_silent(lane))
            || self.is_expected(holder.slot.session, bid, now)
    }
}

impl NamedStream {
    fn is_published(&self) -> bool {
        matches!(self.holding, Holding::Held(_) | Holding::Lost(_))
    }

    /// Whether viewers get the stream: its publisher has been admitted.
    fn is_on_air(&self) -> bool {
        self.is_published() && self.announced
    }

    fn is_held_loosely(&self) -> bool {
        matches!(&self.holding, Holding::Held(holder) if holder.holds == Holds::Loosely)
    }

    /// Whether no client publishes or watches it.
    fn is_of_application(&self) -> bool {
        let ours = |slot: &StreamSlot| slot.of().is_some();
        let held = match &self.holding {
            Holding::Free => true,
            Holding::Held(holder) => ours(&holder.slot),
            Holding::Ended { .. } | Holding::Lost(_) => false,
        };
        held && self.viewers.iter().all(ours)
    }

    fn end(
        &mut self,
        writer: WriterId,
        publisher: StreamSlot,
        holds: Holds,
        now: Instant,
    ) -> Option<Ended> {
        self.holding = Holding::Ended {
            empty_at: now + EMPTY_AFTER,
        };
        let announced = std::mem::take(&mut self.announced);
        let live = Arc::clone(self.live.as_ref()?);
        live.end_writer(writer);
        Some(Ended {
            live,
            publisher,
            holds,
            announced,
        })
    }
}

impl Holding {
    /// The session that holds the name, or that may return to it.
    fn session(&self) -> Option<SessionKey> {
        match self {
            Self::Free | Self::Ended { .. } => None,
            Self::Held(holder) => Some(holder.slot.session),
            Self::Lost(lost) => Some(lost.publisher.session),
        }
    }

    /// How the next publisher of the name goes on.
    fn next_writer(&self) -> Begins {
        match self {
            Self::Free | Self::Ended { .. } => Begins::Afresh,
            Self::Held(holder) if holder.holds == Holds::Loosely => Begins::Afresh,
            Self::Held(_) | Self::Lost(_) => Begins::Continuing,
        }
    }
}

impl ReturnTimer {
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
