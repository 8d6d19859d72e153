//! A simulated edge whose origin's process dies or hands over, and starts anew: a virtual clock, a pipe that
//! breaks, and a printed seed. After each run the history of every session is checked.
//!
//! | invariant | |
//! |---|---|
//! | once | a call is carried out at most once, over all processes |
//! | answered | a call is answered exactly once |
//! | repeated | a command of the server is carried out, and in the order in which it was sent |
//! | told | a process knows of all that the client was told by those before it |
//! | left | of each client that leaves, a process that knows it hears of its end |
//! | whole | if no process dies, and each that ends has settled, every call is carried out and has its result |

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::*;
use crate::{
    TransactionId,
    amf::ObjectEncoding,
    command::Command,
    link::{CloseReason, HandedOver, Record},
    mutant::Mutant,
};

/// One process of the origin, with its application.
struct Process {
    lane: OriginLane,
    mail: VecDeque<(SessionId, Message)>,
    /// The newest setting of each session that the process knows.
    settings: HashMap<SessionId, u32>,
    /// Messages taken up, of each session.
    taken: HashMap<SessionId, u64>,
    /// Calls that are not answered yet.
    open: Vec<(SessionId, TransactionId)>,
}

/// The fate of one message of a client.
#[derive(Clone, Debug, Default)]
struct Fate {
    carried_out: u32,
    answers: Vec<&'static str>,
}

struct Run {
    now: Instant,
    rng: StdRng,
    edge: EdgeLane,
    process: Process,
    to_origin: Pipe,
    to_edge: Pipe,
    connected: bool,
    fates: BTreeMap<(SessionId, u32), Fate>,
    kinds: BTreeMap<(SessionId, u32), Sent>,
    /// The newest setting that the client was told of.
    told: HashMap<SessionId, u32>,
    /// The commands of the server in the order in which they were carried out by the present process.
    order: HashMap<SessionId, Vec<u32>>,
    sent: HashMap<SessionId, u32>,
    /// The sessions whose clients have left, and those of whose end a process has heard.
    left: HashSet<SessionId>,
    ended: HashSet<SessionId>,
    /// Whether no process has ended but after it has settled.
    is_whole: bool,
    violations: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// A call of a method of the application.
    Call,
    /// A command of the server, which sets what the client is told.
    Own,
}

const SESSIONS: u64 = 6;

/// The transaction of the connect; no message of a client has it.
const CONNECT: TransactionId = TransactionId(1e6);

impl Process {
    fn new(lane: OriginLane) -> Self {
        Self {
            lane,
            mail: VecDeque::new(),
            settings: HashMap::new(),
            taken: HashMap::new(),
            open: Vec::new(),
        }
    }

    fn say(&mut self, session: SessionId, name: &str, transaction: TransactionId, number: u32) {
        let (kind, payload) = Command::new(name, transaction).encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(number),
            payload,
        };
        let after = None;
        self.lane
            .send(session, ToSession::Message { message, after });
    }
}

