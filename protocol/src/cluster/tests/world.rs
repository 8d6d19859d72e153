//! The world of a run: origins, edges, clients, and what happens to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use rand::{Rng, seq::IndexedRandom};

use super::{
    edge::SimEdge,
    history::History,
    network::{CONTROL, Event, LinkEnd, Network, Node, Packet, Path},
    origin::{SimOrigin, Stop},
};
use crate::{GroupName, SessionId};

/// The kinds of events in a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trouble {
    /// Origins and edges are killed.
    pub(super) kills: bool,
    /// Paths are cut.
    pub(super) cuts: bool,
    /// Groups hang while they stop.
    pub(super) hangs: bool,
    /// Origins are stopped, and start again.
    pub(super) stops: bool,
}

pub(super) struct World {
    pub(super) net: Network,
    pub(super) edges: Vec<SimEdge>,
    pub(super) origins: Vec<SimOrigin>,
    pub(super) clients: BTreeMap<SessionId, Client>,
    pub(super) history: History,
    /// The calls that the instances of a group have carried out, one after the other.
    pub(super) states: BTreeMap<GroupName, u64>,
    pub(super) hangs: bool,
    /// Sessions whose clients wait for no answer.
    gone: BTreeSet<SessionId>,
    /// The process that has dialled each link.
    dialled: BTreeMap<u64, u64>,
    /// The links that an end has given up.
    ended: BTreeSet<u64>,
    /// The paths that are dialled soon.
    dialling: BTreeSet<Path>,
}

/// A client that is connected.
pub(super) struct Client {
    edge: usize,
    group: GroupName,
    calls: u32,
}

const STEP: Duration = Duration::from_millis(5);
const EDGES: usize = 3;
const ORIGINS: usize = 3;
const GROUPS: usize = 4;
const CLIENTS: usize = 14;

impl World {
    pub(super) fn new(now: Instant, seed: u64, trouble: Trouble) -> Self {
        let names: Vec<_> = (0..ORIGINS).map(|n| format!("origin{n}")).collect();
        let mut world = Self {
            net: Network::new(now, seed),
            edges: Vec::new(),
            origins: names.iter().map(|name| SimOrigin::new(name)).collect(),
            clients: BTreeMap::new(),
            // An origin that stops while a path is cut cannot hand over all.
            history: History::new(trouble.cuts && trouble.stops, trouble.cuts),
            states: BTreeMap::new(),
            hangs: trouble.hangs,
            gone: BTreeSet::new(),
            dialled: BTreeMap::new(),
            ended: BTreeSet::new(),
            dialling: BTreeSet::new(),
        };
        for origin in 0..ORIGINS {
            world.start_origin(origin);
        }
        for edge in 0..EDGES {
            let process = world.net.number();
            let edge = SimEdge::new(&format!("edge{edge}"), process, &names, now);
            world.edges.push(edge);
        }
        for edge in 0..EDGES {
            world.dial_all(edge);
        }
        world.run_for(Duration::from_secs(1));
        world
    }

    fn dial_all(&mut self, edge: usize) {
        for origin in 0..ORIGINS {
            self.dial_soon((Node::Edge(edge), origin));
        }
    }

    pub(super) fn dial_soon(&mut self, path: Path) {
        if self.dialling.insert(path) {
            let pause = self.net.millis(20..250);
            self.net.after(pause, Event::Dial(path));
        }
    }

    /// The process of a node, if one runs.
    fn process(&self, node: Node) -> Option<u64> {
        match node {
            Node::Edge(edge) => Some(self.edges[edge].process),
            Node::Origin(origin) => self.origins[origin].process.as_ref().map(|it| it.number),
        }
    }

    /// Whether a node has the link of a path that it dials.
    fn has_link(&self, (from, to): Path) -> bool {
        match from {
            Node::Edge(edge) => self.edges[edge].link_to(to).is_some(),
            Node::Origin(origin) => {
                let process = self.origins[origin].process.as_ref();
                let links = process.and_then(|process| process.held.peers.get(&to));
                links.is_some_and(|links| links.iter().any(|end| !end.at_target))
            }
        }
    }

    fn dial(&mut self, path: Path) {
        self.dialling.remove(&path);
        let Some(process) = self.process(path.0) else {
            return;
        };
        if self.has_link(path) {
            return;
        }
        if self.process(Node::Origin(path.1)).is_some() && !self.net.is_cut(path) {
            let link = self.net.number();
            self.dialled.insert(link, process);
            let to = LinkEnd {
                path,
                link,
                at_target: true,
            };
            self.net.send(to, CONTROL, Packet::Hello { process });
        }
        // If it is not answered, the next dial follows.
        let pause = self.net.millis(150..400);
        self.dialling.insert(path);
        self.net.after(pause, Event::Dial(path));
    }

    /// Closes a link at this end; the other end notices.
    pub(super) fn close_link(&mut self, end: LinkEnd) {
        let pause = self.net.millis(1..20);
        self.net.after(pause, Event::Lost(end.other()));
        self.lost(end);
    }

