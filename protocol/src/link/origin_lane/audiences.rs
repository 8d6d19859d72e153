//! The audiences of a lane at its origin, with the standing of each member.

use std::collections::HashMap;

use super::lapse::Lapse;
use crate::{
    SessionId,
    link::{AudienceId, MAX_AUDIENCES, Recipients, lane_frame::AudienceFrame},
    shared_object::Flags,
};

/// The messages of a lane's audiences, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AudienceCounts {
    /// Messages to all of an audience; each crosses the link once.
    pub messages: u64,
    /// Messages to one member: answers to it, and copies for members that stand aside.
    pub member_messages: u64,
    /// Messages to all that were merged into the one before, because the lane was behind.
    pub merged: u64,
    /// Lapses of audiences; each needed a snapshot.
    pub lapses: u64,
}

#[derive(Debug, Default)]
pub(super) struct OriginAudiences {
    known: HashMap<AudienceId, OriginAudience>,
    /// Audiences that wait for a snapshot.
    lapsed: Vec<AudienceId>,
    pub(super) counts: AudienceCounts,
}

/// The members of an audience.
#[derive(Debug, Default)]
pub(super) struct OriginAudience {
    members: HashMap<SessionId, Standpoint>,
    /// Members with a queue, and members that the edge has not taken back yet.
    busy: Vec<SessionId>,
    lapse: Lapse,
}

/// The way in which messages to all reach a member.
#[derive(Debug)]
struct Standpoint {
    flags: Flags,
    /// Whether messages to all pass it by at the edge.
    aside: bool,
    /// Whether the group has it stand aside and sends it the rest itself.
    held: bool,
    /// Whether a snapshot has passed it by meanwhile.
    missed: bool,
}

impl OriginAudiences {
    /// Begins an audience; false if it exists, or if there are too many.
    pub(super) fn begin(&mut self, id: AudienceId) -> bool {
        let begins = !self.known.contains_key(&id) && self.known.len() < MAX_AUDIENCES;
        if begins {
            self.known.insert(id, OriginAudience::default());
        }
        begins
    }

    /// Ends an audience; returns its members.
    pub(super) fn end(&mut self, id: AudienceId) -> Option<Vec<SessionId>> {
        let audience = self.known.remove(&id)?;
        if self.known.is_empty() {
            self.known = HashMap::new();
        }
        self.lapsed.retain(|&lapsed| lapsed != id);
        Some(audience.members.into_keys().collect())
    }

    pub(super) fn has(&self, id: AudienceId) -> bool {
        self.known.contains_key(&id)
    }

    pub(super) fn get_mut(&mut self, id: AudienceId) -> Option<&mut OriginAudience> {
        self.known.get_mut(&id)
    }

    /// The flags of a member, if the session is one.
    pub(super) fn flags(&self, id: AudienceId, session: SessionId) -> Option<Flags> {
        let member = self.known.get(&id)?.members.get(&session)?;
        Some(member.flags)
    }

    pub(super) fn members(&self, id: AudienceId) -> Vec<SessionId> {
        let known = self.known.get(&id);
        let members = known.into_iter().flat_map(|known| known.members.keys());
        members.copied().collect()
    }

    /// The members that receive a message to an audience.
    pub(super) fn recipients(&self, id: AudienceId, to: Recipients) -> Vec<SessionId> {
        let receives = |session: SessionId| match to {
            Recipients::All => true,
            Recipients::AllBut(but) => session != but,
            Recipients::One(one) => session == one,
        };
        let known = self.known.get(&id);
        let members = known.into_iter().flat_map(|known| &known.members);
        members
            .filter(|(session, member)| !member.held && receives(**session))
            .map(|(&session, _)| session)
            .collect()
    }

    /// Notes that a session has a queue from now on.
    pub(super) fn note_busy(&mut self, audiences: &[AudienceId], session: SessionId) {
        for audience in audiences {
            if let Some(audience) = self.known.get_mut(audience) {
                audience.note_busy(session);
            }
        }
    }

