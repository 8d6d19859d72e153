//! Moves of groups between the origins of a cluster.
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

use std::{
    collections::{BTreeSet, HashSet},
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use tokio::{sync::oneshot, task::spawn_local, time::timeout};
use tributary_protocol::{
    GroupName,
    link::{CloseReason, Control, MAX_MOVE_EDGES, MAX_STATE_PIECE, MoveFrame, MoveStep, features},
};

use super::{
    edge::Edge,
    edges::Edges,
    lane::Lane,
    metrics::OutcomeLabel,
    moves::{Arriving, Away, Offer},
    peers::PeerOrigin,
    residents::UnderWay,
};
use crate::{
    cluster::{MoveError, MovedGroup},
    group::MAX_STATE,
};

/// The time for the answer to an offer.
const ANSWER: Duration = Duration::from_secs(2);

/// The time in which an accepted offer is committed: longer than the answer and the group's stop take.
const COMMIT: Duration = Duration::from_secs(6);

/// The time in which a group that has stopped goes on at the other origin: longer than that waits for edges.
const ARRIVAL: Duration = Duration::from_secs(6);

/// The time for which edges are told to wait that open a lane of a group that has gone. Reason: the other
/// origin tells them by then that it has the group.
const GONE: Duration = Duration::from_secs(5);

/// Offers of others that wait for their commit.
const MAX_ACCEPTED: usize = 1_024;

/// From here.
impl Edges {
    /// Moves a group to another origin.
    pub(super) async fn move_group(
        self: &Rc<Self>,
        group: &GroupName,
        to: &str,
    ) -> Result<MovedGroup, MoveError> {
        let moved = self.try_move(group, to).await;
        let metrics = &self.shared.metrics.moves;
        let outcome = match &moved {
            Ok(moved) => {
                metrics.frozen.observe(moved.frozen_ms / 1e3);
                "moved"
            }
            Err(MoveError::NotArrived { .. }) => "late",
            Err(_) => "refused",
        };
        let outcome = OutcomeLabel { outcome };
        metrics.moves.get_or_create(&outcome).inc();
        moved
    }

    async fn try_move(
        self: &Rc<Self>,
        group: &GroupName,
        to: &str,
    ) -> Result<MovedGroup, MoveError> {
        let begun = Instant::now();
        let peer = self.movable(group, to)?;
        let id: u64 = rand::random();
        let edges = self.edges_of(group);
        if edges.is_empty() {
            return Err(MoveError::NoEdge);
        }
        if edges.len() > MAX_MOVE_EDGES {
            return Err(MoveError::TooManyEdges);
        }
        let offered = edges.clone();
        let (answer, answered) = oneshot::channel();
        let (arrived, has_arrived) = oneshot::channel();
        let offer = Offer {
            answer: Some(answer),
            arrived: Some(arrived),
        };
        self.moves.offered.borrow_mut().insert(id, offer);
        let _over = Over { edges: self, id };
        let step = MoveStep::Offer {
            group: group.clone(),
            sessions: self.sessions_of(group),
            edges: edges.into_iter().collect(),
        };
        tell(&peer, id, step);
        let by = || peer.name.clone();
        match timeout(ANSWER, answered).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(why))) => return Err(MoveError::Refused { by: by(), why }),
            _ => {
                tell(&peer, id, MoveStep::Withdraw);
                return Err(MoveError::NoAnswer { by: by() });
            }
        }
        // All of it may have changed meanwhile. The other origin expects the edges of the offer.
        let more = !self.edges_of(group).is_subset(&offered);
        let changed = more.then_some(MoveError::Changed).map_or(Ok(()), Err);
        if let Err(error) = self.movable(group, to).and(changed) {
            tell(&peer, id, MoveStep::Withdraw);
            return Err(error);
        }
        let frozen = Instant::now();
        self.let_go(group, &peer, id).await;
        let arrival = timeout(ARRIVAL, has_arrived).await;
        self.shared.residents.has_left(group);
        let Ok(Ok(sessions)) = arrival else {
            return Err(MoveError::NotArrived { at: by() });
        };
        let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
        Ok(MovedGroup {
            group: group.to_string(),
            to: by(),
            sessions,
            took_ms: millis(begun),
            frozen_ms: millis(frozen),
        })
    }

    /// The origin to which a group is to move, if it can be.
    fn movable(&self, group: &GroupName, to: &str) -> Result<Rc<PeerOrigin>, MoveError> {
        if to == self.shared.config.identity.peer().name {
            return Err(MoveError::SameOrigin);
        }
        let peer = self.peers.get(to).filter(|peer| peer.is_linked());
        let peer = peer.ok_or_else(|| {
            let all = self.peers.all().into_iter();
            let linked = all.filter(|peer| peer.is_linked());
            MoveError::NoLink {
                to: to.to_owned(),
                linked: linked.map(|peer| peer.name.clone()).collect(),
            }
        })?;
        if self.sessions_of(group) == 0 {
            let at = self.peers.place(group);
            return Err(MoveError::NotHere { at });
        }
        let is_going = self.is_leaving.get() || self.moves.takes_away(group);
        if is_going || self.gathering.holds(group) {
            return Err(MoveError::IsMoving);
        }
        if self.has_data(group) {
            return Err(MoveError::HasData);
        }
        if self.shared.groups.closes_clients(group) {
            return Err(MoveError::Closes);
        }
        Ok(peer)
    }

    pub(super) fn sessions_of(&self, group: &GroupName) -> u64 {
        let lanes = self.lanes.of(group).into_iter();
        lanes.map(|lane| lane.session_count() as u64).sum()
    }

    /// Stops a group that the other origin takes, and ends its lanes.
    async fn let_go(self: &Rc<Self>, group: &GroupName, peer: &Rc<PeerOrigin>, id: u64) {
        self.moves.goes(group);
        self.shared.residents.goes(group, UnderWay::Leaving);
        let all = self.lanes.of(group);
        let left = self.stop(group.clone(), all.clone(), &peer.name);
        let left = left.stopped().await;
        let mut rest = left.state.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(MAX_STATE_PIECE));
            tell(peer, id, MoveStep::State(piece));
        }
        let state = left.state.len() as u64;
        tell(peer, id, MoveStep::Commit { state });
        left.hand_over(&peer.name);
        self.end_lanes(&left.lanes, &all).await;
        self.moves.has_gone(group);
    }

    /// Waits until edges have the ends of these lanes. Then none is here any more: one whose edge has no link, or
    /// is slow, ends once that edge knows.
    async fn end_lanes(&self, leaving: &[Rc<Lane>], all: &[Rc<Lane>]) {
        self.ends_arrive(leaving).await;
        for lane in all {
            match lane.follows() {
                true => lane.moves(),
                false => lane.end(CloseReason::Moved),
            }
            lane.end_if_moved();
        }
    }

    /// Whether the group has stored data here, which does not move.
    pub(super) fn has_data(&self, group: &GroupName) -> bool {
        self.shared.groups.has_data(group)
    }

    /// The edges with a link that can bring sessions of a group elsewhere.
    pub(super) fn edges_of(&self, group: &GroupName) -> BTreeSet<String> {
        let lanes = self.lanes.of(group).into_iter();
        // An edge that may be lost would let the others wait.
        let is_there = |lane: &Rc<Lane>| lane.has_link() && !lane.is_silent();
        let brings = |lane: &Rc<Lane>| lane.follows() && is_there(lane) && lane.session_count() > 0;
        let lanes = lanes.filter(brings);
        lanes.map(|lane| lane.edge().to_owned()).collect()
    }

    /// Whether an edge brings sessions of a group, and has not brought all.
    fn is_brought(&self, group: &GroupName) -> bool {
        let lanes = self.lanes.of(group);
        lanes.iter().any(|lane| lane.is_brought())
    }

    /// Lets lanes go on at the other origin that has their group, unless it has other lanes here. Returns whether
    /// one has it.
    pub(super) fn pass_on(self: &Rc<Self>, group: &GroupName, lanes: &[Rc<Lane>]) -> bool {
        let with_group = lanes.iter().filter(|lane| lane.has_group()).count();
        let is_new = !lanes.is_empty() && self.shared.residents.lane_count(group) <= with_group;
        // A group goes where its stored data is.
        let may_go = is_new && !self.has_data(group);
        let Some(to) = self.peers.place(group).filter(|_| may_go) else {
            let is_decided = !lanes.is_empty() || !self.is_brought(group);
            if is_decided {
                self.shared.residents.announce(group);
            }
            if !lanes.is_empty() && !self.moves.is_going(group) {
                // It is back.
                self.moves.away.borrow_mut().remove(group);
            }
            return false;
        };
        tracing::info!(%group, to, "sessions of a group that has moved are passed on");
        self.moves.goes(group);
        let leaver = self.stop(group.clone(), lanes.to_vec(), &to);
        let (edges, all) = (Rc::clone(self), lanes.to_vec());
        spawn_local(async move {
            let left = leaver.stopped().await;
            left.hand_over(&to);
            edges.end_lanes(&left.lanes, &all).await;
            edges.moves.has_gone(&left.group);
        });
        true
    }
}