    fn lost(&mut self, end: LinkEnd) {
        self.ended.insert(end.link);
        match (end.at_target, end.path) {
            (false, (Node::Edge(edge), _)) => self.edge_lost(edge, end),
            (false, (Node::Origin(origin), _)) | (true, (_, origin)) => {
                self.origin_lost(origin, end);
            }
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Dial(path) => self.dial(path),
            Event::Lost(end) => self.lost(end),
            Event::Start(origin) => self.start_origin(origin),
            Event::Synced(origin, names) => self.origins[origin].disk.edges = names,
            Event::Packet { to, stream, packet } => {
                let is_late = match packet {
                    // The other end has closed it already.
                    Packet::Hello { .. } | Packet::Welcome { .. }
                        if self.ended.contains(&to.link) =>
                    {
                        true
                    }
                    // A greeting of a process that is no more fails.
                    Packet::Hello { process } => self.process(to.path.0) != Some(process),
                    Packet::Welcome { process } => {
                        let dialled = self.dialled.get(&to.link).copied();
                        self.process(Node::Origin(to.path.1)) != Some(process)
                            || self.process(to.path.0) != dialled
                            || self.has_link(to.path)
                    }
                    _ => false,
                };
                match (to.at_target, to.path) {
                    _ if is_late => {}
                    (false, (Node::Edge(edge), _)) => {
                        self.edge_packet(edge, to, stream, packet);
                    }
                    (false, (Node::Origin(origin), _)) | (true, (_, origin)) => {
                        self.origin_packet(origin, to, stream, packet);
                    }
                }
            }
        }
    }

    fn step(&mut self) {
        self.net.now += STEP;
        while let Some(event) = self.net.next() {
            self.handle(event);
        }
        for edge in 0..EDGES {
            self.tick_edge(edge);
        }
        for origin in 0..ORIGINS {
            self.pump_origin(origin);
        }
    }

    fn run_for(&mut self, time: Duration) {
        let until = self.net.now + time;
        while self.net.now < until {
            self.step();
        }
    }

    /// The process of an origin ends: at once, or in order.
    pub(super) fn end_process(&mut self, o: usize, in_order: bool) {
        let Some(process) = self.origins[o].process.take() else {
            return;
        };
        drop(process);
        self.history.is_broken |= !in_order;
        self.history.may_doubt |= !in_order;
        let pause = self.net.millis(50..3_000);
        self.notice_end(Node::Origin(o), in_order, pause);
        self.net.after(pause, Event::Start(o));
    }

    /// Those at the other ends of a node's links notice that its process has ended.
    fn notice_end(&mut self, node: Node, in_order: bool, until_start: Duration) {
        let mut ends = Vec::new();
        for edge in 0..EDGES {
            for origin in 0..ORIGINS {
                if node == Node::Origin(origin)
                    && let Some(end) = self.edges[edge].link_to(origin)
                {
                    ends.push(end);
                }
            }
        }
        for origin in 0..ORIGINS {
            let Some(process) = &self.origins[origin].process else {
                continue;
            };
            ends.extend(process.held.ends_to(node, &self.edges));
        }
        for end in ends {
            let late = match in_order {
                true => self.net.millis(1..20),
                // Nothing comes any more, or the next process answers that it knows nothing of the link.
                false => {
                    let answered = until_start + self.net.millis(50..500);
                    self.net.millis(2_000..3_200).min(answered)
                }
            };
            self.net.after(late, Event::Lost(end));
        }
    }

    fn kill_edge(&mut self, edge: usize) {
        let of_it = |client: &Client| client.edge == edge;
        let gone: Vec<_> = self
            .clients
            .iter()
            .filter(|(_, client)| of_it(client))
            .map(|(session, _)| *session)
            .collect();
        for session in gone {
            self.clients.remove(&session);
            self.gone.insert(session);
        }
        self.history.is_broken = true;
        self.notice_end(Node::Edge(edge), false, Duration::ZERO);
        let names: Vec<_> = self.origins.iter().map(|it| it.name.clone()).collect();
        let process = self.net.number();
        let name = self.edges[edge].name.to_string();
        self.edges[edge] = SimEdge::new(&name, process, &names, self.net.now);
        self.dial_all(edge);
    }

    fn arrive(&mut self, edge: usize, group: GroupName) {
        let session = self.connect(edge, group.clone());
        let client = Client {
            edge,
            group,
            calls: 0,
        };
        self.clients.insert(session, client);
    }

    fn group(n: usize) -> GroupName {
        GroupName::from_app(&format!("app/{n}")).unwrap()
    }

    /// Clients come, call and leave.
    fn clients_act(&mut self) {
        if self.clients.len() < CLIENTS && self.net.rng.random_bool(0.05) {
            let edge = self.net.rng.random_range(0..EDGES);
            let group = self.net.rng.random_range(0..GROUPS);
            self.arrive(edge, Self::group(group));
        }
        let sessions: Vec<_> = self.clients.keys().copied().collect();
        for session in sessions {
            if self.net.rng.random_bool(0.015) {
                self.call_of(session);
            }
            if self.net.rng.random_bool(0.0005) {
                let client = self.clients.remove(&session).unwrap();
                self.gone.insert(session);
                self.disconnect(client.edge, session);
            }
        }
    }

