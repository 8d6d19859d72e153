//! A simulated edge: its lanes and clients around the shipped [`Directory`], [`Router`] and [`EdgeLane`].

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::{
    network::{CONTROL, LinkEnd, Packet},
    world::World,
};
use crate::{
    GroupName, LaneId, Message, MessageStreamId, RtmpTimestamp, SessionId, TransactionId,
    amf::ObjectEncoding,
    cluster::{
        Directory, EdgeDriver, EdgeLaneFacts,
        routing::{Named, OriginId, Rendezvous, Router, SessionPlace, Wish},
    },
    command::Command,
    link::{
        CloseReason, Control, EdgeEvent, EdgeLane, FromSession, Generation, OpenSession, ToSession,
        lane_frame::{LaneAnswer, OpenLane},
    },
};

/// The time for which an origin's groups stay with it after its link is lost.
pub(super) const GRACE: Duration = Duration::from_secs(15);

/// The time after which a lane without sessions is closed.
const IDLE_LANE: Duration = Duration::from_secs(10);

/// The transaction of each connect; no call has it.
pub(super) const CONNECT: f64 = 1e6;

/// One process of an edge.
pub(super) struct SimEdge {
    pub(super) name: Arc<str>,
    /// The number of the process.
    pub(super) process: u64,
    state: State,
}

/// The lanes and sessions of an edge.
struct State {
    now: Cell<Instant>,
    names: Vec<String>,
    router: RefCell<Router>,
    lanes: RefCell<BTreeMap<LaneId, Rc<SimLane>>>,
    /// The lanes that new sessions join.
    listed: RefCell<BTreeMap<GroupName, Rc<SimLane>>>,
    next_lane: Cell<u64>,
    /// Sessions that wait for a lane: their groups, and the time to try again.
    waiting: RefCell<BTreeMap<SessionId, (GroupName, Instant)>>,
    at: RefCell<BTreeMap<SessionId, LaneId>>,
    /// The process of each origin that was greeted last, and the link to it.
    processes: RefCell<BTreeMap<OriginId, u64>>,
    links: RefCell<BTreeMap<OriginId, LinkEnd>>,
    /// When the grace time of a lost origin ends.
    lost: RefCell<BTreeMap<OriginId, Instant>>,
    out: RefCell<Vec<(OriginId, Control)>>,
    closed: RefCell<Vec<(SessionId, CloseReason)>>,
    refused: RefCell<Vec<SessionId>>,
}

struct SimLane {
    id: LaneId,
    group: GroupName,
    origin: OriginId,
    home: String,
    restores: bool,
    opened: Cell<bool>,
    phase: Cell<Phase>,
    lane: RefCell<EdgeLane>,
    sessions: RefCell<BTreeSet<SessionId>>,
    /// Those that the origin has not accepted.
    pending: RefCell<BTreeSet<SessionId>>,
    /// The link that carries it, and the stream.
    stream: Cell<Option<(LinkEnd, u64)>>,
    /// When it asks again for a stream.
    again: Cell<Option<Instant>>,
    handed_to: RefCell<Option<String>>,
    idle_since: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing,
    Dead,
}

impl SimLane {
    fn goes_on_at(&self) -> Option<String> {
        let handed_to = self.handed_to.borrow();
        handed_to.clone().filter(|name| !name.is_empty())
    }

    fn needs_stream(&self) -> bool {
        match self.phase.get() {
            Phase::Open => true,
            Phase::Closing => self.opened.get(),
            Phase::Dead => false,
        }
    }
}

impl EdgeLaneFacts for SimLane {
    fn group(&self) -> &GroupName {
        &self.group
    }

    fn origin(&self) -> OriginId {
        self.origin
    }

    fn has_history(&self) -> bool {
        self.lane.borrow().has_history()
    }

    fn has_accepted(&self) -> bool {
        self.lane.borrow().has_accepted()
    }

    fn is_restorable(&self) -> bool {
        self.lane.borrow().keeps()
    }

    fn restores(&self) -> bool {
        self.restores
    }

    fn is_to_restore(&self) -> bool {
        self.restores && !self.opened.get()
    }

