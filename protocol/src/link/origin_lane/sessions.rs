//! The sessions of a lane at its origin, with the credit of each.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use super::{OriginEvent, RESERVATION_IDLE, order::Queued, reservations::Reservations};
use crate::{
    SessionId,
    link::{
        AudienceId, CloseReason, FrameError, FromSession,
        credit::{Account, CreditBudget},
        inbound::Assembly,
        lane_frame::ToEdge,
        outbox::Outbox,
    },
};

/// The sessions by number, and the events for the group in order.
#[derive(Debug)]
pub(super) struct LaneSessions {
    by_id: HashMap<SessionId, OriginSession>,
    highest: Option<SessionId>,
    reservations: Reservations,
    events: VecDeque<OriginEvent>,
}

#[derive(Debug)]
pub(super) struct OriginSession {
    pub(super) account: Account,
    pub(super) assembly: Option<Box<Assembly>>,
    pub(super) last_arrival: Option<Instant>,
    /// Messages longer than a fragment and the messages behind them; others leave at once.
    pub(super) queue: VecDeque<Queued>,
    /// Set by the origin's close and by an exceeded limit: fragments that still arrive are dropped.
    pub(super) closing: bool,
    /// The audiences whose member the session is.
    pub(super) audiences: Vec<AudienceId>,
}

impl LaneSessions {
    pub(super) fn new(budget: CreditBudget) -> Self {
        Self {
            by_id: HashMap::new(),
            highest: None,
            reservations: Reservations::new(budget),
            events: VecDeque::new(),
        }
    }

    pub(super) fn begin(&mut self, session: SessionId) -> Result<(), FrameError> {
        // Numbers of openings need not rise: several threads of an edge assign them, and sessions
        // change lanes.
        if self.by_id.contains_key(&session) {
            return Err(FrameError::Session(session.0));
        }
        self.highest = self.highest.max(Some(session));
        let state = OriginSession {
            account: Account::new(),
            assembly: None,
            last_arrival: None,
            queue: VecDeque::new(),
            closing: false,
            audiences: Vec::new(),
        };
        self.by_id.insert(session, state);
        Ok(())
    }

    /// The session, or none if it is over; an error if it was never opened.
    pub(super) fn known(
        &mut self,
        session: SessionId,
    ) -> Result<Option<&mut OriginSession>, FrameError> {
        if Some(session) > self.highest {
            return Err(FrameError::Session(session.0));
        }
        Ok(self.by_id.get_mut(&session))
    }

    pub(super) fn get(&self, session: SessionId) -> Option<&OriginSession> {
        self.by_id.get(&session)
    }

    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut OriginSession> {
        self.by_id.get_mut(&session)
    }

    pub(super) fn ids(&self) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn count(&self) -> usize {
        self.by_id.len()
    }

