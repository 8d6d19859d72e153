//! Moves of groups from here to another origin.
//!
//! ```text
//! here                                           there
//!  │ ── MoveOffer: group, edges ────────────────► │ may it? expects the edges
//!  │ ◄── MoveAnswer ───────────────────────────── │
//!  │ lanes deaf, group stops                      │
//!  │ ── MoveState, MoveCommit ──────────────────► │
//!  │ lanes end ─── HandedOver ──► edges ── bring ► │ all edges, or 4 s: it goes on
//!  │ ◄── MoveArrived ──────────────────────────── │
//! ```
//!
//! Once the group has stopped here it never runs here again but after a move back: the other origin takes it by
//! the commit, or by what an edge brings with the end of its lane.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{
    act::{Act, Finished, Note},
    here::{Here, LaneFacts, LaneNumber},
    move_error::MoveError,
    moves::{AskedMove, Going, Step},
    ownership::{OriginStanding, Ownership, is_brought},
    residents::UnderWay,
};
use crate::{
    GroupName,
    link::{MAX_MOVE_EDGES, MAX_STATE_PIECE, MoveStep},
    mutant::Mutant,
};

/// The time for the answer to an offer.
const ANSWER: Duration = Duration::from_secs(2);

/// The time in which a group that has stopped goes on at the other origin: longer than that waits for edges.
const ARRIVAL: Duration = Duration::from_secs(6);

impl Ownership {
    /// Moves a group to another origin. `id` is a number that no other move has; [`Act::Finish`] tells the outcome.
    pub fn move_group(
        &mut self,
        id: u64,
        group: &GroupName,
        to: &str,
        now: Instant,
        here: &impl Here,
    ) {
        if let Err(error) = self.offer(id, group, to, now, here) {
            self.finish(id, Err(error));
        }
    }

    fn offer(
        &mut self,
        id: u64,
        group: &GroupName,
        to: &str,
        now: Instant,
        here: &impl Here,
    ) -> Result<(), MoveError> {
        self.movable(group, to, here)?;
        let edges = Self::edges_of(group, here);
        if edges.is_empty() {
            return Err(MoveError::NoEdge);
        }
        if edges.len() > MAX_MOVE_EDGES {
            return Err(MoveError::TooManyEdges);
        }
        let step = MoveStep::Offer {
            group: group.clone(),
            sessions: Self::sessions_of(group, here),
            edges: edges.iter().cloned().collect(),
        };
        self.tell(to, id, step);
        let asked = AskedMove {
            group: group.clone(),
            to: to.to_owned(),
            process: self.others.process(to),
            edges,
            step: Step::Offered {
                until: now + ANSWER,
            },
        };
        self.moves.asked.insert(id, asked);
        Ok(())
    }

    /// Whether a group can move to another origin.
    fn movable(&self, group: &GroupName, to: &str, here: &impl Here) -> Result<(), MoveError> {
        if to == self.name {
            return Err(MoveError::SameOrigin);
        }
        if !self.others.is_linked(to) {
            return Err(MoveError::NoLink {
                to: to.to_owned(),
                linked: self.others.all_linked(),
            });
        }
        if Self::sessions_of(group, here) == 0 {
            let at = self.others.place(group).map(str::to_owned);
            return Err(MoveError::NotHere { at });
        }
        let is_going = self.standing == OriginStanding::Stopping || self.moves.takes_away(group);
        if is_going || self.gathering.holds(group) {
            return Err(MoveError::IsMoving);
        }
        if here.has_data(group) {
            return Err(MoveError::HasData);
        }
        if here.closes_clients(group) {
            return Err(MoveError::Closes);
        }
        Ok(())
    }

    /// The other origin has answered an offer.
    pub(super) fn answered(
        &mut self,
        from: &str,
        id: u64,
        refused: Option<String>,
        now: Instant,
        here: &impl Here,
    ) {
        let asked = self.moves.asked.get(&id).filter(|it| it.to == from);
        let Some(AskedMove {
            group,
            edges,
            step: Step::Offered { .. },
            ..
        }) = asked
        else {
            return;
        };
        let group = group.clone();
        if let Some(why) = refused {
            let by = from.to_owned();
            return self.finish(id, Err(MoveError::Refused { by, why }));
        }
        // All of it may have changed meanwhile. The other origin waits for the edges of the offer, and for no other.
        let has_changed = Self::edges_of(&group, here) != *edges;
        let may_go = match self.movable(&group, from, here) {
            Ok(()) if has_changed => Err(MoveError::Changed),
            movable => movable,
        };
        if let Err(error) = may_go {
            self.tell(from, id, MoveStep::Withdraw);
            return self.finish(id, Err(error));
        }
        if let Some(asked) = self.moves.asked.get_mut(&id) {
            asked.step = Step::Leaves {
                since: now,
                state: None,
                until: None,
                arrived: None,
            };
        }
        self.residents.goes(&group, UnderWay::Leaving);
        let lanes = here.lanes(&group);
        let lanes = lanes.iter().map(|lane| lane.number).collect();
        self.let_go(group, lanes, from, Some(id), now);
    }

    pub(super) fn let_go(
        &mut self,
        group: GroupName,
        lanes: Vec<LaneNumber>,
        to: &str,
        id: Option<u64>,
        now: Instant,
    ) {
        let to = to.to_owned();
        let going = Going { to: to.clone(), id };
        self.moves.goes(&group, going, now);
        self.act(Act::Stop { group, lanes, to });
    }