    fn keep(&self) {
        self.lane.borrow_mut().keep();
    }
}

impl EdgeDriver for State {
    type Lane = SimLane;

    fn lanes_at(&self, origin: OriginId) -> Vec<Rc<SimLane>> {
        let lanes = self.lanes.borrow();
        let is_at = |lane: &&Rc<SimLane>| lane.origin == origin && lane.phase.get() == Phase::Open;
        lanes.values().filter(is_at).cloned().collect()
    }

    fn lane_of(&self, group: &GroupName) -> Option<Rc<SimLane>> {
        self.listed.borrow().get(group).cloned()
    }

    fn origins(&self) -> Vec<OriginId> {
        let count = u32::try_from(self.names.len()).unwrap();
        (0..count).map(OriginId).collect()
    }

    fn name(&self, origin: OriginId) -> String {
        self.names[origin.0 as usize].clone()
    }

    fn restores(&self, _: OriginId) -> bool {
        true
    }

    fn look<R>(&self, look: impl FnOnce(&Router) -> R) -> R {
        look(&self.router.borrow())
    }

    fn update<R>(&self, change: impl FnOnce(&mut Router) -> R) -> R {
        change(&mut self.router.borrow_mut())
    }

    fn send(&self, to: OriginId, control: Control) {
        self.out.borrow_mut().push((to, control));
    }

    fn restore(&self, lane: &Rc<SimLane>) {
        self.restore_at(lane, lane.origin, false);
    }

    fn replace(&self, lane: &Rc<SimLane>) {
        self.unlist(lane);
        for session in std::mem::take(&mut *lane.sessions.borrow_mut()) {
            self.leave(lane, session);
        }
        lane.phase.set(Phase::Dead);
    }

    fn link_changed(&self, _: &Rc<SimLane>, _: bool) {}

    fn give_up_closing(&self, origin: OriginId) {
        for lane in self.lanes.borrow().values() {
            if lane.origin == origin && lane.phase.get() == Phase::Closing {
                lane.phase.set(Phase::Dead);
            }
        }
    }

    fn close_idle(&self) {
        let lanes: Vec<_> = self.lanes.borrow().values().cloned().collect();
        for lane in lanes {
            let at_once = self.router.borrow().table().is_leaving(lane.origin);
            let is_idle = |since| at_once || self.now.get() >= since + IDLE_LANE;
            if lane.idle_since.get().is_some_and(is_idle) {
                self.unlist(&lane);
                if lane.phase.get() == Phase::Open {
                    lane.phase.set(Phase::Closing);
                    lane.lane.borrow_mut().end();
                }
            }
        }
    }

    fn place_group(&self, group: &GroupName) {
        let waiting = self.waiting.borrow();
        let of_it = waiting.iter().filter(|(_, (of, _))| of == group);
        let sessions: Vec<_> = of_it.map(|(session, _)| *session).collect();
        drop(waiting);
        for session in sessions {
            self.place(session, group.clone());
        }
    }

    fn place_all(&self) {
        for (_, until) in self.waiting.borrow_mut().values_mut() {
            *until = self.now.get();
        }
    }
}

impl State {
    fn unlist(&self, lane: &Rc<SimLane>) {
        let mut listed = self.listed.borrow_mut();
        if listed.get(&lane.group).is_some_and(|it| it.id == lane.id) {
            listed.remove(&lane.group);
        }
    }

    /// A session leaves its lane: it is placed again if it is not accepted, and closed otherwise.
    fn leave(&self, lane: &SimLane, session: SessionId) {
        self.at.borrow_mut().remove(&session);
        match lane.pending.borrow_mut().remove(&session) {
            true => {
                let wait = (lane.group.clone(), self.now.get());
                self.waiting.borrow_mut().insert(session, wait);
            }
            false => self
                .closed
                .borrow_mut()
                .push((session, CloseReason::OriginLost)),
        }
    }

