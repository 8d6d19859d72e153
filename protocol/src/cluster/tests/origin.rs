//! A simulated origin: its lanes and groups around the shipped [`Ownership`] and [`OriginLane`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::Rng;

use super::{
    edge::{CONNECT, GRACE, SimEdge},
    network::{CONTROL, Event, LinkEnd, Node, Packet},
    world::World,
};
use crate::{
    GroupName, LaneId, Message, MessageStreamId, RtmpTimestamp, SessionId, TransactionId,
    amf::ObjectEncoding,
    cluster::{
        Act, Admission, ClusterStart, Here, LaneFacts, LaneNumber, OriginStanding, Ownership,
    },
    command::Command,
    link::{
        CloseReason, Control, FromSession, HandedOver, OriginEvent, OriginLane, ToSession,
        credit::CreditBudget,
        lane_frame::{LaneAnswer, OpenLane},
    },
};

/// One origin: its disk, and its process if one runs.
pub(super) struct SimOrigin {
    pub(super) name: String,
    pub(super) disk: Disk,
    pub(super) process: Option<Process>,
}

/// The parts of an origin's data directory that outlive its process.
#[derive(Default)]
pub(super) struct Disk {
    pub(super) edges: Vec<String>,
    states: HashMap<GroupName, Bytes>,
}

pub(super) struct Process {
    pub(super) number: u64,
    pub(super) ownership: Ownership,
    pub(super) held: Held,
    pub(super) ticked: Instant,
    told: Instant,
    /// Set once it is to stop.
    pub(super) stop: Option<Stop>,
    /// Set after a drain until its links begin anew.
    begins_anew: bool,
    /// Moves that were asked of it: their groups.
    asked: BTreeMap<u64, GroupName>,
}

/// How far a planned stop has come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// Groups move away until this time.
    Drains(Instant),
    /// Moves that are under way end.
    Waits(Instant),
    /// Groups stop, and edges get the ends of their lanes.
    Leaves(Instant),
}

/// The lanes, groups and links of a process.
#[derive(Default)]
pub(super) struct Held {
    lanes: BTreeMap<LaneNumber, SimLane>,
    pub(super) groups: BTreeMap<GroupName, Instance>,
    edges: BTreeMap<(Arc<str>, u64), KnownEdge>,
    /// The links to the other origins, by their places.
    pub(super) peers: BTreeMap<usize, Vec<LinkEnd>>,
    next_lane: u64,
    /// Groups that stop.
    stops: BTreeMap<GroupName, Stopping>,
    /// Groups that have stopped: all their lanes, and those whose edges follow.
    left: BTreeMap<GroupName, (Vec<LaneNumber>, Vec<LaneNumber>)>,
    /// Lanes whose ends are on the way.
    ends: Vec<Ends>,
}

#[derive(Default)]
struct KnownEdge {
    /// The number of the newest link: a greeting of an older one is refused.
    newest: u64,
    link: Option<LinkEnd>,
    lost: Option<Instant>,
}

struct SimLane {
    id: LaneId,
    edge: (Arc<str>, u64),
    group: GroupName,
    home: String,
    lane: OriginLane,
    /// Whether a session of it has a group.
    joined: bool,
    /// Whether it counts as a lane of its group.
    is_resident: bool,
    moved: bool,
    over: bool,
    is_brought: bool,
    stream: Option<(LinkEnd, u64)>,
    uncarried: Option<Instant>,
}

/// One instance of a group's application.
pub(super) struct Instance {
    number: u64,
    /// The calls that it, and those that handed over to it, have carried out.
    state: u64,
    /// Set while edges bring sessions.
    gathers: Option<Instant>,
    restored: Vec<(LaneNumber, SessionId, Vec<TransactionId>)>,
    mail: VecDeque<(LaneNumber, SessionId, Mail)>,
    open: Vec<(LaneNumber, SessionId, TransactionId)>,
    sessions: BTreeMap<(LaneNumber, SessionId), u64>,
    stops: bool,
}

enum Mail {
    Open,
    Message(Message),
    Close,
}

struct Stopping {
    at: Instant,
    to: String,
    all: Vec<LaneNumber>,
    followers: Vec<LaneNumber>,
    hangs: bool,
}

struct Ends {
    group: GroupName,
    all: Vec<LaneNumber>,
    followers: Vec<LaneNumber>,
    until: Instant,
}

/// The time between two looks of an origin at the clock.
const TICK: Duration = Duration::from_millis(250);

/// The time between two frames about groups that come and go.
const TOGETHER: Duration = Duration::from_millis(20);

impl Here for Held {
    fn lanes(&self, group: &GroupName) -> Vec<LaneFacts> {
        let lanes = self.lanes.iter();
        let of_it = lanes.filter(|(_, lane)| lane.group == *group && !lane.over && !lane.moved);
        let facts = of_it.map(|(number, lane)| LaneFacts {
            number: *number,
            edge: Arc::clone(&lane.edge.0),
            sessions: lane.lane.session_count() as u64,
            follows: lane.uncarried.is_none(),
            has_group: lane.joined,
            is_brought: lane.is_brought,
        });
        facts.collect()
    }

    fn has_data(&self, _: &GroupName) -> bool {
        false
    }

