//! Conditions for any bytes that are read as the link's frames, and for any sequence of operations
//! on the two ends of a lane.

#[path = "moving.rs"]
mod moving;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    link::{
        AudienceEvent, AudienceId, ClientClaims, CloseReason, Control, EdgeEvent, EdgeLane,
        EdgeLaneLimits, FrameError, FromSession, Generation, OpenSession, OriginEvent, OriginLane,
        Rate, Recipients, ToAudience, ToSession,
        credit::CreditBudget,
        feed::{Feed, FeedBatch, FeedReader},
        frame::{FrameReader, MAX_BODY},
        lane_frame::{LaneAnswer, OpenLane, ToEdge, ToOrigin},
    },
    shared_object::{Flags, body::Events},
};

use moving::moved;

/// Reads bytes as a stream of frames of every kind. A decoded frame is encoded and decoded again.
pub fn link_frame(input: &[u8]) {
    let (cut, bytes) = match input.split_first() {
        Some((&first, rest)) => (usize::from(first).min(rest.len()), rest),
        None => return,
    };
    let mut reader = FrameReader::new(MAX_BODY);
    for part in [&bytes[..cut], &bytes[cut..]] {
        reader.push(part);
        while let Ok(Some(frame)) = reader.poll_frame() {
            let mut out = BytesMut::new();
            if let Ok(control) = Control::decode(&frame) {
                control.encode(&mut out);
                assert_eq!(Control::decode(&one(&out)).ok(), Some(control));
            }
            out.clear();
            if let Ok(to_origin) = ToOrigin::decode(&frame) {
                to_origin.encode(&mut out);
                assert_eq!(ToOrigin::decode(&one(&out)).ok(), Some(to_origin));
            }
            out.clear();
            if let Ok(to_edge) = ToEdge::decode(&frame) {
                to_edge.encode(&mut out);
                assert_eq!(ToEdge::decode(&one(&out)).ok(), Some(to_edge));
            }
            out.clear();
            if let Ok(open) = OpenLane::decode(&frame) {
                open.encode(&mut out);
                assert_eq!(OpenLane::decode(&one(&out)).ok(), Some(open));
            }
            out.clear();
            if let Ok(answer) = LaneAnswer::decode(&frame) {
                answer.encode(&mut out);
                assert_eq!(LaneAnswer::decode(&one(&out)).ok(), Some(answer));
            }
        }
    }
    let mut feed = FeedReader::new(1 << 16);
    feed.push(bytes);
    while let Ok(Some(frame)) = feed.poll_frame() {
        if let Feed::NewPublication(publication) = frame {
            let mut batch = FeedBatch::default();
            batch.publication(publication);
            let mut again = FeedReader::new(1 << 16);
            again.push(&batch.take().concat());
            assert_eq!(again.poll_frame(), Ok(Some(frame)));
        }
    }
    // Either end of a lane takes any bytes, or returns an error.
    let now = now();
    let _ = OriginLane::new(1 << 16, CreditBudget::new(1 << 20)).handle_bytes(now, bytes);
    let _ = EdgeLane::default().handle_bytes(now, bytes);
}

fn one(wire: &[u8]) -> tributary_protocol::link::frame::Frame {
    let mut reader = FrameReader::new(MAX_BODY);
    reader.push(wire);
    let frame = reader.poll_frame().expect("what was encoded is a frame");
    frame.expect("a whole one")
}

/// Reads bytes as operations on an edge and an origin that keep the rules: whatever the link does,
/// each session's messages arrive once, whole and in order, in both directions. Some lost links take
/// the edge's process with them: another one goes on with the lane.
pub fn session_ops(input: &[u8]) {
    let mut pair = Pair::new();
    for op in input.chunks_exact(3) {
        pair.obey(op[0], op[1], op[2]);
        pair.settle();
    }
    pair.finish();
}

