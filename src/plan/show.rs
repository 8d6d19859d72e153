//! The plan as text and as JSON.

use std::{error::Error, fmt};

use serde_json::{Value, json};

use super::{
    demand::{Application, Delivery, Demand},
    fleet::{Clusters, Fleet, Kind, Plan, Shortage, Tier},
    node::{CALL_MBIT, QUIC, Resource, TCP, Use},
};

/// The plan for programs.
pub(super) fn json(plan: &Plan<'_>) -> Value {
    let today = match &plan.today {
        Ok(fleet) => json!(fleet),
        Err(shortage) => json!({ "impossible": shortage.to_string() }),
    };
    let errors = plan.costs.fits().map(|(name, fit)| {
        json!({
            "of": name,
            "typical_error": fit.typical_error,
            "largest_error": fit.largest_error,
        })
    });
    json!({
        "demand": plan.demand,
        "machine": plan.machine,
        "today": today,
        "clusters": plan.divided,
        "with_relays": plan.relayed,
        "assumptions": assumptions(plan),
        "source": plan.costs.source,
        "errors": errors,
    })
}

/// The plan for people.
pub(super) fn text(plan: &Plan<'_>) -> String {
    let mut text = head(plan);
    match &plan.today {
        Ok(fleet) => {
            text.push_str(&format!("\ntoday: {}\n\n", counts(fleet)));
            text.push_str(&table(fleet));
        }
        Err(shortage) => text.push_str(&format!("\ntoday: not possible: {shortage}\n")),
    }
    if let Some(Clusters { clusters, each }) = &plan.divided {
        text.push_str(&format!(
            "\ntoday, as {clusters} clusters of {} each, which know nothing of each other; a client finds its \
             cluster by the name of its group\n\n",
            counts(each)
        ));
        text.push_str(&table(each));
    }
    if let Some(fleet) = &plan.relayed {
        text.push_str(&format!(
            "\nwith relaying edges, which this version does not have: {}\n\n",
            counts(fleet)
        ));
        text.push_str(&table(fleet));
    }
    text.push_str("\nassumptions\n");
    for line in assumptions(plan) {
        text.push_str(&format!("* {line}\n"));
    }
    text.push_str("\nerror of the model, typical and largest, as a share of the measured costs\n");
    for (name, fit) in plan.costs.fits() {
        let [typical, largest] = [fit.typical_error, fit.largest_error].map(|e| e * 100.0);
        text.push_str(&format!("  {name:<22}{typical:>5.0} %{largest:>6.0} %\n"));
    }
    let source = &plan.costs.source;
    text.push_str(&format!(
        "measured by {}: {}\n",
        source.command, source.measured
    ));
    text
}

fn head(plan: &Plan<'_>) -> String {
    let (demand, machine) = (plan.demand, plan.machine);
    let application = match demand.application {
        Application::Rust => "Rust",
        Application::Script => "script",
    };
    let delivery = match demand.delivery {
        Delivery::Interactive => "interactive",
        Delivery::Standard => "standard",
        Delivery::Broadcast => "broadcast",
    };
    let streams = match demand.publishers() {
        0 => "no streams".to_owned(),
        count => format!(
            "{} of {} kbit/s and {} messages/s, delivery {delivery}",
            many(count, "stream"),
            grouped(demand.bitrate),
            grouped(demand.messages),
        ),
    };
    format!(
        "for       {}, {}\n          {streams}\n          {} ({application}), {} a second\n\
         machines  {}, {} GiB, {} Gbit/s, {}; {} % of cores, memory and network stay free\n",
        many(demand.viewers, "viewer"),
        many(demand.sessions, "other session"),
        many(demand.groups, "group"),
        many(demand.calls, "call"),
        many(machine.cores, "core"),
        grouped(machine.memory),
        grouped(machine.network),
        many(machine.descriptors, "descriptor"),
        machine.headroom,
    )
}

/// The nodes of each tier in words.
fn counts(fleet: &Fleet) -> String {
    let tiers = fleet.tiers.iter();
    let words: Vec<_> = tiers
        .map(|tier| many(tier.nodes, tier.kind.name()))
        .collect();
    words.join(", ")
}

/// A column for each tier, a row for each use of one of its nodes.
fn table(fleet: &Fleet) -> String {
    let mut rows = vec![row("of one", &fleet.tiers, |tier| {
        tier.kind.name().to_owned()
    })];
    for resource in Resource::ALL {
        rows.push(row(resource.name(), &fleet.tiers, |tier| {
            let mut uses = tier.uses.iter();
            match uses.find(|one| one.resource == resource) {
                None => "-".to_owned(),
                Some(one) => format!("{} of {}", amount(one.used), amount(one.of)),
            }
        }));
    }
    rows.push(row("limit", &fleet.tiers, |tier| {
        let name = tier.limit.name();
        name.split_once(',')
            .map_or(name, |(name, _)| name)
            .to_owned()
    }));
    rows.concat()
}

fn row(name: &str, tiers: &[Tier], cell: impl Fn(&Tier) -> String) -> String {
    let cells: String = tiers
        .iter()
        .map(|tier| format!("{:>24}", cell(tier)))
        .collect();
    format!("{name:<24}{cells}\n")
}