    fn closes_clients(&self, _: &GroupName) -> bool {
        false
    }

    fn refusal(&self, group: &GroupName, _: usize) -> Option<String> {
        let runs = self.groups.contains_key(group);
        runs.then(|| "it runs here".into())
    }

    fn brings(&self, edge: &str) -> bool {
        let mut edges = self.edges.iter();
        edges.any(|((name, _), known)| **name == *edge && known.link.is_some())
    }

    fn edges(&self) -> Vec<(Arc<str>, u64)> {
        self.edges.keys().cloned().collect()
    }
}

impl Held {
    /// The ends of the links here that lead to a node.
    pub(super) fn ends_to(&self, node: Node, edges: &[SimEdge]) -> Vec<LinkEnd> {
        match node {
            Node::Origin(peer) => self.peers.get(&peer).cloned().unwrap_or_default(),
            Node::Edge(edge) => {
                let key = (Arc::clone(&edges[edge].name), edges[edge].process);
                let known = self.edges.get(&key);
                known.and_then(|known| known.link).into_iter().collect()
            }
        }
    }
}

impl SimOrigin {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            disk: Disk::default(),
            process: None,
        }
    }
}

impl Process {
    /// The groups with sessions.
    pub(super) fn groups(&self) -> Vec<GroupName> {
        let groups = self.held.groups.iter();
        let with_sessions = groups.filter(|(_, it)| !it.sessions.is_empty());
        with_sessions.map(|(group, _)| group.clone()).collect()
    }
}

impl World {
    pub(super) fn start_origin(&mut self, o: usize) {
        let now = self.net.now;
        let number = self.net.number();
        let others = self.origins.iter().map(|it| it.name.clone());
        let own = self.origins[o].name.clone();
        let others = others.filter(|name| *name != own).collect();
        let disk = &mut self.origins[o].disk;
        let start = ClusterStart {
            edges: disk.edges.clone(),
            states: std::mem::take(&mut disk.states),
        };
        self.origins[o].process = Some(Process {
            number,
            ownership: Ownership::in_cluster(&own, others, start, now),
            held: Held::default(),
            ticked: now,
            told: now,
            stop: None,
            begins_anew: false,
            asked: BTreeMap::new(),
        });
        for target in 0..self.origins.len() {
            if target != o {
                self.dial_soon((Node::Origin(o), target));
            }
        }
    }

    /// Tells an origin's machine something, and does what it orders.
    pub(super) fn decide(&mut self, o: usize, tell: impl FnOnce(&mut Ownership, Instant, &Held)) {
        let now = self.net.now;
        if let Some(process) = &mut self.origins[o].process {
            tell(&mut process.ownership, now, &process.held);
        }
        loop {
            let process = self.origins[o].process.as_mut();
            let Some(act) = process.and_then(|process| process.ownership.poll_act()) else {
                return;
            };
            self.net.note(&format!("{o} {act:?}"));
            self.act(o, act);
        }
    }

    fn held(&mut self, o: usize) -> &mut Held {
        &mut self.origins[o].process.as_mut().unwrap().held
    }

    fn act(&mut self, o: usize, act: Act) {
        let now = self.net.now;
        match act {
            Act::Tell { origin, frame } => {
                let peer = self
                    .origins
                    .iter()
                    .position(|it| it.name == origin)
                    .unwrap();
                let newest = self.held(o).peers.get(&peer).and_then(|it| it.last());
                if let Some(end) = newest.copied() {
                    let control = Packet::Control(Control::Move(frame));
                    self.net.send(end.other(), CONTROL, control);
                }
            }
            Act::KeepEdges(names) => {
                let late = self.net.millis(5..60);
                self.net.after(late, Event::Synced(o, names));
            }
            Act::Stop { group, lanes, to } => {
                let hangs = self.hangs && self.net.rng.random_bool(0.05);
                self.history.is_broken |= hangs;
                let time = self.net.millis(if hangs { 1_500..1_501 } else { 0..40 });
                let followers = self.followers(o, &lanes);
                self.deafen(o, &followers);
                if let Some(instance) = self.held(o).groups.get_mut(&group) {
                    instance.stops = true;
                }
                let stopping = Stopping {
                    at: now + time,
                    to,
                    all: lanes,
                    followers,
                    hangs,
                };
                self.held(o).stops.insert(group, stopping);
            }
            Act::HandOver { group, to } => {
                let Some((all, followers)) = self.held(o).left.remove(&group) else {
                    return;
                };
                self.hand_over(o, &followers, &to, true);
                let until = now + Duration::from_secs(1);
                self.held(o).ends.push(Ends {
                    group,
                    all,
                    followers,
                    until,
                });
            }
            Act::Release {
                group,
                lanes,
                state,
            } => {
                let all = &self.held(o).lanes;
                let mut brought = lanes.iter().filter_map(|number| all.get(number));
                if brought.any(|lane| lane.joined && !lane.over && !lane.moved) {
                    self.release(o, &group, state);
                }
            }
            Act::Finish { id, outcome } => {
                self.origins[o].process.as_mut().unwrap().asked.remove(&id);
                match outcome {
                    Ok(_) => self.history.saw("moved"),
                    Err(error) => {
                        let name = format!("{error:?}");
                        let end = name.find([' ', '{']).unwrap_or(name.len());
                        self.history.saw(&format!("not moved: {}", &name[..end]));
                    }
                }
            }
            Act::Note(note) => {
                let name = format!("{note:?}");
                let end = name.find([' ', '{', '(']).unwrap_or(name.len());
                self.history.saw(&name[..end]);
            }
        }
    }

