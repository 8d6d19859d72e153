//! A group that stops here, with the lanes whose sessions go on elsewhere.

use std::rc::Rc;

use bytes::Bytes;
use tokio::{
    sync::oneshot,
    time::{Instant, timeout_at},
};
use tributary_protocol::{GroupName, link::HandedOver};

use super::lane::Lane;
use crate::group::Stopped;

/// A group that stops, with its lanes.
pub(super) struct Leaver {
    pub(super) group: GroupName,
    pub(super) all: Vec<Rc<Lane>>,
    /// Those of them whose edges can bring the sessions elsewhere.
    pub(super) lanes: Vec<Rc<Lane>>,
    /// None if it does not run.
    pub(super) stopped: Option<oneshot::Receiver<Stopped>>,
    pub(super) by: Instant,
}

/// The lanes of a group that has stopped.
pub(super) struct LeftGroup {
    pub(super) group: GroupName,
    pub(super) all: Vec<Rc<Lane>>,
    /// Those of them whose edges can bring the sessions elsewhere.
    pub(super) lanes: Vec<Rc<Lane>>,
    /// Whether it has stopped, or did not run.
    pub(super) has_stopped: bool,
    pub(super) state: Bytes,
}

impl Leaver {
    /// Waits until the group has stopped. A group whose turn blocks is left as it is: then its edges go by
    /// the rules for a lost process.
    pub(super) async fn stopped(self) -> LeftGroup {
        let stopped = match self.stopped {
            Some(stopped) => timeout_at(self.by, stopped).await.ok().and_then(Result::ok),
            None => Some(Stopped::default()),
        };
        LeftGroup {
            group: self.group,
            all: self.all,
            lanes: self.lanes,
            has_stopped: stopped.is_some(),
            state: stopped.unwrap_or_default().state,
        }
    }
}

impl LeftGroup {
    /// Ends the lanes; their sessions go on at the origin of this name, or at this one's next process.
    pub(super) fn hand_over(&self, to: &str) {
        for lane in &self.lanes {
            // The group has done so with the lanes that have a session.
            lane.hand_over(HandedOver {
                settled: self.has_stopped,
                origin: to.to_owned(),
            });
        }
    }
}
