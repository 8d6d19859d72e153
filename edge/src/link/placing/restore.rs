//! Sessions whose origin is another process now, on their way to it.

use std::{rc::Rc, time::Instant};

use tributary_protocol::link::CloseReason;

use super::{Lane, Placing};
use crate::link::lane::LaneOpening;

impl Placing {
    /// Brings the sessions of a lane to the present process of its origin, in a lane of their own. A
    /// session that was not accepted is placed again; one that cannot be restored is closed.
    pub(in crate::link) fn restore_lane(self: &Rc<Self>, lost: &Rc<Lane>) {
        self.lanes.unlist(lost);
        let opening = LaneOpening {
            id: self.lanes.next_id(),
            group: lost.group().clone(),
            home: lost.opening.home.clone(),
            only_if_living: false,
            restores: true,
        };
        let origin = Rc::clone(&lost.origin);
        let lane = Lane::new(Rc::clone(&self.shared), origin, opening, self.rate);
        let legacy = lost.take_legacy();
        let mut brought = 0;
        for (id, session) in lost.take_sessions() {
            match (lost.salvage(id), session) {
                (Some(salvaged), session) => {
                    lane.bring(id, session, salvaged, &legacy);
                    brought += 1;
                }
                (None, session) => match session.leave(id) {
                    Ok(waiting) => self.line.add(waiting, Instant::now()),
                    Err(accepted) => accepted.close(CloseReason::OriginLost),
                },
            }
        }
        let departed = lost.salvage_departed();
        let ended = departed.len();
        for (id, salvaged) in departed {
            lane.bring_departed(id, salvaged);
        }
        lost.end(CloseReason::OriginLost);
        if brought + ended == 0 {
            return;
        }
        tracing::info!(group = %lane.group(), sessions = brought, ended, "sessions are brought to the origin's new process");
        lane.end_restore(legacy);
        self.lanes.add(&lane);
        self.start(&lane);
    }
}