    /// The lanes among these whose edges can bring their sessions elsewhere.
    fn followers(&mut self, o: usize, lanes: &[LaneNumber]) -> Vec<LaneNumber> {
        let held = self.held(o);
        let is_open = |it: &&LaneNumber| held.lanes.get(it).is_some_and(|lane| !lane.over);
        lanes.iter().filter(is_open).copied().collect()
    }

    fn deafen(&mut self, o: usize, lanes: &[LaneNumber]) {
        for lane in lanes {
            if let Some(lane) = self.held(o).lanes.get_mut(lane) {
                lane.lane.stop_receiving();
            }
            self.origin_events(o, *lane);
        }
    }

    fn hand_over(&mut self, o: usize, lanes: &[LaneNumber], to: &str, settled: bool) {
        for lane in lanes {
            if let Some(lane) = self.held(o).lanes.get_mut(lane) {
                lane.lane.hand_over(HandedOver {
                    settled,
                    origin: to.to_owned(),
                });
            }
        }
    }

    /// A group goes on with what edges have brought.
    fn release(&mut self, o: usize, group: &GroupName, state: Option<Bytes>) {
        let now = self.net.now;
        let process = self.origins[o].process.as_mut().unwrap();
        let Some(instance) = process.held.groups.get_mut(group) else {
            return;
        };
        if instance.gathers.take().is_none() {
            return;
        }
        if let Some(state) = state
            && let Ok(state) = <[u8; 8]>::try_from(&state[..])
        {
            instance.state = u64::from_be_bytes(state);
        }
        let expected = self.states.get(group).copied().unwrap_or(instance.state);
        let lanes = &process.held.lanes;
        let lives = |lane: &LaneNumber| lanes.get(lane).is_some_and(|lane| !lane.over);
        let is_used = instance.restored.iter().any(|(lane, ..)| lives(lane));
        if is_used && !self.history.is_broken && instance.state != expected {
            let text = format!(
                "whole: {group} goes on at {o} with {} of {expected}",
                instance.state
            );
            self.history.violated(text);
        }
        let restored = std::mem::take(&mut instance.restored);
        let _ = now;
        for (lane, session, unanswered) in restored {
            self.take_in(o, group, lane, session, unanswered);
        }
    }

    fn take_in(
        &mut self,
        o: usize,
        group: &GroupName,
        lane: LaneNumber,
        session: SessionId,
        unanswered: Vec<TransactionId>,
    ) {
        let held = self.held(o);
        let Some(instance) = held.groups.get_mut(group) else {
            return;
        };
        instance.sessions.insert((lane, session), 0);
        if let Some(lane) = held.lanes.get_mut(&lane) {
            lane.lane.send(session, ToSession::Restored);
            for transaction in unanswered {
                say(&mut lane.lane, session, "_error", transaction);
            }
        }
    }

    /// An edge or another origin has greeted.
    pub(super) fn origin_greeted(&mut self, o: usize, end: LinkEnd, process: u64) {
        let Some(own) = self.origins[o].process.as_ref().map(|it| it.number) else {
            return;
        };
        match end.path.0 {
            Node::Edge(edge) => {
                let name = Arc::clone(&self.edges[edge].name);
                let key = (Arc::clone(&name), process);
                let known = self.held(o).edges.entry(key.clone()).or_default();
                if end.link < known.newest {
                    return;
                }
                known.newest = end.link;
                if let Some(older) = known.link {
                    // The edge notices that it is closed.
                    let late = self.net.millis(1..20);
                    self.net.after(late, Event::Lost(older.other()));
                    self.origin_lost_edge(o, older);
                }
                let lost = self
                    .held(o)
                    .edges
                    .entry(key.clone())
                    .or_default()
                    .lost
                    .take();
                if lost.is_some_and(|lost| self.net.now >= lost + GRACE) {
                    self.end_lanes_of(o, &key);
                }
                self.net
                    .send(end.other(), CONTROL, Packet::Welcome { process: own });
                let machine = &self.origins[o].process.as_ref().unwrap().ownership;
                let mut first = machine.told_to_edge();
                if machine.standing() == OriginStanding::Draining {
                    first.push(Control::GoAway { within_ms: 0 });
                }
                for control in first {
                    self.net
                        .send(end.other(), CONTROL, Packet::Control(control));
                }
                self.held(o).edges.entry(key).or_default().link = Some(end);
                self.decide(o, |it, now, here| {
                    it.edge_linked((&name, process), true, now, here);
                });
            }
            Node::Origin(_) => {
                self.net
                    .send(end.other(), CONTROL, Packet::Welcome { process: own });
                self.peer_linked(o, end, process);
            }
        }
    }