    fn place(&self, session: SessionId, group: GroupName) {
        let now = self.now.get();
        self.waiting.borrow_mut().remove(&session);
        let place = match self.lane_of(&group) {
            Some(lane) => SessionPlace::At(lane.origin),
            None => {
                let wish = Wish {
                    group: &group,
                    named: Named::None,
                    asked_home: false,
                };
                wish.decide(&self.router.borrow(), now)
            }
        };
        match place {
            SessionPlace::At(origin) => {
                let lane = self.lane_of(&group).unwrap_or_else(|| {
                    let lane = self.new_lane(group.clone(), origin, false);
                    self.listed.borrow_mut().insert(group, Rc::clone(&lane));
                    lane
                });
                let open = OpenSession {
                    peer: "192.0.2.1:1".parse().unwrap(),
                    protocol: "rtmp".into(),
                    connect: Bytes::from_static(b"connect"),
                    claims: None,
                };
                lane.lane
                    .borrow_mut()
                    .send(session, FromSession::Open(open));
                lane.sessions.borrow_mut().insert(session);
                lane.pending.borrow_mut().insert(session);
                lane.idle_since.set(None);
                self.at.borrow_mut().insert(session, lane.id);
            }
            SessionPlace::Wait(until) => {
                self.waiting.borrow_mut().insert(session, (group, until));
            }
            SessionPlace::Nowhere => self.refused.borrow_mut().push(session),
        }
    }

    fn new_lane(&self, group: GroupName, origin: OriginId, restores: bool) -> Rc<SimLane> {
        let id = LaneId(self.next_lane.get());
        self.next_lane.set(id.0 + 1);
        let home = self.router.borrow().home(&group).unwrap();
        let lane = Rc::new(SimLane {
            id,
            home: self.name(home),
            group,
            origin,
            restores,
            opened: Cell::new(false),
            phase: Cell::new(Phase::Open),
            lane: RefCell::new(EdgeLane::default().keeping()),
            sessions: RefCell::default(),
            pending: RefCell::default(),
            stream: Cell::default(),
            again: Cell::default(),
            handed_to: RefCell::default(),
            idle_since: Cell::new(Some(self.now.get())),
        });
        self.lanes.borrow_mut().insert(id, Rc::clone(&lane));
        lane
    }

    /// Brings the sessions of a lane to an origin.
    fn restore_at(&self, lost: &Rc<SimLane>, origin: OriginId, is_awaited: bool) {
        self.unlist(lost);
        let lane = self.new_lane(lost.group.clone(), origin, true);
        let mut brought = 0;
        for session in std::mem::take(&mut *lost.sessions.borrow_mut()) {
            let salvaged = lost.lane.borrow_mut().salvage(session);
            let Some(salvaged) = salvaged else {
                self.leave(lost, session);
                continue;
            };
            lane.lane.borrow_mut().restore(session, salvaged, []);
            lane.sessions.borrow_mut().insert(session);
            lane.idle_since.set(None);
            self.at.borrow_mut().insert(session, lane.id);
            brought += 1;
        }
        let departed = lost.lane.borrow_mut().salvage_departed();
        let ended = departed.len();
        for (session, salvaged) in departed {
            lane.lane.borrow_mut().restore(session, salvaged, []);
        }
        lost.phase.set(Phase::Dead);
        if brought + ended == 0 && !is_awaited {
            self.lanes.borrow_mut().remove(&lane.id);
            return;
        }
        lane.lane.borrow_mut().end_restore();
        let mut listed = self.listed.borrow_mut();
        listed
            .entry(lane.group.clone())
            .or_insert_with(|| Rc::clone(&lane));
    }
}

impl SimEdge {
    pub(super) fn new(name: &str, process: u64, origins: &[String], now: Instant) -> Self {
        let mut router = Router::new(Box::new(Rendezvous::default()), now);
        for origin in origins {
            router.add(origin);
        }
        let state = State {
            now: Cell::new(now),
            names: origins.to_vec(),
            router: RefCell::new(router),
            lanes: RefCell::default(),
            listed: RefCell::default(),
            next_lane: Cell::new(1),
            waiting: RefCell::default(),
            at: RefCell::default(),
            processes: RefCell::default(),
            links: RefCell::default(),
            lost: RefCell::default(),
            out: RefCell::default(),
            closed: RefCell::default(),
            refused: RefCell::default(),
        };
        Self {
            name: name.into(),
            process,
            state,
        }
    }

