//! Live streams at the origin: one ring for each, written by one publisher at a time.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{Notify, futures::Notified};
use tributary_protocol::{
    Message, RtmpTimestamp,
    link::{FeedPlace, LiveId, WriterId},
    media,
    ring::{Ring, RingLimits},
};

mod frame;
mod readers;
pub(crate) mod relay;
mod timeline;

use readers::Readers;
use timeline::{Timeline, Track};

/// One live stream: its recent messages and its writer.
///
/// The group decides about the writer; the link's thread writes and reads. Publishers come and go
/// ([`LiveStream::begin_writer`]); the stream's time and numbers go on.
pub(crate) struct LiveStream {
    id: LiveId,
    name: Arc<str>,
    state: Mutex<State>,
    changed: Notify,
    readers: Readers,
}

struct State {
    ring: Ring<Message>,
    timeline: Timeline,
    /// The last writer that began.
    last: WriterId,
    /// Whether that writer may still write.
    open: bool,
    /// The number behind the last that this writer's feeds carried.
    received: Option<u64>,
    /// The number from which on the ring has all that this writer's feeds have carried.
    whole_from: u64,
    counts: Counts,
}

/// The figures of the messages that a live stream has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Messages taken.
    pub(crate) messages: u64,
    /// Their payload bytes.
    pub(crate) bytes: u64,
    /// Messages refused because their writer had been superseded or ended.
    pub(crate) stale: u64,
    /// Malformed data messages.
    pub(crate) faulty: u64,
}

/// How a writer's messages relate to those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begins {
    /// The messages belong to another publication.
    Afresh,
    /// The messages belong to the same publication: the publisher has returned, or another has
    /// taken over.
    Continuing,
}

/// The right to write a live stream that belongs to no client of a group. Its drop ends the writer.
#[derive(Debug)]
pub(crate) struct Writing {
    live: Arc<LiveStream>,
    writer: WriterId,
}

/// The reading of a live stream's ring for viewers, wherever they are. The stream counts it until
/// its drop: the publisher's edge sends each message at once only while there is one.
#[derive(Debug)]
pub(crate) struct Reading(Arc<LiveStream>);

/// Exclusive access to a stream's ring; publishing waits while it is held.
pub(crate) struct RingAccess<'a>(MutexGuard<'a, State>);

/// The most payload a live stream's ring holds. Reason: one group of pictures of 10 s at
/// 25 Mbit/s; it bounds what a publisher can make the origin keep.
pub(crate) const RING_BYTES: usize = 32 * 1024 * 1024;

/// The most messages a live stream's ring holds. Reason: tiny messages cost their bookkeeping,
/// not their bytes; this is over 30 s of 60 frames and 50 audio packets a second.
pub(crate) const RING_MESSAGES: usize = 4_096;

/// The longest time a live stream's ring spans. Reason: a viewer never joins further back than
/// one group of pictures, and encoders send a key frame at least every 10 s.
pub(crate) const RING_SPAN: Duration = Duration::from_secs(30);

/// The time by which the readers of a live stream's ring may be late. Reason: a feed skips what is
/// older than 2 s.
pub(crate) const RING_LATE: Duration = Duration::from_secs(5);

impl LiveStream {
    /// A stream without a writer. `id` is never used twice by one process; `name` is that in its
    /// group.
    pub(crate) fn new(id: LiveId, name: impl Into<Arc<str>>) -> Arc<Self> {
        let limits = RingLimits {
            bytes: RING_BYTES,
            messages: RING_MESSAGES,
            span: RING_SPAN,
            late: RING_LATE,
        };
        Arc::new(Self {
            id,
            name: name.into(),
            state: Mutex::new(State {
                ring: Ring::new(limits),
                timeline: Timeline::default(),
                last: WriterId(0),
                open: false,
                received: None,
                whole_from: 0,
                counts: Counts::default(),
            }),
            changed: Notify::new(),
            readers: Readers::new(),
        })
    }

    /// The stream's number in this process.
    pub(crate) fn id(&self) -> LiveId {
        self.id
    }

    /// The name in its group.
    pub(crate) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Begins a new writer; later messages of an older one are refused. Viewers get its audio at
    /// once and its video from its first key frame.
    pub(crate) fn begin_writer(&self, how: Begins) -> WriterId {
        let mut state = self.lock();
        state.last = WriterId(state.last.0 + 1);
        state.open = true;
        state.received = None;
        if state.last.0 > 1 {
            state.timeline.change_writer();
            state.begin(how);
        }
        state.last
    }