    /// Whether an audience exists and has not lapsed.
    pub(super) fn is_whole(&self, id: AudienceId) -> bool {
        let known = self.known.get(&id);
        known.is_some_and(|known| known.lapse == Lapse::None)
    }

    /// Whether the lane takes a message to all, which fits the retention or does not. An audience
    /// whose message does not fit lapses until a snapshot fits.
    pub(super) fn admit(&mut self, id: AudienceId, is_snapshot: bool, fits: bool) -> bool {
        let Some(audience) = self.known.get_mut(&id) else {
            // The audience may begin in the line.
            return fits;
        };
        let (lapse, takes) = audience.lapse.after(is_snapshot, fits);
        match (std::mem::replace(&mut audience.lapse, lapse), lapse) {
            (Lapse::None, Lapse::Dropping) => {
                self.lapsed.push(id);
                self.counts.lapses += 1;
            }
            (Lapse::Dropping | Lapse::Asked, Lapse::None) => {
                self.lapsed.retain(|&lapsed| lapsed != id);
            }
            _ => {}
        }
        takes
    }

    pub(super) fn has_lapsed(&self) -> bool {
        !self.lapsed.is_empty()
    }

    /// The audiences whose snapshots have to be asked for; there is room for them.
    pub(super) fn ask_snapshots(&mut self) -> Vec<AudienceId> {
        let known = &mut self.known;
        let mut ask = |id: &AudienceId| {
            let audience = known.get_mut(id)?;
            audience.lapse.ask().then_some(*id)
        };
        self.lapsed.iter().filter_map(&mut ask).collect()
    }
}

impl OriginAudience {
    /// A session becomes a member; `busy` says that it has a queue.
    pub(super) fn join(&mut self, session: SessionId, flags: Flags, busy: bool) -> AudienceFrame {
        let aside = busy || self.busy.contains(&session);
        let standpoint = Standpoint {
            flags,
            aside,
            held: false,
            missed: false,
        };
        self.members.insert(session, standpoint);
        if busy {
            self.note_busy(session);
        }
        AudienceFrame::Join {
            session,
            flags,
            aside,
        }
    }

    /// Changes whether the group has a member stand aside. Returns whether the member has missed a
    /// snapshot, and the frame for the edge.
    pub(super) fn stand(
        &mut self,
        session: SessionId,
        held: bool,
    ) -> (bool, Option<AudienceFrame>) {
        let is_busy = self.busy.contains(&session);
        let Some(standpoint) = self.members.get_mut(&session) else {
            return (false, None);
        };
        standpoint.held = held;
        let missed = !held && std::mem::take(&mut standpoint.missed);
        // A member with a queue returns when the queue is empty.
        let aside = held || (is_busy && standpoint.aside);
        (missed, standpoint.set_aside(session, aside))
    }

    /// Takes back a member whose queue is empty.
    pub(super) fn rejoin(&mut self, session: SessionId) -> Option<AudienceFrame> {
        self.busy.retain(|&busy| busy != session);
        let standpoint = self.members.get_mut(&session)?;
        if standpoint.held {
            return None;
        }
        standpoint.set_aside(session, false)
    }

    /// Has the members with queues stand aside, before a message to all passes them by.
    pub(super) fn set_busy_aside(&mut self) -> Vec<AudienceFrame> {
        let Self { members, busy, .. } = self;
        let mut set = |session: &SessionId| members.get_mut(session)?.set_aside(*session, true);
        busy.iter().filter_map(&mut set).collect()
    }

    /// The members with queues that get a copy of a message to all.
    pub(super) fn busy_recipients(&self, all_but: Option<SessionId>) -> Vec<(SessionId, Flags)> {
        let busy = self
            .busy
            .iter()
            .filter(|&&session| Some(session) != all_but);
        busy.filter_map(|session| Some((*session, self.members.get(session)?)))
            .filter(|(_, standpoint)| !standpoint.held)
            .map(|(session, standpoint)| (session, standpoint.flags))
            .collect()
    }

