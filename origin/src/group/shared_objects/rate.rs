//! The rate of a client's messages to shared objects.
//!
//! Every message takes a token, and so do every few kilobytes of answers. Without a token the
//! client's messages wait, and with them its credit, so that its edge stops reading it. Messages
//! that have waited for a while are merged into one, in which only the last value of a slot counts.
//! No message is refused for coming too fast, until messages come ten times too fast.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tributary_protocol::shared_object::SharedObjectMessage;

use super::ObjectId;
use crate::group::client::limits::PENDING_BYTES;

/// A session's use of shared objects.
#[derive(Debug)]
pub(in crate::group) struct Uses {
    objects: Vec<ObjectId>,
    /// One for each message; none, or a debt, while messages wait.
    tokens: Bucket,
    /// One for each message, from a bucket ten times as large.
    flood: Bucket,
    waiting: VecDeque<(SharedObjectMessage, usize)>,
    waiting_bytes: usize,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Option<Instant>,
}

/// The treatment of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admit {
    Now,
    /// The message waits with others.
    Later,
    /// The message waits, and is the first to do so.
    First,
    /// The session is to be closed.
    Flood,
}

/// Messages of one object that are merged.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) messages: Vec<SharedObjectMessage>,
    pub(super) bytes: usize,
}

/// The shortest time for which messages wait. Reason: a client that is too fast costs its group one
/// batch in this time.
pub(super) const GATHER: Duration = Duration::from_millis(50);

/// How many seconds' worth of messages a session may send at once.
const BURST: f64 = 4.0;

/// How much faster than allowed a session may be before it is closed.
const FLOOD: f64 = 10.0;

/// The bytes of answers that cost as much as a message. Reason: a client that uses a large object
/// again and again gets all of it each time.
const ANSWER: f64 = 4_096.0;

impl Uses {
    pub(in crate::group) fn new() -> Self {
        Self {
            objects: Vec::new(),
            tokens: Bucket::new(),
            flood: Bucket::new(),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    pub(super) fn add(&mut self, id: ObjectId) {
        if !self.objects.contains(&id) {
            self.objects.push(id);
        }
    }

    pub(super) fn remove(&mut self, id: ObjectId) {
        self.objects.retain(|&used| used != id);
    }

    pub(super) fn objects(&self) -> &[ObjectId] {
        &self.objects
    }

    /// Takes a message's tokens. Keeps the message if it has to wait, as every message does while
    /// the store is behind.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        rate: u32,
        behind: bool,
        message: SharedObjectMessage,
        bytes: usize,
    ) -> (Admit, Option<SharedObjectMessage>) {
        let rate = f64::from(rate);
        self.tokens.refill(now, rate);
        self.flood.refill(now, rate * FLOOD);
        self.flood.tokens -= 1.0;
        if self.flood.tokens < 0.0 {
            return (Admit::Flood, None);
        }
        if !behind && self.waiting.is_empty() && self.tokens.tokens >= 1.0 {
            self.tokens.tokens -= 1.0;
            return (Admit::Now, Some(message));
        }
        self.waiting_bytes += bytes;
        if self.waiting_bytes > PENDING_BYTES {
            return (Admit::Flood, None);
        }
        self.waiting.push_back((message, bytes));
        let first = self.waiting.len() == 1;
        (if first { Admit::First } else { Admit::Later }, None)
    }

    /// Takes the tokens for an answer of so many bytes.
    pub(super) fn answered(&mut self, bytes: usize) {
        self.tokens.tokens -= (bytes as f64 / ANSWER).floor();
    }

    /// When the messages that wait may be handled.
    pub(super) fn due(&self, now: Instant, rate: u32) -> Instant {
        let missing = (1.0 - self.tokens.tokens).max(0.0) / f64::from(rate.max(1));
        let wait = Duration::try_from_secs_f64(missing).unwrap_or(LONGEST);
        now + wait.clamp(GATHER, LONGEST)
    }

    /// Takes the messages that wait, by object, in order. Each costs a token.
    pub(super) fn gather(&mut self) -> Vec<Gathered> {
        self.waiting_bytes = 0;
        let mut gathered: Vec<Gathered> = Vec::new();
        for (message, bytes) in std::mem::take(&mut self.waiting) {
            match gathered.last_mut() {
                Some(last) if last.messages[0].name == message.name => {
                    last.messages.push(message);
                    last.bytes += bytes;
                }
                _ => gathered.push(Gathered {
                    messages: vec![message],
                    bytes,
                }),
            }
        }
        self.tokens.tokens -= gathered.len() as f64;
        gathered
    }

    /// Whether there are tokens for the messages that wait.
    pub(super) fn may_go_on(&mut self, now: Instant, rate: u32) -> bool {
        self.tokens.refill(now, f64::from(rate));
        self.tokens.tokens >= 1.0
    }
}

impl Bucket {
    fn new() -> Self {
        Self {
            tokens: 0.0,
            at: None,
        }
    }

