//! The lane of each session.

use std::{cell::RefCell, collections::HashMap};

use prometheus_client::metrics::gauge::Gauge;
use tributary_protocol::{LaneId, SessionId};

/// The sessions in lanes, and the gauge of their number.
#[derive(Debug)]
pub(super) struct SessionLanes {
    lanes: RefCell<HashMap<SessionId, LaneId>>,
    gauge: Gauge,
}

impl SessionLanes {
    pub(super) fn new(gauge: Gauge) -> Self {
        Self {
            lanes: RefCell::default(),
            gauge,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.borrow().len()
    }

    pub(super) fn lane(&self, session: SessionId) -> Option<LaneId> {
        self.lanes.borrow().get(&session).copied()
    }

    pub(super) fn insert(&self, session: SessionId, lane: LaneId) {
        self.lanes.borrow_mut().insert(session, lane);
        self.count();
    }

    pub(super) fn remove(&self, session: SessionId) -> Option<LaneId> {
        let lane = self.lanes.borrow_mut().remove(&session);
        self.count();
        lane
    }

    fn count(&self) {
        self.gauge.set(self.len() as i64);
    }
}
