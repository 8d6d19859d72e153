//! The driver of the ownership: it answers what the machine asks, and does what it orders.

use std::{rc::Rc, sync::Arc, time::Instant};

use tokio::{sync::oneshot, task::spawn_local};
use tributary_protocol::{
    GroupName,
    cluster::{Act, Finished, Here, LaneFacts, LaneNumber, MoveError, Note, Ownership},
    link::{CloseReason, Control, features},
};

use super::{edges::Edges, lane::Lane, leaver::LeftGroup, metrics::OutcomeLabel};
use crate::{cluster::MovedGroup, session::Brought};

impl Here for Edges {
    fn lanes(&self, group: &GroupName) -> Vec<LaneFacts> {
        let lanes = self.lanes.of(group).into_iter();
        let facts = lanes.map(|lane| LaneFacts {
            number: LaneNumber(lane.key.0),
            edge: Arc::clone(lane.edge()),
            sessions: lane.session_count() as u64,
            follows: lane.follows() && lane.has_link() && !lane.is_silent(),
            has_group: lane.has_group(),
            is_brought: lane.is_brought(),
        });
        facts.collect()
    }

    fn has_data(&self, group: &GroupName) -> bool {
        self.shared.groups.has_data(group)
    }

    fn closes_clients(&self, group: &GroupName) -> bool {
        self.shared.groups.closes_clients(group)
    }

    fn refusal(&self, group: &GroupName, coming: usize) -> Option<String> {
        let groups = &self.shared.groups;
        let application = group.application();
        if groups.applications().find(application).is_none() {
            return Some(format!("it has no application {application:?}"));
        }
        if groups.end_idle(group) {
            return Some("an earlier instance of the group has not ended there yet".into());
        }
        let is_full = !groups.has_room(group, coming);
        let why = "it has as many groups as origin.max_groups or the application permits";
        is_full.then(|| why.into())
    }

    fn brings(&self, edge: &str) -> bool {
        let edges = self.all();
        let of_name = edges.iter().filter(|it| *it.name == *edge);
        of_name
            .filter(|it| it.link().is_some())
            .any(|it| it.feeds.supports(features::RESTORE))
    }

    fn edges(&self) -> Vec<(Arc<str>, u64)> {
        self.processes()
    }
}

impl Edges {
    /// Tells the machine something, and does what it orders.
    pub(super) fn decide<R>(
        self: &Rc<Self>,
        tell: impl FnOnce(&mut Ownership, Instant, &Self) -> R,
    ) -> R {
        let ownership = &self.shared.ownership;
        let told = ownership.change(|machine| tell(machine, Instant::now(), self));
        loop {
            let act = ownership.change(Ownership::poll_act);
            let Some(act) = act else { return told };
            self.act(act);
        }
    }

    fn act(self: &Rc<Self>, act: Act) {
        match act {
            Act::Tell { origin, frame } => {
                if let Some(peer) = self.peers.get(&origin) {
                    peer.tell(Control::Move(frame));
                }
            }
            Act::KeepEdges(names) => {
                if let Some(known) = &self.known_edges {
                    known.write(names);
                }
            }
            Act::Stop { group, lanes, to } => {
                let lanes = self.lanes_of(&group, &lanes);
                let leaver = self.stop(group, lanes, &to);
                let edges = Rc::clone(self);
                spawn_local(async move {
                    let left = leaver.stopped().await;
                    let (group, state) = (left.group.clone(), left.state.clone());
                    edges.leaving.borrow_mut().insert(group.clone(), left);
                    edges.decide(|it, _, _| it.has_stopped(&group, &state));
                });
            }
            Act::HandOver { group, to } => {
                let left = self.leaving.borrow_mut().remove(&group);
                if let Some(left) = left {
                    let edges = Rc::clone(self);
                    spawn_local(async move { edges.hand_over(left, &to).await });
                }
            }
            Act::Release {
                group,
                lanes,
                state,
            } => {
                let lanes = self.lanes_of(&group, &lanes);
                let mut with_group = lanes.iter().filter(|lane| lane.has_group());
                if let (Some(first), Some(state)) = (with_group.next(), state) {
                    first.bring(Brought::State(state));
                }
                for lane in &lanes {
                    lane.gathered();
                }
            }
            Act::Finish { id, outcome } => {
                let asked = self.asked.borrow_mut().remove(&id);
                // The one who asked may have gone.
                let _ = asked.map(|asked| asked.send(outcome));
            }
            Act::Note(note) => self.note(note),
        }
    }

