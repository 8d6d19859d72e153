//! Messages to all members of an object that are put together while the lane is behind.
//!
//! While so much waits for the edge, a message to all of an audience does not queue behind it: it
//! becomes one with those that follow, in which the last word on a slot counts. It leaves when the
//! lane has caught up, or when anything else concerns the audience or one of its members: so
//! everybody hears everything in the order in which the group said it.

use std::collections::BTreeMap;

use super::{OriginLane, RETENTION};
use crate::{
    SessionId,
    link::{AudienceId, Recipients, ToAudience, lane_frame::MAX_FRAGMENT, outbox::WINDOW},
    shared_object::Merged,
};

/// From how much that waits before them messages are put together. Reason: as much again as is on
/// its way; what waits longer is better said once.
const MERGE_FROM: usize = WINDOW;

/// What messages put together may come to. Reason: beyond it another one begins, so that a member
/// does not wait for all of a large object; it is also far below what a message may have.
const MAX_MERGED: usize = 1024 * 1024;

/// What is being put together on a lane. No session is a member of two of these audiences.
#[derive(Debug, Default)]
pub(super) struct Merging {
    audiences: BTreeMap<AudienceId, Merged>,
    bytes: usize,
}

impl Merging {
    /// How much it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn begin(&mut self, audience: AudienceId, merged: Merged) {
        self.bytes += merged.size();
        self.audiences.insert(audience, merged);
    }

    /// Puts a body behind those of its audience, if it can be.
    fn add(&mut self, audience: AudienceId, body: &[u8]) -> bool {
        let Some(merged) = self.audiences.get_mut(&audience) else {
            return false;
        };
        let before = merged.size();
        if before + body.len() > MAX_MERGED || !merged.add(body) {
            return false;
        }
        self.bytes = self.bytes - before + merged.size();
        true
    }

    fn take(&mut self, audience: AudienceId) -> Option<Merged> {
        let taken = self.audiences.remove(&audience)?;
        self.bytes -= taken.size();
        Some(taken)
    }
}

impl OriginLane {
    /// Takes a message to all members, if it need not leave by itself.
    pub(super) fn merge(&mut self, id: AudienceId, what: &ToAudience) -> bool {
        let ToAudience::Send {
            to: Recipients::All,
            encoding: None,
            body,
        } = what
        else {
            return false;
        };
        let fits = body.len() <= MAX_FRAGMENT && self.retained() + body.len() <= RETENTION;
        if !fits || !self.audiences.is_whole(id) {
            return false;
        }
        if self.merging.add(id, body) {
            self.audiences.count_merged();
            return true;
        }
        // Who is a member must be known, and not stand in the line.
        if self.outbox.unsent() < MERGE_FROM || !self.audiences.is_settled() {
            return false;
        }
        let Some(merged) = Merged::new(body) else {
            return false;
        };
        self.unmerge_before(id, what);
        if !self.audiences.is_whole(id) {
            return false;
        }
        self.merging.begin(id, merged);
        true
    }

    /// Something else follows for an audience: what was put together for it, and for others that
    /// have members in common with it, goes before.
    pub(super) fn unmerge_before(&mut self, audience: AudienceId, what: &ToAudience) {
        self.unmerge(audience);
        if let Some(session) = what.mover() {
            self.unmerge_for(session);
        }
        if !self.merging.audiences.is_empty() {
            for session in self.audiences.members(audience) {
                self.unmerge_for(session);
            }
        }
    }

    fn unmerge(&mut self, audience: AudienceId) {
        if let Some(merged) = self.merging.take(audience) {
            let (to, encoding, body) = (Recipients::All, None, merged.into_body());
            self.tell_audience(audience, ToAudience::Send { to, encoding, body });
        }
    }

    /// Something follows for a session: what was put together for it goes before.
    pub(super) fn unmerge_for(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get(&session) else {
            return;
        };
        let of = |audience: &&AudienceId| self.merging.audiences.contains_key(*audience);
        // It is a member of one of them at most.
        if let Some(&audience) = state.audiences.iter().find(of) {
            self.unmerge(audience);
        }
    }

    /// The lane has caught up: everything that was put together leaves.
    pub(super) fn unmerge_all(&mut self) {
        while self.outbox.unsent() < MERGE_FROM / 2
            && let Some((&audience, _)) = self.merging.audiences.first_key_value()
        {
            self.unmerge(audience);
        }
    }
}
