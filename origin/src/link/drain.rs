//! The drain of an origin: its groups move to the other origins of the cluster, one after the other.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, spawn_local};
use tributary_node::transport::CloseCode;
use tributary_protocol::{
    GroupName,
    cluster::{MoveError, OriginStanding},
    link::Control,
};

use super::{
    drained::{Drain, Staying},
    edges::Edges,
    peers::PeerOrigin,
};
use crate::cluster::ClusterStatus;

/// Moves at once. Reason: each freezes its group for a moment, and their sessions all come by the same links.
const AT_ONCE: usize = 8;

/// The time between two looks at the groups that are left.
const LOOK: Duration = Duration::from_millis(250);

/// The time until the next attempt to move a group that has stayed, doubling each time.
const AGAIN: Duration = Duration::from_millis(500);

/// The longest such time.
const AGAIN_MOST: Duration = Duration::from_secs(30);

/// The time after that of the drain in which groups are tried again that another origin did not take: an origin or
/// an edge beside may be about to come back.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why a group stays, and whether it will.
struct Stays {
    why: String,
    is_final: bool,
}

impl Edges {
    /// Begins to move all groups away, or gives a drain that is under way another time.
    pub(super) fn begin_drain(self: &Rc<Self>, within: Duration) -> ClusterStatus {
        let until = Instant::now() + within;
        let running = self.drain.borrow().clone();
        match running {
            Some(drain) => drain.begin_anew(until),
            None => {
                tracing::info!(within_ms = within.as_millis() as u64, "drain begins");
                let drain = Rc::new(Drain {
                    until: Cell::new(until),
                    staying: RefCell::default(),
                    is_done: Cell::new(false),
                });
                *self.drain.borrow_mut() = Some(Rc::clone(&drain));
                let away = Control::GoAway { within_ms: 0 };
                self.tell_all(&away);
                self.peers.tell_all(&away);
                self.stand(OriginStanding::Draining);
                spawn_local(keep_draining(Rc::downgrade(self), drain));
            }
        }
        self.status()
    }

    /// Takes groups again.
    pub(super) fn end_drain(self: &Rc<Self>) -> ClusterStatus {
        if self.drain.borrow_mut().take().is_some() {
            tracing::info!("drain ends: groups are taken again");
            self.stand(OriginStanding::Serving);
            spawn_local(Rc::clone(self).tell_end_of_drain());
        }
        self.status()
    }

    /// Closes all links once no group moves: links that begin anew say that groups are taken, and lanes go on
    /// over them.
    async fn tell_end_of_drain(self: Rc<Self>) {
        while self.shared.ownership.get().has_moves() {
            tokio::time::sleep(LOOK).await;
        }
        if self.takes_nothing() {
            return;
        }
        for link in self.all().iter().filter_map(|edge| edge.link()) {
            link.close(CloseCode::Shutdown);
        }
        for peer in self.peers.all() {
            peer.begin_anew();
        }
    }

    /// Moves all groups away that can be moved, within this time.
    pub(super) async fn drain_within(self: &Rc<Self>, within: Duration) {
        if self.takers().is_empty() {
            return;
        }
        // Applications that do not expect it are moved at once: there is no time to wait for their clients.
        self.begin_drain(Duration::ZERO);
        let by = tokio::time::Instant::now() + within;
        let done = async {
            while self
                .drain
                .borrow()
                .as_ref()
                .is_some_and(|it| !it.is_done.get())
            {
                tokio::time::sleep(LOOK / 5).await;
            }
        };
        if tokio::time::timeout_at(by, done).await.is_err() {
            tracing::warn!("groups are left that have not moved to another origin in time");
        }
    }

    /// Moves the groups that may move now, while this drain is the present one.
    async fn move_groups(self: &Rc<Self>, drain: &Rc<Drain>) {
        let now = Instant::now();
        let is_late = drain.until.get() <= now;
        let mut groups: Vec<_> = self.sessions_of_groups().into_iter().collect();
        {
            let mut staying = drain.staying.borrow_mut();
            staying.retain(|group, _| self.shared.ownership.get().has_group(group));
            let waits = |group: &GroupName| staying.get(group).is_some_and(|it| it.again > now);
            groups.retain(|(group, _)| !waits(group));
        }
        // The small ones go first: a large one is frozen for longer, and it may shrink meanwhile.
        groups.sort_unstable_by(|(one, a), (two, b)| (a, one).cmp(&(b, two)));
        let mut moving = JoinSet::new();
        for (group, _) in groups {
            while moving.len() >= AT_ONCE {
                let _ = moving.join_next().await;
            }
            if !self.is_present(drain) {
                break;
            }
            let (edges, drain) = (Rc::clone(self), Rc::clone(drain));
            moving.spawn_local(async move {
                match edges.move_away(&group, is_late).await {
                    Ok(()) => drop(drain.staying.borrow_mut().remove(&group)),
                    Err(stays) => drain.stays(group, stays, is_late),
                }
            });
        }
        while moving.join_next().await.is_some() {}
    }

