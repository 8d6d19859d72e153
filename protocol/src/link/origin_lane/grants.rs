//! Credit: who may send how much, and who waits for memory.

use std::time::{Duration, Instant};

use super::OriginLane;
use crate::{
    SessionId,
    link::{
        CloseReason, RESERVATION_IDLE,
        credit::{LANE_BUDGET, MESSAGE_COST},
        lane_frame::ToEdge,
    },
};

/// How soon a lane asks again when another lane holds the process's budget.
const BUDGET_RETRY: Duration = Duration::from_millis(50);

impl OriginLane {
    /// Nothing could arrive until now: whoever holds memory for a message has had no time to send it.
    pub fn excuse(&mut self, now: Instant) {
        for holder in &self.holders {
            if let Some(state) = self.sessions.get_mut(holder) {
                state.heard = Some(now);
            }
        }
    }

    /// The group has handled a message with this many payload bytes.
    pub fn consumed(&mut self, now: Instant, session: SessionId, bytes: usize) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        let freed = state.account.consume(bytes as u64 + MESSAGE_COST);
        self.reserved -= freed;
        self.budget.release(freed);
        self.grant_free(session);
        self.grant_waiting(now);
    }

    /// Closes sessions that hold memory for a message and send nothing; asks for budget again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connected {
            let sessions = &self.sessions;
            let idle = |id: &SessionId| {
                let heard = sessions.get(id).and_then(|session| session.heard);
                heard.is_some_and(|heard| heard + RESERVATION_IDLE <= now)
            };
            let late: Vec<_> = self.holders.iter().copied().filter(idle).collect();
            for session in late {
                self.fail(session, CloseReason::Limit);
            }
        }
        if self.retry.is_some_and(|retry| retry <= now) {
            self.grant_waiting(now);
        }
    }

    pub(super) fn wait(&mut self, session: SessionId) {
        if self
            .sessions
            .get(&session)
            .is_some_and(|state| state.account.lacking() > 0)
        {
            self.waiting.push_back(session);
        }
    }

    /// Grants what needs no reservation.
    pub(super) fn grant_free(&mut self, session: SessionId) {
        let Some(state) = self.sessions.get_mut(&session) else {
            return;
        };
        if !state.closing
            && let Some(offset) = state.account.free_grant()
        {
            self.outbox
                .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
        }
    }

    /// Grants reservations in the order they were asked for, each whole or not at all.
    pub(super) fn grant_waiting(&mut self, now: Instant) {
        self.retry = None;
        while let Some(&session) = self.waiting.front() {
            let Some(state) = self
                .sessions
                .get_mut(&session)
                .filter(|state| !state.closing)
            else {
                self.waiting.pop_front();
                continue;
            };
            let lacking = state.account.lacking();
            if lacking > 0 {
                let lane_has_room = self.reserved == 0 || self.reserved + lacking <= LANE_BUDGET;
                if !lane_has_room {
                    break;
                }
                if !self.budget.reserve(lacking) {
                    self.retry = Some(now + BUDGET_RETRY);
                    break;
                }
                self.reserved += lacking;
                let offset = state.account.reserve(lacking);
                // The ten seconds without a byte begin with the grant.
                state.heard = Some(now);
                self.holders.push(session);
                self.outbox
                    .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
            }
            self.waiting.pop_front();
        }
    }
}
