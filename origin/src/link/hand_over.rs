//! Groups stop here and go on elsewhere: at this origin's next process, or at another origin.
//!
//! ```text
//! lanes take nothing in ──► groups finish what they have begun ──► lanes end: HandedOver
//!                                                                   edges bring the sessions elsewhere
//! ```

use std::{collections::HashMap, rc::Rc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tributary_protocol::{GroupName, cluster::OriginStanding};

use super::{edges::Edges, lane::Lane, leaver::Leaver, states};
use crate::group::HandOver;

/// The time of a group for answers and writes that are under way.
const SETTLE: Duration = Duration::from_secs(1);

/// The time for a group to stop: longer than it waits for answers and writes.
const GROUPS_STOP: Duration = Duration::from_millis(1500);

/// The time for moves that are under way to end.
const MOVES_END: Duration = Duration::from_secs(2);

/// The time between two looks at them.
const LOOK: Duration = Duration::from_millis(20);

/// The time for edges to receive the ends of their lanes.
const ENDS_ARRIVE: Duration = Duration::from_secs(1);

impl Edges {
    /// Lets all groups go on at the next process of this origin. Sessions of edges that cannot bring them
    /// there end with NetConnection.Connect.AppShutdown.
    pub(super) async fn hand_over_all(&self) {
        let by = Instant::now() + MOVES_END;
        while self.shared.ownership.get().has_moves() && Instant::now() < by {
            tokio::time::sleep(LOOK).await;
        }
        let ownership = &self.shared.ownership;
        ownership.change(|it| it.stand(OriginStanding::Stopping));
        let mut lanes: HashMap<GroupName, Vec<Rc<Lane>>> = HashMap::new();
        let all = self.all().into_iter().flat_map(|edge| edge.lanes());
        for lane in all.filter(|lane| lane.is_here()) {
            lanes.entry(lane.name.clone()).or_default().push(lane);
        }
        for group in self.shared.groups.close() {
            lanes.entry((*group).clone()).or_default();
        }
        let leavers: Vec<_> = lanes
            .into_iter()
            .map(|(group, lanes)| self.stop(group, lanes, ""))
            .collect();
        let (mut ends, mut states) = (Vec::new(), Vec::new());
        for leaver in leavers {
            let left = leaver.stopped().await;
            left.hand_over("");
            if left.has_stopped && !left.lanes.is_empty() {
                states.push((left.group, left.state));
            }
            ends.extend(left.lanes);
        }
        self.keep_states(states).await;
        self.ends_arrive(&ends).await;
    }

    /// Has a group stop, which then goes on elsewhere with the sessions of those of these lanes whose edges
    /// can bring them there.
    pub(super) fn stop(&self, group: GroupName, all: Vec<Rc<Lane>>, to: &str) -> Leaver {
        let mut lanes = all.clone();
        lanes.retain(|lane| lane.follows());
        for lane in &lanes {
            lane.stop_receiving();
        }
        let (stopped, has_stopped) = oneshot::channel();
        let order = HandOver {
            to: to.to_owned(),
            lanes: lanes.iter().map(|lane| lane.key).collect(),
            until: (Instant::now() + SETTLE).into_std(),
            stopped,
        };
        let runs = self.shared.groups.hand_over(&group, order);
        Leaver {
            group,
            all,
            lanes,
            stopped: runs.then_some(has_stopped),
            by: Instant::now() + GROUPS_STOP,
        }
    }

    /// Waits until the edges with a link have the ends of these lanes.
    pub(super) async fn ends_arrive(&self, lanes: &[Rc<Lane>]) {
        let by = Instant::now() + ENDS_ARRIVE;
        let arrived = async {
            loop {
                let progress = self.shared.progress.notified();
                if lanes.iter().all(|lane| lane.is_handed_over()) {
                    return;
                }
                progress.await;
            }
        };
        if timeout_at(by, arrived).await.is_err() {
            tracing::warn!("edges have not received the ends of all lanes in time");
        }
    }

    /// Writes what applications leave for the next process.
    async fn keep_states(&self, kept: Vec<(GroupName, Bytes)>) {
        let Some(cluster) = self.shared.config.cluster.as_ref() else {
            return;
        };
        let file = cluster.states.clone();
        let written = tokio::task::spawn_blocking(move || states::write(&file, &kept)).await;
        if let Ok(Err(error)) = written {
            let file = cluster.states.display();
            tracing::error!(%file, %error, "the states that applications leave are not kept");
        }
    }
}