    /// The place of the origin at the other end of a link.
    fn peer_of(end: LinkEnd) -> usize {
        match (end.at_target, end.path) {
            (true, (Node::Origin(peer), _)) | (false, (_, peer)) => peer,
            (true, (Node::Edge(_), _)) => panic!("no origin"),
        }
    }

    /// A link to another origin is up.
    pub(super) fn peer_linked(&mut self, o: usize, end: LinkEnd, process: u64) {
        let peer = Self::peer_of(end);
        let name = self.origins[peer].name.clone();
        self.held(o).peers.entry(peer).or_default().push(end);
        self.decide(o, |it, now, _| {
            it.origin_linked(&name, end.link, process, now)
        });
        let machine = &self.origins[o].process.as_ref().unwrap().ownership;
        let mut first = machine.told_to_origin();
        if machine.standing() != OriginStanding::Serving {
            first.push(Control::GoAway { within_ms: 0 });
        }
        for control in first {
            self.net
                .send(end.other(), CONTROL, Packet::Control(control));
        }
    }

    /// A link of an edge, or of another origin, is lost.
    pub(super) fn origin_lost(&mut self, o: usize, end: LinkEnd) {
        if self.origins[o].process.is_none() {
            return;
        }
        if let Node::Edge(_) = end.path.0 {
            return self.origin_lost_edge(o, end);
        }
        let peer = Self::peer_of(end);
        let name = self.origins[peer].name.clone();
        if let Some(links) = self.held(o).peers.get_mut(&peer) {
            links.retain(|it| *it != end);
        }
        self.decide(o, |it, now, _| it.origin_lost(&name, end.link, now));
        if !end.at_target {
            self.dial_soon(end.path);
        }
    }

    fn origin_lost_edge(&mut self, o: usize, end: LinkEnd) {
        let now = self.net.now;
        let held = self.held(o);
        for known in held.edges.values_mut() {
            if known.link == Some(end) {
                known.link = None;
                known.lost = Some(now);
            }
        }
        for lane in held.lanes.values_mut() {
            if lane.stream.is_some_and(|(of, _)| of == end) {
                lane.disconnect(now);
            }
        }
    }

    fn edge_key(&mut self, o: usize, end: LinkEnd) -> Option<(Arc<str>, u64)> {
        let edges = &self.held(o).edges;
        let known = edges.iter().find(|(_, known)| known.link == Some(end));
        known.map(|(key, _)| key.clone())
    }

    pub(super) fn origin_packet(&mut self, o: usize, to: LinkEnd, stream: u64, packet: Packet) {
        if self.origins[o].process.is_none() {
            return;
        }
        match packet {
            Packet::Hello { process } => self.origin_greeted(o, to, process),
            Packet::Welcome { process } => self.peer_linked(o, to, process),
            Packet::Control(control) => match to.path.0 {
                Node::Edge(_) => self.control_of_edge(o, to, control),
                Node::Origin(_) => self.control_of_peer(o, to, control),
            },
            packet => {
                if let Some(key) = self.edge_key(o, to) {
                    self.origin_lane_packet(o, &key, (to, stream), packet);
                }
            }
        }
        self.pump_origin(o);
    }

    fn control_of_edge(&mut self, o: usize, to: LinkEnd, control: Control) {
        let Some((name, process)) = self.edge_key(o, to) else {
            return;
        };
        let own = self.origins[o].name.clone();
        let mut copies = Vec::new();
        self.decide(o, |it, now, here| match control {
            Control::Living {
                origin,
                complete,
                groups,
            } if origin == own => it.edge_brings(&name, groups, complete, now, here),
            Control::Living {
                origin,
                complete,
                groups,
            } => it.edge_misses((&name, process), &origin, groups, complete, now),
            Control::LivingEnd { origin, resumed } => {
                it.edge_waits_no_more((&name, process), &origin, resumed, now);
            }
            Control::AtHome { origin, groups } => {
                copies = it.are_at_home(&origin, groups, now, here);
            }
            _ => {}
        });
        for group in copies {
            self.history.saw("copy");
            let lanes = self.held(o).lanes.iter();
            let of_it = lanes.filter(|(_, it)| it.group == group && !it.over && !it.moved);
            let of_it: Vec<_> = of_it.map(|(number, _)| *number).collect();
            for number in of_it {
                let lane = self.held(o).lanes.get_mut(&number).unwrap();
                lane.lane.close_all(CloseReason::Moved);
                self.origin_events(o, number);
            }
        }
    }

    fn control_of_peer(&mut self, o: usize, to: LinkEnd, control: Control) {
        let peer = Self::peer_of(to);
        let links = self.held(o).peers.get(&peer);
        if !links.is_some_and(|links| links.contains(&to)) {
            return;
        }
        let name = self.origins[peer].name.clone();
        self.decide(o, |it, now, here| match control {
            Control::Displaced {
                complete,
                added,
                removed,
            } => {
                let link = (name.as_str(), to.link);
                it.origin_has(link, complete, added, &removed, now, here);
            }
            Control::Living { .. } => it.origin_gathers(&name, to.link, true),
            Control::LivingEnd { .. } => it.origin_gathers(&name, to.link, false),
            Control::GoAway { .. } => it.origin_leaves(&name),
            Control::Move(frame) => it.handle_move(&name, frame, now, here),
            _ => {}
        });
    }

