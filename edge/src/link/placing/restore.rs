//! Sessions whose origin is another process now, or another origin, on their way to it.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{task::spawn_local, time::timeout};
use tributary_protocol::link::CloseReason;

use super::{Lane, Origin, Placing};
use crate::link::{handle::FromOrigin, lane::LaneOpening};

/// The time for a link to an origin at which a group goes on, if there is none. Reason: it is the usual grace time.
const UNLINKED: Duration = Duration::from_secs(15);

impl Placing {
    /// Brings the sessions of a lane whose group goes on at another origin there.
    pub(super) fn follow(self: &Rc<Self>, left: &Rc<Lane>, to: &str) {
        let origin = self.origins.named(to).and_then(|id| self.origins.get(id));
        let Some(origin) = origin else {
            let group = left.group();
            tracing::error!(%group, origin = to, "the group goes on at an origin that is not configured here: its clients are closed");
            return self.replace(left);
        };
        left.push_all(|| FromOrigin::LinkLost);
        // The other origin waits for the lane, also if nobody is left.
        let lane = self.restore_lane_at(left, Rc::clone(&origin), true);
        let Some(lane) = lane.filter(|_| !origin.is_linked()) else {
            return;
        };
        tracing::warn!(group = %lane.group(), origin = to, "the group goes on at an origin to which there is no link");
        let placing = Rc::clone(self);
        spawn_local(async move {
            if timeout(UNLINKED, origin.linked()).await.is_err() {
                // Nothing else ends it: the origin is not lost, it was never there.
                placing.replace(&lane);
            }
        });
    }

    /// Brings the sessions of a lane to the present process of its origin.
    pub(in crate::link) fn restore_lane(self: &Rc<Self>, lost: &Rc<Lane>) {
        self.restore_lane_at(lost, Rc::clone(&lost.origin), false);
    }

    /// Brings the sessions of a lane to an origin, in a lane of their own, which is returned. A session
    /// that was not accepted is placed again; one that cannot be restored is closed.
    fn restore_lane_at(
        self: &Rc<Self>,
        lost: &Rc<Lane>,
        origin: Rc<Origin>,
        is_awaited: bool,
    ) -> Option<Rc<Lane>> {
        self.lanes.unlist(lost);
        let opening = LaneOpening {
            id: self.lanes.next_id(),
            group: lost.group().clone(),
            home: lost.opening.home.clone(),
            only_if_living: false,
            restores: true,
        };
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
        if brought + ended == 0 && !is_awaited {
            return None;
        }
        let origin = lane.origin.name();
        tracing::info!(group = %lane.group(), origin, sessions = brought, ended, "sessions are brought to another process");
        lane.end_restore(legacy);
        match self.lanes.of(lane.group()) {
            // Sessions that came meanwhile have a newer lane there.
            Some(_) => self.lanes.add_unlisted(&lane),
            None => self.lanes.add(&lane),
        }
        self.start(&lane);
        Some(lane)
    }
}
