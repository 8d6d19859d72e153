//! One load on servers of its own.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::{
    Options,
    load::{Application, DELIVERIES, Load},
};
use crate::{
    delivery::Delivery,
    driver::{Generator, sum},
    fit::{
        self, EDGE_KERNEL, EDGE_MEMORY, EDGE_PROCESSOR, LINK_THREAD, ORIGIN_MEMORY,
        ORIGIN_PROCESSOR, Tier,
    },
    meter::{self, Sample, Spent},
    quantity::{
        Amounts, BROADCAST_WAIT, INTERACTIVE_WAIT, Quantity, Ring, STANDARD_WAIT, held, writes,
    },
    report::{Figures, GENERATOR_BUSY},
    scenario::{
        members,
        scale::{by_tier, sleep},
    },
    servers::{self, ORIGIN, Server},
};

/// Measures a load; returns how busy the machine was, and the load's amounts and costs.
pub(super) fn one(options: &Options, load: &Load) -> (f64, Figures) {
    let mut stage = Stage::set(options, load);
    let [settle, seconds] = options.times(load);
    sleep(settle);
    let measured = stage.measure(seconds);
    let mut figures = Figures::new();
    for (tier, amounts) in [
        (Tier::Edge, stage.at_edges(load, &measured)),
        (Tier::Origin, stage.at_origin(load, &measured)),
    ] {
        for quantity in Quantity::ALL {
            let amount = amounts.of(quantity);
            if amount != 0.0 {
                figures.insert(fit::amount(tier, quantity), amount);
            }
        }
    }
    stage.put_costs(&measured, &mut figures);
    (measured.spent.busy, figures)
}

/// The servers and the generators of a load.
struct Stage {
    /// Dropped before the server, whose log then shows no sessions that its end closed.
    members: Vec<Generator>,
    publisher: Option<Generator>,
    viewers: Vec<Generator>,
    server: Server,
    /// Bytes of the kernel's structures before the first client.
    empty: f64,
    /// The beginning of the streams.
    published: Instant,
}

/// The events of the measured time.
struct Measured {
    spent: Spent,
    /// Processor seconds of the origin's link thread.
    link_thread: f64,
    calls: f64,
    /// Messages of all publishers, in a second.
    published: f64,
    /// Bits that all viewers got, in a second.
    delivered: f64,
    failed: f64,
    /// The time for which the streams have run.
    age: Duration,
}

impl Stage {
    /// Starts the servers, connects all clients, publishes the streams.
    fn set(options: &Options, load: &Load) -> Self {
        let server = servers::with_settings(load.edges, DELIVERIES);
        let mut stage = Self {
            members: Vec::new(),
            publisher: None,
            viewers: Vec::new(),
            empty: meter::kernel_structures(),
            server,
            published: Instant::now(),
        };
        if load.members() > 0 {
            stage.connect(load);
        }
        if load.publishers > 0 {
            stage.publish(load);
            stage.watch(options, load);
        }
        stage
    }

    fn connect(&mut self, load: &Load) {
        let app = match load.application {
            Application::Rust => "counter/g{}",
            Application::Script => "chat/g{}",
        };
        let (groups, calls) = (load.groups.to_string(), load.calls.to_string());
        let mut more = vec![("--groups", groups.as_str())];
        if load.calls > 0.0 {
            more.push(("--calls", &calls));
        }
        self.members = members::start(&self.server, app, load.members, &more);
        members::grow(&mut self.members, load.members());
    }

    fn publish(&mut self, load: &Load) {
        let [count, bitrate, slowness] = [
            load.publishers.to_string(),
            load.bitrate.to_string(),
            load.slowness.to_string(),
        ];
        let arguments = [
            ("--app", load.live_application()),
            ("--name", STREAM),
            ("--count", &count),
            ("--bitrate", &bitrate),
            ("--slowness", &slowness),
        ];
        self.published = Instant::now();
        let publisher = Generator::start("publisher", self.server.rtmp, &arguments);
        self.publisher = Some(publisher);
    }

    fn watch(&mut self, options: &Options, load: &Load) {
        let (viewers, streams) = load.viewers();
        let count = viewers.to_string();
        let name = if streams > 1 { STREAM } else { FIRST };
        let addresses = self.server.edges().take(load.watching_edges());
        self.viewers = addresses
            .map(|address| {
                let arguments = [
                    ("--app", load.live_application()),
                    ("--name", name),
                    ("--count", &count),
                    ("--read", options.read.name()),
                ];
                Generator::start("viewers", address, &arguments)
            })
            .collect();
    }

    fn measure(&mut self, seconds: f64) -> Measured {
        let servers = self.server.pids();
        let generators = self.members.iter().chain(&self.publisher);
        let generators: Vec<_> = generators
            .chain(&self.viewers)
            .map(Generator::pid)
            .collect();
        let link_before = self.link_thread();
        let before = Sample::take(&servers, &generators);
        let streams = self.publisher.iter_mut().chain(&mut self.viewers);
        streams.for_each(|generator| generator.begin(&format!("measure {seconds}")));
        let members = self.members.iter_mut();
        members.for_each(|generator| generator.begin(&format!("act {seconds}")));
        if generators.is_empty() {
            sleep(seconds);
        }
        let members: Vec<_> = self.members.iter_mut().map(Generator::answer).collect();
        let published = self.publisher.as_mut().map(Generator::answer);
        let viewers: Vec<_> = self.viewers.iter_mut().map(Generator::answer).collect();
        let spent = Sample::take(&servers, &generators).since(&before);
        let publishers = published.as_slice();
        let rate = |answers: &[Value], path: &str| sum(answers, path) / spent.seconds;
        let failed = sum(&members, "/gone") + sum(&viewers, "/failed");
        Measured {
            link_thread: self.link_thread() - link_before,
            calls: rate(&members, "/answered"),
            published: rate(publishers, "/messages"),
            delivered: rate(&viewers, "/bytes") * 8.0,
            failed: failed + sum(publishers, "/failed"),
            age: self.published.elapsed(),
            spent,
        }
    }