/// The assumptions of this plan, those last which it gives rise to.
fn assumptions(plan: &Plan<'_>) -> Vec<String> {
    let mut lines = vec![
        "clients, groups, streams and calls are spread evenly; an edge has clients of every group and \
         viewers of every stream, as far as it has clients"
            .to_owned(),
        "a group lives at one origin with its streams; a stream crosses each link once".to_owned(),
        format!(
            "the network carries {TCP} bytes to a client, and {QUIC} on a link, for each byte of media; a \
             call and its answer take {} bytes each",
            CALL_MBIT * 1e6 / 8.0
        ),
        "encoders send a key frame every 2 s: rings hold up to 7 s of a stream, 5 s at its publisher's edge"
            .to_owned(),
        "a core does as much as one of the measured machine".to_owned(),
        "no node is spare: add those whose loss must not be felt".to_owned(),
    ];
    let divided = plan.divided.iter();
    let divided = divided.map(|one| (&one.each, plan.demand.divided(one.clusters)));
    let whole = plan.today.iter().chain(&plan.relayed);
    let whole = whole.map(|fleet| (fleet, plan.demand.clone()));
    let fleets: Vec<_> = divided.chain(whole).collect();
    let tiers: Vec<_> = fleets.iter().flat_map(|(fleet, _)| &fleet.tiers).collect();
    if tiers.iter().any(|tier| tier.kind == Kind::Relay) {
        lines.push(
            "a relaying edge costs, for each of its links, as much as a link costs an origin; it is \
             not measured"
                .to_owned(),
        );
    }
    if tiers
        .iter()
        .any(|tier| tier.kind != Kind::Edge && tier.limit == Resource::LinkThread)
    {
        lines.push(
            "one thread of a node serves its links: where it is the limit, several origins may share a \
             machine"
                .to_owned(),
        );
    }
    // The largest share of one node of a kind.
    let largest = |kind: Kind, all: fn(&Demand) -> u64| {
        let shares = fleets.iter().flat_map(|(fleet, demand)| {
            let tiers = fleet.tiers.iter().filter(|tier| tier.kind == kind);
            tiers.map(|tier| all(demand).div_ceil(tier.nodes))
        });
        shares.max().unwrap_or(0)
    };
    let clients = largest(Kind::Edge, Demand::clients);
    let groups = largest(Kind::Origin, |demand| demand.groups);
    for (wanted, default, name) in [
        (clients, MAX_CONNECTIONS, "edge.max_connections"),
        (groups, APPLICATION_GROUPS, "applications.NAME.max_groups"),
        (groups, MAX_GROUPS, "origin.max_groups"),
    ] {
        if wanted > default {
            lines.push(format!("{name} is set to {} at least", grouped(wanted)));
        }
    }
    lines
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Relay => "relay",
            Self::Origin => "origin",
        }
    }
}

impl Resource {
    const ALL: [Self; 7] = [
        Self::NetworkOut,
        Self::NetworkIn,
        Self::Processor,
        Self::LinkThread,
        Self::Memory,
        Self::Descriptors,
        Self::LinkStreams,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Processor => "processor, cores",
            Self::LinkThread => "link thread, cores",
            Self::Memory => "memory, GiB",
            Self::NetworkOut => "network out, Gbit/s",
            Self::NetworkIn => "network in, Gbit/s",
            Self::Descriptors => "descriptors",
            Self::LinkStreams => "streams of a link",
        }
    }

    /// The way to more of it.
    fn remedy(self) -> &'static str {
        match self {
            Self::Processor => "machines with more --cores, or fewer clients",
            Self::LinkThread => {
                "more --groups, fewer --publishers or --calls, or a lower --bitrate"
            }
            Self::Memory => "machines with more --memory, or more --groups",
            Self::NetworkOut | Self::NetworkIn => {
                "machines with more --network, more --groups, or a lower --bitrate"
            }
            Self::Descriptors => "more --descriptors",
            Self::LinkStreams => "fewer --groups or --publishers",
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Use { resource, used, of } = self.short;
        let most = match self.kind {
            Kind::Edge => "one for each client",
            Kind::Relay => "one for each node below",
            Kind::Origin => "one for each group",
        };
        write!(
            f,
            "there can be no more than {} ({most}), and one needs {} of {} ({}); plan with {}",
            many(self.nodes, self.kind.name()),
            amount(used),
            amount(of),
            resource.name(),
            resource.remedy()
        )
    }
}

impl Error for Shortage {}

/// A number with its noun.
fn many(count: u64, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", grouped(count))
}

/// A number with commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number as exactly as a plan is.
fn amount(number: f64) -> String {
    if number >= 100.0 {
        grouped(number.round() as u64)
    } else if number >= 10.0 {
        format!("{number:.1}")
    } else {
        format!("{number:.2}")
    }
}

/// The defaults of docs/configuration.md.
const MAX_CONNECTIONS: u64 = 100_000;
const MAX_GROUPS: u64 = 50_000;
const APPLICATION_GROUPS: u64 = 25_000;