    /// Removes a session and gives back its reservation.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<OriginSession> {
        let mut state = self.by_id.remove(&session)?;
        let reserved = state.account.take_reserved();
        self.reservations.forget(session, reserved);
        Some(state)
    }

    /// Reports an event to the group.
    pub(super) fn report(&mut self, event: OriginEvent) {
        self.events.push_back(event);
    }

    pub(super) fn report_closed(&mut self, session: SessionId, reason: CloseReason) {
        let event = FromSession::Close(reason);
        self.report(OriginEvent::Session { session, event });
    }

    pub(super) fn poll_event(&mut self) -> Option<OriginEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Restarts the idle time of reservations after a time in which nothing could arrive.
    pub(super) fn excuse(&mut self, now: Instant) {
        for holder in self.reservations.holders() {
            if let Some(state) = self.by_id.get_mut(holder) {
                state.last_arrival = Some(now);
            }
        }
    }

    /// The time at which a reservation has been idle for too long.
    pub(super) fn idle_at(&self) -> Option<Instant> {
        let holders = self.reservations.holders().iter();
        let arrivals = holders.filter_map(|id| self.by_id.get(id)?.last_arrival);
        arrivals.min().map(|arrival| arrival + RESERVATION_IDLE)
    }

    /// The sessions whose reservation has been idle for too long.
    pub(super) fn idle(&self, now: Instant) -> Vec<SessionId> {
        let is_idle = |id: &SessionId| {
            let last_arrival = self.by_id.get(id).and_then(|state| state.last_arrival);
            last_arrival.is_some_and(|arrival| arrival + RESERVATION_IDLE <= now)
        };
        let holders = self.reservations.holders().iter().copied();
        holders.filter(is_idle).collect()
    }

    /// The time at which to ask for budget again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.reservations.retry_at()
    }

    /// Has a session wait for a reservation, if its message in assembly needs one.
    pub(super) fn wait(&mut self, session: SessionId) {
        let state = self.by_id.get(&session);
        if state.is_some_and(|state| state.account.lacking() > 0) {
            self.reservations.wait(session);
        }
    }

    /// The message of a session is whole.
    pub(super) fn end_assembly(&mut self, session: SessionId) {
        self.reservations.end_assembly(session);
    }

    /// Gives back the credit of a message that the group has handled; false if the session is over.
    pub(super) fn consume(&mut self, session: SessionId, cost: u64) -> bool {
        let Some(state) = self.by_id.get_mut(&session) else {
            return false;
        };
        let freed = state.account.consume(cost);
        self.reservations.release(freed);
        true
    }

    /// Grants credit that needs no reservation.
    pub(super) fn grant_free(&mut self, session: SessionId, outbox: &mut Outbox) {
        let state = self.by_id.get_mut(&session);
        if let Some(state) = state.filter(|state| !state.closing)
            && let Some(offset) = state.account.free_grant()
        {
            grant(outbox, session, offset);
        }
    }

    /// Grants reservations in order of arrival, each whole or not at all.
    pub(super) fn grant_waiting(&mut self, now: Instant, outbox: &mut Outbox) {
        self.reservations.begin_round();
        while let Some(session) = self.reservations.first_waiting() {
            let state = self.by_id.get_mut(&session);
            if let Some(state) = state.filter(|state| !state.closing) {
                let lacking = state.account.lacking();
                if lacking > 0 {
                    if !self.reservations.reserve(now, session, lacking) {
                        break;
                    }
                    // [`RESERVATION_IDLE`] begins with the grant.
                    state.last_arrival = Some(now);
                    grant(outbox, session, state.account.reserve(lacking));
                }
            }
            self.reservations.pop_waiting();
        }
    }

    /// Sends the grants of all sessions again.
    pub(super) fn repeat_grants(&self, outbox: &mut Outbox) {
        // In order, so that one seed of a simulation is one run.
        for session in self.ids() {
            grant(outbox, session, self.by_id[&session].account.limit());
        }
    }
}

/// Credit is not numbered: a lane repeats it on the next connection.
fn grant(outbox: &mut Outbox, session: SessionId, offset: u64) {
    outbox.append_unnumbered(|out| ToEdge::Credit { session, offset }.encode(out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::start;

    const ONE: SessionId = SessionId(1);

    fn sessions() -> LaneSessions {
        let mut sessions = LaneSessions::new(CreditBudget::new(1 << 20));
        sessions.begin(ONE).unwrap();
        sessions
    }

    #[test]
    fn a_session_that_was_never_opened_is_an_error_and_one_that_is_over_is_not() {
        let mut sessions = sessions();
        assert!(sessions.begin(ONE).is_err());
        assert!(sessions.known(SessionId(2)).is_err());
        sessions.remove(ONE);
        assert!(sessions.known(ONE).unwrap().is_none());
    }

    #[test]
    fn a_reservation_is_idle_from_its_grant_or_from_the_last_fragment() {
        let mut sessions = sessions();
        let mut outbox = Outbox::default();
        let now = start();
        let state = sessions.get_mut(ONE).unwrap();
        state.account.begin(100_000);
        sessions.wait(ONE);
        sessions.grant_waiting(now, &mut outbox);
        assert!(outbox.has_unsent());
        let late = now + RESERVATION_IDLE;
        assert_eq!(sessions.idle_at(), Some(late));
        assert_eq!(sessions.idle(late), [ONE]);
        sessions.excuse(late);
        assert_eq!(sessions.idle(late), []);
        sessions.end_assembly(ONE);
        assert_eq!(sessions.idle_at(), None);
    }
}
