//! The load of one node of a tier, and its use of a machine.

use serde::Serialize;

use super::{
    costs::Costs,
    demand::{Application, Demand, Machine},
    quantity::{Amounts, Quantity, Ring, held},
};

/// A node's use of a part of its machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Use {
    pub(super) resource: Resource,
    pub(super) used: f64,
    /// The most that the plan gives it.
    pub(super) of: f64,
}

/// A part of a machine, or a bound of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Resource {
    /// Cores.
    Processor,
    /// The share of one core that the links take: one thread serves them.
    LinkThread,
    /// GiB.
    Memory,
    /// Gbit in a second towards clients and nodes.
    NetworkOut,
    /// Gbit in a second from them.
    NetworkIn,
    /// Descriptors of the process.
    Descriptors,
    /// Lanes, or feeds if those are more, of one link.
    LinkStreams,
}

/// The nodes of a tier share its load evenly.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nodes<'p> {
    pub(super) demand: &'p Demand,
    pub(super) machine: &'p Machine,
    pub(super) costs: &'p Costs,
}

impl Use {
    pub(super) fn fits(&self) -> bool {
        self.used <= self.of
    }

    /// The used share; more than 1 does not fit.
    pub(super) fn share(&self) -> f64 {
        self.used / self.of
    }
}

impl Nodes<'_> {
    /// Uses of one of so many edges.
    pub(super) fn edge(&self, edges: u64) -> Vec<Use> {
        let load = self.upwards(edges);
        let demand = self.demand;
        let nodes = edges as f64;
        let viewers = demand.viewers as f64 / nodes;
        let (kind, writes) = demand.delivery.writes(demand.messages as f64);
        let rings = self.published(nodes) * self.held(Ring::PUBLISH)
            + load.of(Quantity::Feed) * self.held(Ring::EDGE);
        let load = load
            .with(Quantity::Process, 1.0)
            .with(Quantity::Viewer, viewers)
            .with(kind, viewers * writes)
            .with(Quantity::DeliveredMbit, viewers * demand.mbit())
            .with(Quantity::RingMegabyte, rings);
        let clients = load.of(Quantity::Session);
        let (links_in, links_out) = traffic(&load);
        let costs = self.costs;
        let memory = costs.edge.memory.of(&load) + costs.edge.kernel.of(&load);
        let to_clients = load.of(Quantity::DeliveredMbit) + calls(&load);
        let from_clients = load.of(Quantity::PublishedMbit) + calls(&load);
        vec![
            self.processor(costs.edge.processor.of(&load)),
            self.link_thread(self.links(&load)),
            self.memory(memory),
            self.network(Resource::NetworkOut, to_clients * TCP + links_out * QUIC),
            self.network(Resource::NetworkIn, from_clients * TCP + links_in * QUIC),
            Use {
                resource: Resource::Descriptors,
                used: clients + OWN_DESCRIPTORS,
                of: self.machine.descriptors as f64,
            },
        ]
    }

    /// Uses of one of so many relaying edges with so many nodes below them all. A relay has the work of
    /// a link's end in both directions, and no other.
    pub(super) fn relay(&self, relays: u64, below: u64) -> Vec<Use> {
        let above = self.upwards(relays);
        let rings = above.of(Quantity::Feed) * self.held(Ring::EDGE)
            + self.published(relays as f64) * self.held(Ring::PUBLISH);
        let load = self
            .downwards(relays as f64, below)
            .with(Quantity::Link, below as f64 / relays as f64)
            .with(Quantity::RingMegabyte, rings);
        let (above_in, above_out) = traffic(&above);
        // Their upward traffic is this node's input.
        let (below_out, below_in) = traffic(&load);
        let links = self.links(&load) + self.links(&above);
        vec![
            self.processor(links),
            self.link_thread(links),
            self.memory(self.costs.origin.memory.of(&load)),
            self.network(Resource::NetworkOut, (below_out + above_out) * QUIC),
            self.network(Resource::NetworkIn, (below_in + above_in) * QUIC),
            link_streams(&load),
        ]
    }

    /// Uses of one of so many origins with so many nodes below them all. Groups do not divide.
    pub(super) fn origin(&self, origins: u64, below: u64) -> Vec<Use> {
        let demand = self.demand;
        let parts = origins.min(demand.groups) as f64;
        let groups = demand.groups as f64 / parts;
        let rings = self.published(parts) * self.held(Ring::ORIGIN);
        let load = self
            .downwards(parts, below)
            .with(Quantity::RingMegabyte, rings);
        let calls = load.of(Quantity::Call);
        let load = match demand.application {
            Application::Rust => load.with(Quantity::Group, groups),
            Application::Script => load
                .with(Quantity::ScriptGroup, groups)
                .with(Quantity::Call, 0.0)
                .with(Quantity::ScriptCall, calls),
        };
        let (out, into) = traffic(&load);
        let costs = &self.costs.origin;
        vec![
            self.processor(costs.processor.of(&load)),
            self.link_thread(costs.link_thread.of(&load)),
            self.memory(costs.memory.of(&load)),
            self.network(Resource::NetworkOut, out * QUIC),
            self.network(Resource::NetworkIn, into * QUIC),
            link_streams(&load),
        ]
    }

    /// The load of one of so many nodes towards the tier above: clients are spread evenly over them,
    /// so that each has clients of every group and viewers of every stream, as far as it has clients.
    fn upwards(&self, nodes: u64) -> Amounts {
        let demand = self.demand;
        let nodes = nodes as f64;
        let clients = demand.clients() as f64 / nodes;
        let feeds = (self.streams()).min(demand.viewers as f64 / nodes);
        let messages = demand.messages as f64;
        let published = self.published(nodes);
        Amounts::default()
            .with(Quantity::Session, clients)
            .with(Quantity::Publisher, published)
            .with(Quantity::Lane, clients.min(demand.groups as f64))
            .with(Quantity::Call, demand.calls as f64 / nodes)
            .with(Quantity::PublishedMessage, published * messages)
            .with(Quantity::PublishedMbit, published * demand.mbit())
            .with(Quantity::Feed, feeds)
            .with(Quantity::FeedMessage, feeds * messages)
            .with(Quantity::FeedMbit, feeds * demand.mbit())
            .awake(1.0)
    }

    /// The load of one of so many nodes from the tier below, in which are `below` nodes: their loads
    /// together, spread over these.
    fn downwards(&self, nodes: f64, below: u64) -> Amounts {
        let one = self.upwards(below);
        let share = below as f64 / nodes;
        let mut load = Amounts::default();
        for quantity in Quantity::ALL {
            load = load.with(quantity, one.of(quantity) * share);
        }
        load.with(Quantity::Process, 1.0)
            .with(Quantity::Link, below as f64)
            .awake(1.0)
    }

    /// Processor time of the links of a load: that of an origin's link thread, for either end. The call
    /// of a script is measured without the application, which other threads run.
    fn links(&self, load: &Amounts) -> f64 {
        let calls = load.of(Quantity::Call);
        let load = load
            .with(Quantity::Call, 0.0)
            .with(Quantity::ScriptCall, calls);
        self.costs.origin.link_thread.of(&load)
    }

    fn streams(&self) -> f64 {
        self.demand.publishers() as f64
    }

    /// Publishers of one of so many nodes.
    fn published(&self, nodes: f64) -> f64 {
        self.streams() / nodes
    }

    /// Megabytes of a stream in a full ring.
    fn held(&self, ring: Ring) -> f64 {
        held(self.demand.mbit() * 1e6, f64::INFINITY, ring) / 1e6
    }

    fn processor(&self, micros: f64) -> Use {
        Use {
            resource: Resource::Processor,
            used: micros / 1e6,
            of: self.machine.cores as f64 * self.machine.share(),
        }
    }

    fn link_thread(&self, micros: f64) -> Use {
        Use {
            resource: Resource::LinkThread,
            used: micros / 1e6,
            of: self.machine.share(),
        }
    }

    fn memory(&self, bytes: f64) -> Use {
        Use {
            resource: Resource::Memory,
            used: bytes / GIB,
            of: self.machine.memory as f64 * self.machine.share(),
        }
    }

    fn network(&self, resource: Resource, mbit: f64) -> Use {
        Use {
            resource,
            used: mbit / 1e3,
            of: self.machine.network as f64 * self.machine.share(),
        }
    }
}