    fn call_of(&mut self, session: SessionId) {
        let client = &self.clients[&session];
        let (edge, number) = (client.edge, client.calls + 1);
        if self.call(edge, session, number) {
            self.history.called(session, number);
            self.clients.get_mut(&session).unwrap().calls = number;
        }
    }

    /// One event, now and then.
    fn something_happens(&mut self, trouble: Trouble) {
        let o = self.net.rng.random_range(0..ORIGINS);
        match self.net.rng.random_range(0..4_000) {
            0..20 => {
                let to = self.net.rng.random_range(0..ORIGINS);
                let groups = self.origins[o].process.as_ref();
                let groups = groups.map(|it| it.groups()).unwrap_or_default();
                if let Some(group) = groups.choose(&mut self.net.rng).cloned() {
                    self.ask_move(o, &group, to);
                }
            }
            20..23 => self.drain(o, true),
            23..28 => self.drain(o, false),
            28..30 if trouble.stops => self.stop(o),
            30..33 if trouble.kills => {
                self.history.saw("killed");
                self.end_process(o, false);
            }
            33 if trouble.kills => {
                self.history.saw("an edge killed");
                let edge = self.net.rng.random_range(0..EDGES);
                self.kill_edge(edge);
            }
            34..46 if trouble.cuts => {
                let from = match self.net.rng.random_bool(0.7) {
                    true => Node::Edge(self.net.rng.random_range(0..EDGES)),
                    false => Node::Origin(self.net.rng.random_range(0..ORIGINS)),
                };
                let time = self.net.millis(50..6_000);
                if let Some(link) = self.link_of((from, o)) {
                    self.history.saw("cut");
                    self.net.cut((from, o), link, time);
                }
            }
            _ => {}
        }
    }

    fn link_of(&self, path: Path) -> Option<u64> {
        match path.0 {
            Node::Edge(edge) => self.edges[edge].link_to(path.1).map(|end| end.link),
            Node::Origin(origin) => {
                let process = self.origins[origin].process.as_ref()?;
                let links = process.held.peers.get(&path.1)?;
                links.iter().find(|end| !end.at_target).map(|end| end.link)
            }
        }
    }

    /// An origin gets SIGTERM; its supervisor starts it again.
    fn stop(&mut self, o: usize) {
        let by = self.net.now + Duration::from_secs(10);
        self.drain(o, true);
        if let Some(process) = &mut self.origins[o].process
            && process.stop.is_none()
        {
            self.history.saw("stopped");
            process.stop = Some(Stop::Drains(by));
        }
    }

    /// Lets things happen for a while, and then checks that all is in order again.
    pub(super) fn run(mut self, trouble: Trouble) -> (History, u64) {
        let until = self.net.now + Duration::from_secs(40);
        while self.net.now < until {
            self.clients_act();
            self.something_happens(trouble);
            self.step();
        }
        // All that has begun comes to its end.
        for _ in 0..40 {
            for origin in 0..ORIGINS {
                self.drain(origin, false);
            }
            self.run_for(Duration::from_millis(500));
        }
        for edge in 0..EDGES {
            for group in 0..GROUPS {
                self.arrive(edge, Self::group(group));
            }
        }
        self.run_for(Duration::from_secs(4));
        let sessions: Vec<_> = self.clients.keys().copied().collect();
        for session in sessions {
            let before = self.clients[&session].calls;
            self.call_of(session);
            if self.clients[&session].calls == before {
                let client = &self.clients[&session];
                let text = format!("served: {session} of {} cannot call", client.group);
                self.history.violated(text);
            }
        }
        self.run_for(Duration::from_secs(3));
        self.check();
        (self.history, self.net.trace)
    }

    fn check(&mut self) {
        let mut violations = Vec::new();
        for group in (0..GROUPS).map(Self::group) {
            let has = |it: &&SimOrigin| {
                let process = it.process.as_ref();
                process.is_some_and(|it| it.groups().contains(&group))
            };
            let at: Vec<_> = self.origins.iter().filter(has).map(|it| &it.name).collect();
            if at.len() != 1 {
                violations.push(format!("served: {group} is at {at:?}"));
            }
        }
        for origin in &self.origins {
            match &origin.process {
                Some(process) => violations.extend(
                    process
                        .ownership
                        .leftovers()
                        .into_iter()
                        .map(|it| format!("done: at {}: {it}", origin.name)),
                ),
                None => violations.push(format!("done: {} does not run", origin.name)),
            }
        }
        for edge in &self.edges {
            let leftovers = edge.leftovers().into_iter();
            violations.extend(leftovers.map(|it| format!("done: {it}")));
        }
        for violation in violations {
            self.history.violated(violation);
        }
        self.history.check(&self.gone);
    }
}
