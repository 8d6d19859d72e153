//! The drain of an origin: its groups move to the other origins of the cluster, one after the other.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    time::{Duration, Instant},
};

use tokio::task::{JoinSet, spawn_local};
use tributary_node::transport::CloseCode;
use tributary_protocol::{GroupName, link::Control};

use super::{edges::Edges, moves::Drain, peers::PeerOrigin};
use crate::cluster::{ClusterStatus, MoveError};

/// Moves at once. Reason: each freezes its group for a moment, and their sessions all come by the same links.
const AT_ONCE: usize = 8;

/// The time between two looks at the groups that are left.
const LOOK: Duration = Duration::from_millis(250);

impl Edges {
    /// Begins to move all groups away, or gives a drain that is under way another time.
    pub(super) fn begin_drain(self: &Rc<Self>, within: Duration) -> ClusterStatus {
        let until = Instant::now() + within;
        let running = self.drain.borrow().clone();
        match running {
            Some(drain) => drain.until.set(until),
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
                spawn_local(keep_draining(Rc::downgrade(self), drain));
            }
        }
        self.status()
    }

    /// Takes groups again.
    pub(super) fn end_drain(&self) -> ClusterStatus {
        if self.drain.borrow_mut().take().is_some() {
            tracing::info!("drain ends: groups are taken again");
            // A link that begins anew says so; lanes go on over it.
            for link in self.all().iter().filter_map(|edge| edge.link()) {
                link.close(CloseCode::Shutdown);
            }
            for peer in self.peers.all() {
                peer.begin_anew();
            }
        }
        self.status()
    }

    /// Moves all groups away that can be moved, within this time.
    pub(super) async fn drain_within(self: &Rc<Self>, within: Duration) {
        let takes = |peer: &Rc<PeerOrigin>| peer.is_linked() && !peer.is_leaving.get();
        if !self.peers.all().iter().any(takes) {
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

    /// Moves the groups that may move now.
    async fn move_groups(self: &Rc<Self>, drain: &Rc<Drain>) {
        let is_late = drain.until.get() <= Instant::now();
        let mut groups = self.shared.residents.names();
        // The least first: should the time end, the least is lost.
        groups.sort_by_cached_key(|group| self.sessions_of(group));
        drain
            .staying
            .borrow_mut()
            .retain(|group, _| groups.contains(group));
        let mut moving = JoinSet::new();
        for group in groups {
            while moving.len() >= AT_ONCE {
                let _ = moving.join_next().await;
            }
            let (edges, drain) = (Rc::clone(self), Rc::clone(drain));
            moving.spawn_local(async move {
                match edges.move_away(&group, is_late).await {
                    Ok(()) => drop(drain.staying.borrow_mut().remove(&group)),
                    Err(why) => drop(drain.staying.borrow_mut().insert(group, why)),
                }
            });
        }
        while moving.join_next().await.is_some() {}
    }

    /// Moves a group to the origin with the fewest sessions that takes it.
    async fn move_away(self: &Rc<Self>, group: &GroupName, is_late: bool) -> Result<(), String> {
        if !is_late && !self.shared.groups.may_hand_over(group).await {
            return Err("its application does not expect to be moved".into());
        }
        let mut peers = self.peers.all();
        peers.retain(|peer| peer.is_linked() && !peer.is_leaving.get());
        peers.sort_by_key(|peer| peer.sessions.get());
        let mut why = "no other origin takes groups".to_owned();
        for peer in peers {
            match self.move_group(group, &peer.name).await {
                Ok(moved) => {
                    peer.sessions.set(peer.sessions.get() + moved.sessions);
                    return Ok(());
                }
                Err(error @ MoveError::Refused { .. }) => why = error.to_string(),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(why)
    }

    fn sessions_of(&self, group: &GroupName) -> usize {
        let lanes = self.lanes_of(group).into_iter();
        lanes.map(|lane| lane.state.borrow().session_count()).sum()
    }
}

/// Moves groups away until none is left that can be moved.
async fn keep_draining(edges: Weak<Edges>, drain: Rc<Drain>) {
    while let Some(edges) = edges.upgrade() {
        let current = edges.drain.borrow().clone();
        if edges.is_leaving.get() || !current.is_some_and(|current| Rc::ptr_eq(&current, &drain)) {
            return;
        }
        let was_late = drain.until.get() <= Instant::now();
        edges.move_groups(&drain).await;
        if was_late && !drain.is_done.replace(true) {
            let left = drain.staying.borrow().len();
            tracing::info!(left, "drain is done");
        }
        let is_empty = edges.shared.residents.count() == 0;
        if is_empty && !drain.is_done.replace(true) {
            tracing::info!(left = 0, "drain is done");
        }
        drop(edges);
        tokio::time::sleep(LOOK).await;
    }
}
