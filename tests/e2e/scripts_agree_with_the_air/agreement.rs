//! The publishers of live streams by their own account, compared with scripts and viewers.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    publisher::{Doing, Encoder, Publisher},
    viewer::{Seen, Whose},
};
use crate::support::wire::Amf;

/// A script's view of its live streams.
#[derive(Debug)]
pub(super) struct Belief {
    /// Live streams, with the nick of the publisher.
    pub(super) names: BTreeMap<String, String>,
    /// Calls of its handlers that should not have happened.
    pub(super) wrong: Vec<Amf>,
}

impl Belief {
    pub(super) fn read(answer: &Amf) -> Option<Self> {
        let Some(Amf::Object(names)) = answer.field("names") else {
            return None;
        };
        let Some(Amf::List(wrong)) = answer.field("wrong") else {
            return None;
        };
        let names = names
            .iter()
            .map(|(name, nick)| (name.clone(), text(nick)))
            .collect();
        Some(Self {
            names,
            wrong: wrong.clone(),
        })
    }
}

/// The publishers of an application by their own account.
#[derive(Debug)]
pub(super) struct Air {
    holders: BTreeMap<String, Vec<(String, Whose)>>,
    /// The nicks of all publishers with a connection.
    people: BTreeSet<String>,
}

impl Air {
    pub(super) fn of(app: &str, publishers: &[Publisher], encoders: &[Encoder]) -> Self {
        let mut holders: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut people = BTreeSet::new();
        for one in publishers.iter().filter(|one| one.app == app) {
            let doing = one.doing();
            if doing != Doing::Gone {
                people.insert(one.nick.clone());
            }
            if let Doing::Publishing(name) = doing {
                let holder = (one.nick.clone(), Whose::Publisher(one.number));
                holders.entry(name).or_default().push(holder);
            }
        }
        for one in encoders.iter().filter(|one| one.app == app) {
            people.insert(one.nick.clone());
            let holder = (one.nick.clone(), Whose::Encoder);
            holders.entry(one.name.clone()).or_default().push(holder);
        }
        Self { holders, people }
    }

    /// The first difference to the script and to the viewer; `frames` were counted before.
    pub(super) fn differs(
        &self,
        app: &str,
        belief: &Belief,
        seen: &Seen,
        frames: &BTreeMap<&str, u64>,
    ) -> Option<String> {
        if let Some((name, holders)) = self.holders.iter().find(|(_, held)| held.len() > 1) {
            return Some(format!("{name} is held by {holders:?}"));
        }
        let names: BTreeMap<_, _> = self
            .holders
            .iter()
            .map(|(name, holders)| (name.clone(), holders[0].0.clone()))
            .collect();
        if belief.names != names {
            let believed = &belief.names;
            return Some(format!("it believes {believed:?}, and it is {names:?}"));
        }
        self.unseen(seen, frames)
            .or_else(|| self.differs_on_the_board(app, &names, seen))
    }

    /// A name whose media is not its publisher's.
    fn unseen(&self, seen: &Seen, frames: &BTreeMap<&str, u64>) -> Option<String> {
        frames.iter().find_map(|(&name, &before)| {
            let now = seen.names.get(name).copied().unwrap_or_default();
            let holder = self.holders.get(name).map(|holders| holders[0].1);
            let fresh = holder.is_none() || now.frames > before;
            let agrees = now.whose == holder && fresh;
            (!agrees).then(|| format!("{name} is of {holder:?}, and a viewer has {now:?}"))
        })
    }

    /// The first difference to the application's shared object, if it has one.
    fn differs_on_the_board(
        &self,
        app: &str,
        names: &BTreeMap<String, String>,
        seen: &Seen,
    ) -> Option<String> {
        let slots = &seen.slots;
        let agrees = match app {
            "registrar" => {
                let board = slots
                    .iter()
                    .map(|(name, nick)| (name.clone(), text(nick)))
                    .collect::<BTreeMap<_, _>>();
                board == *names
            }
            "rooms" => {
                let people: BTreeSet<_> = slots.keys().cloned().collect();
                people == self.people && cameras(slots) == *names
            }
            _ => true,
        };
        (!agrees).then(|| format!("the shared object has {slots:?}, and it is {self:?}"))
    }
}

/// The cameras that are on in a room.
fn cameras(slots: &BTreeMap<String, Amf>) -> BTreeMap<String, String> {
    slots
        .iter()
        .filter_map(|(nick, slot)| match slot.field("camera") {
            Some(Amf::String(name)) => Some((name.clone(), nick.clone())),
            _ => None,
        })
        .collect()
}

fn text(value: &Amf) -> String {
    match value {
        Amf::String(text) => text.clone(),
        other => format!("{other:?}"),
    }
}