    fn origin_lane_packet(
        &mut self,
        o: usize,
        key: &(Arc<str>, u64),
        on: (LinkEnd, u64),
        packet: Packet,
    ) {
        let now = self.net.now;
        if let Packet::OpenLane(open) = packet {
            let answer = self.open_lane(o, key, on, open);
            return self.net.send(on.0.other(), on.1, Packet::Answer(answer));
        }
        let held = self.held(o);
        let mut lanes = held.lanes.iter_mut();
        let Some((&number, lane)) = lanes.find(|(_, lane)| lane.stream == Some(on)) else {
            return;
        };
        match packet {
            Packet::Lane(bytes) => lane.lane.handle_bytes(now, &bytes).unwrap(),
            Packet::End => lane.disconnect(now),
            _ => panic!("{packet:?}"),
        }
        self.origin_events(o, number);
    }

    fn open_lane(
        &mut self,
        o: usize,
        key: &(Arc<str>, u64),
        on: (LinkEnd, u64),
        open: OpenLane,
    ) -> LaneAnswer {
        let now = self.net.now;
        let held = self.held(o);
        let mut lanes = held.lanes.iter();
        let is_it = |lane: &SimLane| lane.edge == *key && lane.id == open.lane && !lane.over;
        let known = lanes.find(|(_, lane)| is_it(lane)).map(|(it, _)| *it);
        let (number, received, is_restored) = match known {
            Some(number) => (number, open.resume.unwrap_or(0), false),
            None => {
                let begins = open.resume.is_none_or(|received| received == 0);
                if open.restore && !begins || open.resume.is_some() && !open.restore {
                    return LaneAnswer::Unknown;
                }
                let process = self.origins[o].process.as_ref().unwrap();
                match process.ownership.admit(&open, now, &process.held) {
                    Admission::Open => {}
                    Admission::Unknown => return LaneAnswer::Unknown,
                    Admission::Wait => return LaneAnswer::Wait { retry_ms: 250 },
                }
                if open.restore {
                    self.decide(o, |it, _, _| it.is_restored(&open.group));
                }
                let mut lane = OriginLane::new(1 << 20, CreditBudget::new(1 << 24));
                if open.restore {
                    lane = lane.restoring();
                }
                let held = self.held(o);
                held.next_lane += 1;
                let number = LaneNumber(held.next_lane);
                let lane = SimLane {
                    id: open.lane,
                    edge: key.clone(),
                    group: open.group,
                    home: open.home,
                    lane,
                    joined: false,
                    is_resident: false,
                    moved: false,
                    over: false,
                    is_brought: open.restore,
                    stream: None,
                    uncarried: None,
                };
                held.lanes.insert(number, lane);
                (number, 0, open.restore)
            }
        };
        let lane = self.held(o).lanes.get_mut(&number).unwrap();
        lane.disconnect(now);
        lane.uncarried = None;
        lane.stream = Some(on);
        let so_far = lane.lane.received();
        lane.lane.connected(now, received).unwrap();
        match is_restored {
            true => LaneAnswer::Restore,
            false => LaneAnswer::Open { received: so_far },
        }
    }

    fn join(&mut self, o: usize, number: LaneNumber) {
        let group = self.held(o).lanes[&number].group.clone();
        let instance = self.net.number();
        let held = self.held(o);
        held.groups
            .entry(group.clone())
            .or_insert_with(|| Instance {
                number: instance,
                state: 0,
                gathers: None,
                restored: Vec::new(),
                mail: VecDeque::new(),
                open: Vec::new(),
                sessions: BTreeMap::new(),
                stops: false,
            });
        let lane = held.lanes.get_mut(&number).unwrap();
        if !std::mem::replace(&mut lane.joined, true) {
            lane.is_resident = true;
            let home = lane.home.clone();
            let own = self.origins[o].name.clone();
            self.decide(o, |it, _, _| it.lane_joined(&group, &home, &own));
        }
    }

    /// Handles the events of a lane.
    fn origin_events(&mut self, o: usize, number: LaneNumber) {
        loop {
            let now = self.net.now;
            let Some(lane) = self.held(o).lanes.get_mut(&number) else {
                return;
            };
            let group = lane.group.clone();
            let Some(event) = lane.lane.poll_event() else {
                return;
            };
            match event {
                OriginEvent::Session { session, event } => {
                    let mail = match event {
                        FromSession::Open(_) => {
                            self.join(o, number);
                            Mail::Open
                        }
                        FromSession::Message { message, .. } => Mail::Message(message),
                        FromSession::Close(_) => Mail::Close,
                        _ => continue,
                    };
                    if let Some(instance) = self.held(o).groups.get_mut(&group) {
                        instance.mail.push_back((number, session, mail));
                    }
                }
                OriginEvent::Restored { session, restored } => {
                    self.join(o, number);
                    let unanswered = restored.unanswered.clone();
                    self.net.note(&format!(
                        "{o} restores {session} of {group} in {number:?}: {unanswered:?}"
                    ));
                    let instance = self.held(o).groups.get_mut(&group).unwrap();
                    let is_new = instance.sessions.is_empty() && instance.restored.is_empty();
                    if is_new && instance.mail.is_empty() {
                        instance.gathers = Some(now + Duration::from_secs(5));
                    }
                    match instance.gathers {
                        Some(_) => instance.restored.push((number, session, unanswered)),
                        None => self.take_in(o, &group, number, session, unanswered),
                    }
                }
                OriginEvent::RestoreEnd => {
                    let lane = self.held(o).lanes.get_mut(&number).unwrap();
                    lane.is_brought = false;
                    let edge = Arc::clone(&lane.edge.0);
                    self.decide(o, |it, now, here| {
                        it.has_brought(&edge, &group, number, now, here);
                    });
                }
                OriginEvent::Ended => self.end_lane(o, number, CloseReason::Client),
                _ => {}
            }
        }
    }

