//! Merging: messages to all of an audience become one while the lane is behind.
//!
//! While [`MERGE_FROM`] bytes wait for the edge, a message to all of an audience does not queue
//! behind them. It is merged with the messages that follow, and the last change of a slot counts.
//! The merged message leaves when the lane has caught up. It also leaves before any other order for
//! the audience or one of its members, so every session receives everything in the order in which
//! the group sent it.

use std::collections::BTreeMap;

use super::{LaneSessions, Orders, RETENTION};
use crate::{
    SessionId,
    link::{AudienceId, Recipients, ToAudience, lane_frame::MAX_FRAGMENT, outbox::WINDOW},
    shared_object::Merged,
};

/// The waiting bytes from which messages are merged. Reason: as much again as the window; a message
/// that waits longer is better merged.
const MERGE_FROM: usize = WINDOW;

/// The largest merged message, in bytes. Reason: a message beyond it begins another one, so that a
/// member does not wait for all of a large object; it is also far below the longest message.
const MAX_MERGED: usize = 1024 * 1024;

/// The merged messages of a lane. No session is a member of two of these audiences.
#[derive(Debug, Default)]
pub(super) struct Merging {
    audiences: BTreeMap<AudienceId, Merged>,
    bytes: usize,
}

impl Merging {
    /// The bytes of the merged messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn begin(&mut self, audience: AudienceId, merged: Merged) {
        self.bytes += merged.size();
        self.audiences.insert(audience, merged);
    }

    /// Adds a body to the merged message of its audience; false if there is none, or it is full.
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

impl Orders {
    /// Takes a message to all of an audience, unless it must leave by itself.
    pub(super) fn merge(
        &mut self,
        sessions: &mut LaneSessions,
        id: AudienceId,
        order: &ToAudience,
    ) -> bool {
        let ToAudience::Send {
            to: Recipients::All,
            encoding: None,
            body,
        } = order
        else {
            return false;
        };
        let fits = body.len() <= MAX_FRAGMENT && self.retained() + body.len() <= RETENTION;
        if !fits || !self.audiences.is_whole(id) {
            return false;
        }
        if self.merging.add(id, body) {
            self.audiences.counts.merged += 1;
            return true;
        }
        // A change of members in the line must take effect first.
        if self.outbox.unsent() < MERGE_FROM || !self.line.is_settled() {
            return false;
        }
        let Some(merged) = Merged::new(body) else {
            return false;
        };
        self.unmerge_before(sessions, id, order);
        if !self.audiences.is_whole(id) {
            return false;
        }
        self.merging.begin(id, merged);
        true
    }

    /// Another order follows for an audience: merged messages for it, and for audiences that have
    /// members in common with it, leave first.
    pub(super) fn unmerge_before(
        &mut self,
        sessions: &mut LaneSessions,
        audience: AudienceId,
        order: &ToAudience,
    ) {
        self.unmerge(sessions, audience);
        if let Some(session) = order.mover() {
            self.unmerge_for(sessions, session);
        }
        if !self.merging.audiences.is_empty() {
            for session in self.audiences.members(audience) {
                self.unmerge_for(sessions, session);
            }
        }
    }

    fn unmerge(&mut self, sessions: &mut LaneSessions, audience: AudienceId) {
        if let Some(merged) = self.merging.take(audience) {
            let (to, encoding, body) = (Recipients::All, None, merged.into_body());
            let order = ToAudience::Send { to, encoding, body };
            self.order_audience(sessions, audience, order);
        }
    }

    /// An order follows for a session: the merged message for it leaves first.
    pub(super) fn unmerge_for(&mut self, sessions: &mut LaneSessions, session: SessionId) {
        let Some(state) = sessions.get(session) else {
            return;
        };
        let of = |audience: &&AudienceId| self.merging.audiences.contains_key(*audience);
        // A session is a member of at most one such audience.
        if let Some(&audience) = state.audiences.iter().find(of) {
            self.unmerge(sessions, audience);
        }
    }

    /// Sends all merged messages once the lane has caught up.
    pub(super) fn unmerge_all(&mut self, sessions: &mut LaneSessions) {
        while self.outbox.unsent() < MERGE_FROM / 2
            && let Some((&audience, _)) = self.merging.audiences.first_key_value()
        {
            self.unmerge(sessions, audience);
        }
    }
}
