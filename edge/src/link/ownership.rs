//! The groups of each origin. This file handles the origins' news and sends origins the frames
//! about groups.

use std::{rc::Rc, time::Instant};

use tributary_protocol::{
    GroupName,
    link::{Control, features, hello::GROUPS_PER_FRAME},
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
use crate::routing::{Health, OriginId};

/// The receiver of the origins' news, which places sessions and lanes by them.
pub(super) struct Ownership {
    shared: Rc<Shared>,
    placing: Rc<Placing>,
    readiness: Readiness,
}

impl Observer for Ownership {
    fn report(&self, origin: OriginId, news: News) {
        match news {
            News::Up { new_process } => self.up(origin, new_process),
            News::Lost { until } => self.lost(origin, until),
            News::Down => self.down(origin),
            News::Leaving => self.leaving(origin),
            News::Displaced {
                complete,
                added,
                removed,
            } => self.displaced(origin, complete, added, &removed),
            News::Kept { anew, groups } => {
                self.placing
                    .update(|table| table.kept(origin, anew, groups));
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

    /// Handles a new link to an origin; `new_process` if its process is another than before.
    fn up(&self, origin: OriginId, new_process: bool) {
        self.send_lost_groups(origin);
        if new_process {
            let restores = self.restores(origin);
            self.placing.update(|table| table.forget(origin));
            for lane in self.lanes_at(origin) {
                if !lane.has_history() {
                    continue;
                }
                match restores && lane.is_restorable() {
                    true => self.placing.restore_lane(&lane),
                    false => self.placing.replace(&lane, true),
                }
            }
        }
        self.set_health(origin, Health::Up);
        for lane in self.lanes_at(origin) {
            // It may have come from another process of this edge.
            lane.keep();
            // The origin says of each restored session that it goes on.
            if !lane.opening.restores || !new_process {
                lane.push_all(|| FromOrigin::LinkBack);
            }
        }
        for lane in self.lanes_at(origin) {
            let copy = self.placing.table().displaced_at(lane.group());
            if let (Some(home), Some(copy)) = (self.placing.home_in_use(lane.group()), copy)
                && home != copy
            {
                self.send_at_home(copy, home, lane.group().clone());
            }
        }
        if self.restores(origin) {
            self.send_brought(origin);
        }
        // Groups whose sessions are brought live on there.
        self.send_living_end(origin, !new_process || self.restores(origin));
    }

    /// Sends an origin the groups whose sessions are brought to it.
    fn send_brought(&self, origin: OriginId) {
        let lanes = self.lanes_at(origin);
        let lanes = lanes.iter().filter(|lane| lane.is_to_restore());
        let groups: Vec<_> = lanes.map(|lane| lane.group().clone()).collect();
        let to = self.placing.origins.get(origin);
        for brought in living(&self.name(origin), &groups) {
            if let Some(to) = &to {
                to.send(brought);
            }
        }
    }

    /// Whether the present process of an origin takes the sessions of the one before.
    fn restores(&self, origin: OriginId) -> bool {
        let origin = self.placing.origins.get(origin);
        origin.is_some_and(|origin| origin.has(features::RESTORE))
    }

    /// Handles the loss of a link. Groups without an accepted session may start elsewhere at once.
    fn lost(&self, origin: OriginId, until: Instant) {
        self.set_health(origin, Health::Lost { until });
        let mut living = Vec::new();
        for lane in self.lanes_at(origin) {
            if lane.has_accepted() {
                lane.push_all(|| FromOrigin::LinkLost);
                living.push(lane.group().clone());
            } else {
                self.placing.replace(&lane, false);
            }
        }
        self.send_living(origin, &living);
    }

    /// Handles the news that an origin will go away: groups that do not live there are placed
    /// elsewhere.
    fn leaving(&self, origin: OriginId) {
        self.placing.update(|table| table.set_leaving(origin));
        self.placing.close_idle(Instant::now());
    }

    /// Handles the end of an origin's grace time: its groups may start elsewhere.
    fn down(&self, origin: OriginId) {
        self.set_health(origin, Health::Down);
        for lane in self.lanes_at(origin) {
            self.placing.replace(&lane, true);
        }
        self.placing.lanes.give_up_closing(origin);
        self.send_living_end(origin, false);
    }

    /// Handles the removal of an origin: its groups may start elsewhere, as after its grace time.
    /// The caller stops its dialler afterwards.
    pub(super) fn removed(&self, origin: &Origin) {
        self.down(origin.id);
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

    /// Handles a list of groups that live at an origin away from home, and of groups that no longer
    /// do.
    fn displaced(
        &self,
        origin: OriginId,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
    ) {
        for group in &added {
            if let Some(home) = self.placing.home_in_use(group)
                && home != origin
            {
                self.send_at_home(origin, home, group.clone());
            }
        }
        let named: Vec<_> = added.iter().chain(removed).cloned().collect();
        let has_started = self.placing.update(|table| {
            let starting = table.starting(Instant::now());
            table.displaced(origin, complete, added, removed);
            starting != table.starting(Instant::now())
        });
        if has_started {
            self.placing.try_all();
        }
        for group in &named {
            self.placing.place_group(group);
        }
    }

    fn set_health(&self, origin: OriginId, health: Health) {
        let ready = self.placing.update(|table| {
            table.set_health(origin, health);
            table.is_ready()
        });
        self.readiness.set(ready);
        self.placing.try_all();
    }

    fn lanes_at(&self, origin: OriginId) -> Vec<Rc<Lane>> {
        self.placing.lanes.at(origin)
    }

    fn name(&self, origin: OriginId) -> String {
        let origin = self.placing.origins.get(origin);
        origin.map_or_else(String::new, |origin| origin.name().to_owned())
    }

    /// Sends every other origin the groups that live at a lost one.
    fn send_living(&self, lost: OriginId, groups: &[GroupName]) {
        for living in living(&self.name(lost), groups) {
            self.placing.origins.send_others(lost, &living);
        }
    }

    /// Sends every other origin the end of its wait for the groups of this one.
    fn send_living_end(&self, origin: OriginId, resumed: bool) {
        let end = Control::LivingEnd {
            origin: self.name(origin),
            resumed,
        };
        self.placing.origins.send_others(origin, &end);
    }

    /// Sends an origin with a new link the groups that live at origins that are lost now.
    fn send_lost_groups(&self, to: OriginId) {
        for origin in self.placing.origins.all() {
            let lost = origin.id;
            let health = self.placing.table().health(lost);
            if lost == to || !matches!(health, Health::Lost { .. }) {
                continue;
            }
            let lanes = self.lanes_at(lost);
            let groups: Vec<_> = lanes.iter().map(|lane| lane.group().clone()).collect();
            self.send_living(lost, &groups);
        }
    }

    /// Sends an origin the news that a group which lives there is at its home as well.
    fn send_at_home(&self, to: OriginId, home: OriginId, group: GroupName) {
        if let Some(origin) = self.placing.origins.get(to) {
            origin.send(Control::AtHome {
                origin: self.name(home),
                groups: vec![group],
            });
        }
    }
}

/// The frames that name the groups at a lost origin; the last one completes the list.
fn living(origin: &str, groups: &[GroupName]) -> Vec<Control> {
    let mut frames = Vec::new();
    let mut rest = groups;
    loop {
        let (groups, later) = rest.split_at(rest.len().min(GROUPS_PER_FRAME));
        frames.push(Control::Living {
            origin: origin.to_owned(),
            complete: later.is_empty(),
            groups: groups.to_vec(),
        });
        if later.is_empty() {
            return frames;
        }
        rest = later;
    }
}

#[cfg(test)]
mod tests;
