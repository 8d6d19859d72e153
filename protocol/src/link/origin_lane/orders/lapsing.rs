//! The lapse of an audience, and the snapshot that replaces the dropped messages.

use super::{LaneSessions, Orders, RETENTION};
use crate::{
    link::{AudienceId, CloseReason, ToAudience, origin_lane::OriginEvent},
    shared_object::body::Events,
};

impl Orders {
    /// Whether the retention can hold the order. A message that does not fit makes its audience
    /// lapse; a snapshot brings its changes later.
    pub(super) fn fits(&mut self, id: AudienceId, order: &ToAudience) -> bool {
        let is_snapshot = matches!(order, ToAudience::Snapshot { .. });
        if !is_snapshot && !matches!(order, ToAudience::Send { .. }) {
            return true;
        }
        let retained = self.retained();
        let fits = retained + order.size() <= RETENTION || retained == 0;
        self.audiences.admit(id, is_snapshot, fits)
    }

    /// Asks for the snapshots of lapsed audiences, once there is room for them.
    pub(in crate::link::origin_lane) fn ask_snapshots(&mut self, sessions: &mut LaneSessions) {
        if self.audiences.has_lapsed() && self.retained() <= RETENTION / 2 {
            for audience in self.audiences.ask_snapshots() {
                sessions.report(OriginEvent::SnapshotWanted { audience });
            }
        }
    }

    /// Drops a message to all that does not fit. A snapshot brings its changes later, but not a
    /// message to the members: they cannot go on without it and are closed.
    pub(super) fn lose(
        &mut self,
        sessions: &mut LaneSessions,
        audience: AudienceId,
        order: &ToAudience,
    ) {
        let ToAudience::Send { to, body, .. } = order else {
            return;
        };
        let Ok(mut events) = Events::read(body) else {
            return;
        };
        if !events.any(|event| event.is_ok_and(|event| event.is_message())) {
            return;
        }
        for session in self.audiences.recipients(audience, *to) {
            self.close(sessions, session, CloseReason::Retention);
        }
    }
}