    pub(super) fn has_busy(&self) -> bool {
        !self.busy.is_empty()
    }

    pub(super) fn is_busy(&self, session: SessionId) -> bool {
        self.busy.contains(&session)
    }

    /// Notes the members that the group has stand aside: a snapshot passes them by.
    pub(super) fn note_missed(&mut self) {
        for member in self.members.values_mut().filter(|member| member.held) {
            member.missed = true;
        }
    }

    /// Removes a session that is over, or is no member any more.
    pub(super) fn forget(&mut self, session: SessionId) {
        self.members.remove(&session);
        self.busy.retain(|&busy| busy != session);
    }

    fn note_busy(&mut self, session: SessionId) {
        if self.members.contains_key(&session) && !self.busy.contains(&session) {
            self.busy.push(session);
        }
    }
}

impl Standpoint {
    /// Sets whether messages to all pass the member by; a change needs a frame.
    fn set_aside(&mut self, session: SessionId, aside: bool) -> Option<AudienceFrame> {
        let changes = std::mem::replace(&mut self.aside, aside) != aside;
        changes.then_some(AudienceFrame::Join {
            session,
            flags: self.flags,
            aside,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: AudienceId = AudienceId(1);
    const ONE: SessionId = SessionId(1);
    const FLAGS: Flags = Flags::TEMPORARY;

    fn join(aside: bool) -> AudienceFrame {
        AudienceFrame::Join {
            session: ONE,
            flags: FLAGS,
            aside,
        }
    }

    fn audience() -> OriginAudience {
        let mut audience = OriginAudience::default();
        assert_eq!(audience.join(ONE, FLAGS, false), join(false));
        audience
    }

    #[test]
    fn a_member_with_a_queue_gets_copies_until_it_is_taken_back() {
        let mut audience = audience();
        assert_eq!(audience.set_busy_aside(), []);
        audience.note_busy(ONE);
        assert_eq!(audience.set_busy_aside(), [join(true)]);
        assert_eq!(audience.set_busy_aside(), [], "it stands aside");
        assert_eq!(audience.busy_recipients(None), [(ONE, FLAGS)]);
        assert_eq!(audience.busy_recipients(Some(ONE)), []);
        assert_eq!(audience.rejoin(ONE), Some(join(false)));
        assert!(!audience.has_busy());
    }

    #[test]
    fn the_group_has_a_member_stand_aside_and_hears_of_a_missed_snapshot() {
        let mut audience = audience();
        assert_eq!(audience.stand(ONE, true), (false, Some(join(true))));
        audience.note_busy(ONE);
        assert_eq!(audience.busy_recipients(None), [], "the group serves it");
        assert_eq!(audience.rejoin(ONE), None);
        audience.note_missed();
        assert_eq!(audience.stand(ONE, false), (true, Some(join(false))));
        assert_eq!(audience.stand(ONE, false), (false, None));
        assert_eq!(audience.stand(SessionId(2), true), (false, None));
    }

    #[test]
    fn an_audience_that_lapses_is_whole_with_the_next_snapshot_that_fits() {
        let mut audiences = OriginAudiences::default();
        assert!(audiences.begin(ID) && !audiences.begin(ID));
        assert!(audiences.admit(ID, false, true));
        assert!(!audiences.admit(ID, false, false));
        assert!(!audiences.admit(ID, false, true), "messages are dropped");
        assert!(audiences.has_lapsed() && !audiences.is_whole(ID));
        assert_eq!(audiences.ask_snapshots(), [ID]);
        assert_eq!(audiences.ask_snapshots(), [], "it was asked for");
        assert!(!audiences.admit(ID, true, false));
        assert_eq!(audiences.ask_snapshots(), [ID]);
        assert!(audiences.admit(ID, true, true));
        assert!(!audiences.has_lapsed() && audiences.is_whole(ID));
        assert_eq!(audiences.counts.lapses, 1);
    }
}