fn lane() -> OriginLane {
    OriginLane::new(1 << 24, CreditBudget::new(1 << 24))
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut run = Self {
            now: start(),
            rng: StdRng::seed_from_u64(seed),
            edge: EdgeLane::default().keeping(),
            process: Process::new(lane()),
            to_origin: Pipe::default(),
            to_edge: Pipe::default(),
            connected: false,
            fates: BTreeMap::new(),
            kinds: BTreeMap::new(),
            told: HashMap::new(),
            order: HashMap::new(),
            sent: HashMap::new(),
            left: HashSet::new(),
            ended: HashSet::new(),
            is_whole: true,
            violations: Vec::new(),
        };
        run.connect();
        for number in 1..=SESSIONS {
            let open = OpenSession {
                peer: "192.0.2.1:1".parse().unwrap(),
                protocol: "rtmp".into(),
                connect: Bytes::from_static(b"connect"),
                claims: claims_of(SessionId(number)),
            };
            run.edge.send(SessionId(number), FromSession::Open(open));
        }
        run.steps(100);
        run
    }

    fn connect(&mut self) {
        self.edge_events();
        self.edge.connected(self.process.lane.received()).unwrap();
        let lane = &mut self.process.lane;
        lane.connected(self.now, self.edge.received()).unwrap();
        self.connected = true;
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.to_origin.packets.clear();
        self.to_edge.packets.clear();
        self.edge.disconnected();
        self.process.lane.disconnected();
    }

    /// The process dies with what it has not sent; the edge brings its sessions to the next.
    fn crash(&mut self) {
        self.is_whole = false;
        self.go_on_at_next();
    }

    /// The process carries out what it has received, or a part of it, and hands over.
    fn hand_over(&mut self, settled: bool) {
        self.is_whole &= settled;
        self.process.lane.stop_receiving();
        self.origin_events();
        while (settled || self.rng.random_bool(0.8))
            && let Some((session, message)) = self.process.mail.pop_front()
        {
            self.handle(session, &message);
        }
        while settled && let Some((session, transaction)) = self.process.open.pop() {
            self.process.say(session, "_result", transaction, 0);
        }
        let origin = String::new();
        self.process.lane.hand_over(HandedOver { settled, origin });
        // Nothing that the process does from here on reaches anybody.
        self.process.mail.clear();
        self.process.open.clear();
        while !self.process.lane.is_handed_over() {
            match self.rng.random_range(0..20) {
                0 if self.connected => self.disconnect(),
                0..8 if !self.connected => self.connect(),
                _ => {}
            }
            if self.rng.random_bool(0.2) {
                let session = SessionId(self.rng.random_range(1..=SESSIONS));
                match self.rng.random_bool(0.1) {
                    true => self.leave(session),
                    false if !self.left.contains(&session) => self.send(session),
                    false => {}
                }
            }
            self.step();
        }
        assert!(self.edge.is_handed_over());
        self.go_on_at_next();
    }

    fn go_on_at_next(&mut self) {
        self.disconnect();
        let mut next = EdgeLane::default().keeping();
        for number in 1..=SESSIONS {
            let session = SessionId(number);
            if !self.left.contains(&session) {
                let salvaged = self.edge.salvage(session).expect("it was accepted");
                next.restore(session, salvaged, []);
            }
        }
        for (session, salvaged) in self.edge.salvage_departed() {
            next.restore(session, salvaged, []);
        }
        next.end_restore();
        self.edge = next;
        self.process = Process::new(lane().restoring());
        self.order.clear();
        self.connect();
    }

    fn send(&mut self, session: SessionId) {
        let number = self.sent.entry(session).or_insert(0);
        *number += 1;
        let number = *number;
        let (kind, name) = match self.rng.random_bool(0.5) {
            true => (Sent::Call, "count"),
            false => (Sent::Own, "createStream"),
        };
        let command = Command::new(name, TransactionId(number.into()));
        let (message_kind, payload) = command.encode(ObjectEncoding::Amf0);
        self.kinds.insert((session, number), kind);
        self.fates.entry((session, number)).or_default();
        self.edge.send(
            session,
            FromSession::Message {
                generation: Generation(0),
                message: Message {
                    kind: message_kind,
                    stream: MessageStreamId(0),
                    timestamp: RtmpTimestamp(number),
                    payload,
                },
            },
        );
    }

    /// The client of a session leaves.
    fn leave(&mut self, session: SessionId) {
        if self.left.insert(session) {
            self.edge
                .send(session, FromSession::Close(CloseReason::Client));
        }
    }

    fn step(&mut self) {
        self.now += STEP;
        let now = self.now;
        while self
            .to_origin
            .packets
            .front()
            .is_some_and(|(at, _)| *at <= now)
        {
            let (_, bytes) = self.to_origin.packets.pop_front().unwrap();
            self.process.lane.handle_bytes(now, &bytes).unwrap();
        }
        while self
            .to_edge
            .packets
            .front()
            .is_some_and(|(at, _)| *at <= now)
        {
            let (_, bytes) = self.to_edge.packets.pop_front().unwrap();
            self.edge.handle_bytes(now, &bytes).unwrap();
        }
        self.origin_events();
        self.handle_mail();
        self.edge_events();
        let delay = Duration::from_millis(self.rng.random_range(1..4));
        while let Some(bytes) = self.edge.poll_transmit(now) {
            self.to_origin.packets.push_back((now + delay, bytes));
        }
        while let Some(bytes) = self.process.lane.poll_transmit(now) {
            self.to_edge.packets.push_back((now + delay, bytes));
        }
        self.edge_events();
    }

    fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.step();
        }
    }

    fn origin_events(&mut self) {
        while let Some(event) = self.process.lane.poll_event() {
            match event {
                OriginEvent::Session {
                    session,
                    event: FromSession::Open(_),
                } => {
                    self.process.lane.send(session, ToSession::Accept);
                    self.process.say(session, "_result", CONNECT, 0);
                }
                OriginEvent::Session {
                    session,
                    event: FromSession::Message { message, .. },
                } => self.process.mail.push_back((session, message)),
                OriginEvent::Session {
                    session,
                    event: FromSession::Close(_),
                } => {
                    self.ended.insert(session);
                    self.process.mail.retain(|(of, _)| *of != session);
                    self.process.open.retain(|(of, _)| *of != session);
                }
                OriginEvent::Restored { session, restored } => {
                    assert_eq!(restored.open.claims, claims_of(session), "of {session}");
                    let setting = restored.records.first().map_or(0, |record| {
                        u32::from_be_bytes(record.bytes[..].try_into().unwrap())
                    });
                    let told = self.told.get(&session).copied().unwrap_or(0);
                    if setting < told {
                        let text = format!("told: {session} knows {told}, the process {setting}");
                        self.violations.push(text);
                    }
                    self.process.settings.insert(session, setting);
                    self.process.lane.send(session, ToSession::Restored);
                    for transaction in restored.unanswered {
                        self.process.say(session, "_error", transaction, 0);
                    }
                }
                _ => {}
            }
        }
    }

    fn handle_mail(&mut self) {
        for _ in 0..self.rng.random_range(0..8) {
            let Some((session, message)) = self.process.mail.pop_front() else {
                break;
            };
            self.handle(session, &message);
        }
        if self.rng.random_bool(0.05)
            && let Some((session, transaction)) = self.process.open.pop()
        {
            self.process.say(session, "_result", transaction, 0);
        }
    }

    fn handle(&mut self, session: SessionId, message: &Message) {
        let number = message.timestamp.0;
        let (name, transaction) = Command::peek(message.kind, &message.payload).unwrap();
        let fate = self.fates.get_mut(&(session, number)).unwrap();
        fate.carried_out += 1;
        if name == "count" {
            match self.rng.random_range(0..4) {
                0 => self.process.open.push((session, transaction)),
                _ => self.process.say(session, "_result", transaction, 0),
            }
        } else {
            self.order.entry(session).or_default().push(number);
            let setting = self.process.settings.entry(session).or_default();
            *setting = number.max(*setting);
            let setting = *setting;
            let bytes = Bytes::copy_from_slice(&setting.to_be_bytes());
            let record = Record { part: 0, bytes };
            self.process.lane.send(session, ToSession::Remember(record));
            self.process.say(session, "_result", transaction, setting);
        }
        let taken = self.process.taken.entry(session).or_default();
        *taken += 1;
        let taken = *taken;
        self.process
            .lane
            .consumed(self.now, session, message.payload.len());
        self.process.lane.send(session, ToSession::Handled(taken));
    }

    fn edge_events(&mut self) {
        while let Some(event) = self.edge.poll_event() {
            let EdgeEvent::Session {
                session,
                order: ToSession::Message { message, .. },
            } = event
            else {
                continue;
            };
            let (name, transaction) = Command::peek(message.kind, &message.payload).unwrap();
            let name = if name == "_result" {
                "_result"
            } else {
                "_error"
            };
            if transaction == CONNECT {
                continue;
            }
            let number = transaction.0 as u32;
            let fate = self.fates.get_mut(&(session, number)).unwrap();
            fate.answers.push(name);
            let told = self.told.entry(session).or_default();
            *told = message.timestamp.0.max(*told);
        }
    }

    /// Runs to the end, and checks the history.
    fn finish(mut self) -> Vec<String> {
        if !self.connected {
            self.connect();
        }
        for _ in 0..400 {
            self.steps(5);
            // Every call is answered in the end.
            while let Some((session, transaction)) = self.process.open.pop() {
                self.process.say(session, "_result", transaction, 0);
            }
        }
        for session in self.left.difference(&self.ended) {
            self.violations.push(format!(
                "left: no process has heard of the end of {session}"
            ));
        }
        for (key, fate) in &self.fates {
            match self.kinds[key] {
                Sent::Call if fate.carried_out > 1 => {
                    self.violations.push(format!("once: call {key:?} {fate:?}"));
                }
                // The client waits for no answer.
                _ if self.left.contains(&key.0) => {}
                Sent::Call if fate.answers.len() != 1 => {
                    self.violations
                        .push(format!("answered: call {key:?} {fate:?}"));
                }
                Sent::Call
                    if self.is_whole
                        && (fate.carried_out, &fate.answers[..]) != (1, &["_result"]) =>
                {
                    self.violations
                        .push(format!("whole: call {key:?} {fate:?}"));
                }
                Sent::Own if fate.carried_out == 0 || fate.answers.is_empty() => {
                    self.violations.push(format!("repeated: {key:?} {fate:?}"));
                }
                _ => {}
            }
        }
        for (session, numbers) in &self.order {
            if !numbers.is_sorted() {
                self.violations
                    .push(format!("repeated: of {session} in the order {numbers:?}"));
            }
        }
        self.violations
    }
}

