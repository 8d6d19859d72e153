//! The part of the links' state that belongs to no lane, in a parcel.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use tributary_node::tls::{Peer, Role};
use tributary_protocol::{
    GroupName,
    link::hello::MAX_NAME,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

use tributary_protocol::cluster::routing::Health;

/// The numbers that go on in the next process, and the origins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The epoch of this edge.
    pub(super) epoch: u64,
    pub(super) next_session: u64,
    pub(super) next_lane: u64,
    /// The number of the newest process of an origin.
    pub(super) processes: u64,
    /// The incarnation of the newest link.
    pub(super) incarnation: u64,
    /// Whether the origins have sent their lists of displaced groups.
    pub(super) has_started: bool,
    pub(super) origins: Vec<OriginFacts>,
}

/// One origin as the edge knows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OriginFacts {
    /// The name by which the edges call it.
    pub(super) name: String,
    /// The process that was greeted last.
    pub(super) greeted: Option<OriginProcess>,
    pub(super) health: Health,
    /// Groups that live there away from home.
    pub(super) displaced: Vec<GroupName>,
    /// Groups with data there.
    pub(super) kept: Vec<GroupName>,
}

/// The process of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OriginProcess {
    pub(super) epoch: u64,
    /// Its number, unique over all origins of this edge.
    pub(super) process: u64,
    pub(super) grace: Duration,
    pub(super) features: u64,
    pub(super) peer: Peer,
}

const EPOCH: u16 = 1;
const NEXT_SESSION: u16 = 2;
const NEXT_LANE: u16 = 3;
const PROCESSES: u16 = 4;
const INCARNATION: u16 = 5;
const STARTED: u16 = 6;
const ORIGIN: u16 = 7;

/// The fields of an origin.
const NAME: u16 = 1;
const GREETED: u16 = 2;
const HEALTH: u16 = 3;
const UNTIL: u16 = 4;
const DISPLACED: u16 = 5;
const KEPT: u16 = 6;

/// The fields of a process.
const OF_EPOCH: u16 = 1;
const PROCESS: u16 = 2;
const GRACE: u16 = 3;
const FEATURES: u16 = 4;
const PEER: u16 = 5;
const ALIAS: u16 = 6;

/// The origins of a head. Reason: a configuration has some tens.
const MAX_ORIGINS: usize = 4_096;

/// Other names of an origin. Reason: they stand in its certificate, which has some.
const MAX_ALIASES: usize = 1_024;

/// The longest name of an origin, in bytes: a host and a port.
pub(super) const MAX_ORIGIN_NAME: usize = MAX_NAME + 6;

/// The highest number that goes on. Reason: frames of the link have 62 bits for it.
const HIGHEST: u64 = 1 << 61;

/// A required number that goes on.
pub(super) fn counter(parcel: &mut ParcelReader<'_>, tag: u16) -> Result<u64, ParcelError> {
    let number = parcel.number(tag)?;
    parcel.require(number <= HIGHEST, tag)?;
    Ok(number)
}

impl Carried for Head {
    const NAME: &'static str = "the head of the links";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(EPOCH, self.epoch);
        parcel.number(NEXT_SESSION, self.next_session);
        parcel.number(NEXT_LANE, self.next_lane);
        parcel.number(PROCESSES, self.processes);
        parcel.number(INCARNATION, self.incarnation);
        parcel.flag(STARTED, self.has_started);
        parcel.carry_all(ORIGIN, &self.origins);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut head = Self {
            epoch: parcel.number(EPOCH)?,
            next_session: counter(parcel, NEXT_SESSION)?,
            next_lane: counter(parcel, NEXT_LANE)?,
            processes: counter(parcel, PROCESSES)?,
            incarnation: counter(parcel, INCARNATION)?,
            has_started: parcel.flag(STARTED)?,
            origins: Vec::new(),
        };
        let (mut names, mut processes) = (HashSet::new(), HashSet::new());
        while let Some(origin) = parcel.carried_if::<OriginFacts>(ORIGIN, ())? {
            parcel.fits(head.origins.len() < MAX_ORIGINS, "origins")?;
            let process = origin.greeted.as_ref().map(|greeted| greeted.process);
            let is_own = process.is_none_or(|it| it <= head.processes && processes.insert(it));
            parcel.require(is_own && names.insert(origin.name.clone()), ORIGIN)?;
            head.origins.push(origin);
        }
        Ok(head)
    }
}

