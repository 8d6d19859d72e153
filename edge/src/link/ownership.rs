//! The groups of each origin: the origins' news, and what the edge's [`Directory`] does about them.

use std::{rc::Rc, time::Instant};

use tributary_protocol::{
    GroupName,
    cluster::{
        Directory, EdgeDriver, EdgeLaneFacts,
        routing::{OriginId, Router},
    },
    link::{Control, features},
};

use super::{
    dial::{News, Observer},
    handle::FromOrigin,
    lane::Lane,
    origin::Origin,
    placing::Placing,
    readiness::Readiness,
    shared::Shared,
};

/// The receiver of the origins' news, which places sessions and lanes by them.
pub(super) struct Ownership {
    shared: Rc<Shared>,
    placing: Rc<Placing>,
    readiness: Readiness,
}

impl Observer for Ownership {
    fn report(&self, origin: OriginId, news: News) {
        let directory = Directory(self);
        match news {
            News::Up { new_process } => directory.up(origin, new_process),
            News::Lost { until } => directory.lost(origin, until),
            News::Down => directory.down(origin),
            News::Leaving => directory.leaving(origin),
            News::Displaced {
                complete,
                added,
                removed,
            } => directory.displaced(origin, complete, added, &removed, Instant::now()),
            News::Kept { anew, groups } => {
                self.placing
                    .update(|router| router.table_mut().kept(origin, anew, groups));
                self.count_kept();
            }
        }
    }

    fn heartbeat(&self) -> Control {
        Control::Heartbeat {
            sessions: self.shared.sessions.len() as u64,
            groups: self.placing.lanes.group_count() as u64,
        }
    }
}

impl Ownership {
    pub(super) fn new(shared: Rc<Shared>, placing: Rc<Placing>, readiness: Readiness) -> Rc<Self> {
        Rc::new(Self {
            shared,
            placing,
            readiness,
        })
    }

    /// Handles the removal of an origin: its groups may start elsewhere, as after its grace time.
    /// The caller stops its dialler afterwards.
    pub(super) fn removed(&self, origin: &Origin) {
        Directory(self).down(origin.id);
        self.placing.remove_origin(origin.id);
        self.count_kept();
        // Without this origin, the lists of all origins may be complete.
        self.placing.try_all();
        self.shared.metrics.forget(&origin.label());
    }

    fn count_kept(&self) {
        let kept = self.placing.table().kept_count();
        self.shared.metrics.kept.set(kept as i64);
    }
}

impl EdgeDriver for Ownership {
    type Lane = Lane;

    fn lanes_at(&self, origin: OriginId) -> Vec<Rc<Lane>> {
        self.placing.lanes.at(origin)
    }

    fn lane_of(&self, group: &GroupName) -> Option<Rc<Lane>> {
        self.placing.lanes.of(group)
    }

    fn origins(&self) -> Vec<OriginId> {
        let origins = self.placing.origins.all();
        origins.iter().map(|origin| origin.id).collect()
    }

    fn name(&self, origin: OriginId) -> String {
        let origin = self.placing.origins.get(origin);
        origin.map_or_else(String::new, |origin| origin.name().to_owned())
    }

    fn restores(&self, origin: OriginId) -> bool {
        let origin = self.placing.origins.get(origin);
        origin.is_some_and(|origin| origin.has(features::RESTORE))
    }

    fn look<R>(&self, look: impl FnOnce(&Router) -> R) -> R {
        look(&self.placing.router())
    }

    fn update<R>(&self, change: impl FnOnce(&mut Router) -> R) -> R {
        let changed = self.placing.update(change);
        self.readiness.set(self.placing.table().is_ready());
        changed
    }

    fn send(&self, to: OriginId, control: Control) {
        if let Some(origin) = self.placing.origins.get(to) {
            origin.send(control);
        }
    }

    fn restore(&self, lane: &Rc<Lane>) {
        self.placing.restore_lane(lane);
    }

    fn replace(&self, lane: &Rc<Lane>) {
        self.placing.replace(lane);
    }

    fn link_changed(&self, lane: &Rc<Lane>, is_up: bool) {
        match is_up {
            true => lane.push_all(|| FromOrigin::LinkBack),
            false => lane.push_all(|| FromOrigin::LinkLost),
        }
    }

    fn give_up_closing(&self, origin: OriginId) {
        self.placing.lanes.give_up_closing(origin);
    }

    fn close_idle(&self) {
        self.placing.close_idle(Instant::now());
    }

    fn place_group(&self, group: &GroupName) {
        self.placing.place_group(group);
    }

    fn place_all(&self) {
        self.placing.try_all();
    }
}

impl EdgeLaneFacts for Lane {
    fn group(&self) -> &GroupName {
        Self::group(self)
    }

    fn origin(&self) -> OriginId {
        self.origin.id
    }

    fn has_history(&self) -> bool {
        Self::has_history(self)
    }

    fn has_accepted(&self) -> bool {
        Self::has_accepted(self)
    }

    fn is_restorable(&self) -> bool {
        Self::is_restorable(self)
    }

    fn restores(&self) -> bool {
        self.opening.restores
    }

    fn is_to_restore(&self) -> bool {
        Self::is_to_restore(self)
    }

    fn keep(&self) {
        Self::keep(self);
    }
}

#[cfg(test)]
mod tests;