    /// Whether a drain has come as far as it can: its time is over, and each group that is left was tried since,
    /// for a while if another attempt may succeed.
    fn is_done(&self, drain: &Drain) -> bool {
        let late = Instant::now().saturating_duration_since(drain.until.get());
        let staying = drain.staying.borrow();
        let was_tried = |group: &GroupName| {
            let staying = staying.get(group).filter(|it| it.was_late);
            staying.is_some_and(|it| it.is_final || late >= PATIENCE)
        };
        let left = self.sessions_of_groups();
        left.is_empty() || left.keys().all(was_tried)
    }

    fn is_present(&self, drain: &Rc<Drain>) -> bool {
        let present = self.drain.borrow();
        let present = present.as_ref().is_some_and(|it| Rc::ptr_eq(it, drain));
        present && self.shared.ownership.get().standing() == OriginStanding::Draining
    }

    /// Moves a group to the origin with the fewest sessions that takes it.
    async fn move_away(self: &Rc<Self>, group: &GroupName, is_late: bool) -> Result<(), Stays> {
        if !is_late && !self.shared.groups.may_hand_over(group).await {
            return Err(Stays {
                why: "its application does not expect to be moved".into(),
                is_final: false,
            });
        }
        let mut peers = self.takers();
        peers.sort_by_key(|peer| peer.sessions.get());
        let mut stays = Stays {
            why: "no other origin takes groups".to_owned(),
            is_final: false,
        };
        for peer in peers {
            match self.move_group(group, &peer.name).await {
                Ok(moved) => {
                    peer.sessions.set(peer.sessions.get() + moved.sessions);
                    return Ok(());
                }
                // It had clients when the drain looked, and has none to lose.
                Err(MoveError::NotHere { .. }) => return Ok(()),
                Err(error @ (MoveError::Refused { .. } | MoveError::NoAnswer { .. })) => {
                    stays.why = error.to_string();
                }
                Err(error) => {
                    return Err(Stays {
                        why: error.to_string(),
                        is_final: matches!(error, MoveError::HasData | MoveError::Closes),
                    });
                }
            }
        }
        Err(stays)
    }

    /// The other origins that take groups.
    fn takers(&self) -> Vec<Rc<PeerOrigin>> {
        let mut peers = self.peers.all();
        let ownership = self.shared.ownership.get();
        peers.retain(|peer| ownership.takes_groups(&peer.name));
        peers
    }

    fn stand(&self, standing: OriginStanding) {
        self.shared.ownership.change(|it| it.stand(standing));
    }

    /// The groups with sessions.
    fn sessions_of_groups(&self) -> HashMap<GroupName, usize> {
        let mut sessions: HashMap<_, usize> = HashMap::new();
        for lane in self.all().iter().flat_map(|edge| edge.lanes()) {
            let count = lane.session_count();
            if count > 0 {
                *sessions.entry(lane.name.clone()).or_default() += count;
            }
        }
        sessions
    }
}

impl Drain {
    /// Gives the drain another time, by which all groups are tried again.
    fn begin_anew(&self, until: Instant) {
        self.until.set(until);
        self.is_done.set(false);
        let now = Instant::now();
        for staying in self.staying.borrow_mut().values_mut() {
            staying.again = now;
            staying.pause = AGAIN;
            staying.was_late = false;
        }
    }

    /// Notes that a group has not moved; the drain tries again later, and later each time.
    fn stays(&self, group: GroupName, stays: Stays, was_late: bool) {
        let Stays { why, is_final } = stays;
        let mut staying = self.staying.borrow_mut();
        let before = staying.get(&group);
        if before.is_none_or(|before| before.why != why) {
            tracing::info!(%group, why, "the group stays for now");
        }
        let pause = before.map_or(AGAIN, |before| (before.pause * 2).min(AGAIN_MOST));
        let again = Instant::now()
            + pause.min(
                self.until
                    .get()
                    .saturating_duration_since(Instant::now())
                    .max(AGAIN),
            );
        let staying_group = Staying {
            why,
            again,
            pause,
            was_late,
            is_final,
        };
        staying.insert(group, staying_group);
    }
}

/// Moves groups away until none is left that can be moved.
async fn keep_draining(edges: Weak<Edges>, drain: Rc<Drain>) {
    while let Some(edges) = edges.upgrade() {
        if !edges.is_present(&drain) {
            return;
        }
        edges.move_groups(&drain).await;
        if edges.is_done(&drain) && !drain.is_done.replace(true) {
            let left = edges.sessions_of_groups().len();
            tracing::info!(left, "drain is done");
        }
        drop(edges);
        tokio::time::sleep(LOOK).await;
    }
}
