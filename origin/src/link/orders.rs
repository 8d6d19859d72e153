//! Orders of operators to the origin.

use std::rc::Rc;

use tokio::task::spawn_local;
use tributary_protocol::{
    GroupName,
    cluster::{Here, Ownership},
};

use super::edges::Edges;
use crate::cluster::{
    ClusterOrder, ClusterOrders, ClusterStatus, GroupStatus, LinkedEdge, OriginState, OtherOrigin,
};

/// Carries orders out as long as somebody may give some.
pub(super) async fn follow(edges: Rc<Edges>, mut orders: ClusterOrders) {
    while let Some(order) = orders.recv().await {
        match order {
            // The one who asked may have gone.
            ClusterOrder::Status(done) => drop(done.send(edges.status())),
            ClusterOrder::Group(group, done) => drop(done.send(edges.group_status(&group))),
            ClusterOrder::Drain { within, begun } => drop(begun.send(edges.begin_drain(within))),
            ClusterOrder::Undrain(done) => drop(done.send(edges.end_drain())),
            ClusterOrder::Move { group, to, done } => {
                let edges = Rc::clone(&edges);
                spawn_local(async move {
                    let moved = edges.move_group(&group, &to).await;
                    if let Err(error) = &moved {
                        tracing::warn!(%group, to, %error, "the group does not move");
                    }
                    let _ = done.send(moved);
                });
            }
        }
    }
}

impl Edges {
    pub(super) fn status(&self) -> ClusterStatus {
        let config = &self.shared.config;
        let drain = self.drain.borrow();
        let edges: Vec<_> = self
            .all()
            .iter()
            .map(|edge| LinkedEdge {
                name: edge.name.to_string(),
                is_linked: edge.link().is_some(),
                sessions: edge.session_count() as u64,
                groups: edge.lane_count() as u64,
            })
            .collect();
        let ownership = self.shared.ownership.get();
        let origins = self.peers.all().into_iter().map(|peer| OtherOrigin {
            name: peer.name.clone(),
            address: peer.address.clone(),
            is_linked: peer.is_linked(),
            takes_groups: ownership.takes_groups(&peer.name),
            sessions: peer.sessions.get(),
            groups: peer.groups.get(),
        });
        ClusterStatus {
            cluster: config
                .cluster
                .as_ref()
                .map_or_else(String::new, |it| it.name.clone()),
            origin: config.identity.peer().name.clone(),
            state: drain
                .as_ref()
                .map_or(OriginState::Up, |drain| drain.state()),
            sessions: edges.iter().map(|edge| edge.sessions).sum(),
            groups: ownership.group_count() as u64,
            edges,
            origins: origins.collect(),
            staying: drain
                .as_ref()
                .map_or_else(Vec::new, |drain| drain.staying()),
        }
    }

    fn group_status(&self, group: &GroupName) -> Option<GroupStatus> {
        if !self.shared.ownership.get().has_group(group) {
            return None;
        }
        Some(GroupStatus {
            group: group.to_string(),
            origin: self.shared.config.identity.peer().name.clone(),
            sessions: Ownership::sessions_of(group, self),
            edges: Ownership::edges_of(group, self).into_iter().collect(),
            has_data: Here::has_data(self, group),
        })
    }
}