/// Forgets an offer.
struct Over<'a> {
    edges: &'a Edges,
    id: u64,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.edges.moves.offered.borrow_mut().remove(&self.id);
    }
}

/// To here.
impl Edges {
    /// Handles a frame of another origin about a move.
    pub(super) fn handle_move(self: &Rc<Self>, peer: &Rc<PeerOrigin>, frame: MoveFrame) {
        let MoveFrame { id, step } = frame;
        match step {
            MoveStep::Offer {
                group,
                sessions: _,
                edges,
            } => {
                let refused = self.take_offer(peer, id, group, edges).err();
                if let Some(why) = &refused {
                    tracing::debug!(origin = peer.name, why, "the offer of a group is refused");
                }
                tell(peer, id, MoveStep::Answer { refused });
            }
            MoveStep::Answer { refused } => {
                let mut offered = self.moves.offered.borrow_mut();
                let answer = offered.get_mut(&id).and_then(|offer| offer.answer.take());
                if let Some(answer) = answer {
                    let _ = answer.send(refused);
                }
            }
            MoveStep::State(piece) => {
                if let Some(accepted) = self.moves.accepted.borrow_mut().get_mut(&id)
                    && accepted.from == peer.name
                    && accepted.state.len() + piece.len() <= MAX_STATE
                {
                    accepted.state.extend_from_slice(&piece);
                }
                self.take_over_if_whole(peer, id);
            }
            MoveStep::Commit { state } => {
                if let Some(accepted) = self.moves.accepted.borrow_mut().get_mut(&id)
                    && accepted.from == peer.name
                {
                    accepted.committed = Some(state);
                    let residents = &self.shared.residents;
                    residents.goes(&accepted.group, UnderWay::Committed);
                }
                self.take_over_if_whole(peer, id);
            }
            MoveStep::Withdraw => {
                if let Some(accepted) = self.take_accepted(peer, id) {
                    self.gathering.withdrawn(&accepted.group);
                    self.moves.given.borrow_mut().remove(&accepted.group);
                    self.shared.residents.announce(&accepted.group);
                }
            }
            MoveStep::Arrived { sessions } => {
                let mut offered = self.moves.offered.borrow_mut();
                let arrived = offered.get_mut(&id).and_then(|offer| offer.arrived.take());
                if let Some(arrived) = arrived {
                    let _ = arrived.send(sessions);
                }
            }
        }
    }