    fn note(&self, note: Note) {
        match note {
            Note::Arrived {
                group,
                from,
                sessions,
            } => {
                self.shared.metrics.moves.arrived.inc();
                tracing::info!(%group, sessions, from, "group goes on here");
            }
            Note::PassedOn { group, to } => {
                tracing::info!(%group, to, "sessions of a group that has moved are passed on");
            }
            Note::Refused { origin, why } => {
                tracing::debug!(origin, why, "the offer of a group is refused");
            }
            Note::NotCome(group) => {
                tracing::warn!(%group, "the group has not come from the origin that has offered it");
            }
            Note::StateLost(group) => {
                tracing::error!(%group, "the state that its application has left is lost");
            }
            Note::EdgesLate(edges) => {
                tracing::warn!(
                    ?edges,
                    "edges of before the start have not come back in time"
                );
            }
            Note::GroupLate { group, edges } => {
                tracing::warn!(%group, ?edges, "edges have not brought all of the group in time");
            }
            Note::OriginsLate => {
                tracing::warn!("other origins have not said which groups they have");
            }
        }
    }

    /// Ends the lanes of a group that has stopped, and waits until edges have the ends. Then no lane of it is here
    /// any more: one whose edge has no link, or is slow, ends once that edge knows.
    async fn hand_over(self: Rc<Self>, left: LeftGroup, to: &str) {
        left.hand_over(to);
        self.ends_arrive(&left.lanes).await;
        for lane in &left.all {
            match lane.follows() {
                true => lane.moves(),
                false => lane.end(CloseReason::Moved),
            }
            lane.end_if_moved();
        }
        self.decide(|it, now, _| it.has_gone(&left.group, now));
    }

    /// The lanes of a group with these numbers that are still here.
    fn lanes_of(&self, group: &GroupName, numbers: &[LaneNumber]) -> Vec<Rc<Lane>> {
        let mut lanes = self.lanes.of(group);
        lanes.retain(|lane| numbers.contains(&LaneNumber(lane.key.0)));
        lanes
    }

    /// Moves a group to another origin.
    pub(super) async fn move_group(
        self: &Rc<Self>,
        group: &GroupName,
        to: &str,
    ) -> Result<MovedGroup, MoveError> {
        let begun = Instant::now();
        let id: u64 = rand::random();
        let (done, outcome) = oneshot::channel();
        self.asked.borrow_mut().insert(id, done);
        self.decide(|it, now, here| it.move_group(id, group, to, now, here));
        let outcome = outcome.await.unwrap_or(Err(MoveError::IsMoving));
        let metrics = &self.shared.metrics.moves;
        let label = match &outcome {
            Ok(finished) => {
                metrics.frozen.observe(finished.frozen.as_secs_f64());
                "moved"
            }
            Err(MoveError::NotArrived { .. }) => "late",
            Err(_) => "refused",
        };
        let label = OutcomeLabel { outcome: label };
        metrics.moves.get_or_create(&label).inc();
        let Finished { sessions, frozen } = outcome?;
        Ok(MovedGroup {
            group: group.to_string(),
            to: to.to_owned(),
            sessions,
            took_ms: begun.elapsed().as_secs_f64() * 1e3,
            frozen_ms: frozen.as_secs_f64() * 1e3,
        })
    }
}
