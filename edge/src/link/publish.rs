//! The rings between clients that publish and the link.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    time::{Instant, timeout_at},
};
use tributary_node::feed::FeedSource;
#[cfg(test)]
use tributary_protocol::link::{LiveId, WriterId};
use tributary_protocol::{
    Message,
    link::Target,
    media,
    ring::{Cursor, Ring, RingLimits, Start},
};

mod parcel;

pub use parcel::MovedFeed;

#[cfg(test)]
pub(crate) use super::hold::HOLD;
use super::hold::Hold;

/// The client's end of an accepted publish, which takes its media. Its drop ends the feed once all
/// media is sent.
pub struct PublishFeed {
    shared: Arc<PublishState>,
}

/// The link's end of a [`PublishFeed`].
#[derive(Debug)]
pub struct PublishSource {
    shared: Arc<PublishState>,
    pub(super) cursor: Cursor,
    /// Whether another process has begun the feed.
    pub(super) is_moved: bool,
}

/// The publish that a feed carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublishTarget {
    /// The number of the origin process that has accepted it.
    pub(crate) process: u64,
    pub(crate) target: Target,
}

struct PublishState {
    of: PublishTarget,
    /// The epoch of the newest feed.
    epoch: AtomicU64,
    /// The begin of the ring.
    begin: Cursor,
    media: Mutex<Media>,
    /// Notified by messages that wake the feed, and at the end.
    changed: Notify,
    finished: AtomicBool,
}

struct Media {
    ring: Ring<Message>,
    hold: Hold,
}

/// The limits of a published stream's ring towards the link. Reason: a group of pictures outlasts a
/// short outage, so that the feed goes on from a key frame.
const LIMITS: RingLimits = RingLimits {
    bytes: 8 << 20,
    messages: 4096,
    span: Duration::from_secs(10),
    // A feed skips what is older than 2 s.
    late: Duration::from_secs(3),
};

impl PublishFeed {
    /// The feed of a publish of no origin.
    #[cfg(test)]
    pub(crate) fn new() -> (Self, PublishSource) {
        Self::of(PublishTarget {
            process: 0,
            target: Target {
                live: LiveId(0),
                writer: WriterId(0),
            },
        })
    }

    /// The feed of an accepted publish.
    pub(crate) fn of(publish: PublishTarget) -> (Self, PublishSource) {
        let ring = Ring::new(LIMITS);
        let begin = ring.join(Start::Live);
        let shared = PublishState::new(publish, 0, begin, ring);
        let source = PublishSource {
            shared: Arc::clone(&shared),
            cursor: begin,
            is_moved: false,
        };
        (Self { shared }, source)
    }

    /// Appends a message. Never blocks: media that the link cannot take in time is shed, video
    /// first.
    pub fn push(&self, message: Message) {
        let class = media::classify(message.kind, &message.payload);
        self.shared.change(|media| {
            let wakes = media.hold.push(&message);
            media.ring.push(class, message.timestamp, message);
            wakes
        });
    }

    /// Takes the newest whole group of pictures of another feed and all after it, with what is in force there: this feed goes on
    /// with the same publish at another process of the origin.
    pub(crate) fn go_on_from(&self, before: &Self) {
        let mut newest = Vec::new();
        {
            let media = before.shared.media();
            let mut cursor = media.ring.join(Start::Gop);
            while let Some(delivery) = media.ring.next(&mut cursor, Duration::MAX) {
                newest.push(delivery.item.into_owned());
            }
        }
        for message in newest {
            self.push(message);
        }
    }

    /// Notes whether the live stream has readers. Without readers, messages may wait for each other
    /// before they leave; with readers, each leaves at once.
    pub fn set_read(&self, read: bool) {
        self.shared.change(|media| media.hold.set_read(read));
    }

    /// Lets all messages leave that wait for others.
    pub(crate) fn flush(&self) {
        self.shared.change(|media| media.hold.flush());
    }
}

impl Drop for PublishFeed {
    fn drop(&mut self) {
        self.shared.finished.store(true, Ordering::Release);
        self.shared.changed.notify_waiters();
    }
}

impl fmt::Debug for PublishFeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

impl PublishSource {
    pub(super) fn publish(&self) -> PublishTarget {
        self.shared.of
    }

    /// The epoch of the next feed.
    pub(super) fn next_epoch(&self) -> u64 {
        self.shared.epoch.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl PublishState {
    fn new(of: PublishTarget, epoch: u64, begin: Cursor, ring: Ring<Message>) -> Arc<Self> {
        Arc::new(Self {
            of,
            epoch: AtomicU64::new(epoch),
            begin,
            media: Mutex::new(Media {
                ring,
                hold: Hold::default(),
            }),
            changed: Notify::new(),
            finished: AtomicBool::new(false),
        })
    }

    fn media(&self) -> MutexGuard<'_, Media> {
        self.media.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change, which returns whether it wakes the feed.
    fn change(&self, change: impl FnOnce(&mut Media) -> bool) {
        let wakes = change(&mut self.media());
        if wakes {
            self.changed.notify_waiters();
        }
    }
}

impl fmt::Debug for PublishState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishFeed").finish_non_exhaustive()
    }
}