    fn leave_group(&mut self, o: usize, number: LaneNumber) {
        let lane = self.held(o).lanes.get_mut(&number).unwrap();
        if std::mem::take(&mut lane.is_resident) {
            let group = lane.group.clone();
            self.decide(o, |it, _, _| it.lane_left(&group));
        }
    }

    fn end_lane(&mut self, o: usize, number: LaneNumber, reason: CloseReason) {
        let Some(lane) = self.held(o).lanes.get_mut(&number) else {
            return;
        };
        if std::mem::replace(&mut lane.over, true) {
            return;
        }
        let text = format!("{o} ends {number:?} of {}: {reason:?}", lane.group);
        lane.lane.end(reason);
        self.net.note(&text);
        self.origin_events(o, number);
        self.leave_group(o, number);
    }

    fn end_lanes_of(&mut self, o: usize, key: &(Arc<str>, u64)) {
        let lanes = self.held(o).lanes.iter();
        let of_it = lanes.filter(|(_, lane)| lane.edge == *key && !lane.over);
        let of_it: Vec<_> = of_it.map(|(number, _)| *number).collect();
        for number in of_it {
            self.end_lane(o, number, CloseReason::OriginLost);
        }
    }

    /// Does all that is due at an origin.
    pub(super) fn pump_origin(&mut self, o: usize) {
        let now = self.net.now;
        if self.origins[o].process.is_none() {
            return;
        }
        let groups: Vec<_> = self.held(o).groups.keys().cloned().collect();
        for group in groups {
            self.work(o, &group, 4);
        }
        self.stop_groups(o);
        self.send_lanes(o);
        self.end_moved(o);
        self.send_lanes(o);
        let process = self.origins[o].process.as_mut().unwrap();
        if process.ownership.has_news() && now >= process.told + TOGETHER {
            process.told = now;
            let (for_edges, for_origins) = process.ownership.take_news();
            let edges = process.held.edges.values().filter_map(|known| known.link);
            let edges: Vec<_> = edges.collect();
            let peers: Vec<_> = process.held.peers.values().flatten().copied().collect();
            for (ends, frames) in [(edges, for_edges), (peers, for_origins)] {
                for end in ends {
                    for control in &frames {
                        let packet = Packet::Control(control.clone());
                        self.net.send(end.other(), CONTROL, packet);
                    }
                }
            }
        }
        let process = self.origins[o].process.as_mut().unwrap();
        if now >= process.ticked + TICK {
            process.ticked = now;
            self.tick_origin(o);
        }
    }

    fn send_lanes(&mut self, o: usize) {
        let now = self.net.now;
        let numbers: Vec<_> = self.held(o).lanes.keys().copied().collect();
        for number in numbers {
            loop {
                let lane = self.held(o).lanes.get_mut(&number).unwrap();
                let Some((end, stream)) = lane.stream else {
                    break;
                };
                let Some(bytes) = lane.lane.poll_transmit(now) else {
                    break;
                };
                self.net.send(end.other(), stream, Packet::Lane(bytes));
            }
            self.origin_events(o, number);
            let lane = self.held(o).lanes.get_mut(&number).unwrap();
            if !lane.over {
                continue;
            }
            let stream = lane.stream.take();
            self.held(o).lanes.remove(&number);
            if let Some((end, stream)) = stream {
                self.net.send(end.other(), stream, Packet::End);
            }
        }
    }

