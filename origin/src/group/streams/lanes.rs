//! The lanes of publishers. While the link of one is lost, its publishers cannot return.

use std::{collections::HashMap, sync::Arc, time::Instant};

use super::{Holding, ReturnTimer, Streams};
use crate::session::{LaneKey, SessionKey};

/// The lanes of which there is more to know than their keys.
#[derive(Debug, Default)]
pub(super) struct PublisherLanes {
    /// Their link is lost: their publishers' timers stand still.
    lost: Vec<LaneKey>,
    /// Nothing has come from their edge for a while: it may be lost, and its clients with it.
    silent: Vec<LaneKey>,
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
                && lost.lane == lane
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
                && lost.lane == lane
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
        self.lanes.take_if(|lanes| {
            lanes.lost.is_empty() && lanes.silent.is_empty() && lanes.moved.is_empty()
        });
    }

    /// Notes whether the edge of a lane is silent.
    pub(in crate::group) fn lane_silent(&mut self, lane: LaneKey, silent: bool) {
        let lanes = self.lanes.get_or_insert_default();
        lanes.silent.retain(|it| *it != lane);
        if silent {
            lanes.silent.push(lane);
        }
        self.forget_lanes_if_usual();
    }

    /// The lane of a client's session.
    pub(super) fn lane_of(&self, client: SessionKey) -> LaneKey {
        let lanes = self.lanes.as_ref();
        lanes.map_or(client.lane, |lanes| lanes.of(client))
    }

    /// Whether this lane's link is lost, or its edge silent.
    pub(in crate::group) fn has_news_of(&self, lane: LaneKey) -> bool {
        self.is_lost(lane) || self.is_silent(lane)
    }

    /// Whether the edge of this lane may be lost.
    pub(super) fn is_silent(&self, lane: LaneKey) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_some_and(|lanes| lanes.silent.contains(&lane))
    }

    /// Whether the link of this lane is lost.
    pub(in crate::group) fn is_lost(&self, lane: LaneKey) -> bool {
        let lanes = self.lanes.as_ref();
        lanes.is_some_and(|lanes| lanes.lost.contains(&lane))
    }
}
