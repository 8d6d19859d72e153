//! Credit: grants and reservations, and the sessions that wait for memory.

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

/// The interval at which a lane asks again for budget that other lanes hold.
const BUDGET_RETRY: Duration = Duration::from_millis(50);

impl OriginLane {
    /// Restarts the idle time of reservations after a time in which nothing could arrive.
    pub fn excuse(&mut self, now: Instant) {
        for holder in &self.holders {
            if let Some(state) = self.sessions.get_mut(holder) {
                state.last_arrival = Some(now);
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

    /// Closes sessions that hold a reservation and send nothing; asks for budget again.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.connected {
            let sessions = &self.sessions;
            let idle = |id: &SessionId| {
                let last_arrival = sessions.get(id).and_then(|session| session.last_arrival);
                last_arrival.is_some_and(|last_arrival| last_arrival + RESERVATION_IDLE <= now)
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

    /// Grants credit that needs no reservation.
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

    /// Grants reservations in order of arrival, each whole or not at all.
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
                // [`RESERVATION_IDLE`] begins with the grant.
                state.last_arrival = Some(now);
                self.holders.push(session);
                self.outbox
                    .append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
            }
            self.waiting.pop_front();
        }
    }
}
