//! The least number of nodes in each tier.

use serde::Serialize;

use super::{
    costs::Costs,
    demand::{Demand, Machine},
    node::{Nodes, Resource, Use},
};

/// The answer for an audience.
#[derive(Debug)]
pub(super) struct Plan<'p> {
    pub(super) demand: &'p Demand,
    pub(super) machine: &'p Machine,
    pub(super) costs: &'p Costs,
    /// Edges and origins, as this program has them; or the reason why they do not suffice.
    pub(super) today: Result<Fleet, Shortage>,
    /// Clusters in place of one, if one does not suffice.
    pub(super) divided: Option<Clusters>,
    /// The same with relaying edges between them, where that works or takes fewer nodes.
    pub(super) relayed: Option<Fleet>,
}

/// Clusters that know nothing of each other, each with its share of the groups and their clients.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Clusters {
    pub(super) clusters: u64,
    /// The nodes of one of them.
    #[serde(flatten)]
    pub(super) each: Fleet,
}

/// The tiers, edges first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Fleet {
    pub(super) tiers: Vec<Tier>,
}

/// A tier of nodes that share its load evenly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Tier {
    pub(super) kind: Kind,
    pub(super) nodes: u64,
    /// The fullest part of a node's machine.
    pub(super) limit: Resource,
    pub(super) uses: Vec<Use>,
}

/// The kind of a tier's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Edge,
    Relay,
    Origin,
}

/// A tier in which no number of nodes suffices, and the part that is short at the largest number.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Shortage {
    pub(super) kind: Kind,
    pub(super) nodes: u64,
    pub(super) short: Use,
}

impl<'p> Plan<'p> {
    /// The plan for an audience; the error is an audience that no number of nodes can serve.
    pub(super) fn new(
        demand: &'p Demand,
        machine: &'p Machine,
        costs: &'p Costs,
    ) -> Result<Self, Shortage> {
        let nodes = Nodes {
            demand,
            machine,
            costs,
        };
        let today = Fleet::with_relays(&nodes, 0);
        let with_relays: Vec<_> = (1..=MOST_RELAYS)
            .map(|tiers| Fleet::with_relays(&nodes, tiers))
            .collect();
        // The part that is short with relays too, if no plan is possible.
        let in_any_case = with_relays.last().and_then(|fleet| fleet.as_ref().err());
        let in_any_case = in_any_case.copied();
        let relayed = with_relays
            .into_iter()
            .flatten()
            .min_by_key(Fleet::nodes)
            .filter(|fleet| {
                let direct = today.as_ref().map(Fleet::nodes);
                direct.is_ok_and(|direct| fleet.nodes() < direct) || today.is_err()
            });
        let divided = match today {
            Ok(_) => None,
            Err(_) => Clusters::least(&nodes),
        };
        match today {
            Err(shortage) if relayed.is_none() && divided.is_none() => {
                Err(in_any_case.unwrap_or(shortage))
            }
            today => Ok(Self {
                demand,
                machine,
                costs,
                today,
                divided,
                relayed,
            }),
        }
    }
}

impl Clusters {
    /// The least power of two of clusters of which each suffices; a group does not divide.
    fn least(nodes: &Nodes<'_>) -> Option<Self> {
        let powers = (1..u64::BITS).map(|power| 1 << power);
        let mut possible = powers.take_while(|clusters| *clusters <= nodes.demand.groups);
        possible.find_map(|clusters| {
            let demand = nodes.demand.divided(clusters);
            let one = Nodes {
                demand: &demand,
                ..*nodes
            };
            let each = Fleet::with_relays(&one, 0).ok()?;
            Some(Self { clusters, each })
        })
    }
}

impl Fleet {
    /// Edges and origins with so many tiers of relays between them.
    fn with_relays(nodes: &Nodes<'_>, relays: usize) -> Result<Self, Shortage> {
        let edges = least(Kind::Edge, nodes.demand.clients(), |n| nodes.edge(n))?;
        let mut tiers = vec![edges];
        let mut below = tiers[0].nodes;
        for _ in 0..relays {
            let tier = least(Kind::Relay, below, |n| nodes.relay(n, below))?;
            below = tier.nodes;
            tiers.push(tier);
        }
        tiers.push(least(Kind::Origin, nodes.demand.groups, |n| {
            nodes.origin(n, below)
        })?);
        Ok(Self { tiers })
    }

    /// The nodes of all tiers.
    pub(super) fn nodes(&self) -> u64 {
        let nodes = self.tiers.iter().map(|tier| tier.nodes);
        nodes.fold(0, u64::saturating_add)
    }
}

/// The least number of nodes, up to `most`, whose uses fit. More nodes never use more each.
fn least(kind: Kind, most: u64, uses: impl Fn(u64) -> Vec<Use>) -> Result<Tier, Shortage> {
    let fits = |nodes| uses(nodes).iter().all(Use::fits);
    let fullest = |uses: &[Use]| {
        let by_share = |one: &&Use, other: &&Use| one.share().total_cmp(&other.share());
        *uses.iter().max_by(by_share).expect("a node uses something")
    };
    if !fits(most) {
        return Err(Shortage {
            kind,
            nodes: most,
            short: fullest(&uses(most)),
        });
    }
    let (mut too_few, mut enough) = (0, 1);
    while !fits(enough) {
        too_few = enough;
        enough = enough.saturating_mul(2).min(most);
    }
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if fits(middle) {
            enough = middle;
        } else {
            too_few = middle;
        }
    }
    let uses = uses(enough);
    Ok(Tier {
        kind,
        nodes: enough,
        limit: fullest(&uses).resource,
        uses,
    })
}

/// Tiers of relays between edges and origins: a link passes four nodes at most.
const MOST_RELAYS: usize = 3;
