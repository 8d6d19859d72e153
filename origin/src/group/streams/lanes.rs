//! The lanes of publishers. While the link of one is lost, its publishers cannot return.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{Holding, ReturnTimer, Streams};
use crate::session::{LaneKey, SessionKey};

/// The lanes of which there is more to know than their keys.
#[derive(Debug, Default)]
pub(super) struct PublisherLanes {
    /// Their link is lost: their publishers' timers stand still.
    lost: Vec<LaneKey>,
    /// The lanes of clients that have come back in another session.
    moved: HashMap<SessionKey, LaneKey>,
}

impl PublisherLanes {
    fn of(&self, client: SessionKey) -> LaneKey {
        self.moved.get(&client).copied().unwrap_or(client.lane)
    }
}

impl Streams {
    /// Stops the return timers of a lane whose link is lost.
    pub(in crate::group) fn lane_lost(&mut self, lane: LaneKey, now: Instant) {
        let lanes = self.lanes.get_or_insert_default();
        if lanes.lost.contains(&lane) {
            return;
        }
        lanes.lost.push(lane);
        for stream in self.table.values_mut() {
            if let Holding::Lost(lost) = &mut stream.holding
                && lanes.of(lost.publisher.session) == lane
                && let ReturnTimer::Runs(at) = lost.timer
            {
                lost.timer = ReturnTimer::Still(at.saturating_duration_since(now));
            }
        }
    }

    /// Starts the return timers of a lane whose link is back, or that is over. Returns their names.
    pub(in crate::group) fn lane_back(&mut self, lane: LaneKey, now: Instant) -> Vec<Arc<str>> {
        let mut running = Vec::new();
        let Some(lanes) = &mut self.lanes else {
            return running;
        };
        let Some(at) = lanes.lost.iter().position(|&lost| lost == lane) else {
            return running;
        };
        lanes.lost.swap_remove(at);
        for (name, stream) in &mut self.table {
            if let Holding::Lost(lost) = &mut stream.holding
                && lanes.of(lost.publisher.session) == lane
                && let ReturnTimer::Still(left) = lost.timer
            {
                lost.timer = ReturnTimer::Runs(now + left);
                running.push(Arc::clone(name));
            }
        }
        self.forget_lanes_if_usual();
        running
    }

    /// A client has come back in a session of this lane.
    pub(in crate::group) fn moves(&mut self, client: SessionKey, lane: LaneKey) {
        let lanes = self.lanes.get_or_insert_default();
        lanes.moved.insert(client, lane);
    }

    /// A client is gone.
    pub(in crate::group) fn forget_moved(&mut self, client: SessionKey) {
        if let Some(lanes) = &mut self.lanes {
            lanes.moved.remove(&client);
            self.forget_lanes_if_usual();
        }
    }

    fn forget_lanes_if_usual(&mut self) {
        self.lanes
            .take_if(|lanes| lanes.lost.is_empty() && lanes.moved.is_empty());
    }

    /// Whether the link of a client's lane is lost.
    pub(super) fn has_lost_lane(&self, client: SessionKey) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_some_and(|lanes| lanes.lost.contains(&lanes.of(client)))
    }

    /// Whether the link of this lane is lost.
    pub(in crate::group) fn is_lost(&self, lane: LaneKey) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_some_and(|lanes| lanes.lost.contains(&lane))
    }
}