    /// A group that has stopped at the other origin is this one's, once all of its state has come.
    fn take_over_if_whole(&self, peer: &PeerOrigin, id: u64) {
        let accepted = self.moves.accepted.borrow();
        let is_whole = |it: &Arriving| it.committed.is_some_and(|all| all <= it.state.len() as u64);
        if !accepted.get(&id).is_some_and(is_whole) {
            return;
        }
        drop(accepted);
        if let Some(accepted) = self.take_accepted(peer, id) {
            let state = accepted.state.freeze();
            self.gathering.committed(&accepted.group, state);
        }
    }

    fn take_accepted(&self, peer: &PeerOrigin, id: u64) -> Option<Arriving> {
        let mut accepted = self.moves.accepted.borrow_mut();
        let is_theirs = accepted.get(&id).is_some_and(|it| it.from == peer.name);
        is_theirs.then(|| accepted.remove(&id))?
    }

    /// Accepts the offer of a group, or states why not.
    fn take_offer(
        self: &Rc<Self>,
        peer: &Rc<PeerOrigin>,
        id: u64,
        group: GroupName,
        edges: Vec<String>,
    ) -> Result<(), String> {
        if self.takes_nothing() {
            return Err("it is drained, or about to stop".into());
        }
        let application = group.application();
        if self
            .shared
            .groups
            .applications()
            .find(application)
            .is_none()
        {
            return Err(format!("it has no application {application:?}"));
        }
        if self.has_data(&group) {
            return Err("it has stored data of the group, from an earlier time".into());
        }
        if self.gathering.expects(&group) {
            return Err("it is taking the group already".into());
        }
        if self.gathering.holds(&group) {
            return Err("it waits for its edges after its start".into());
        }
        if self.shared.residents.contains(&group) {
            return Err("it has sessions of the group".into());
        }
        if self.shared.groups.end_idle(&group) {
            return Err("an earlier instance of the group has not ended there yet".into());
        }
        let coming = self.moves.accepted.borrow().len();
        if !self.shared.groups.has_room(&group, coming) {
            return Err(
                "it has as many groups as origin.max_groups or the application permits".into(),
            );
        }
        for edge in &edges {
            let is_linked = |it: &Rc<Edge>| {
                *it.name == **edge && it.link().is_some() && it.feeds.supports(features::RESTORE)
            };
            if !self.all().iter().any(is_linked) {
                return Err(format!("the edge {edge:?} has no link to it"));
            }
        }
        if self.moves.accepted.borrow().len() >= MAX_ACCEPTED {
            return Err("too many groups are on their way to it".into());
        }
        let until = Instant::now() + COMMIT;
        let accepted = Arriving {
            group: group.clone(),
            from: peer.name.clone(),
            state: BytesMut::new(),
            committed: None,
            until,
        };
        self.moves.accepted.borrow_mut().insert(id, accepted);
        self.moves.away.borrow_mut().remove(&group);
        self.moves.given.borrow_mut().insert(group.clone());
        let edges: HashSet<Arc<str>> = edges.into_iter().map(Arc::from).collect();
        let (this, peer) = (Rc::downgrade(self), Rc::clone(peer));
        let (arrived, from) = (group.clone(), peer.name.clone());
        let arrived = Box::new(move |sessions: usize| {
            tracing::info!(group = %arrived, sessions, from, "group goes on here");
            if let Some(this) = this.upgrade() {
                this.shared.residents.announce(&arrived);
                this.shared.metrics.moves.arrived.inc();
            }
            let sessions = sessions as u64;
            tell(&peer, id, MoveStep::Arrived { sessions });
        });
        self.shared.residents.goes(&group, UnderWay::Offered);
        self.gathering.expect(group, edges, until, arrived);
        Ok(())
    }