/// One run of a seed. Returns what is violated.
fn run(seed: u64) -> Vec<String> {
    let mut run = Run::new(seed);
    let dies = seed.is_multiple_of(2);
    for _ in 0..400 {
        for number in 1..=SESSIONS {
            let session = SessionId(number);
            if run.rng.random_bool(0.08) && !run.left.contains(&session) {
                run.send(session);
            }
        }
        if run.rng.random_bool(0.01) {
            let session = SessionId(run.rng.random_range(1..=SESSIONS));
            run.leave(session);
        }
        match run.rng.random_range(0..100) {
            0 | 1 if dies && run.rng.random_bool(0.7) => run.crash(),
            0 | 1 => {
                let settled = !dies || run.rng.random_bool(0.5);
                run.hand_over(settled);
            }
            2 | 3 if run.connected => run.disconnect(),
            4..8 if !run.connected => run.connect(),
            _ => {}
        }
        run.step();
    }
    run.finish()
}

#[test]
fn sessions_go_on_at_the_next_process() {
    for seed in 0..100 {
        assert_eq!(run(seed), [""; 0], "seed {seed}");
    }
}

#[test]
#[ignore = "takes ten seconds: just restoring"]
fn sessions_go_on_ten_thousand_times() {
    for seed in 0..10_000 {
        assert_eq!(run(seed), [""; 0], "seed {seed}");
    }
}

/// Each invariant is broken by one changed condition of the lane, within some seeds.
#[test]
fn every_mutant_is_caught() {
    for mutant in Mutant::OF_ONE_LANE {
        let _on = mutant.switch_on();
        let caught = (0..200).find_map(|seed| {
            let mut violations = run(seed).into_iter();
            let its_own = violations.find(|it| it.starts_with(mutant.breaks()));
            its_own.map(|first| (seed, first))
        });
        let (seed, first) = caught.unwrap_or_else(|| panic!("{mutant:?} is not caught"));
        eprintln!("{mutant:?}: seed {seed}: {first}");
    }
}
