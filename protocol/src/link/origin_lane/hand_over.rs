//! A lane whose group goes on elsewhere.
//!
//! ```text
//! open ──stop_receiving()──► deaf ──hand_over()──► leaving ──► HandedOver, acknowledged: over
//! ```
//!
//! A deaf lane drops what comes and does not acknowledge it, so that its group can carry out all that was
//! received, and its edge knows exactly what was not.

use super::OriginLane;
use crate::link::lane_frame::{HandedOver, ToEdge};

/// The end of a lane whose group goes on elsewhere.
#[derive(Debug)]
pub(super) enum Leaving {
    /// Orders before the end have not been encoded yet.
    Waits(HandedOver),
    /// The end is encoded.
    Said,
}

impl OriginLane {
    /// Drops what the sessions send from here on, without an acknowledgement.
    pub fn stop_receiving(&mut self) {
        self.inbound.close();
    }

    /// Ends the lane behind all orders: its sessions go on elsewhere. Later orders are dropped.
    pub fn hand_over(&mut self, handed_over: HandedOver) {
        self.stop_receiving();
        if self.leaving.is_none() {
            self.leaving = Some(Leaving::Waits(handed_over));
        }
    }

    /// Whether the edge has the end of the lane.
    pub fn is_handed_over(&self) -> bool {
        matches!(self.leaving, Some(Leaving::Said)) && self.orders.outbox.retained() == 0
    }

    pub(super) fn has_left(&self) -> bool {
        self.leaving.is_some()
    }

    /// Encodes the end once all orders before it are.
    pub(super) fn leave_if_empty(&mut self) {
        if matches!(self.leaving, Some(Leaving::Waits(_)))
            && self.orders.are_encoded()
            && let Some(Leaving::Waits(handed_over)) = self.leaving.replace(Leaving::Said)
        {
            let frame = ToEdge::HandedOver(handed_over);
            self.orders.outbox.append(|out| frame.encode(out));
        }
    }
}
