//! The planned stop of an origin in a cluster: its groups go on at its next process.
//!
//! ```text
//! lanes take nothing in ──► groups finish what they have begun ──► lanes end: HandedOver
//!                                                                   edges wait for the next process
//! ```

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tributary_protocol::{GroupName, link::HandedOver};

use super::{edges::Edges, lane::Lane};
use crate::group::HandOver;

/// The time for a group to stop: longer than it waits for answers and writes.
const GROUPS_STOP: Duration = Duration::from_millis(1500);

/// The time for edges to receive the ends of their lanes.
const ENDS_ARRIVE: Duration = Duration::from_secs(1);

/// A group that stops, with its lanes.
struct Leaver {
    lanes: Vec<Rc<Lane>>,
    /// None if it does not run.
    stopped: Option<oneshot::Receiver<bool>>,
}

impl Edges {
    /// Lets all groups go on at the next process of this origin. Sessions of edges that cannot bring them
    /// there end with NetConnection.Connect.AppShutdown.
    pub(super) async fn hand_over_all(&self) {
        self.is_leaving.set(true);
        let mut lanes: HashMap<GroupName, Vec<Rc<Lane>>> = HashMap::new();
        for lane in self.all().iter().flat_map(|edge| edge.lanes()) {
            if lane.follows() {
                lane.stop_receiving();
                lanes.entry(lane.name.clone()).or_default().push(lane);
            }
        }
        for group in self.shared.groups.close() {
            lanes.entry((*group).clone()).or_default();
        }
        let leavers: Vec<_> = lanes
            .into_iter()
            .map(|(group, lanes)| self.stop(&group, lanes))
            .collect();
        let by = Instant::now() + GROUPS_STOP;
        let mut ends = Vec::new();
        for Leaver { lanes, stopped } in leavers {
            let settled = match stopped {
                Some(stopped) => matches!(timeout_at(by, stopped).await, Ok(Ok(true))),
                None => true,
            };
            for lane in lanes {
                // The group knows of the lanes alone that have a session.
                lane.hand_over(HandedOver {
                    settled,
                    origin: String::new(),
                });
                ends.push(lane);
            }
        }
        let by = Instant::now() + ENDS_ARRIVE;
        if timeout_at(by, self.handed_over(&ends)).await.is_err() {
            tracing::warn!("edges have not received the ends of all lanes in time");
        }
    }

    /// Has a group stop, which then goes on with the sessions of these lanes.
    fn stop(&self, group: &GroupName, lanes: Vec<Rc<Lane>>) -> Leaver {
        let (stopped, has_stopped) = oneshot::channel();
        let order = HandOver {
            to: String::new(),
            lanes: lanes.iter().map(|lane| lane.key).collect::<HashSet<_>>(),
            stopped,
        };
        let runs = self.shared.groups.hand_over(group, order);
        Leaver {
            lanes,
            stopped: runs.then_some(has_stopped),
        }
    }

    /// Waits until the edges with a link have the ends of these lanes.
    async fn handed_over(&self, lanes: &[Rc<Lane>]) {
        loop {
            let progress = self.shared.progress.notified();
            if lanes.iter().all(|lane| lane.is_handed_over()) {
                return;
            }
            progress.await;
        }
    }
}
