//! Sessions and lanes on their way to another process, or from it.

use std::{rc::Rc, sync::Arc, time::Instant};

use tokio::task::spawn_local;
use tributary_protocol::{
    GroupName, SessionId, cluster::routing::Health, link::FromSession, parcel::ParcelWriter,
};

use super::{FromOrigin, Lane, Opening, OriginId, Placing, Waiting};
use crate::{
    link::{
        head::{Head, OriginFacts},
        lane::{LaneSession, MovedLane},
        moved::{MoveError, MovedLinks},
        outgoing,
        publish::PublishSource,
    },
    objects::HubOut,
};

/// Lanes that are exported before other tasks get a turn. Reason: the control streams must not fall
/// silent.
const EXPORTED: usize = 64;

/// The incarnations between the links before a move and those after it. Reason: the process before
/// may dial again after its export; an origin takes the highest incarnation alone.
const LINKS_APART: u64 = 1 << 20;

impl Placing {
    /// Waits until no stream carries a lane that goes on.
    pub(in crate::link) async fn stand_still(&self) {
        loop {
            let progress = self.shared.progress.notified();
            let lanes = self.lanes.all();
            if !lanes.iter().any(|lane| lane.moves() && lane.is_carried()) {
                return;
            }
            progress.await;
        }
    }

    /// Queues the mark of a freeze behind everything in each inbox.
    pub(in crate::link) fn mark_all(&self, number: u64) {
        for lane in self.lanes.all() {
            lane.mark_all(|| FromOrigin::Freeze(number));
        }
        self.line.mark_all(|| FromOrigin::Freeze(number));
        self.mark.set(Some(number));
    }

    /// Ends a freeze: sessions that wait are placed again.
    pub(in crate::link) fn go_on(&self) {
        self.mark.set(None);
        self.try_all();
    }

    /// Writes the lanes, and the sessions without one.
    pub(in crate::link) async fn export(&self) -> Result<MovedLinks, MoveError> {
        let mut moved = MovedLinks::default();
        for (index, lane) in self.lanes.all().iter().enumerate() {
            if lane.moves() {
                moved.lanes.push(self.export_lane(lane)?);
            }
            if index % EXPORTED == EXPORTED - 1 {
                tokio::task::yield_now().await;
            }
        }
        moved.waiting = self.line.export()?;
        Ok(moved)
    }

    fn export_lane(&self, lane: &Rc<Lane>) -> Result<Vec<u8>, MoveError> {
        let mut parcel = ParcelWriter::new(Instant::now());
        lane.export(self.lanes.is_listed(lane), &mut parcel);
        let parcel = parcel.finish().map_err(|error| MoveError::Parcel {
            of: lane.to_string(),
            error,
        })?;
        Ok(parcel.to_vec())
    }

    /// The origins, and the numbers of processes, links and lanes.
    pub(in crate::link) fn head(&self, epoch: u64, next_session: u64) -> Head {
        let (processes, incarnation) = self.shared.numbers();
        let table = self.table();
        let of = |groups: &mut dyn Iterator<Item = (&GroupName, OriginId)>, origin| {
            let groups = groups.filter(|(_, at)| *at == origin);
            let mut groups: Vec<_> = groups.map(|(group, _)| group.clone()).collect();
            groups.sort_unstable();
            groups
        };
        let origins = self.origins.all().into_iter().map(|origin| OriginFacts {
            name: origin.name().to_owned(),
            greeted: origin.greeted_process(),
            health: table.health(origin.id),
            displaced: of(&mut table.all_displaced(), origin.id),
            kept: of(&mut table.all_kept(), origin.id),
        });
        Head {
            epoch,
            next_session,
            next_lane: self.lanes.next(),
            processes,
            incarnation,
            has_started: table.starting(Instant::now()).is_none(),
            origins: origins.collect(),
        }
    }

    /// Takes in the origins, and the numbers. Origins that are not configured any more have no lanes.
    pub(in crate::link) fn restore(&self, head: Head) {
        let now = Instant::now();
        let incarnation = head.incarnation + LINKS_APART;
        self.shared.continue_at(head.processes, incarnation);
        self.lanes.continue_at(head.next_lane);
        for facts in head.origins {
            let mut origins = self.origins.all().into_iter();
            let Some(origin) = origins.find(|origin| origin.name() == facts.name) else {
                continue;
            };
            if let Some(greeted) = facts.greeted {
                origin.restore(greeted);
            }
            let health = match facts.health {
                Health::Up => Health::Lost {
                    until: origin.free_after_move(now),
                },
                health => health,
            };
            self.update(|router| {
                router
                    .table_mut()
                    .restore(origin.id, health, facts.displaced, facts.kept)
            });
        }
        if head.has_started {
            self.update(|router| router.table_mut().skip_start());
        }
    }

    /// Takes in a lane that has come from another process.
    pub(in crate::link) fn take_lane(
        self: &Rc<Self>,
        moved: MovedLane,
        sessions: Vec<(SessionId, LaneSession)>,
    ) {
        let mut origins = self.origins.all().into_iter();
        let Some(origin) = origins.find(|origin| origin.name() == moved.origin) else {
            // The arrival has refused such a lane.
            return;
        };
        let is_listed = moved.is_listed;
        let lane = Lane::arrived(Rc::clone(&self.shared), origin, moved, sessions);
        match is_listed {
            true => self.lanes.add(&lane),
            false => self.lanes.add_unlisted(&lane),
        }
        self.start(&lane);
    }

    /// Takes in a session without a lane that has come from another process.
    pub(in crate::link) fn take_waiting(&self, waiting: Waiting) {
        self.line.add(waiting, Instant::now());
    }

    /// The worker of a session that has come has this hub.
    pub(in crate::link) fn adopt(&self, session: SessionId, hub: Option<Arc<HubOut>>) {
        match self.lane_of(session) {
            Some(lane) => lane.adopt(session, hub),
            None => self.line.adopt(session, hub),
        }
    }

    /// Carries a publish that has come. Without its process there is no origin for it.
    pub(in crate::link) fn adopt_feed(&self, source: PublishSource) {
        let process = source.publish().process;
        let mut origins = self.origins.all().into_iter();
        if let Some(origin) = origins.find(|origin| origin.process() == process) {
            spawn_local(outgoing::run(Rc::clone(&self.shared), origin, source));
        }
    }

    /// Handles an event of a session whose lane another process has: nothing is said to its origin.
    pub(super) fn handle_left(&self, session: SessionId, event: FromSession<Box<Opening>>) {
        match event {
            FromSession::Open(opening) => {
                let waiting = Waiting::new(session, *opening);
                waiting.session.end(FromOrigin::NoOrigin);
            }
            FromSession::Close(_) => match self.lane_of(session) {
                Some(lane) => {
                    lane.forget(session);
                    self.shared.sessions.remove(session);
                }
                None => drop(self.line.remove(session)),
            },
            _ => {}
        }
    }
}
