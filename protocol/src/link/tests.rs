//! A simulated edge and origin over one lane: a virtual clock, pipes with delay that break, and a
//! printed seed.

mod audience_rules;
mod audiences;
mod claims;
mod frames;
mod merging;
mod registry;
mod restoring;
mod scenarios;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{
    ClientClaims, EdgeEvent, EdgeLane, FromSession, Generation, OpenSession, OriginEvent,
    OriginLane, ToSession, credit::CreditBudget,
};
use crate::{Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId};

/// One direction of a connection.
#[derive(Default)]
struct Pipe {
    packets: VecDeque<(Instant, Bytes)>,
}

/// An edge and an origin whose application answers each message with itself.
struct Pair {
    now: Instant,
    rng: StdRng,
    edge: EdgeLane,
    origin: OriginLane,
    budget: CreditBudget,
    to_origin: Pipe,
    to_edge: Pipe,
    delay: Duration,
    connected: bool,
    /// Messages that the application has not handled; it handles at most `speed` a step.
    mail: VecDeque<(SessionId, Message)>,
    speed: usize,
    received: HashMap<SessionId, Vec<u32>>,
    answered: HashMap<SessionId, Vec<u32>>,
    closed_at_edge: Vec<SessionId>,
    closed_at_origin: Vec<SessionId>,
    sent: HashMap<SessionId, u32>,
    /// Messages of audiences that sessions receive, with those from the group to single sessions.
    club: audiences::Club,
}

const STEP: Duration = Duration::from_millis(1);

/// The claims of a session: every second one has some.
fn claims_of(session: SessionId) -> Option<Arc<ClientClaims>> {
    let claims = ClientClaims {
        user: Some(format!("user {session}")),
        json: (session.0 % 4 == 1).then(|| format!("{{\"n\":{session}}}")),
    };
    (session.0 % 2 == 1).then(|| Arc::new(claims))
}

impl Pair {
    fn new(seed: u64, budget: u64) -> Self {
        eprintln!("seed {seed}");
        let budget = CreditBudget::new(budget);
        let mut pair = Self {
            now: start(),
            rng: StdRng::seed_from_u64(seed),
            edge: EdgeLane::default(),
            origin: OriginLane::new(1 << 24, budget.clone()),
            budget,
            to_origin: Pipe::default(),
            to_edge: Pipe::default(),
            delay: Duration::from_millis(5),
            connected: false,
            mail: VecDeque::new(),
            speed: usize::MAX,
            received: HashMap::new(),
            answered: HashMap::new(),
            closed_at_edge: Vec::new(),
            closed_at_origin: Vec::new(),
            sent: HashMap::new(),
            club: audiences::Club::default(),
        };
        pair.connect();
        pair
    }

    fn connect(&mut self) {
        self.edge.connected(self.origin.received()).unwrap();
        self.origin
            .connected(self.now, self.edge.received())
            .unwrap();
        self.connected = true;
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.to_origin.packets.clear();
        self.to_edge.packets.clear();
        self.edge.disconnected();
        self.origin.disconnected();
    }

    fn open(&mut self, session: u64) -> SessionId {
        let id = SessionId(session);
        let open = OpenSession {
            peer: "192.0.2.1:1".parse().unwrap(),
            protocol: "rtmp".into(),
            connect: Bytes::from_static(b"connect"),
            claims: claims_of(id),
        };
        self.edge.send(id, FromSession::Open(open));
        id
    }

    /// Sends the session's next numbered message with a payload of this length.
    fn send(&mut self, session: SessionId, length: usize) {
        let number = self.sent.entry(session).or_default();
        let message = Message {
            kind: MessageType::COMMAND_AMF0,
            stream: MessageStreamId(1),
            timestamp: RtmpTimestamp(*number),
            payload: vec![*number as u8; length].into(),
        };
        *number += 1;
        let generation = Generation(0);
        let event = FromSession::Message {
            generation,
            message,
        };
        self.edge.send(session, event);
    }

