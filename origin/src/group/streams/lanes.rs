//! Lanes whose link is lost: the publishers on them cannot return meanwhile.

use std::{sync::Arc, time::Instant};

use super::{Holding, ReturnTimer, Streams};
use crate::session::LaneKey;

impl Streams {
    /// Stops the return timers of a lane whose link is lost.
    pub(in crate::group) fn lane_lost(&mut self, lane: LaneKey, now: Instant) {
        if self.lost_lanes.contains(&lane) {
            return;
        }
        self.lost_lanes.push(lane);
        for stream in self.table.values_mut() {
            if let Holding::Lost(lost) = &mut stream.holding
                && lost.publisher.session.lane == lane
                && let ReturnTimer::Runs(at) = lost.timer
            {
                lost.timer = ReturnTimer::Still(at.saturating_duration_since(now));
            }
        }
    }

    /// Starts the return timers of a lane whose link is back, or that is over. Returns their names.
    pub(in crate::group) fn lane_back(&mut self, lane: LaneKey, now: Instant) -> Vec<Arc<str>> {
        let Some(at) = self.lost_lanes.iter().position(|&lost| lost == lane) else {
            return Vec::new();
        };
        self.lost_lanes.swap_remove(at);
        let mut running = Vec::new();
        for (name, stream) in &mut self.table {
            if let Holding::Lost(lost) = &mut stream.holding
                && lost.publisher.session.lane == lane
                && let ReturnTimer::Still(left) = lost.timer
            {
                lost.timer = ReturnTimer::Runs(now + left);
                running.push(Arc::clone(name));
            }
        }
        running
    }

    /// Whether the link of this lane is lost.
    pub(in crate::group) fn is_lost(&self, lane: LaneKey) -> bool {
        self.lost_lanes.contains(&lane)
    }
}