    /// Processor seconds of the origin's link thread.
    fn link_thread(&self) -> f64 {
        let origins = self
            .server
            .processes
            .iter()
            .filter(|(name, _)| *name == ORIGIN);
        origins
            .map(|(_, pid)| meter::thread_seconds(*pid, "link"))
            .sum()
    }

    /// The amounts that both tiers have.
    fn at_both(&self, load: &Load, measured: &Measured) -> Amounts {
        let (viewers, streams) = load.viewers();
        let edges = load.watching_edges();
        let viewers = (viewers * edges) as f64;
        let feeds = (streams * edges) as f64;
        let publishers = load.publishers as f64;
        let share = feeds / publishers.max(1.0);
        let published = publishers * f64::from(load.bitrate) / 1e6;
        Amounts::default()
            .with(
                Quantity::Session,
                load.members() as f64 + publishers + viewers,
            )
            .with(Quantity::Publisher, publishers)
            .with(Quantity::Lane, load.lanes() as f64)
            .with(Quantity::PublishedMessage, measured.published)
            .with(Quantity::PublishedMbit, published)
            .with(Quantity::Feed, feeds)
            .with(Quantity::FeedMessage, measured.published * share)
            .with(Quantity::FeedMbit, published * share)
    }

    /// The amounts at all edges together.
    fn at_edges(&self, load: &Load, measured: &Measured) -> Amounts {
        let (viewers, streams) = load.viewers();
        let viewers = (viewers * load.watching_edges()) as f64;
        let feeds = (streams * load.watching_edges()) as f64;
        let messages = match load.publishers {
            0 => 0.0,
            publishers => measured.published / publishers as f64,
        };
        let (kind, wait) = match load.delivery {
            Delivery::Interactive => (Quantity::InteractiveWrite, INTERACTIVE_WAIT),
            Delivery::Standard => (Quantity::StandardWrite, STANDARD_WAIT),
            Delivery::Broadcast => (Quantity::BroadcastWrite, BROADCAST_WAIT),
        };
        let held = |ring| self.held(load, measured, ring);
        let rings = load.publishers as f64 * held(Ring::PUBLISH) + feeds * held(Ring::EDGE);
        self.at_both(load, measured)
            .with(Quantity::Process, load.edges as f64)
            .with(Quantity::Viewer, viewers)
            .with(Quantity::Call, measured.calls)
            .with(kind, viewers * writes(messages, wait))
            .with(Quantity::DeliveredMbit, measured.delivered / 1e6)
            .with(Quantity::RingMegabyte, rings)
            .awake(load.edges as f64)
    }

    fn at_origin(&self, load: &Load, measured: &Measured) -> Amounts {
        let groups = load.groups as f64;
        let live = f64::from(u8::from(load.publishers > 0));
        let rings = load.publishers as f64 * self.held(load, measured, Ring::ORIGIN);
        let amounts = self
            .at_both(load, measured)
            .with(Quantity::Process, 1.0)
            .with(Quantity::Link, load.edges as f64)
            .with(Quantity::RingMegabyte, rings);
        let amounts = match load.application {
            Application::Rust => amounts
                .with(Quantity::Group, groups + live)
                .with(Quantity::Call, measured.calls),
            Application::Script => amounts
                .with(Quantity::Group, live)
                .with(Quantity::ScriptGroup, groups)
                .with(Quantity::ScriptCall, measured.calls),
        };
        amounts.awake(1.0)
    }

    /// Megabytes of a stream in a ring.
    fn held(&self, load: &Load, measured: &Measured, ring: Ring) -> f64 {
        held(f64::from(load.bitrate), measured.age.as_secs_f64(), ring) / 1e6
    }

    fn put_costs(&self, measured: &Measured, figures: &mut Figures) {
        let spent = &measured.spent;
        let [edges, origin] = by_tier(&self.server, &spent.servers);
        let [edge_memory, origin_memory] = by_tier(&self.server, &self.server.resident());
        let kernel = meter::kernel_structures() - self.empty;
        let per_second = |seconds: f64| seconds / spent.seconds * 1e6;
        for (target, cost) in [
            (EDGE_PROCESSOR, per_second(edges)),
            (EDGE_MEMORY, edge_memory),
            // The other half is the generator's.
            (EDGE_KERNEL, kernel / 2.0),
            (ORIGIN_PROCESSOR, per_second(origin)),
            (LINK_THREAD, per_second(measured.link_thread)),
            (ORIGIN_MEMORY, origin_memory),
            ("failed clients", measured.failed),
            (GENERATOR_BUSY, spent.generator_busy * 100.0),
        ] {
            figures.insert(target.to_owned(), cost);
        }
    }
}

/// The names of the streams.
const STREAM: &str = "load{}";
const FIRST: &str = "load0";
