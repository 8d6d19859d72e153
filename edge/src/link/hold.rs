//! The times at which the messages of a publish wake its feed.

use std::time::{Duration, Instant};

use tributary_protocol::{Message, RtmpTimestamp};

/// Decides which messages of a publish wake its feed. While its live stream has readers, each does.
/// Otherwise messages wait for each other:
///
/// ```text
///                the feed reads messages
///   each wakes ───────────────────────────► none wakes
///       ▲                                       │
///       ├── after HOLD, if none has come ───────┤
///       └── much is held, a flush, a reader ────┘
/// ```
///
/// After [`HOLD`] the feed reads by itself; if messages have come meanwhile, the next ones wait in
/// the same way.
#[derive(Debug, Default)]
pub(super) struct Hold {
    /// Whether the live stream has no readers.
    unread: bool,
    /// The end of a hold: until then no message wakes the feed, which reads then by itself.
    until: Option<Instant>,
    /// The cost of the messages since the last hold began; the feed may have read some of them.
    cost: usize,
    /// The time of the first of them.
    first: Option<RtmpTimestamp>,
}

/// The longest time for which a message of a publish without readers waits for others. Reason: a
/// wake-up and a packet then serve a dozen messages of an encoder, and a take-over or a crash of the
/// edge loses no more than this.
pub(crate) const HOLD: Duration = Duration::from_millis(250);

/// The cost of held messages at which they leave. Reason: a message of an encoder with 2 Mbit/s
/// waits for the full time; the publish's ring holds far more.
pub(super) const HELD_BYTES: usize = 64 * 1024;

/// The stream time of held messages at which they leave. Reason: half the lag at which the feed
/// skips video, for clients that send faster than in real time.
pub(super) const HELD_SPAN: Duration = Duration::from_secs(1);

/// The cost of a message besides its payload. Reason: 512 messages, an eighth of those that the
/// publish's ring holds, leave in any case.
const MESSAGE_COST: usize = 128;

impl Hold {
    /// Counts a message. Returns whether it wakes the feed.
    pub(super) fn push(&mut self, message: &Message) -> bool {
        self.cost += MESSAGE_COST + message.payload.len();
        // Metadata has time 0 wherever it stands.
        let at = (!message.kind.is_data()).then_some(message.timestamp);
        let first = self.first.or(at);
        self.first = first;
        let span = at
            .zip(first)
            .map_or(0, |(at, first)| at.since(first).unsigned_abs());
        if self.cost >= HELD_BYTES || u128::from(span) >= HELD_SPAN.as_millis() {
            self.until = None;
        }
        self.until.is_none()
    }

    /// Notes whether the live stream has readers. Returns whether the feed has to be woken.
    pub(super) fn set_read(&mut self, read: bool) -> bool {
        self.unread = !read;
        read && self.flush()
    }

    /// Ends a hold. Returns whether the feed has to be woken.
    pub(super) fn flush(&mut self) -> bool {
        self.until.take().is_some() && self.cost > 0
    }

    /// The feed reads after this call. Returns the time at which it reads again, if no message wakes
    /// it before.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Instant> {
        if self.until.is_none_or(|until| now >= until) {
            let has_messages = std::mem::take(&mut self.cost) > 0;
            self.first = None;
            self.until = (self.unread && has_messages).then(|| now + HOLD);
        }
        self.until
    }
}

#[cfg(test)]
mod tests {
    use tributary_node::feed::MAX_LAG;
    use tributary_protocol::{MessageStreamId, MessageType};

    use super::*;

    fn message(at: u32, length: usize) -> Message {
        Message {
            kind: MessageType::AUDIO,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(at),
            payload: vec![0; length].into(),
        }
    }

    /// A hold that has begun at this time.
    fn holding(now: Instant) -> Hold {
        let mut hold = Hold::default();
        hold.set_read(false);
        assert!(hold.push(&message(0, 10)), "nothing is held before");
        assert_eq!(hold.begin(now), Some(now + HOLD));
        hold
    }

    #[test]
    fn each_message_of_a_stream_with_readers_wakes() {
        let mut hold = Hold::default();
        let now = Instant::now();
        for n in 0..10 {
            assert!(hold.push(&message(n, 10)));
            assert_eq!(hold.begin(now), None);
        }
    }

    #[test]
    fn messages_of_an_unread_stream_wait_for_each_other() {
        let now = Instant::now();
        let mut hold = holding(now);
        for n in 1..10 {
            assert!(!hold.push(&message(n, 10)));
            assert_eq!(hold.begin(now + HOLD / 2), Some(now + HOLD));
        }
        // The next ones wait for the next time.
        let now = now + HOLD;
        assert_eq!(hold.begin(now), Some(now + HOLD));
        assert!(!hold.push(&message(11, 10)));
    }

    #[test]
    fn a_silent_publisher_costs_no_timer_and_its_next_message_leaves_at_once() {
        let now = Instant::now();
        let mut hold = holding(now);
        assert_eq!(hold.begin(now + HOLD), None);
        assert_eq!(hold.begin(now + HOLD), None);
        assert!(hold.push(&message(1, 10)));
        assert!(hold.push(&message(2, 10)), "until the feed has read");
    }

    #[test]
    fn a_reader_or_a_flush_ends_a_hold() {
        let now = Instant::now();
        assert!(!holding(now).flush(), "nothing is held");
        let mut hold = holding(now);
        hold.push(&message(1, 10));
        assert!(hold.flush());
        assert!(hold.push(&message(2, 10)), "until the feed has read");
        assert_eq!(hold.begin(now), Some(now + HOLD), "the next hold");
        hold.push(&message(3, 10));
        assert!(hold.set_read(true));
        assert!(hold.push(&message(4, 10)));
        assert_eq!(hold.begin(now), None);
        assert!(hold.push(&message(5, 10)));
    }

    #[test]
    fn what_is_held_is_bounded_in_bytes_messages_and_stream_time() {
        let now = Instant::now();
        let mut hold = holding(now);
        assert!(!hold.push(&message(1, HELD_BYTES / 2)));
        assert!(hold.push(&message(2, HELD_BYTES / 2)));
        assert!(hold.push(&message(3, 0)), "until the feed has read");
        assert_eq!(hold.begin(now), Some(now + HOLD));

        let held = (0..).take_while(|_| !hold.push(&message(3, 0))).count();
        assert_eq!(held, HELD_BYTES / MESSAGE_COST - 1);

        let mut hold = holding(now);
        assert!(!hold.push(&message(5_000, 0)));
        assert!(!hold.push(&message(5_999, 0)));
        assert!(hold.push(&message(6_000, 0)));
        let mut hold = holding(now);
        assert!(!hold.push(&message(5_000, 0)));
        assert!(hold.push(&message(4_000, 0)), "a clock that goes back");
        assert!(2 * HELD_SPAN <= MAX_LAG);
    }
}