    /// An instance handles some of its mail.
    fn work(&mut self, o: usize, group: &GroupName, most: usize) {
        let now = self.net.now;
        for _ in 0..most {
            let process = self.origins[o].process.as_mut().unwrap();
            let Some(instance) = process.held.groups.get_mut(group) else {
                return;
            };
            if let Some(until) = instance.gathers {
                if until <= now {
                    self.release(o, group, None);
                }
                return;
            }
            if instance.stops && most < usize::MAX {
                return;
            }
            let Some((lane, session, mail)) = instance.mail.pop_front() else {
                break;
            };
            let number = instance.number;
            let at = process.held.lanes.get_mut(&lane);
            match mail {
                Mail::Open => {
                    instance.sessions.insert((lane, session), 0);
                    if let Some(at) = at {
                        at.lane.send(session, ToSession::Accept);
                        say(&mut at.lane, session, "_result", TransactionId(CONNECT));
                    }
                }
                Mail::Close => {
                    instance.sessions.remove(&(lane, session));
                    instance.open.retain(|it| (it.0, it.1) != (lane, session));
                }
                Mail::Message(message) => {
                    let (_, transaction) = Command::peek(message.kind, &message.payload).unwrap();
                    let call = (session, message.timestamp.0);
                    let Some(handled) = instance.sessions.get_mut(&(lane, session)) else {
                        continue;
                    };
                    *handled += 1;
                    let handled = *handled;
                    instance.state += 1;
                    self.states.insert(group.clone(), instance.state);
                    self.net
                        .note(&format!("{o} carries out {call:?} in {number} of {group}"));
                    self.history.carried_out(group, number, call, now);
                    let is_late = self.net.rng.random_bool(0.25);
                    if is_late {
                        instance.open.push((lane, session, transaction));
                    }
                    if let Some(at) = at {
                        if !is_late {
                            say(&mut at.lane, session, "_result", transaction);
                        }
                        at.lane.consumed(now, session, message.payload.len());
                        at.lane.send(session, ToSession::Handled(handled));
                    }
                }
            }
        }
        let answers = self.net.rng.random_bool(0.1) || most == usize::MAX;
        let held = self.held(o);
        let Some(instance) = held.groups.get_mut(group) else {
            return;
        };
        while answers && let Some((lane, session, transaction)) = instance.open.pop() {
            if let Some(at) = held.lanes.get_mut(&lane) {
                say(&mut at.lane, session, "_result", transaction);
            }
        }
        let is_empty = instance.sessions.is_empty() && instance.mail.is_empty();
        if is_empty && instance.gathers.is_none() && !instance.stops {
            held.groups.remove(group);
            self.states.remove(group);
        }
    }

    /// Groups that stop, and have had the time to.
    fn stop_groups(&mut self, o: usize) {
        let now = self.net.now;
        let stops = self.held(o).stops.iter();
        let due = stops.filter(|(_, stopping)| stopping.at <= now);
        let due: Vec<_> = due.map(|(group, _)| group.clone()).collect();
        for group in due {
            let Stopping {
                to,
                all,
                followers,
                hangs,
                ..
            } = self.held(o).stops.remove(&group).unwrap();
            let state = self.stop_group(o, &group, (&followers, &to), hangs);
            self.held(o).left.insert(group.clone(), (all, followers));
            self.decide(o, |it, _, _| it.has_stopped(&group, &state));
        }
    }

    /// Stops an instance. Returns what it leaves for the next one.
    fn stop_group(
        &mut self,
        o: usize,
        group: &GroupName,
        (followers, to): (&[LaneNumber], &str),
        hangs: bool,
    ) -> Bytes {
        let gathers = self
            .held(o)
            .groups
            .get(group)
            .map(|it| it.gathers.is_some());
        if gathers == Some(false) && !hangs {
            self.work(o, group, usize::MAX);
        }
        self.hand_over(o, followers, to, !hangs);
        let instance = self.held(o).groups.remove(group);
        let state = instance.filter(|it| !hangs && it.gathers.is_none());
        state.map_or_else(Bytes::new, |it| {
            Bytes::copy_from_slice(&it.state.to_be_bytes())
        })
    }

    /// Ends lanes that have moved, once their edges know.
    fn end_moved(&mut self, o: usize) {
        let now = self.net.now;
        let ends = std::mem::take(&mut self.held(o).ends);
        for it in ends {
            let held = self.held(o);
            let is_known = |number: &LaneNumber| {
                let lane = held.lanes.get(number);
                lane.is_none_or(|lane| {
                    lane.over || lane.uncarried.is_some() || lane.lane.is_handed_over()
                })
            };
            if !it.followers.iter().all(is_known) && now < it.until {
                held.ends.push(it);
                continue;
            }
            for number in it.all {
                if let Some(lane) = self.held(o).lanes.get_mut(&number) {
                    lane.moved = true;
                    self.leave_group(o, number);
                }
            }
            self.decide(o, |machine, now, _| machine.has_gone(&it.group, now));
        }
        let moved = self.held(o).lanes.iter();
        let known = moved.filter(|(_, it)| it.moved && it.lane.is_handed_over());
        let known: Vec<_> = known.map(|(number, _)| *number).collect();
        for number in known {
            self.end_lane(o, number, CloseReason::Moved);
        }
    }

    fn tick_origin(&mut self, o: usize) {
        let now = self.net.now;
        self.decide(o, |it, now, here| it.tick(now, here));
        let held = self.held(o);
        let overdue = held.lanes.iter().filter(|(_, lane)| {
            let grace = match lane.joined {
                true => GRACE,
                false => Duration::from_secs(1),
            };
            let known = held.edges.get(&lane.edge);
            let has_link = known.is_some_and(|known| known.link.is_some());
            let is_lost = known.and_then(|known| known.lost);
            let is_lost = is_lost.is_some_and(|lost| now >= lost + GRACE);
            let uncarried = lane.uncarried;
            is_lost || has_link && uncarried.is_some_and(|since| now >= since + grace)
        });
        let overdue: Vec<_> = overdue.map(|(number, _)| *number).collect();
        for number in overdue {
            self.end_lane(o, number, CloseReason::OriginLost);
        }
        let held = self.held(o);
        let has_lanes = |key: &(Arc<str>, u64)| held.lanes.values().any(|it| it.edge == *key);
        let gone = held
            .edges
            .iter()
            .filter(|(key, known)| known.link.is_none() && !has_lanes(key) && known.lost.is_some());
        let gone: Vec<_> = gone.map(|(key, _)| key.clone()).collect();
        for key in gone {
            self.held(o).edges.remove(&key);
            self.decide(o, |it, _, _| it.edge_gone(&key.0, key.1));
        }
        let process = self.origins[o].process.as_ref().unwrap();
        if process.ownership.standing() == OriginStanding::Draining {
            self.drain_groups(o);
        }
        self.begin_anew(o);
        self.go_on_stopping(o);
    }