/// The edge's end of a lane. Beside a lane that has moved to another process, it holds the one that has
/// not: both do the same.
#[derive(Default)]
struct Edge {
    lane: EdgeLane,
    stays: Option<EdgeLane>,
}

impl Edge {
    /// Moves the lane, which is disconnected, to another process.
    fn replace(&mut self, now: Instant) {
        let limits = EdgeLaneLimits {
            rate: Rate::default(),
            sessions: SESSIONS as usize,
        };
        let moves = moved(&self.lane, now, limits);
        self.stays = Some(std::mem::replace(&mut self.lane, moves));
    }

    /// Does the same with both.
    fn both<T: PartialEq + std::fmt::Debug>(&mut self, act: impl Fn(&mut EdgeLane) -> T) -> T {
        let done = act(&mut self.lane);
        if let Some(stays) = &mut self.stays {
            assert_eq!(done, act(stays));
            assert_eq!(self.lane.poll_timeout(), stays.poll_timeout());
            assert_eq!(self.lane.retained(), stays.retained());
            assert_eq!(self.lane.is_settled(), stays.is_settled());
            assert_eq!(self.lane.has_history(), stays.has_history());
            assert_eq!(self.lane.has_accepted(), stays.has_accepted());
            assert_eq!(self.lane.session_count(), stays.session_count());
        }
        done
    }

    fn send(&mut self, session: SessionId, event: &FromSession) {
        self.both(|lane| lane.send(session, event.clone()));
    }

    fn connected(&mut self, received: u64) -> Result<(), FrameError> {
        self.both(|lane| lane.connected(received))
    }

    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) -> Result<(), FrameError> {
        self.both(|lane| lane.handle_bytes(now, bytes))
    }

    fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        self.both(|lane| lane.poll_transmit(now))
    }

    fn poll_event(&mut self) -> Option<EdgeEvent> {
        self.both(EdgeLane::poll_event)
    }
}

struct Pair {
    now: Instant,
    edge: Edge,
    origin: OriginLane,
    budget: CreditBudget,
    connected: bool,
    to_origin: VecDeque<u8>,
    to_edge: VecDeque<u8>,
    /// Messages that the group has not handled.
    mail: VecDeque<(SessionId, usize)>,
    sessions: BTreeMap<SessionId, State>,
    /// The members of audiences in the orders to the origin and in the events of the edge, and
    /// whether they stand aside.
    members: BTreeMap<AudienceId, BTreeMap<SessionId, bool>>,
    seated: BTreeMap<AudienceId, BTreeMap<SessionId, bool>>,
    /// The number of the last message towards the edge.
    stamp: u32,
}

/// Messages sent and arrived, towards the origin and towards the edge.
#[derive(Default)]
struct State {
    sent: [u32; 2],
    arrived: [u32; 2],
    /// The numbers of the messages that must arrive, in order.
    expected: VecDeque<u32>,
    over: bool,
}

const SESSIONS: u64 = 24;
const AUDIENCES: u32 = 4;

/// An audience could lapse above this.
const MOST_RETAINED: usize = 8 << 20;

impl Pair {
    fn new() -> Self {
        let budget = CreditBudget::new(1 << 17);
        let mut pair = Self {
            now: now(),
            edge: Edge::default(),
            origin: OriginLane::new(1 << 17, budget.clone()),
            budget,
            connected: false,
            to_origin: VecDeque::new(),
            to_edge: VecDeque::new(),
            mail: VecDeque::new(),
            sessions: BTreeMap::new(),
            members: BTreeMap::new(),
            seated: BTreeMap::new(),
            stamp: 0,
        };
        pair.connect();
        pair
    }

