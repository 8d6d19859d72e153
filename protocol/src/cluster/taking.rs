//! Groups that come here: from another origin, or with the edges of the process before.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use super::{
    act::{Act, Note},
    gathering::{Offer, Released},
    here::{Here, LaneNumber},
    moves::Arriving,
    ownership::{OriginStanding, Ownership},
    residents::UnderWay,
};
use crate::{
    GroupName,
    link::{MAX_STATE, MoveFrame, MoveStep},
    mutant::Mutant,
};

/// The time in which an accepted offer is committed: longer than the answer and the group's stop take.
const COMMIT: Duration = Duration::from_secs(6);

/// Offers of others that wait for their commit.
const MAX_ACCEPTED: usize = 1_024;

impl Ownership {
    /// Handles a frame of another origin about a move.
    pub fn handle_move(&mut self, from: &str, frame: MoveFrame, now: Instant, here: &impl Here) {
        let MoveFrame { id, step } = frame;
        let offer = Offer {
            from: from.to_owned(),
            id,
        };
        match step {
            MoveStep::Offer { group, edges, .. } => {
                if let Some(sessions) = self.moves.taken(&offer) {
                    return self.tell(from, id, MoveStep::Arrived { sessions });
                }
                let refused = self.take_offer(offer, group, edges, now, here).err();
                if let Some(why) = &refused {
                    self.note(Note::Refused {
                        origin: from.to_owned(),
                        why: why.clone(),
                    });
                }
                self.tell(from, id, MoveStep::Answer { refused });
            }
            MoveStep::Answer { refused } => self.answered(from, id, refused, now, here),
            MoveStep::State(piece) => {
                if let Some(arriving) = self.moves.accepted.get_mut(&offer)
                    && arriving.state.len() + piece.len() <= MAX_STATE
                {
                    arriving.state.extend_from_slice(&piece);
                }
                self.take_over_if_whole(&offer, now);
            }
            MoveStep::Commit { state } => {
                if let Some(arriving) = self.moves.accepted.get_mut(&offer) {
                    arriving.committed = Some(state);
                    self.residents.goes(&arriving.group, UnderWay::Committed);
                }
                self.take_over_if_whole(&offer, now);
            }
            MoveStep::Withdraw => {
                if let Some(arriving) = self.moves.accepted.remove(&offer) {
                    self.gathering.withdrawn(&arriving.group);
                    self.moves.keeps(&arriving.group);
                    self.residents.announce(&arriving.group);
                }
            }
            MoveStep::Arrived { sessions } => self.arrived(from, id, sessions, now),
        }
        self.release(now, here);
    }

    /// A group that has stopped at the other origin is this one's, once all of its state has come.
    fn take_over_if_whole(&mut self, offer: &Offer, now: Instant) {
        let is_whole = |it: &Arriving| it.committed.is_some_and(|all| all <= it.state.len() as u64);
        if self.moves.accepted.get(offer).is_some_and(is_whole)
            && let Some(arriving) = self.moves.accepted.remove(offer)
        {
            let state = arriving.state.freeze();
            self.gathering.committed(&arriving.group, state, now);
        }
    }

    /// Accepts the offer of a group, or states why not.
    fn take_offer(
        &mut self,
        offer: Offer,
        group: GroupName,
        edges: Vec<String>,
        now: Instant,
        here: &impl Here,
    ) -> Result<(), String> {
        if let Some(arriving) = self.moves.accepted.get_mut(&offer) {
            // It comes once more, over another link, and all that follows it.
            arriving.state.clear();
            return Ok(());
        }
        if self.gathering.has_offer(&offer) {
            return Ok(());
        }
        if self.standing != OriginStanding::Serving {
            return Err("it is drained, or about to stop".into());
        }
        if here.has_data(&group) {
            return Err("it has stored data of the group, from an earlier time".into());
        }
        if self.gathering.expects(&group) {
            return Err("it is taking the group already".into());
        }
        if self.gathering.holds(&group) {
            return Err("it waits for its edges after its start".into());
        }
        if self.residents.contains(&group) {
            return Err("it has sessions of the group".into());
        }
        let coming = self.moves.accepted.len();
        if let Some(why) = here.refusal(&group, coming) {
            return Err(why);
        }
        if let Some(edge) = edges.iter().find(|edge| !here.brings(edge)) {
            return Err(format!("the edge {edge:?} has no link to it"));
        }
        if coming >= MAX_ACCEPTED {
            return Err("too many groups are on their way to it".into());
        }
        let until = now + COMMIT;
        let arriving = Arriving {
            group: group.clone(),
            state: BytesMut::new(),
            committed: None,
            until,
        };
        self.moves.accepted.insert(offer.clone(), arriving);
        self.moves.is_back(&group);
        self.moves.give(&group);
        self.residents.goes(&group, UnderWay::Offered);
        let edges: BTreeSet<Arc<str>> = match Mutant::EdgesAreNotAwaited.is_on() {
            true => BTreeSet::new(),
            false => edges.into_iter().map(Arc::from).collect(),
        };
        self.gathering.expect(group, edges, until, offer);
        Ok(())
    }

    /// Forgets offers that were not committed in time.
    pub(super) fn end_late_offers(&mut self, now: Instant) {
        let is_over = |_: &Offer, it: &mut Arriving| it.until <= now;
        let late: Vec<_> = self.moves.accepted.extract_if(.., is_over).collect();
        for (_, arriving) in late {
            if arriving.committed.is_some() {
                self.note(Note::StateLost(arriving.group.clone()));
                self.gathering.committed(&arriving.group, Bytes::new(), now);
            }
        }
    }

    /// A lane of an edge has brought all that it had of its group.
    pub fn has_brought(
        &mut self,
        edge: &Arc<str>,
        group: &GroupName,
        lane: LaneNumber,
        now: Instant,
        here: &impl Here,
    ) {
        self.gathering.has_brought(edge, group, lane);
        self.release(now, here);
    }

    /// Lets groups go on for which nothing is waited any more.
    pub(super) fn release(&mut self, now: Instant, here: &impl Here) {
        while let Some(released) = self.gathering.take_released() {
            self.go_on(released, now, here);
        }
    }

    fn go_on(&mut self, released: Released, now: Instant, here: &impl Here) {
        let Released {
            group,
            lanes,
            state,
            offer,
        } = released;
        let left = self.gathering.take_state(&group);
        let state = match &offer {
            Some(_) => state,
            // An instance that runs has begun without it.
            None => left.filter(|_| self.is_new(&group, &lanes, here)),
        };
        if offer.is_none() && self.pass_on(&group, &lanes, now, here) {
            return;
        }
        let brought = here.lanes(&group).into_iter();
        let brought = brought.filter(|lane| lanes.contains(&lane.number));
        let state = match state {
            // Its edges have no link yet, and bring it later.
            Some(state) if !brought.clone().any(|lane| lane.has_group) => {
                self.gathering.keep_state(&group, state, now);
                None
            }
            state => state,
        };
        let sessions = brought.map(|lane| lane.sessions).sum();
        self.act(Act::Release {
            group: group.clone(),
            lanes,
            state,
        });
        if let Some(offer) = offer {
            let (taken, of) = (offer.clone(), group.clone());
            self.moves.has_taken(taken, of, sessions, now);
            let Offer { from, id } = offer;
            self.residents.announce(&group);
            self.tell(&from, id, MoveStep::Arrived { sessions });
            self.note(Note::Arrived {
                group,
                from,
                sessions,
            });
        }
    }
}