    pub(super) fn link_to(&self, origin: usize) -> Option<LinkEnd> {
        let links = self.state.links.borrow();
        links.get(&OriginId(origin as u32)).copied()
    }

    /// The sessions and lanes that are not in order once nothing happens any more.
    pub(super) fn leftovers(&self) -> Vec<String> {
        let state = &self.state;
        let waiting = state.waiting.borrow();
        let waiting = waiting
            .iter()
            .map(|(session, (group, _))| format!("{session} waits for {group} at {}", self.name));
        let lanes = state.lanes.borrow();
        let to_restore = lanes.values().filter(|lane| lane.is_to_restore());
        let to_restore =
            to_restore.map(|lane| format!("{} is not restored by {}", lane.group, self.name));
        waiting.chain(to_restore).collect()
    }
}

impl World {
    fn edge(&self, edge: usize) -> &State {
        let state = &self.edges[edge].state;
        state.now.set(self.net.now);
        state
    }

    /// A client connects.
    pub(super) fn connect(&mut self, edge: usize, group: GroupName) -> SessionId {
        let session = SessionId(self.net.number());
        self.edge(edge).place(session, group);
        self.pump_edge(edge);
        session
    }

    /// A client sends a call; false if the edge has no lane for it now.
    pub(super) fn call(&mut self, edge: usize, session: SessionId, number: u32) -> bool {
        let state = self.edge(edge);
        let lane = state.at.borrow().get(&session).copied();
        let lane = lane.and_then(|lane| state.lanes.borrow().get(&lane).cloned());
        let Some(lane) = lane.filter(|lane| !lane.pending.borrow().contains(&session)) else {
            return false;
        };
        let command = Command::new("count", TransactionId(number.into()));
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        let message = Message {
            kind,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(number),
            payload,
        };
        lane.lane.borrow_mut().send(
            session,
            FromSession::Message {
                generation: Generation(0),
                message,
            },
        );
        true
    }

    /// A client leaves.
    pub(super) fn disconnect(&mut self, edge: usize, session: SessionId) {
        let state = self.edge(edge);
        state.waiting.borrow_mut().remove(&session);
        let lane = state.at.borrow_mut().remove(&session);
        if let Some(lane) = lane.and_then(|lane| state.lanes.borrow().get(&lane).cloned()) {
            lane.sessions.borrow_mut().remove(&session);
            lane.pending.borrow_mut().remove(&session);
            let close = FromSession::Close(CloseReason::Client);
            lane.lane.borrow_mut().send(session, close);
            if lane.sessions.borrow().is_empty() {
                lane.idle_since.set(Some(self.net.now));
            }
        }
    }

    /// A link to an origin is greeted.
    pub(super) fn edge_welcomed(&mut self, edge: usize, end: LinkEnd, process: u64) {
        let origin = OriginId(end.path.1 as u32);
        let state = self.edge(edge);
        state.lost.borrow_mut().remove(&origin);
        let before = state.processes.borrow_mut().insert(origin, process);
        let is_new = before.is_some_and(|before| before != process);
        state.links.borrow_mut().insert(origin, end);
        Directory(state).up(origin, is_new);
        self.pump_edge(edge);
    }

    /// The link to an origin is lost.
    pub(super) fn edge_lost(&mut self, edge: usize, end: LinkEnd) {
        let origin = OriginId(end.path.1 as u32);
        let until = self.net.now + GRACE;
        let state = self.edge(edge);
        if state.links.borrow().get(&origin) != Some(&end) {
            return;
        }
        state.links.borrow_mut().remove(&origin);
        for lane in state.lanes.borrow().values() {
            if lane.origin == origin && lane.stream.take().is_some() {
                lane.lane.borrow_mut().disconnected();
            }
        }
        state.lost.borrow_mut().insert(origin, until);
        Directory(state).lost(origin, until);
        self.pump_edge(edge);
        self.dial_soon(end.path);
    }