    fn obey(&mut self, op: u8, which: u8, much: u8) {
        let session = SessionId(u64::from(which) % SESSIONS);
        let length = usize::from(much) * usize::from(much);
        let audience = AudienceId(u32::from(much) % AUDIENCES);
        match op % 16 {
            0 => self.open(session),
            1 => self.send(session, length),
            2 => {
                let reason = CloseReason::ALL[usize::from(much) % 6];
                self.edge.send(session, &FromSession::Close(reason));
                self.end(session);
            }
            3 => self.tell(session, length),
            4 => {
                self.origin
                    .send(session, ToSession::Close(CloseReason::Application));
                self.end(session);
            }
            5 => self.deliver_to_origin(length),
            6 => self.deliver_to_edge(length),
            7 if self.connected => {
                self.disconnect();
                if which.is_multiple_of(2) {
                    self.edge.replace(self.now);
                }
            }
            7 if which.is_multiple_of(4) => self.edge.replace(self.now),
            7 => self.connect(),
            8 => self.now += Duration::from_millis(u64::from(much)),
            10 => self.begin_or_end(audience, which == 0),
            11 => self.join_or_leave(audience, session),
            12 => self.send_all(audience, Recipients::All, which),
            13 => self.send_all(audience, Recipients::AllBut(session), which),
            14 => self.stand(audience, session),
            15 => self.send_all(audience, Recipients::One(session), which),
            _ => self.handle(usize::from(much)),
        }
    }

    fn open(&mut self, session: SessionId) {
        if self.sessions.contains_key(&session) {
            return;
        }
        self.sessions.insert(session, State::default());
        let open = OpenSession {
            peer: "192.0.2.1:1".parse().unwrap(),
            protocol: "rtmp".into(),
            connect: Bytes::from_static(b"connect"),
            claims: claims(session),
        };
        self.edge.send(session, &FromSession::Open(open));
    }

