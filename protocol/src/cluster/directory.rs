//! The reactions of an edge to the news of its origins: lanes go on, sessions are placed again, and the other origins
//! hear of it.

use std::{rc::Rc, time::Instant};

use super::routing::{Health, OriginId, Router};
use crate::{
    GroupName,
    link::{Control, hello::GROUPS_PER_FRAME},
};

/// The lanes and links of an edge, which the [`Directory`] looks at and changes.
pub trait EdgeDriver {
    type Lane: EdgeLaneFacts;

    /// The lanes to an origin that are not over and do not close.
    fn lanes_at(&self, origin: OriginId) -> Vec<Rc<Self::Lane>>;

    /// The lane that new sessions of a group join.
    fn lane_of(&self, group: &GroupName) -> Option<Rc<Self::Lane>>;

    /// All origins.
    fn origins(&self) -> Vec<OriginId>;

    /// The name by which the edges call an origin.
    fn name(&self, origin: OriginId) -> String;

    /// Whether the present process of an origin takes the sessions of the one before.
    fn restores(&self, origin: OriginId) -> bool;

    /// Looks at the router.
    fn look<R>(&self, look: impl FnOnce(&Router) -> R) -> R;

    /// Changes the router.
    fn update<R>(&self, change: impl FnOnce(&mut Router) -> R) -> R;

    /// Queues a frame to an origin. Without a link it is lost.
    fn send(&self, to: OriginId, control: Control);

    /// Brings the sessions of a lane to the present process of its origin, in a lane of their own.
    fn restore(&self, lane: &Rc<Self::Lane>);

    /// Ends a lane. Sessions that are not accepted are placed again; accepted ones are closed.
    fn replace(&self, lane: &Rc<Self::Lane>);

    /// The link of a lane's origin is lost, or is back: its sessions may want to know.
    fn link_changed(&self, lane: &Rc<Self::Lane>, is_up: bool);

    /// Ends the closing lanes of an origin that is gone for good.
    fn give_up_closing(&self, origin: OriginId);

    /// Closes the lanes that have no sessions, at an origin that goes away.
    fn close_idle(&self);

    /// Places the sessions that wait for a group again.
    fn place_group(&self, group: &GroupName);

    /// Places all sessions that wait again.
    fn place_all(&self);
}

/// A lane at its edge.
pub trait EdgeLaneFacts {
    fn group(&self) -> &GroupName;

    fn origin(&self) -> OriginId;

    /// Whether the lane has exchanged any frame with its origin.
    fn has_history(&self) -> bool;

    /// Whether a session of the lane was accepted.
    fn has_accepted(&self) -> bool;

    /// Whether its sessions can go on at another process of its origin.
    fn is_restorable(&self) -> bool;

    /// Whether it brings sessions of another process.
    fn restores(&self) -> bool;

    /// Whether it has yet to be opened for that.
    fn is_to_restore(&self) -> bool;

    /// From here on it keeps what another process would need, if the process of its origin gives it.
    fn keep(&self);
}

/// The reactions of an edge.
#[derive(Debug)]
pub struct Directory<'a, D>(pub &'a D);