    /// Begins another writer of the same publisher, which goes on by another connection: its headers are
    /// those of before, whether it sends them again or not.
    pub(crate) fn begin_again(&self, now: Instant) -> WriterId {
        let headers: Vec<_> = self.lock().ring.headers().cloned().collect();
        let writer = self.begin_writer(Begins::Continuing);
        for header in headers {
            self.push(writer, header, now);
        }
        writer
    }

    /// The distance of the stream's time from that of its publisher, if it is known.
    pub(crate) fn offset(&self) -> Option<u32> {
        self.lock().timeline.offset()
    }

    /// The publisher's times are moved by this much, as they were at the process before.
    pub(crate) fn set_offset(&self, offset: u32) {
        self.lock().timeline.set_offset(offset);
    }

    /// The stream had come to this time at that moment, at the process before.
    pub(crate) fn had_reached(&self, time: RtmpTimestamp, at: Instant) {
        self.lock().timeline.had_reached(time, at);
    }

    /// Begins another source of `writer`, which is a publication of its own: the stream's time goes
    /// on, its audio at once and its video from the next key frame.
    pub(crate) fn splice(&self, writer: WriterId) {
        let mut state = self.lock();
        if state.may_write(writer) {
            state.timeline.change_writer();
            state.ring.begin_publication();
        }
    }

    /// Notes that the source of `writer` begins another publication, or has another writer of the
    /// same; the stream's time goes on.
    pub(crate) fn source_changes(&self, writer: WriterId, how: Begins) {
        let mut state = self.lock();
        if state.may_write(writer) {
            state.begin(how);
        }
    }

    /// Adds a data message of the application at the stream's present time, also if a client
    /// publishes. Returns its number, or `None` if the message has no form for viewers.
    pub(crate) fn insert(&self, message: Message, now: Instant) -> Option<u64> {
        let mut message = frame::for_viewers(message).message?;
        let class = media::classify(message.kind, &message.payload);
        let mut state = self.lock();
        message.timestamp = state.timeline.present(now);
        let number = state.ring.push(class, message.timestamp, message);
        drop(state);
        self.changed.notify_waiters();
        Some(number)
    }

    /// The metadata in force.
    pub(crate) fn metadata(&self) -> Option<Message> {
        self.lock().ring.metadata().cloned()
    }

    /// Adds a message of `writer` that arrived at `now`, with its time moved to the stream's.
    /// Returns its number, or `None` if the writer may not write (any more) or the message is
    /// not for viewers.
    pub(crate) fn push(&self, writer: WriterId, message: Message, now: Instant) -> Option<u64> {
        let mut state = self.lock();
        let number = state.push(writer, message, now, false)?;
        drop(state);
        self.changed.notify_waiters();
        Some(number)
    }

    /// Begins a feed of the writer. A feed that follows another repeats the headers. Its video goes on
    /// at once if the feed repeats the last key frame too, and nothing since is missing; otherwise at
    /// its next key frame.
    pub(crate) fn begin_feed(&self, writer: WriterId) {
        let mut state = self.lock();
        if state.may_write(writer) && state.received.is_some() {
            state.ring.restart();
        }
    }

    /// [`LiveStream::push`] for a message of a feed, with its number in the feed; a repeated header
    /// has no number. A message that was taken before is dropped.
    pub(crate) fn push_numbered(
        &self,
        writer: WriterId,
        number: Option<u64>,
        message: Message,
        now: Instant,
    ) -> Option<u64> {
        let mut state = self.lock();
        if let (Some(number), true) = (number, state.last == writer) {
            if state.received > Some(number) {
                state.see_again(number, &message);
                return None;
            }
            if state.received != Some(number) {
                state.whole_from = number;
            }
            state.received = Some(number + 1);
        }
        let unfit = state.ring.unfit();
        let place = state.push(writer, message, now, number.is_none())?;
        if state.ring.unfit() > unfit {
            state.whole_from = state.received.unwrap_or(0);
        }
        drop(state);
        self.changed.notify_waiters();
        Some(place)
    }