    /// One millisecond: deliver, handle, answer, transmit.
    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        self.deliver();
        self.origin_events();
        self.handle_mail();
        self.edge_events();
        self.origin.handle_timeout(now);
        let arrival = now + self.delay;
        while let Some(bytes) = self.edge.poll_transmit(now) {
            self.to_origin.packets.push_back((arrival, bytes));
        }
        while let Some(bytes) = self.origin.poll_transmit(now) {
            self.to_edge.packets.push_back((arrival, bytes));
        }
        self.edge_events();
    }

    fn deliver(&mut self) {
        let now = self.now;
        while self
            .to_origin
            .packets
            .front()
            .is_some_and(|(at, _)| *at <= now)
        {
            let (_, bytes) = self.to_origin.packets.pop_front().unwrap();
            for part in self.pieces(&bytes) {
                self.origin.handle_bytes(now, &part).unwrap();
            }
        }
        while self
            .to_edge
            .packets
            .front()
            .is_some_and(|(at, _)| *at <= now)
        {
            let (_, bytes) = self.to_edge.packets.pop_front().unwrap();
            for part in self.pieces(&bytes) {
                self.edge.handle_bytes(now, &part).unwrap();
            }
        }
    }

    fn pieces(&mut self, bytes: &Bytes) -> [Bytes; 2] {
        let cut = self.rng.random_range(0..=bytes.len());
        [bytes.slice(..cut), bytes.slice(cut..)]
    }

    fn origin_events(&mut self) {
        while let Some(event) = self.origin.poll_event() {
            let (session, event) = match event {
                OriginEvent::Session { session, event } => (session, event),
                OriginEvent::SnapshotWanted { audience } => {
                    self.club.wanted.push(audience);
                    continue;
                }
                _ => continue,
            };
            match event {
                FromSession::Open(open) => {
                    assert_eq!(open.claims, claims_of(session), "of {session}");
                    self.origin.send(session, ToSession::Accept);
                }
                FromSession::Message { message, .. } => self.mail.push_back((session, message)),
                FromSession::Close(_) => self.closed_at_origin.push(session),
                _ => {}
            }
        }
    }

    fn handle_mail(&mut self) {
        for _ in 0..self.speed.min(self.mail.len()) {
            let Some((session, message)) = self.mail.pop_front() else {
                break;
            };
            self.received
                .entry(session)
                .or_default()
                .push(message.timestamp.0);
            let bytes = message.payload.len();
            self.origin.send(
                session,
                ToSession::Message {
                    message,
                    after: None,
                },
            );
            self.origin.consumed(self.now, session, bytes);
        }
    }

    fn edge_events(&mut self) {
        while let Some(event) = self.edge.poll_event() {
            self.club.edge_event(&event);
            let EdgeEvent::Session { session, order } = event else {
                continue;
            };
            match order {
                // Messages of other types belong to the club.
                ToSession::Message { message, .. } if message.kind == MessageType::COMMAND_AMF0 => {
                    let number = message.timestamp.0;
                    assert!(message.payload.iter().all(|&byte| byte == number as u8));
                    self.answered.entry(session).or_default().push(number);
                }
                ToSession::Close(_) => self.closed_at_edge.push(session),
                _ => {}
            }
        }
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    /// Asserts that every message and every answer of every session arrived once, in order.
    fn assert_exact(&self) {
        for (session, &count) in &self.sent {
            let all: Vec<u32> = (0..count).collect();
            assert_eq!(
                self.received.get(session),
                Some(&all),
                "received of session {session}"
            );
            assert_eq!(
                self.answered.get(session),
                Some(&all),
                "answers of session {session}"
            );
        }
    }

    fn assert_settled(&self) {
        assert_eq!(self.edge.retained(), 0);
        assert_eq!(self.origin.retained(), 0);
        assert_eq!(self.budget.used(), 0);
    }
}

/// The start of virtual time.
#[allow(clippy::disallowed_methods)] // `Instant` offers no other beginning.
pub(super) fn start() -> Instant {
    Instant::now()
}
