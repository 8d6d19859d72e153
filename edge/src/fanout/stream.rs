//! A live stream at the edge.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;
use tributary_protocol::{
    Message, RtmpTimestamp,
    chunk::MAX_MESSAGE_LENGTH,
    link::{FeedPlace, LiveId},
    media,
    ring::{Publication, Ring, RingLimits},
};

use super::{forms::Forms, joint::Joint};

/// Notified of what is new in a live stream, for the passes of one worker.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Any change.
    pub(super) change: Notify,
    /// A picture.
    pub(super) picture: Notify,
}

/// One live stream of an origin: a ring of encoded messages. The link thread writes it; the workers
/// with viewers of the stream read it.
pub struct LiveStream {
    state: Mutex<State>,
    /// Rises with every change of the ring.
    version: AtomicU64,
    /// Rises with every new epoch.
    epoch: AtomicU64,
    /// Rises with every feed.
    feeds: AtomicU64,
    ended: AtomicBool,
    /// Whether the next feed goes on with the one that another process of this edge had.
    goes_on: AtomicBool,
    /// Whether another source has gone on with the stream: it may repeat messages.
    joins: AtomicBool,
    /// The stream time between the newest two pictures, in ms.
    picture_interval: AtomicU32,
}

/// The number of a live stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamKey {
    /// The number that this edge has given to the origin's process.
    pub origin: u64,
    /// The number that the origin has given to the stream.
    pub live: LiveId,
}

impl Default for StreamKey {
    /// The number of no stream.
    fn default() -> Self {
        Self {
            origin: 0,
            live: LiveId(0),
        }
    }
}

struct State {
    key: StreamKey,
    /// Added to the numbers of its source: the source before came so far.
    base: u64,
    joint: Joint,
    ring: Ring<Forms>,
    bells: Arc<[Arc<Bell>]>,
    /// The time of the newest picture.
    pictured: Option<RtmpTimestamp>,
}

/// Whether a change of the ring is a picture.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushed {
    Picture,
    Other,
}

/// The limits of a live stream's ring.
///
/// The ring has to hold the newest group of pictures, which encoders keep to 10 s, and the lag of
/// viewers. 16 MiB are 12 s of 11 Mbit/s.
pub(super) const RING: RingLimits = RingLimits {
    bytes: 16 * 1024 * 1024,
    messages: 4096,
    span: Duration::from_secs(12),
    late: Duration::from_secs(12),
};

/// The time by which a viewer's cursor may be behind [`max_lag`](super::Settings::max_lag).
pub(super) const SLACK: Duration = Duration::from_secs(1);