    /// [`LiveStream::push`] for a message of another live stream, where a header may be repeated
    /// and a reader may have jumped.
    pub(crate) fn copy(
        &self,
        writer: WriterId,
        message: Message,
        now: Instant,
        repeated: bool,
        restart: bool,
    ) {
        let mut state = self.lock();
        if restart && state.may_write(writer) && !state.ring.is_empty() {
            state.ring.restart();
        }
        let pushed = state.push(writer, message, now, repeated);
        drop(state);
        if pushed.is_some() {
            self.changed.notify_waiters();
        }
    }

    /// Ends a writer; it changes nothing if another has taken over meanwhile.
    pub(crate) fn end_writer(&self, writer: WriterId) {
        let mut state = self.lock();
        if state.last == writer {
            state.open = false;
        }
    }

    /// Whether this writer may write.
    #[cfg(test)]
    pub(crate) fn is_writer(&self, writer: WriterId) -> bool {
        self.lock().may_write(writer)
    }

    /// The place of the newest message, if there is one.
    pub(crate) fn place(&self) -> Option<FeedPlace> {
        self.lock().ring.head().checked_sub(1).map(FeedPlace)
    }

    /// The figures so far.
    pub(crate) fn counts(&self) -> Counts {
        self.lock().counts
    }

    /// The ring, for joining and reading, within a [`Reading`]. Hold it for a few messages at a time.
    pub(crate) fn ring(&self) -> RingAccess<'_> {
        RingAccess(self.lock())
    }

    /// Resolves when a message is added after this call. A task calls this first, then reads the
    /// ring, then waits: so it misses no message. Any number of tasks on any thread may wait.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Reports whether the stream has readers, until it is dropped. A stream that is not reported
    /// yet has some.
    pub(crate) async fn report_readers(&self, report: impl FnMut(bool)) {
        self.readers.report(report).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Bytes of a peer cannot make the code under this lock panic; after a panic the stream's
        // messages are whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writing {
    pub(crate) fn begin(live: Arc<LiveStream>) -> Self {
        let writer = live.begin_writer(Begins::Afresh);
        Self { live, writer }
    }

    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    pub(crate) fn writer(&self) -> WriterId {
        self.writer
    }

    pub(crate) fn push(&self, message: Message, now: Instant) {
        self.live.push(self.writer, message, now);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.live.end_writer(self.writer);
    }
}

impl Reading {
    pub(crate) fn begin(live: Arc<LiveStream>) -> Self {
        live.readers.add();
        Self(live)
    }

    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.0
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.readers.remove();
    }
}

impl fmt::Debug for LiveStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl State {
    fn push(
        &mut self,
        writer: WriterId,
        message: Message,
        now: Instant,
        repeated: bool,
    ) -> Option<u64> {
        if !self.may_write(writer) {
            self.counts.stale += 1;
            return None;
        }
        let shown = frame::for_viewers(message);
        self.counts.faulty += u64::from(!shown.is_whole);
        let mut message = shown.message?;
        let class = media::classify(message.kind, &message.payload);
        if repeated && self.ring.confirm(class, &message) {
            return None;
        }
        let begins = repeated || self.timeline.is_pending();
        message.timestamp = if class.kind == media::Kind::Metadata && begins {
            // Players take it for text unless it has time 0.
            RtmpTimestamp::default()
        } else {
            self.timeline.map(message.timestamp, track(class), now)
        };
        self.counts.messages += 1;
        self.counts.bytes += message.payload.len() as u64;
        Some(self.ring.push(class, message.timestamp, message))
    }

    /// Handles a message of a feed that the ring has already.
    fn see_again(&mut self, number: u64, message: &Message) {
        if number >= self.whole_from {
            let class = media::classify(message.kind, &message.payload);
            self.ring.go_on_from(class);
        }
    }

    fn begin(&mut self, how: Begins) {
        match how {
            Begins::Afresh => self.ring.begin_publication(),
            Begins::Continuing => self.ring.begin_writer(),
        }
    }

    fn may_write(&self, writer: WriterId) -> bool {
        self.open && self.last == writer
    }
}

impl Deref for RingAccess<'_> {
    type Target = Ring<Message>;

    fn deref(&self) -> &Self::Target {
        &self.0.ring
    }
}

impl DerefMut for RingAccess<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0.ring
    }
}

fn track(class: media::Class) -> Track {
    if class.is_header() {
        Track::Other
    } else if class.is_audio() {
        Track::Audio
    } else if class.is_video() {
        Track::Video
    } else {
        Track::Other
    }
}

/// The time on tokio's clock, which tests can stop.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