impl<D: EdgeDriver> Directory<'_, D> {
    /// An origin has a new link; `new_process` if its process is another than before.
    pub fn up(&self, origin: OriginId, new_process: bool) {
        let edge = self.0;
        self.send_lost_groups(origin);
        if new_process {
            let restores = edge.restores(origin);
            edge.update(|router| router.table_mut().forget(origin));
            for lane in edge.lanes_at(origin) {
                if !lane.has_history() {
                    continue;
                }
                match restores && lane.is_restorable() {
                    true => edge.restore(&lane),
                    false => edge.replace(&lane),
                }
            }
        }
        self.set_health(origin, Health::Up);
        for lane in edge.lanes_at(origin) {
            // It may have come from another process of this edge.
            lane.keep();
            // The origin says of each restored session that it goes on.
            if !lane.restores() || !new_process {
                edge.link_changed(&lane, true);
            }
        }
        for lane in edge.lanes_at(origin) {
            let displaced = |router: &Router| router.table().displaced_at(lane.group());
            if let (Some(home), Some(copy)) = (self.home_in_use(lane.group()), edge.look(displaced))
                && home != copy
            {
                self.send_at_home(copy, home, lane.group().clone());
            }
        }
        if edge.restores(origin) {
            self.send_brought(origin);
        }
        // Groups whose sessions are brought live on there.
        self.send_living_end(origin, !new_process || edge.restores(origin));
    }

    /// The link of an origin is lost; its groups stay there until the time. Groups without an accepted session may
    /// start elsewhere at once.
    pub fn lost(&self, origin: OriginId, until: Instant) {
        self.set_health(origin, Health::Lost { until });
        let mut living = Vec::new();
        for lane in self.0.lanes_at(origin) {
            if lane.has_accepted() {
                self.0.link_changed(&lane, false);
                living.push(lane.group().clone());
            } else {
                self.0.replace(&lane);
            }
        }
        self.send_living(origin, &living);
    }

    /// An origin will go away: groups that do not live there are placed elsewhere.
    pub fn leaving(&self, origin: OriginId) {
        self.0
            .update(|router| router.table_mut().set_leaving(origin));
        self.0.close_idle();
    }

    /// The grace time of an origin is over: its groups may start elsewhere.
    pub fn down(&self, origin: OriginId) {
        self.set_health(origin, Health::Down);
        for lane in self.0.lanes_at(origin) {
            self.0.replace(&lane);
        }
        self.0.give_up_closing(origin);
        self.send_living_end(origin, false);
    }

    /// An origin has these groups away from home, and those no longer; `complete` ends the list that begins a link.
    pub fn displaced(
        &self,
        origin: OriginId,
        complete: bool,
        added: Vec<GroupName>,
        removed: &[GroupName],
        now: Instant,
    ) {
        for group in &added {
            if let Some(home) = self.home_in_use(group)
                && home != origin
            {
                self.send_at_home(origin, home, group.clone());
            }
        }
        let named: Vec<_> = added.iter().chain(removed).cloned().collect();
        let has_started = self.0.update(|router| {
            let table = router.table_mut();
            let starting = table.starting(now);
            table.displaced(origin, complete, added, removed);
            starting != table.starting(now)
        });
        if has_started {
            self.0.place_all();
        }
        for group in &named {
            self.0.place_group(group);
        }
    }

    fn set_health(&self, origin: OriginId, health: Health) {
        self.0
            .update(|router| router.table_mut().set_health(origin, health));
        self.0.place_all();
    }

    /// The home of a group, if it is up and this edge has accepted sessions of the group there.
    pub fn home_in_use(&self, group: &GroupName) -> Option<OriginId> {
        let lane = self.0.lane_of(group).filter(|lane| lane.has_accepted())?;
        self.0.look(|router| {
            let (home, table) = (router.home(group)?, router.table());
            // A home that goes away does not take its groups back.
            let stays = table.health(home) == Health::Up && !table.is_leaving(home);
            (lane.origin() == home && stays).then_some(home)
        })
    }

    /// Sends an origin the groups whose sessions are brought to it.
    fn send_brought(&self, origin: OriginId) {
        let lanes = self.0.lanes_at(origin);
        let lanes = lanes.iter().filter(|lane| lane.is_to_restore());
        let groups: Vec<_> = lanes.map(|lane| lane.group().clone()).collect();
        for brought in living(&self.0.name(origin), &groups) {
            self.0.send(origin, brought);
        }
    }

    /// Sends every other origin the groups that live at a lost one.
    fn send_living(&self, lost: OriginId, groups: &[GroupName]) {
        for living in living(&self.0.name(lost), groups) {
            self.send_others(lost, &living);
        }
    }

    /// Sends every other origin the end of its wait for the groups of this one.
    fn send_living_end(&self, origin: OriginId, resumed: bool) {
        let end = Control::LivingEnd {
            origin: self.0.name(origin),
            resumed,
        };
        self.send_others(origin, &end);
    }

    fn send_others(&self, origin: OriginId, control: &Control) {
        for other in self.0.origins() {
            if other != origin {
                self.0.send(other, control.clone());
            }
        }
    }

    /// Sends an origin with a new link the groups that live at origins that are lost now.
    fn send_lost_groups(&self, to: OriginId) {
        for lost in self.0.origins() {
            let health = self.0.look(|router| router.table().health(lost));
            if lost == to || !matches!(health, Health::Lost { .. }) {
                continue;
            }
            let lanes = self.0.lanes_at(lost);
            let groups: Vec<_> = lanes.iter().map(|lane| lane.group().clone()).collect();
            for living in living(&self.0.name(lost), &groups) {
                self.0.send(to, living);
            }
        }
    }

    /// Sends an origin the news that a group which lives there is at its home as well.
    fn send_at_home(&self, to: OriginId, home: OriginId, group: GroupName) {
        let at_home = Control::AtHome {
            origin: self.0.name(home),
            groups: vec![group],
        };
        self.0.send(to, at_home);
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
mod tests {
    use super::*;

    #[test]
    fn groups_at_a_lost_origin_are_named_in_frames_of_a_bounded_length() {
        let frames = |count: usize| -> Vec<_> {
            let groups: Vec<_> = (0..count)
                .map(|n| GroupName::from_app(&format!("live/{n}")).unwrap())
                .collect();
            let frames = living("a", &groups).into_iter();
            let frame = |frame| match frame {
                Control::Living {
                    complete, groups, ..
                } => (complete, groups.len()),
                other => panic!("{other:?}"),
            };
            frames.map(frame).collect()
        };
        // An empty list replaces the one before.
        assert_eq!(frames(0), [(true, 0)]);
        assert_eq!(frames(GROUPS_PER_FRAME), [(true, GROUPS_PER_FRAME)]);
        let two = [(false, GROUPS_PER_FRAME), (true, 1)];
        assert_eq!(frames(GROUPS_PER_FRAME + 1), two);
    }
}