    /// Forgets moves that are over.
    pub(super) fn sweep_moves(&self, now: Instant) {
        let moves = &self.moves;
        let is_over = |_: &u64, it: &mut Arriving| it.until <= now;
        let late: Vec<_> = moves.accepted.borrow_mut().extract_if(is_over).collect();
        for (
            _,
            Arriving {
                group, committed, ..
            },
        ) in late
        {
            if committed.is_some() {
                tracing::error!(%group, "the state that its application has left is lost");
                self.gathering.committed(&group, Bytes::new());
            }
        }
        let residents = &self.shared.residents;
        let ends = |group: &GroupName| !residents.contains(group) && !self.gathering.expects(group);
        let over: Vec<_> = moves.given.borrow_mut().extract_if(|it| ends(it)).collect();
        for group in over {
            residents.announce(&group);
        }
        for group in residents.all_under_way(UnderWay::Brought) {
            // A lane that is lost before all is brought decides nothing.
            let is_undecided = self.is_brought(&group)
                || self.gathering.waits_with(&group)
                || self.moves.is_going(&group);
            if !is_undecided {
                residents.announce(&group);
            }
        }
        let is_away = |_: &GroupName, away: &mut Away| {
            let is_recent = now < away.since.get() + GONE;
            is_recent || away.is_going.get()
        };
        moves.away.borrow_mut().retain(is_away);
    }
}

fn tell(peer: &PeerOrigin, id: u64, step: MoveStep) {
    peer.tell(Control::Move(MoveFrame { id, step }));
}