impl FeedSource for PublishSource {
    fn with_ring<R>(&self, read: impl FnOnce(&Ring<Message>) -> R) -> R {
        read(&self.shared.media().ring)
    }

    /// No message is missed. The future that a wake-up ends is made before the lock is taken, and
    /// the caller reads the ring after this call. Under the lock the hold decides about each message:
    ///
    /// * A message before this call's turn at the lock is in the ring when the caller reads it.
    /// * A message after it either wakes the feed, whose future is there already, or waits for the
    ///   end of a hold, at which the future ends by itself. A hold only begins here, so that its end
    ///   is in the newest future; a hold that ends earlier wakes the feed if a message waits.
    fn changed(&self) -> impl Future<Output = ()> {
        let woken = self.shared.changed.notified();
        let until = self.shared.media().hold.begin(Instant::now().into_std());
        async move {
            match until {
                Some(until) => {
                    // Either outcome is a reason to read.
                    let _ = timeout_at(until.into(), woken).await;
                }
                None => woken.await,
            }
        }
    }

    fn is_finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicU32, thread};

    use tokio::task::spawn_blocking;
    use tributary_protocol::{MessageStreamId, MessageType, RtmpTimestamp};

    use super::{
        super::hold::{HELD_BYTES, HOLD},
        *,
    };

    fn message(number: u32, length: usize) -> Message {
        let mut payload = vec![0xaf, 1];
        payload.resize(length.max(2), 0);
        Message {
            kind: MessageType::AUDIO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(number),
            payload: payload.into(),
        }
    }

    /// The times of the messages that the feed reads.
    fn take(source: &PublishSource, cursor: &mut Cursor) -> Vec<u32> {
        source.with_ring(|ring| {
            let deliveries = std::iter::from_fn(|| ring.next(cursor, Duration::MAX));
            deliveries.map(|delivery| delivery.timestamp.0).collect()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn messages_without_readers_leave_together_and_the_end_takes_them_along() {
        let (feed, source) = PublishFeed::new();
        let mut cursor = source.cursor;
        feed.set_read(false);
        feed.push(message(0, 0));
        drop(source.changed());
        assert_eq!(take(&source, &mut cursor), [0]);
        for first in [1, 4] {
            let begun = Instant::now();
            let changed = source.changed();
            (first..first + 3).for_each(|number| feed.push(message(number, 0)));
            changed.await;
            assert!(begun.elapsed() >= HOLD, "{:?}", begun.elapsed());
            drop(source.changed());
            assert_eq!(take(&source, &mut cursor), [first, first + 1, first + 2]);
        }
        let begun = Instant::now();
        let changed = source.changed();
        feed.push(message(7, 0));
        drop(feed);
        changed.await;
        assert!(begun.elapsed().is_zero());
        assert!(source.is_finished());
        assert_eq!(take(&source, &mut cursor), [7]);
    }

    /// The changes after which held messages leave, besides the time.
    fn release(feed: &PublishFeed, round: u32, number: &mut u32) {
        match round % 3 {
            0 => feed.set_read(true),
            1 => feed.flush(),
            _ => {
                feed.push(message(*number, HELD_BYTES));
                *number += 1;
            }
        }
    }

    /// The clock stands still while a task blocks, so that no hold ends by the time: a wake-up that is
    /// lost stays lost.
    #[tokio::test(start_paused = true)]
    async fn no_wake_up_is_lost_between_threads() {
        let (feed, source) = PublishFeed::new();
        let mut cursor = source.cursor;
        let taken = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&taken);
        let pushing = spawn_blocking(move || {
            let mut number = 0;
            for round in 0..ROUNDS {
                feed.set_read(round % 5 == 0);
                for _ in 0..round % 7 {
                    feed.push(message(number, 0));
                    number += 1;
                }
                release(&feed, round, &mut number);
                let by = std::time::Instant::now() + Duration::from_secs(20);
                while count.load(Ordering::Acquire) < number {
                    if std::time::Instant::now() > by {
                        return Err(round);
                    }
                    thread::yield_now();
                }
            }
            Ok(number)
        });
        let mut all = Vec::new();
        for turn in 0.. {
            // As the writer of feeds reads.
            let changed = source.changed();
            let is_finished = source.is_finished();
            let some = take(&source, &mut cursor);
            if !some.is_empty() {
                taken.fetch_add(some.len() as u32, Ordering::Release);
                all.extend(some);
            } else if is_finished {
                break;
            } else {
                // The other thread pushes before the wait in some turns, and after it began in others.
                thread::sleep(Duration::from_micros(turn % 3 * 20));
                changed.await;
            }
        }
        // The drop of the feed ends the loop above also after a round that was not read.
        let pushed = pushing.await.expect("it does not panic");
        let pushed = pushed.expect("every round is read");
        assert_eq!(all, (0..pushed).collect::<Vec<_>>());
    }

    /// Enough for the two threads to meet in every order.
    const ROUNDS: u32 = 2_000;
}