    pub(super) fn edge_packet(&mut self, edge: usize, to: LinkEnd, stream: u64, packet: Packet) {
        let origin = OriginId(to.path.1 as u32);
        let now = self.net.now;
        let state = self.edge(edge);
        if let Packet::Welcome { process } = packet {
            return self.edge_welcomed(edge, to, process);
        }
        if state.links.borrow().get(&origin) != Some(&to) {
            return;
        }
        match packet {
            Packet::Control(control) => match control {
                Control::Displaced {
                    complete,
                    added,
                    removed,
                } => Directory(state).displaced(origin, complete, added, &removed, now),
                Control::GoAway { .. } => Directory(state).leaving(origin),
                _ => {}
            },
            packet => self.edge_lane_packet(edge, (to, stream), packet),
        }
        self.pump_edge(edge);
    }

    fn edge_lane_packet(&mut self, edge: usize, on: (LinkEnd, u64), packet: Packet) {
        let now = self.net.now;
        let state = self.edge(edge);
        let lanes = state.lanes.borrow();
        let lane = lanes.values().find(|lane| lane.stream.get() == Some(on));
        let Some(lane) = lane.cloned() else { return };
        drop(lanes);
        match packet {
            Packet::Answer(LaneAnswer::Open { received }) => {
                lane.opened.set(true);
                lane.lane.borrow_mut().connected(received).unwrap();
            }
            Packet::Answer(LaneAnswer::Restore) => {
                assert!(lane.restores);
                lane.opened.set(true);
                lane.lane.borrow_mut().connected(0).unwrap();
            }
            Packet::Answer(LaneAnswer::Wait { retry_ms }) => {
                lane.stream.set(None);
                let again = now + Duration::from_millis(retry_ms.into());
                lane.again.set(Some(again));
            }
            Packet::Answer(LaneAnswer::Unknown) => {
                lane.stream.set(None);
                state.replace(&lane);
                state.lanes.borrow_mut().remove(&lane.id);
            }
            Packet::Answer(_) => {
                lane.stream.set(None);
                for session in std::mem::take(&mut *lane.sessions.borrow_mut()) {
                    state.at.borrow_mut().remove(&session);
                    state.refused.borrow_mut().push(session);
                }
                lane.phase.set(Phase::Dead);
            }
            Packet::Lane(bytes) => {
                lane.lane.borrow_mut().handle_bytes(now, &bytes).unwrap();
            }
            Packet::End => {
                lane.stream.set(None);
                lane.lane.borrow_mut().disconnected();
                lane.again.set(Some(now + Duration::from_millis(50)));
            }
            _ => panic!("{packet:?}"),
        }
    }

    /// Does all that is due at an edge.
    pub(super) fn pump_edge(&mut self, edge: usize) {
        let now = self.net.now;
        let state = self.edge(edge);
        let over: Vec<_> = {
            let lost = state.lost.borrow();
            let over = lost.iter().filter(|(_, until)| **until <= now);
            over.map(|(origin, _)| *origin).collect()
        };
        for origin in over {
            state.lost.borrow_mut().remove(&origin);
            Directory(state).down(origin);
        }
        let due: Vec<_> = {
            let waiting = state.waiting.borrow();
            let due = waiting.iter().filter(|(_, (_, until))| *until <= now);
            due.map(|(session, (group, _))| (*session, group.clone()))
                .collect()
        };
        for (session, group) in due {
            state.place(session, group);
        }
        let lanes: Vec<_> = state.lanes.borrow().values().cloned().collect();
        for lane in lanes {
            self.pump_edge_lane(edge, &lane);
        }
        let state = self.edge(edge);
        let out = std::mem::take(&mut *state.out.borrow_mut());
        let closed = std::mem::take(&mut *state.closed.borrow_mut());
        let refused = std::mem::take(&mut *state.refused.borrow_mut());
        for (to, control) in out {
            if let Some(end) = self.edges[edge].link_to(to.0 as usize) {
                self.net
                    .send(end.other(), CONTROL, Packet::Control(control));
            }
        }
        for (session, reason) in closed {
            self.net
                .note(&format!("edge {edge} closes {session}: {reason:?}"));
            self.history.closed(session, reason);
            self.clients.remove(&session);
        }
        for session in refused {
            self.history.saw("refused");
            self.clients.remove(&session);
        }
    }

