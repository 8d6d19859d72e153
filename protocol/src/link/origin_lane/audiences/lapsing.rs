//! The lapse of an audience, and the snapshot that replaces the dropped messages.

use super::{
    super::{OriginEvent, OriginLane, RETENTION},
    AudienceId, CloseReason, Lapse, ToAudience,
};
use crate::shared_object::body::Events;

impl OriginLane {
    /// Whether the retention can hold the order. A message that does not fit makes its audience
    /// lapse; a snapshot brings its changes later.
    pub(super) fn fits(&mut self, id: AudienceId, order: &ToAudience) -> bool {
        let is_snapshot = matches!(order, ToAudience::Snapshot { .. });
        if !is_snapshot && !matches!(order, ToAudience::Send { .. }) {
            return true;
        }
        let retained = self.retained();
        let fits = retained + order.size() <= RETENTION || retained == 0;
        let Some(audience) = self.audiences.known.get_mut(&id) else {
            // The audience may begin in the line.
            return fits;
        };
        match (audience.lapse, fits) {
            (Lapse::None, true) => true,
            (Lapse::None, false) => {
                audience.lapse = Lapse::Dropping;
                self.audiences.lapsed.push(id);
                self.audiences.counts.lapses += 1;
                false
            }
            (Lapse::Asked | Lapse::Dropping, true) if is_snapshot => {
                audience.lapse = Lapse::None;
                self.audiences.lapsed.retain(|&lapsed| lapsed != id);
                true
            }
            (Lapse::Asked, false) if is_snapshot => {
                audience.lapse = Lapse::Dropping;
                false
            }
            (Lapse::Asked | Lapse::Dropping, _) => false,
        }
    }

    /// Asks for the snapshots of lapsed audiences, once there is room for them.
    pub(in crate::link::origin_lane) fn ask_snapshots(&mut self) {
        if self.audiences.lapsed.is_empty() || self.retained() > RETENTION / 2 {
            return;
        }
        let Self {
            audiences, events, ..
        } = self;
        for &id in &audiences.lapsed {
            if let Some(audience) = audiences.known.get_mut(&id)
                && audience.lapse == Lapse::Dropping
            {
                audience.lapse = Lapse::Asked;
                events.push_back(OriginEvent::SnapshotWanted { audience: id });
            }
        }
    }

    /// Notes the members that the group has stand aside: the snapshot passes them by.
    pub(super) fn note_missed(&mut self, audience: AudienceId) {
        if let Some(audience) = self.audiences.known.get_mut(&audience) {
            let members = audience.members.values_mut();
            members
                .filter(|member| member.held)
                .for_each(|member| member.missed = true);
        }
    }

    /// Drops a message to all that does not fit. A snapshot brings its changes later, but not a
    /// message to the members: they cannot go on without it and are closed.
    pub(super) fn lose(&mut self, audience: AudienceId, order: &ToAudience) {
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
            self.fail(session, CloseReason::Retention);
        }
    }
}