impl LiveStream {
    /// A stream without messages.
    pub fn new(key: StreamKey, limits: RingLimits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                key,
                base: 0,
                joint: Joint::default(),
                ring: Ring::new(limits),
                bells: Arc::from([]),
                pictured: None,
            }),
            version: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            feeds: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            goes_on: AtomicBool::new(false),
            joins: AtomicBool::new(false),
            picture_interval: AtomicU32::new(0),
        })
    }

    /// The number of the stream.
    pub(crate) fn key(&self) -> StreamKey {
        self.lock().key
    }

    /// The number in this ring of the first message of the stream's source.
    pub(crate) fn base(&self) -> u64 {
        self.lock().base
    }

    /// Puts the numbers of the source behind those of the one before, in a stream that comes from
    /// another process of this edge.
    pub(crate) fn set_base(&self, base: u64) {
        self.lock().base = base;
    }

    /// The place in this ring of a place that the source names.
    pub(crate) fn place(&self, place: FeedPlace) -> FeedPlace {
        FeedPlace(self.lock().base.saturating_add(place.0))
    }

    /// The time of the newest frame, and when it came.
    pub(crate) fn newest(&self) -> Option<(RtmpTimestamp, Instant)> {
        self.lock().joint.newest()
    }

    /// The stream has another source from here on, under this number. It goes on where the one before
    /// ended: what the other repeats is dropped.
    pub(super) fn go_on_as(&self, key: StreamKey) {
        let mut state = self.lock();
        state.key = key;
        state.base = state.ring.head();
        state.joint.begin();
        self.joins.store(true, Ordering::Release);
        self.ended.store(false, Ordering::Release);
    }

    /// Notes that viewers have come from another process: the next feed goes on with the one that they
    /// had, so that they still wait for their places in it.
    pub(super) fn go_on(&self) {
        self.goes_on.store(true, Ordering::Release);
    }

    /// Appends a message under its number in the stream. A repeated header has no number. A message
    /// that the ring has already is ignored.
    pub fn push(&self, number: Option<u64>, message: Message) {
        if message.payload.len() > MAX_MESSAGE_LENGTH as usize {
            // A sound origin does not send this, and no chunk stream can carry it.
            return;
        }
        let class = media::classify(message.kind, &message.payload);
        let timestamp = message.timestamp;
        let is_picture = class.is_video() && !class.is_header();
        if self.joins.load(Ordering::Acquire) && self.repeats(class, timestamp) {
            return;
        }
        let encoded = Forms::encode(&message, class);
        let pushed = if is_picture {
            Pushed::Picture
        } else {
            Pushed::Other
        };
        self.change(pushed, |state| {
            state.joint.note(class, timestamp);
            let is_new = match number {
                // The source repeats all headers at a joint, each with the time of its first coming.
                Some(_) if class.is_header() && state.joint.is_open() => {
                    state.ring.push_header(class, timestamp, encoded)
                }
                Some(number) => {
                    let number = state.base.saturating_add(number);
                    state.ring.push_at(number, class, timestamp, encoded)
                }
                None => state.ring.push_header(class, timestamp, encoded),
            };
            if is_new && is_picture {
                self.note_picture(state.pictured.replace(timestamp), timestamp);
            }
            is_new
        });
    }

    /// Whether the source before has brought this message. Streams that never had another source are not
    /// asked.
    fn repeats(&self, class: media::Class, timestamp: RtmpTimestamp) -> bool {
        let mut state = self.lock();
        let repeats = state.joint.repeats(class, timestamp);
        if repeats {
            // Video goes on at once if its source has all since this key frame.
            state.ring.go_on_from(class);
        }
        repeats
    }

    fn note_picture(&self, before: Option<RtmpTimestamp>, now: RtmpTimestamp) {
        let interval = before.map_or(0, |before| now.0.wrapping_sub(before.0));
        // A jump of the clock tells nothing, and tracks of video may share a time.
        if interval > 0 && interval < RING.span.as_millis() as u32 {
            self.picture_interval.store(interval, Ordering::Relaxed);
        }
    }

    /// The stream time between the newest two pictures; zero if it is not known.
    pub(super) fn picture_interval(&self) -> Duration {
        Duration::from_millis(self.picture_interval.load(Ordering::Relaxed).into())
    }

    /// Begins a new epoch of the feed: audio goes on, video at its next key frame. Ends the waits
    /// for a place of the old epoch.
    ///
    /// Returns the number of the feed: an older one of another origin may still bring something.
    pub fn restart(&self) -> u64 {
        if !self.goes_on.swap(false, Ordering::AcqRel) {
            self.epoch.fetch_add(1, Ordering::AcqRel);
        }
        self.change(Pushed::Other, |state| {
            state.ring.restart();
            true
        });
        self.feeds.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Whether the feed of this number is the newest.
    pub fn is_fed_by(&self, feed: u64) -> bool {
        self.feeds.load(Ordering::Acquire) == feed
    }

    /// The messages that follow are of this publication, or of another writer of it.
    pub fn follow(&self, publication: Publication) {
        self.change(Pushed::Other, |state| {
            let publication = state.behind(publication);
            state.ring.follow(publication)
        });
    }

    /// The number in this ring of a publication that the source names by its first message.
    pub(super) fn publication(&self, first: u64) -> u64 {
        let state = self.lock();
        let named = Publication {
            first,
            ..Publication::default()
        };
        state.behind(named).first
    }

    /// Ends the feed, and the waits for a place in it.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.change(Pushed::Other, |_| true);
    }

    /// Exclusive access to the ring. Hold it for a batch of messages, never across a write.
    pub(super) fn with_ring<R>(&self, read: impl FnOnce(&Ring<Forms>) -> R) -> R {
        read(&self.lock().ring)
    }

    /// A number that changes when a cursor may get something new.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// A number that changes when awaited places of the feed may never come.
    pub(crate) fn waits(&self) -> u64 {
        let ended = u64::from(self.ended.load(Ordering::Acquire));
        self.epoch.load(Ordering::Acquire) * 2 + ended
    }

    /// Rings this bell after every change from now on.
    pub(super) fn add_bell(&self, bell: &Arc<Bell>) {
        let mut state = self.lock();
        let bells = state.bells.iter().chain([bell]).cloned();
        state.bells = bells.collect();
    }

    pub(super) fn remove_bell(&self, bell: &Arc<Bell>) {
        let mut state = self.lock();
        let bells = state.bells.iter().filter(|other| !Arc::ptr_eq(other, bell));
        state.bells = bells.cloned().collect();
    }

    fn change(&self, pushed: Pushed, change: impl FnOnce(&mut State) -> bool) {
        let mut state = self.lock();
        if !change(&mut state) {
            return;
        }
        self.version.fetch_add(1, Ordering::AcqRel);
        let bells = Arc::clone(&state.bells);
        // The lock is free before the workers wake.
        drop(state);
        for bell in &*bells {
            if pushed == Pushed::Picture {
                bell.picture.notify_one();
            }
            bell.change.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held is a defect of ours; the other viewers go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A publication of the source as this ring counts. The first one goes on with the publication that
    /// the source before was in.
    fn behind(&self, publication: Publication) -> Publication {
        let known = self.ring.publication();
        let behind = |number: u64, known: u64| match (self.base, number) {
            (0, number) => number,
            (_, 0) => known,
            (base, number) => base.saturating_add(number),
        };
        Publication {
            first: behind(publication.first, known.first),
            writer: behind(publication.writer, known.writer),
        }
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream").finish_non_exhaustive()
    }
}