    fn send(&mut self, session: SessionId, length: usize) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if !state.over {
            let event = FromSession::Message {
                generation: Generation(0),
                message: message(state.sent[0], length),
            };
            self.edge.send(session, &event);
            state.sent[0] += 1;
        }
    }

    fn tell(&mut self, session: SessionId, length: usize) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        // The origin knows a session once its opening has arrived.
        if !state.over && state.arrived[0] > 0 {
            self.stamp += 1;
            state.expected.push_back(self.stamp);
            let message = message(self.stamp, length);
            let after = None;
            self.origin
                .send(session, ToSession::Message { message, after });
            state.sent[1] += 1;
        }
    }

    fn begin_or_end(&mut self, audience: AudienceId, end: bool) {
        if self.members.contains_key(&audience) {
            if end {
                self.members.remove(&audience);
                self.origin.audience(audience, ToAudience::End);
            }
            return;
        }
        self.members.insert(audience, BTreeMap::new());
        let name = "object".to_owned();
        let persistent = false;
        let begin = ToAudience::Begin { name, persistent };
        self.origin.audience(audience, begin);
    }

    fn join_or_leave(&mut self, audience: AudienceId, session: SessionId) {
        let Some(members) = self.members.get_mut(&audience) else {
            return;
        };
        let is_open = |state: &State| !state.over && state.arrived[0] > 0;
        if members.remove(&session).is_some() {
            self.origin
                .audience(audience, ToAudience::Leave { session });
        } else if self.sessions.get(&session).is_some_and(is_open) {
            members.insert(session, false);
            let flags = Flags::TEMPORARY;
            self.origin
                .audience(audience, ToAudience::Join { session, flags });
        }
    }

    fn stand(&mut self, audience: AudienceId, session: SessionId) {
        let members = self.members.get_mut(&audience);
        if let Some(stands) = members.and_then(|members| members.get_mut(&session)) {
            *stands = !*stands;
            let aside = *stands;
            self.origin
                .audience(audience, ToAudience::Stand { session, aside });
        }
    }

    fn send_all(&mut self, audience: AudienceId, to: Recipients, size: u8) {
        let Some(members) = self.members.get(&audience) else {
            return;
        };
        if self.origin.retained() > MOST_RETAINED {
            return;
        }
        if matches!(to, Recipients::One(one) if !members.contains_key(&one)) {
            return;
        }
        self.stamp += 1;
        for (&session, &aside) in members {
            let state = self.sessions.get_mut(&session).expect("it was opened");
            let hears = match to {
                Recipients::All => !aside,
                Recipients::AllBut(but) => !aside && but != session,
                Recipients::One(one) => one == session,
            };
            if !state.over && hears {
                state.expected.push_back(self.stamp);
                state.sent[1] += 1;
            }
        }
        let send = ToAudience::Send {
            to,
            encoding: None,
            body: body(self.stamp, usize::from(size) * usize::from(size)),
        };
        self.origin.audience(audience, send);
    }

    fn end(&mut self, session: SessionId) {
        if let Some(state) = self.sessions.get_mut(&session) {
            state.over = true;
        }
        for members in self.members.values_mut() {
            members.remove(&session);
        }
    }

    fn connect(&mut self) {
        self.connected = true;
        let (edge, origin) = (self.edge.lane.received(), self.origin.received());
        self.edge.connected(origin).expect("an honest origin");
        let resumed = self.origin.connected(self.now, edge);
        resumed.expect("an honest edge");
    }

    fn disconnect(&mut self) {
        self.connected = false;
        self.to_origin.clear();
        self.to_edge.clear();
        self.edge.both(EdgeLane::disconnected);
        self.origin.disconnected();
    }

    fn deliver_to_origin(&mut self, most: usize) {
        let count = most.min(self.to_origin.len());
        let bytes: Vec<u8> = self.to_origin.drain(..count).collect();
        let taken = self.origin.handle_bytes(self.now, &bytes);
        taken.expect("an honest edge keeps the rules");
    }

    fn deliver_to_edge(&mut self, most: usize) {
        let count = most.min(self.to_edge.len());
        let bytes: Vec<u8> = self.to_edge.drain(..count).collect();
        let taken = self.edge.handle_bytes(self.now, &bytes);
        taken.expect("an honest origin keeps the rules");
    }

    fn handle(&mut self, most: usize) {
        for _ in 0..most {
            let Some((session, length)) = self.mail.pop_front() else {
                return;
            };
            self.origin.consumed(self.now, session, length);
        }
    }

    fn settle(&mut self) {
        self.origin.handle_timeout(self.now);
        while let Some(bytes) = self.edge.poll_transmit(self.now) {
            self.to_origin.extend(bytes);
        }
        while let Some(bytes) = self.origin.poll_transmit(self.now) {
            self.to_edge.extend(bytes);
        }
        while let Some(event) = self.edge.poll_event() {
            match event {
                EdgeEvent::Session {
                    session,
                    order: ToSession::Message { message, .. },
                } => {
                    let stamp = message.timestamp.0;
                    self.hear(session, stamp, &message.payload);
                }
                EdgeEvent::Object { session, body, .. } => self.hear_body(session, &body),
                EdgeEvent::Audience { audience, event } => self.audience_event(audience, event),
                EdgeEvent::Session {
                    session,
                    order: ToSession::Close(_),
                } => self.end(session),
                _ => {}
            }
        }
        while let Some(event) = self.origin.poll_event() {
            match event {
                OriginEvent::Session {
                    session,
                    event: FromSession::Message { message, .. },
                } => {
                    self.mail.push_back((session, message.payload.len()));
                    self.arrive(session, &message);
                }
                OriginEvent::Session {
                    session,
                    event: FromSession::Open(open),
                } => assert_eq!(open.claims, claims(session), "of {session:?}"),
                OriginEvent::Session {
                    session,
                    event: FromSession::Close(_),
                } => self.end(session),
                _ => {}
            }
        }
    }

    fn arrive(&mut self, session: SessionId, message: &Message) {
        let state = self.sessions.get_mut(&session).expect("it was opened");
        let number = state.arrived[0];
        assert_eq!(message.timestamp.0, number, "of {session:?}");
        assert!(message.payload.iter().all(|&byte| byte == number as u8));
        state.arrived[0] += 1;
    }

    fn audience_event(&mut self, audience: AudienceId, event: AudienceEvent) {
        if let AudienceEvent::Begun { .. } = event {
            self.seated.insert(audience, BTreeMap::new());
            return;
        }
        let members = self.seated.get_mut(&audience).expect("it has begun");
        match event {
            AudienceEvent::Joined { session, aside, .. } => {
                members.insert(session, aside);
            }
            AudienceEvent::Left { session } => {
                members.remove(&session);
            }
            AudienceEvent::Message { to, body, .. } => {
                let hears = |&(&session, &aside): &(&SessionId, &bool)| {
                    !aside && to != Recipients::AllBut(session)
                };
                let hearers: Vec<_> = members.iter().filter(hears).map(|(&id, _)| id).collect();
                for session in hearers {
                    self.hear_body(session, &body);
                }
            }
            AudienceEvent::Ended => {
                self.seated.remove(&audience);
            }
            _ => {}
        }
    }

    fn hear_body(&mut self, session: SessionId, body: &[u8]) {
        for event in Events::read(body).expect("a body") {
            let data = event.expect("an event").data;
            let (stamp, rest) = data.split_first_chunk().expect("it begins with its stamp");
            self.hear(session, u32::from_be_bytes(*stamp), rest);
        }
    }

    fn hear(&mut self, session: SessionId, stamp: u32, payload: &[u8]) {
        let state = self.sessions.get_mut(&session).expect("it was opened");
        if state.over {
            return;
        }
        assert_eq!(state.expected.pop_front(), Some(stamp), "of {session:?}");
        assert!(payload.iter().all(|&byte| byte == stamp as u8));
        state.arrived[1] += 1;
    }

    /// Keeps the link up and both ends at work until all has arrived.
    fn finish(mut self) {
        if !self.connected {
            self.connect();
        }
        for _ in 0..20_000 {
            self.settle();
            self.deliver_to_origin(usize::MAX);
            self.deliver_to_edge(usize::MAX);
            self.handle(usize::MAX);
            self.now += Duration::from_millis(100);
            if self.is_done() {
                break;
            }
        }
        assert!(self.is_done(), "it comes to an end");
        assert_eq!(self.budget.used(), 0);
        for (session, state) in &self.sessions {
            assert!(
                state.over || state.arrived == state.sent,
                "{session:?}: {:?} of {:?}",
                state.arrived,
                state.sent
            );
        }
    }

    fn is_done(&self) -> bool {
        let all = |state: &State| state.over || state.arrived == state.sent;
        self.sessions.values().all(all)
            && self.edge.lane.is_settled()
            && self.origin.retained() == 0
            && self.mail.is_empty()
            && self.to_origin.is_empty()
            && self.to_edge.is_empty()
    }
}

/// A message to the members of an object that no merge leaves out or moves.
fn body(stamp: u32, length: usize) -> Bytes {
    let mut body = b"\0\x06object\0\0\0\x01\0\0\0\0\0\0\0\0\x06".to_vec();
    body.extend_from_slice(&(4 + length as u32).to_be_bytes());
    body.extend_from_slice(&stamp.to_be_bytes());
    body.resize(body.len() + length, stamp as u8);
    body.into()
}

fn message(number: u32, length: usize) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(number),
        payload: vec![number as u8; length].into(),
    }
}

/// The beginning of virtual time.
#[allow(
    clippy::disallowed_methods,
    reason = "`Instant` offers no other beginning"
)]
fn now() -> Instant {
    Instant::now()
}

/// The claims of a session: every second one has some.
fn claims(session: SessionId) -> Option<Arc<ClientClaims>> {
    (session.0 % 2 == 1).then(|| {
        Arc::new(ClientClaims {
            user: Some(format!("user {}", session.0)),
            json: None,
        })
    })
}
