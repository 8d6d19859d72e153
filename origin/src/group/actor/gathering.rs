//! A group of which edges bring sessions of the process before: it goes on once all have done so.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tributary_node::config::Restore;
use tributary_protocol::link::CloseReason;

use super::{Actor, Instant, Item};
use crate::{
    group::restore::Restoring,
    session::{Brought, LaneKey},
};

/// The sessions and objects that edges bring, until the group has gone on with them.
#[derive(Default)]
pub(super) struct Arrival {
    /// The part that each lane has brought so far.
    lanes: HashMap<LaneKey, Restoring>,
    /// Set while the group waits for all edges; later ones are let in singly.
    gathering: Option<HeldItems>,
}

/// Everything that waits while edges bring their sessions: until all have brought theirs, or this time.
struct HeldItems {
    held: VecDeque<Item>,
    until: Instant,
}

/// The longest gathering. Reason: longer than the links of edges take to come back; the link thread ends
/// it earlier.
const LONGEST: Duration = Duration::from_secs(5);

/// Items that wait at most; then the group goes on with what it has.
const MAX_HELD: usize = 16_384;

impl Arrival {
    /// When the gathering ends at the latest.
    pub(super) fn until(&self) -> Option<Instant> {
        self.gathering.as_ref().map(|gathering| gathering.until)
    }
}

impl Actor {
    /// Takes what an edge has brought of the group.
    pub(super) fn bring(&mut self, lane: LaneKey, brought: Brought) {
        let now = self.core.room.now;
        // A group without clients may run already, for a pull that it keeps.
        let is_new = !self.has_restored && self.core.clients.is_empty() && self.arrival.is_none();
        let arrival = self.arrival.get_or_insert_default();
        if is_new {
            arrival.gathering = Some(HeldItems {
                held: VecDeque::new(),
                until: now + LONGEST,
            });
        }
        let ends = matches!(brought, Brought::End);
        arrival.lanes.entry(lane).or_default().add(brought, now);
        if !ends || arrival.gathering.is_some() {
            return;
        }
        let restoring = arrival.lanes.remove(&lane).unwrap_or_default();
        if arrival.lanes.is_empty() {
            self.arrival = None;
        }
        self.restore(restoring);
    }

    /// Keeps an item until the gathering is over; gives it back if there is none.
    pub(super) fn hold(&mut self, item: Item) -> Option<Item> {
        let arrival = self.arrival.as_mut();
        let Some(gathering) = arrival.and_then(|arrival| arrival.gathering.as_mut()) else {
            return Some(item);
        };
        gathering.held.push_back(item);
        if gathering.held.len() >= MAX_HELD {
            self.end_gathering();
        }
        None
    }

    /// Whether the group waits for edges.
    pub(super) fn gathers(&self) -> bool {
        let arrival = self.arrival.as_ref();
        arrival.is_some_and(|arrival| arrival.gathering.is_some())
    }

    /// Goes on with what the edges have brought, then with the items that have waited.
    pub(super) fn end_gathering(&mut self) {
        if !self.gathers() {
            return;
        }
        let Some(arrival) = self.arrival.take() else {
            return;
        };
        let mut all = Restoring::default();
        for restoring in arrival.lanes.into_values() {
            all.merge(restoring);
        }
        self.restore(all);
        for item in arrival.gathering.into_iter().flat_map(|it| it.held) {
            self.item(item);
        }
    }

    /// Closes all sessions that have been brought: the group ends.
    pub(super) fn end_arrival(&mut self) {
        let Some(arrival) = self.arrival.take() else {
            return;
        };
        for restoring in arrival.lanes.into_values() {
            restoring.close(CloseReason::Shutdown);
        }
        for item in arrival.gathering.into_iter().flat_map(|it| it.held) {
            self.last_item(item);
        }
    }

    fn restore(&mut self, mut restoring: Restoring) {
        if restoring.is_empty() {
            return;
        }
        if self.core.room.version.settings().restore == Restore::Close {
            return restoring.close(CloseReason::OriginLost);
        }
        if self.app.is_none() {
            self.has_restored = false;
            if let Err(refused) = self.start() {
                return restoring.close(refused.reason());
            }
        }
        let is_new = !std::mem::replace(&mut self.has_restored, true);
        self.core.objects.bring(restoring.take_objects());
        self.turn(|turn| turn.restore(restoring, is_new));
    }
}
