//! What a lane cannot keep for an audience, and the snapshot that comes in its place.

use super::{
    super::{OriginEvent, OriginLane, RETENTION},
    AudienceId, CloseReason, Lapse, ToAudience,
};
use crate::shared_object::body::Events;

impl OriginLane {
    /// Whether the lane can keep it. A message that does not fit makes its audience lapse: what
    /// it would have changed comes with a snapshot.
    pub(super) fn fits(&mut self, id: AudienceId, what: &ToAudience) -> bool {
        let is_snapshot = matches!(what, ToAudience::Snapshot { .. });
        if !is_snapshot && !matches!(what, ToAudience::Send { .. }) {
            return true;
        }
        let retained = self.retained();
        let fits = retained + what.size() <= RETENTION || retained == 0;
        let Some(audience) = self.audiences.known.get_mut(&id) else {
            // It may begin in the line.
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

    /// Asks for the snapshots of audiences that have lapsed, once there is room for them.
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

    /// Members that the group keeps apart do not get the snapshot that comes.
    pub(super) fn note_missed(&mut self, audience: AudienceId) {
        if let Some(audience) = self.audiences.known.get_mut(&audience) {
            let members = audience.members.values_mut();
            members
                .filter(|member| member.held)
                .for_each(|member| member.missed = true);
        }
    }

    /// A message to all could not be kept. What it would have changed comes with a snapshot; a
    /// message to the members does not, and they cannot go on without it.
    pub(super) fn lose(&mut self, audience: AudienceId, what: &ToAudience) {
        let ToAudience::Send { to, body, .. } = what else {
            return;
        };
        let Ok(mut events) = Events::read(body) else {
            return;
        };
        if !events.any(|event| event.is_ok_and(|event| event.is_message())) {
            return;
        }
        for session in self.audiences.hearers(audience, *to) {
            self.fail(session, CloseReason::Retention);
        }
    }
}
