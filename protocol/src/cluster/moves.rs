//! The moves of groups that are under way, and what is known of those that are over.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::gathering::Offer;
use crate::GroupName;

/// Moves from here and to here.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Moves that were asked of this origin, by their numbers, until they have ended.
    pub(super) asked: BTreeMap<u64, AskedMove>,
    /// Offers of others that were accepted, until they are committed.
    pub(super) accepted: BTreeMap<Offer, Arriving>,
    /// Offers whose groups have gone on here, the newest last.
    taken: VecDeque<Taken>,
    /// Groups that go to another origin, or have gone.
    away: BTreeMap<GroupName, Away>,
    /// Groups that are here because another origin has given them up.
    given: BTreeSet<GroupName>,
}

/// A move from here.
#[derive(Debug)]
pub(super) struct AskedMove {
    pub(super) group: GroupName,
    pub(super) to: String,
    /// The process of the other origin.
    pub(super) process: Option<u64>,
    /// The edges that bring its sessions there.
    pub(super) edges: BTreeSet<String>,
    pub(super) step: Step,
}

/// How far a move from here has come.
#[derive(Debug)]
pub(super) enum Step {
    /// The other origin has not answered the offer.
    Offered { until: Instant },
    /// The group stops here, or has stopped.
    Leaves {
        since: Instant,
        /// The state that its application leaves, once it has stopped.
        state: Option<Bytes>,
        /// When the move ends at the latest, once edges have the ends of the lanes.
        until: Option<Instant>,
        /// The sessions with which the group goes on at the other origin.
        arrived: Option<u64>,
    },
}

/// An offer of another origin.
#[derive(Debug)]
pub(super) struct Arriving {
    pub(super) group: GroupName,
    pub(super) state: BytesMut,
    /// The bytes of the state, once the group has stopped there. Its last pieces may come by another link, later.
    pub(super) committed: Option<u64>,
    pub(super) until: Instant,
}

/// An offer of another origin whose group has gone on here.
#[derive(Debug)]
struct Taken {
    offer: Offer,
    group: GroupName,
    /// The sessions that it had then.
    sessions: u64,
    since: Instant,
    /// Whether it has not gone to another origin since.
    is_here: bool,
}

/// A group that is not here any more, or soon.
#[derive(Debug)]
struct Away {
    since: Instant,
    /// Set while it stops here and its edges get to know.
    going: Option<Going>,
}

/// A group that stops here.
#[derive(Clone, Debug)]
pub(super) struct Going {
    pub(super) to: String,
    /// The number of the move, if it was one.
    pub(super) id: Option<u64>,
}

/// The time for which edges are told to wait that open a lane of a group that has gone. Reason: the other
/// origin tells them by then that it has the group.
const GONE: Duration = Duration::from_secs(5);

/// The time for which offers are remembered whose groups have gone on here. Reason: the other origin asks for as long
/// as it waits for that.
const TAKEN: Duration = Duration::from_secs(10);

/// Such offers at most; the oldest are forgotten.
const MAX_TAKEN: usize = 1_024;

impl Moves {
    /// A group that was offered has gone on here.
    pub(super) fn has_taken(
        &mut self,
        offer: Offer,
        group: GroupName,
        sessions: u64,
        now: Instant,
    ) {
        self.taken.push_back(Taken {
            offer,
            group,
            sessions,
            since: now,
            is_here: true,
        });
        if self.taken.len() > MAX_TAKEN {
            self.taken.pop_front();
        }
    }

    /// The sessions with which a group has gone on here by this offer, if it has.
    pub(super) fn taken(&self, offer: &Offer) -> Option<u64> {
        let mut taken = self.taken.iter().rev();
        let taken = taken.find(|taken| taken.offer == *offer);
        taken.map(|taken| taken.sessions)
    }

    /// Whether a group has come from this origin just now, which may not know yet.
    pub(super) fn has_come_from(&self, group: &GroupName, from: &str) -> bool {
        let mut taken = self.taken.iter();
        taken.any(|it| it.is_here && it.group == *group && it.offer.from == from)
    }

    /// Forgets offers that were taken a while ago.
    pub(super) fn forget_taken(&mut self, now: Instant) {
        while let Some(taken) = self.taken.front()
            && now >= taken.since + TAKEN
        {
            self.taken.pop_front();
        }
    }

    /// Whether lanes of a group do not open here: it goes to another origin, or has gone just now.
    pub(super) fn takes_away(&self, group: &GroupName) -> bool {
        self.away.contains_key(group)
    }

    /// A group that is on its way to another origin.
    pub(super) fn going(&self, group: &GroupName) -> Option<&Going> {
        self.away.get(group)?.going.as_ref()
    }

    /// Whether any group is offered, or on its way, to another origin or to this one.
    pub(super) fn are_under_way(&self) -> bool {
        let offers = !self.asked.is_empty() || !self.accepted.is_empty();
        offers || self.away.values().any(|away| away.going.is_some())
    }

    /// A group goes to another origin from now on.
    pub(super) fn goes(&mut self, group: &GroupName, going: Going, now: Instant) {
        let away = Away {
            since: now,
            going: Some(going),
        };
        self.away.insert(group.clone(), away);
        for taken in &mut self.taken {
            taken.is_here &= taken.group != *group;
        }
    }

    /// A group has gone to another origin.
    pub(super) fn has_gone(&mut self, group: &GroupName, now: Instant) -> Option<Going> {
        self.given.remove(group);
        let away = self.away.get_mut(group)?;
        away.since = now;
        away.going.take()
    }

    /// A group that had gone is back.
    pub(super) fn is_back(&mut self, group: &GroupName) {
        self.away.remove(group);
    }

    /// Another origin gives up a group, which comes here.
    pub(super) fn give(&mut self, group: &GroupName) {
        self.given.insert(group.clone());
    }

    /// It keeps the group.
    pub(super) fn keeps(&mut self, group: &GroupName) {
        self.given.remove(group);
    }

    /// Whether a group is here because another origin has given it up.
    pub(super) fn is_given(&self, group: &GroupName) -> bool {
        self.given.contains(group)
    }

    /// Forgets the groups that were given and have ended.
    pub(super) fn forget_given(
        &mut self,
        has_ended: impl Fn(&GroupName) -> bool,
    ) -> Vec<GroupName> {
        self.given.extract_if(.., |it| has_ended(it)).collect()
    }

    /// Forgets groups that have gone a while ago.
    pub(super) fn forget_away(&mut self, now: Instant) {
        self.away
            .retain(|_, away| away.going.is_some() || now < away.since + GONE);
    }
}

#[cfg(test)]
impl Moves {
    /// The moves that are not over.
    pub(super) fn leftovers(&self, residents: &super::residents::Residents) -> Vec<String> {
        let asked = self.asked.values().map(|it| format!("asked {it:?}"));
        let accepted = self.accepted.values().map(|it| format!("accepted {it:?}"));
        let away = self.away.iter().map(|it| format!("away {it:?}"));
        let given = self.given.iter().filter(|it| !residents.contains(it));
        let given = given.map(|it| format!("given {it}"));
        asked.chain(accepted).chain(away).chain(given).collect()
    }
}