impl Carried for OriginFacts {
    const NAME: &'static str = "an origin";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.bytes(NAME, self.name.as_bytes());
        if let Some(greeted) = &self.greeted {
            parcel.carry(GREETED, greeted);
        }
        let (health, until) = code(self.health);
        parcel.number(HEALTH, health);
        parcel.time_if(UNTIL, until);
        for (tag, groups) in [(DISPLACED, &self.displaced), (KEPT, &self.kept)] {
            for group in groups {
                parcel.bytes(tag, group.to_string().as_bytes());
            }
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let name = parcel.text(NAME, MAX_ORIGIN_NAME)?.to_owned();
        let greeted = parcel.carried_if(GREETED, ())?;
        let health = parcel.number(HEALTH)?;
        let health = health_of(health, parcel.time_if(UNTIL)?);
        let health = health.ok_or_else(|| parcel.illegal(HEALTH))?;
        let is_known = greeted.is_some() || matches!(health, Health::New | Health::Down);
        parcel.require(is_known, HEALTH)?;
        Ok(Self {
            name,
            greeted,
            health,
            displaced: groups(parcel, DISPLACED)?,
            kept: groups(parcel, KEPT)?,
        })
    }
}

impl Carried for OriginProcess {
    const NAME: &'static str = "the process of an origin";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(OF_EPOCH, self.epoch);
        parcel.number(PROCESS, self.process);
        // The hello of a link has it in milliseconds.
        parcel.number(GRACE, self.grace.as_millis() as u32);
        parcel.number(FEATURES, self.features);
        parcel.bytes(PEER, self.peer.name.as_bytes());
        for alias in &self.peer.aliases {
            parcel.bytes(ALIAS, alias.as_bytes());
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut greeted = Self {
            epoch: parcel.number(OF_EPOCH)?,
            process: counter(parcel, PROCESS)?,
            grace: Duration::from_millis(parcel.number::<u32>(GRACE)?.into()),
            features: parcel.number(FEATURES)?,
            peer: Peer {
                role: Role::Origin,
                name: parcel.text(PEER, MAX_NAME)?.to_owned(),
                aliases: Vec::new(),
            },
        };
        while let Some(alias) = parcel.text_if(ALIAS, MAX_NAME)? {
            let aliases = &mut greeted.peer.aliases;
            parcel.fits(aliases.len() < MAX_ALIASES, "names of an origin")?;
            aliases.push(alias.to_owned());
        }
        Ok(greeted)
    }
}

fn code(health: Health) -> (u8, Option<Instant>) {
    match health {
        Health::New => (0, None),
        Health::Up => (1, None),
        Health::Lost { until } => (2, Some(until)),
        Health::Down => (3, None),
    }
}

fn health_of(code: u8, until: Option<Instant>) -> Option<Health> {
    match (code, until) {
        (0, None) => Some(Health::New),
        (1, None) => Some(Health::Up),
        (2, Some(until)) => Some(Health::Lost { until }),
        (3, None) => Some(Health::Down),
        _ => None,
    }
}

fn groups(parcel: &mut ParcelReader<'_>, tag: u16) -> Result<Vec<GroupName>, ParcelError> {
    let mut groups = Vec::new();
    while let Some(name) = parcel.text_if(tag, GroupName::MAX_LENGTH)? {
        let group = name.parse().map_err(|_| parcel.illegal(tag))?;
        groups.push(group);
    }
    Ok(groups)
}