/// Mbit in a second of a node's links from above and towards it.
fn traffic(load: &Amounts) -> (f64, f64) {
    let calls = calls(load);
    (
        load.of(Quantity::FeedMbit) + calls,
        load.of(Quantity::PublishedMbit) + calls,
    )
}

/// Mbit in a second of calls, and as much of answers.
fn calls(load: &Amounts) -> f64 {
    (load.of(Quantity::Call) + load.of(Quantity::ScriptCall)) * CALL_MBIT
}

fn link_streams(load: &Amounts) -> Use {
    let most = load.of(Quantity::Lane).max(load.of(Quantity::Feed));
    Use {
        resource: Resource::LinkStreams,
        used: most / load.of(Quantity::Link),
        of: LINK_STREAMS,
    }
}

/// Bytes on the wire for each byte of media: RTMP's headers, TCP, IP and Ethernet.
pub(super) const TCP: f64 = 1.06;
/// The same for a link: its frames, QUIC, UDP, IP and Ethernet.
pub(super) const QUIC: f64 = 1.08;
/// A call, or an answer, of 250 bytes.
pub(super) const CALL_MBIT: f64 = 0.002;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;
/// Descriptors of an edge besides its clients'.
const OWN_DESCRIPTORS: f64 = 100.0;
/// `MAX_STREAMS` of a link in docs/limits.md.
const LINK_STREAMS: f64 = 100_000.0;