    fn refill(&mut self, now: Instant, rate: f64) {
        let most = rate * BURST;
        let elapsed = self.at.map(|at| now.saturating_duration_since(at));
        let more = elapsed.map_or(most, |elapsed| elapsed.as_secs_f64() * rate);
        self.tokens = (self.tokens + more).min(most);
        self.at = Some(now);
    }
}

/// The longest time that a batch waits.
const LONGEST: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tributary_protocol::shared_object::Flags;

    use super::*;

    fn message(name: &str) -> SharedObjectMessage {
        SharedObjectMessage {
            name: name.to_owned(),
            version: 0,
            flags: Flags::default(),
            events: Vec::new(),
        }
    }

    fn admit(uses: &mut Uses, now: Instant, name: &str) -> Admit {
        uses.admit(now, 10, false, message(name), 50).0
    }

    #[test]
    fn beyond_the_burst_messages_wait_and_gather_by_object() {
        let (mut uses, start) = (Uses::new(), Instant::now());
        for _ in 0..40 {
            assert_eq!(admit(&mut uses, start, "a"), Admit::Now);
        }
        assert_eq!(admit(&mut uses, start, "a"), Admit::First);
        for name in ["a", "b", "b", "a"] {
            assert_eq!(admit(&mut uses, start, name), Admit::Later);
        }
        assert_eq!(uses.due(start, 10), start + Duration::from_millis(100));
        assert!(!uses.may_go_on(start, 10));
        assert!(uses.may_go_on(start + Duration::from_millis(100), 10));
        let gathered: Vec<_> = uses
            .gather()
            .into_iter()
            .map(|of| (of.messages[0].name.clone(), of.messages.len(), of.bytes))
            .collect();
        let expected = [("a", 2, 100), ("b", 2, 100), ("a", 1, 50)];
        assert_eq!(
            gathered,
            expected.map(|(name, count, bytes)| (name.to_owned(), count, bytes))
        );
        // Three batches took three tokens.
        assert!(uses.due(start, 10) > start + Duration::from_millis(200));
    }

    #[test]
    fn ten_times_too_fast_is_a_flood() {
        let (mut uses, start) = (Uses::new(), Instant::now());
        let mut admitted = 0;
        while admit(&mut uses, start, "a") != Admit::Flood {
            admitted += 1;
        }
        assert_eq!(admitted, 400);
    }

    #[test]
    fn long_answers_cost_as_much_as_many_messages() {
        let (mut uses, start) = (Uses::new(), Instant::now());
        assert_eq!(admit(&mut uses, start, "a"), Admit::Now);
        uses.answered(100);
        assert_eq!(admit(&mut uses, start, "a"), Admit::Now);
        uses.answered(1_000_000);
        assert_eq!(admit(&mut uses, start, "a"), Admit::First);
        assert_eq!(uses.due(start, 10), start + LONGEST);
    }
}