    /// A group has stopped, as [`Act::Stop`] asked, and its application leaves this state.
    pub fn has_stopped(&mut self, group: &GroupName, state: &Bytes) {
        let Some(Going { to, id }) = self.moves.going(group).cloned() else {
            return;
        };
        if let Some(id) = id {
            if let Some(AskedMove {
                step: Step::Leaves { state: left, .. },
                ..
            }) = self.moves.asked.get_mut(&id)
            {
                *left = Some(state.clone());
            }
            self.commit(&to, id, state.clone());
        }
        let group = group.clone();
        self.act(Act::HandOver { group, to });
    }

    fn commit(&mut self, to: &str, id: u64, state: Bytes) {
        let length = state.len() as u64;
        let mut rest = state;
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(MAX_STATE_PIECE));
            self.tell(to, id, MoveStep::State(piece));
        }
        self.tell(to, id, MoveStep::Commit { state: length });
    }

    /// A link to another origin has come or gone, and what was sent over one before may be lost: the groups that have
    /// stopped for it and have not arrived are offered and committed once more.
    pub(super) fn tell_again(&mut self, to: &str) {
        let process = self.others.process(to);
        if process.is_none() {
            return;
        }
        let asked = self.moves.asked.iter();
        let again = asked.filter_map(|(id, asked)| match &asked.step {
            Step::Leaves {
                state: Some(state),
                arrived: None,
                ..
            } if asked.to == to && asked.process == process => {
                let offer = MoveStep::Offer {
                    group: asked.group.clone(),
                    sessions: 0,
                    edges: asked.edges.iter().cloned().collect(),
                };
                Some((*id, offer, state.clone()))
            }
            _ => None,
        });
        let again: Vec<_> = again.collect();
        for (id, offer, state) in again {
            self.tell(to, id, offer);
            self.commit(to, id, state);
        }
    }

    /// Edges have the ends of a group's lanes, or had the time to, as [`Act::HandOver`] asked.
    pub fn has_gone(&mut self, group: &GroupName, now: Instant) {
        let going = self.moves.has_gone(group, now);
        let Some(id) = going.and_then(|going| going.id) else {
            return;
        };
        if let Some(AskedMove {
            step: Step::Leaves { until, .. },
            ..
        }) = self.moves.asked.get_mut(&id)
        {
            *until = Some(now + ARRIVAL);
        }
        self.end_if_arrived(id, now);
    }

    /// A group that has left goes on at the other origin.
    pub(super) fn arrived(&mut self, from: &str, id: u64, sessions: u64, now: Instant) {
        if let Some(AskedMove {
            to,
            step: Step::Leaves { arrived, .. },
            ..
        }) = self.moves.asked.get_mut(&id)
            && to == from
        {
            *arrived = Some(sessions);
        }
        self.end_if_arrived(id, now);
    }

    fn end_if_arrived(&mut self, id: u64, now: Instant) {
        if let Some(AskedMove {
            group,
            step:
                Step::Leaves {
                    since,
                    until: Some(_),
                    arrived: Some(sessions),
                    ..
                },
            ..
        }) = self.moves.asked.get(&id)
        {
            let (sessions, frozen) = (*sessions, now.saturating_duration_since(*since));
            self.residents.has_left(&group.clone());
            self.finish(id, Ok(Finished { sessions, frozen }));
        }
    }

    /// Ends moves for which the other origin has taken too long.
    pub(super) fn end_late_moves(&mut self, now: Instant) {
        let ids: Vec<_> = self.moves.asked.keys().copied().collect();
        for id in ids {
            let Some(asked) = self.moves.asked.get(&id) else {
                continue;
            };
            let (group, to) = (asked.group.clone(), asked.to.clone());
            match asked.step {
                Step::Offered { until } if until <= now => {
                    self.tell(&to, id, MoveStep::Withdraw);
                    self.finish(id, Err(MoveError::NoAnswer { by: to }));
                }
                Step::Leaves {
                    until: Some(until), ..
                } if until <= now && !Mutant::LateMovesGoOn.is_on() => {
                    self.residents.has_left(&group);
                    self.finish(id, Err(MoveError::NotArrived { at: to }));
                }
                _ => {}
            }
        }
    }

    fn finish(&mut self, id: u64, outcome: Result<Finished, MoveError>) {
        self.moves.asked.remove(&id);
        self.act(Act::Finish { id, outcome });
    }

    /// Whether a group has no other lanes here than these, which edges have brought.
    pub(super) fn is_new(&self, group: &GroupName, lanes: &[LaneNumber], here: &impl Here) -> bool {
        let all = here.lanes(group).into_iter();
        let brought = all.filter(|lane| lane.has_group && lanes.contains(&lane.number));
        self.residents.lane_count(group) <= brought.count()
    }

    /// Lets lanes go on at the other origin that has their group, unless it has other lanes here. Returns whether
    /// one has it.
    pub(super) fn pass_on(
        &mut self,
        group: &GroupName,
        lanes: &[LaneNumber],
        now: Instant,
        here: &impl Here,
    ) -> bool {
        let is_brought_here = |lane: &LaneFacts| lanes.contains(&lane.number);
        let has_lanes = here.lanes(group).iter().any(is_brought_here);
        // A group goes where its stored data is.
        let may_go = has_lanes && self.is_new(group, lanes, here) && !here.has_data(group);
        let place = self.others.place(group).map(str::to_owned);
        let place = place.filter(|to| !self.moves.has_come_from(group, to));
        let Some(to) = place.filter(|_| may_go && !Mutant::NothingIsPassedOn.is_on()) else {
            let is_decided = has_lanes || !is_brought(group, here);
            if is_decided {
                self.residents.announce(group);
            }
            if has_lanes && self.moves.going(group).is_none() {
                self.moves.is_back(group);
            }
            return false;
        };
        self.note(Note::PassedOn {
            group: group.clone(),
            to: to.clone(),
        });
        self.let_go(group.clone(), lanes.to_vec(), &to, None, now);
        true
    }
}