    /// Asks an origin to move a group.
    pub(super) fn ask_move(&mut self, o: usize, group: &GroupName, to: usize) {
        let id = self.net.number();
        let name = self.origins[to].name.clone();
        if let Some(process) = &mut self.origins[o].process {
            process.asked.insert(id, group.clone());
        }
        self.decide(o, |it, now, here| {
            it.move_group(id, group, &name, now, here)
        });
    }

    fn drain_groups(&mut self, o: usize) {
        let process = self.origins[o].process.as_ref().unwrap();
        let is_asked = |group: &GroupName| process.asked.values().any(|it| it == group);
        let groups = process.groups().into_iter();
        let groups: Vec<_> = groups.filter(|group| !is_asked(group)).collect();
        let others = 0..self.origins.len();
        let mut takers = others.filter(|&it| {
            let name = &self.origins[it].name;
            it != o && process.ownership.takes_groups(name)
        });
        let Some(to) = takers.next() else { return };
        for group in groups.into_iter().take(8) {
            self.ask_move(o, &group, to);
        }
    }

    /// Begins a drain, or ends it.
    pub(super) fn drain(&mut self, o: usize, drains: bool) {
        let standing = match drains {
            true => OriginStanding::Draining,
            false => OriginStanding::Serving,
        };
        let Some(process) = &mut self.origins[o].process else {
            return;
        };
        if process.stop.is_some() || process.ownership.standing() == standing {
            return;
        }
        process.ownership.stand(standing);
        process.begins_anew = !drains;
        for end in self.links_of(o) {
            if drains {
                let away = Packet::Control(Control::GoAway { within_ms: 0 });
                self.net.send(end.other(), CONTROL, away);
            }
        }
    }

    fn links_of(&mut self, o: usize) -> Vec<LinkEnd> {
        let held = self.held(o);
        let edges = held.edges.values().filter_map(|known| known.link);
        let peers = held.peers.values().flatten().copied();
        edges.chain(peers).collect()
    }

    /// After a drain all links begin anew, which says that groups are taken.
    fn begin_anew(&mut self, o: usize) {
        let process = self.origins[o].process.as_mut().unwrap();
        if process.begins_anew && !process.ownership.has_moves() {
            process.begins_anew = false;
            for end in self.links_of(o) {
                self.close_link(end);
            }
        }
    }

    fn go_on_stopping(&mut self, o: usize) {
        let now = self.net.now;
        let process = self.origins[o].process.as_mut().unwrap();
        let Some(stop) = process.stop else { return };
        match stop {
            Stop::Drains(until) => {
                if process.groups().is_empty() || now >= until {
                    process.stop = Some(Stop::Waits(now + Duration::from_secs(2)));
                }
            }
            Stop::Waits(until) => {
                if process.ownership.has_moves() && now < until {
                    return;
                }
                process.stop = Some(Stop::Leaves(now + Duration::from_secs(1)));
                process.ownership.stand(OriginStanding::Stopping);
                let groups: Vec<_> = process.held.groups.keys().cloned().collect();
                let here = process.held.lanes.iter();
                let here = here.filter(|(_, lane)| !lane.over && !lane.moved);
                let all: Vec<_> = here.map(|(number, _)| *number).collect();
                self.deafen(o, &all);
                for group in groups {
                    let lanes = self.held(o).lanes.iter();
                    let of_it =
                        lanes.filter(|(number, lane)| lane.group == group && all.contains(number));
                    let of_it: Vec<_> = of_it.map(|(number, _)| *number).collect();
                    let state = self.stop_group(o, &group, (&of_it, ""), false);
                    if !of_it.is_empty() {
                        self.origins[o].disk.states.insert(group, state);
                    }
                }
                self.hand_over(o, &all, "", true);
            }
            Stop::Leaves(until) => {
                let mut lanes = process.held.lanes.values();
                let is_known =
                    |lane: &SimLane| lane.uncarried.is_some() || lane.lane.is_handed_over();
                if lanes.all(is_known) || now >= until {
                    self.end_process(o, true);
                }
            }
        }
    }
}

impl SimLane {
    fn disconnect(&mut self, now: Instant) {
        self.stream = None;
        self.lane.disconnected();
        if self.uncarried.is_none() {
            self.uncarried = Some(now);
        }
    }
}

fn say(lane: &mut OriginLane, session: SessionId, name: &str, transaction: TransactionId) {
    let (kind, payload) = Command::new(name, transaction).encode(ObjectEncoding::Amf0);
    let message = Message {
        kind,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        payload,
    };
    let after = None;
    lane.send(session, ToSession::Message { message, after });
}