    fn pump_edge_lane(&mut self, edge: usize, lane: &Rc<SimLane>) {
        let now = self.net.now;
        self.edge_events(edge, lane);
        let link = self.edges[edge].link_to(lane.origin.0 as usize);
        if let Some((end, stream)) = lane.stream.get() {
            loop {
                let bytes = lane.lane.borrow_mut().poll_transmit(now);
                let Some(bytes) = bytes else { break };
                self.net.send(end.other(), stream, Packet::Lane(bytes));
            }
            self.edge_events(edge, lane);
            let has_ended = match lane.phase.get() {
                Phase::Open => {
                    lane.goes_on_at().is_some() && !lane.lane.borrow().owes_acknowledgement()
                }
                Phase::Closing => lane.lane.borrow().is_settled(),
                Phase::Dead => true,
            };
            if has_ended {
                lane.stream.set(None);
                lane.lane.borrow_mut().disconnected();
                self.net.send(end.other(), stream, Packet::End);
            }
        }
        let state = self.edge(edge);
        if lane.stream.get().is_some() {
            return;
        }
        if let Some(to) = lane
            .goes_on_at()
            .filter(|_| lane.phase.get() != Phase::Dead)
        {
            let to = state.names.iter().position(|name| *name == to).unwrap();
            state.restore_at(lane, OriginId(to as u32), true);
            state.lanes.borrow_mut().remove(&lane.id);
            return;
        }
        let has_closed = lane.phase.get() == Phase::Closing && lane.lane.borrow().is_settled();
        if !lane.needs_stream() || has_closed {
            state.unlist(lane);
            state.lanes.borrow_mut().remove(&lane.id);
            return;
        }
        if let Some(again) = lane.again.get() {
            if again > now {
                return;
            }
            lane.again.set(None);
            if !lane.opened.get() && !lane.restores {
                // The group's home may be back by now.
                state.replace(lane);
                state.lanes.borrow_mut().remove(&lane.id);
                return;
            }
        }
        let Some(end) = link else { return };
        let stream = self.net.number();
        let open = {
            let it = lane.lane.borrow();
            OpenLane {
                lane: lane.id,
                group: lane.group.clone(),
                home: lane.home.clone(),
                resume: it.has_history().then(|| it.received()),
                only_if_living: false,
                restore: lane.is_to_restore(),
            }
        };
        lane.stream.set(Some((end, stream)));
        self.net.send(end.other(), stream, Packet::OpenLane(open));
    }

    fn edge_events(&mut self, edge: usize, lane: &Rc<SimLane>) {
        loop {
            let event = lane.lane.borrow_mut().poll_event();
            let Some(event) = event else { return };
            match event {
                EdgeEvent::HandedOver { origin } => {
                    let (id, group) = (lane.id, &lane.group);
                    self.net.note(&format!(
                        "edge {edge} lane {id:?} of {group} goes on at {origin}"
                    ));
                    *lane.handed_to.borrow_mut() = Some(origin);
                }
                EdgeEvent::Session { session, order } => match order {
                    ToSession::Accept => {
                        lane.pending.borrow_mut().remove(&session);
                    }
                    ToSession::Close(reason) => {
                        lane.sessions.borrow_mut().remove(&session);
                        let state = self.edge(edge);
                        state.at.borrow_mut().remove(&session);
                        if lane.sessions.borrow().is_empty() {
                            lane.idle_since.set(Some(self.net.now));
                        }
                        if self.clients.remove(&session).is_some() {
                            self.net.note(&format!(
                                "edge {edge} is told to close {session}: {reason:?}"
                            ));
                            self.history.closed(session, reason);
                        }
                    }
                    ToSession::Message { message, .. } => {
                        let (name, transaction) =
                            Command::peek(message.kind, &message.payload).unwrap();
                        if transaction.0 != CONNECT {
                            let call = (session, transaction.0 as u32);
                            self.history.answered(call, name == "_result");
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
    }

    /// Looks for lanes without sessions, and origins whose grace time is over.
    pub(super) fn tick_edge(&mut self, edge: usize) {
        self.edge(edge).close_idle();
        self.pump_edge(edge);
    }
}
