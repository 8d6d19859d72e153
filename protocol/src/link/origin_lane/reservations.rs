//! Reservations: memory for long messages, which sessions get in order of arrival.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    SessionId,
    link::credit::{CreditBudget, LANE_BUDGET},
};

/// The interval at which a lane asks again for budget that other lanes hold.
const BUDGET_RETRY: Duration = Duration::from_millis(50);

/// The reservations of a lane, and the sessions that wait for one. They return to the budget when
/// the lane is dropped.
#[derive(Debug)]
pub(super) struct Reservations {
    budget: CreditBudget,
    /// The bytes that the lane holds.
    reserved: u64,
    /// Sessions whose message in assembly needs a reservation, in order of arrival.
    waiting: VecDeque<SessionId>,
    /// Sessions with a reservation and a message in assembly.
    holders: Vec<SessionId>,
    retry: Option<Instant>,
}

impl Reservations {
    pub(super) fn new(budget: CreditBudget) -> Self {
        Self {
            budget,
            reserved: 0,
            waiting: VecDeque::new(),
            holders: Vec::new(),
            retry: None,
        }
    }

    /// The sessions that hold a reservation.
    pub(super) fn holders(&self) -> &[SessionId] {
        &self.holders
    }

    /// The time at which to ask the budget again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// Begins another round of [`Self::reserve`].
    pub(super) fn begin_round(&mut self) {
        self.retry = None;
    }

    pub(super) fn wait(&mut self, session: SessionId) {
        self.waiting.push_back(session);
    }

    /// The session whose turn it is.
    pub(super) fn first_waiting(&self) -> Option<SessionId> {
        self.waiting.front().copied()
    }

    /// The first session waits no more.
    pub(super) fn pop_waiting(&mut self) {
        self.waiting.pop_front();
    }

    /// Reserves bytes for a session, all of them or none.
    pub(super) fn reserve(&mut self, now: Instant, session: SessionId, bytes: u64) -> bool {
        let lane_has_room = self.reserved == 0 || self.reserved + bytes <= LANE_BUDGET;
        if !lane_has_room {
            return false;
        }
        if !self.budget.reserve(bytes) {
            self.retry = Some(now + BUDGET_RETRY);
            return false;
        }
        self.reserved += bytes;
        self.holders.push(session);
        true
    }

    /// Gives bytes of a reservation back.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved -= bytes;
        self.budget.release(bytes);
    }

    /// The message of a session is whole.
    pub(super) fn end_assembly(&mut self, session: SessionId) {
        self.holders.retain(|&holder| holder != session);
    }

    /// Removes a session that is over, and gives the bytes of its reservation back.
    pub(super) fn forget(&mut self, session: SessionId, bytes: u64) {
        self.release(bytes);
        self.end_assembly(session);
        self.waiting.retain(|&waiting| waiting != session);
    }
}

impl Drop for Reservations {
    fn drop(&mut self) {
        self.budget.release(self.reserved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::tests::start;

    const ONE: SessionId = SessionId(1);
    const TWO: SessionId = SessionId(2);

    #[test]
    fn a_lane_asks_again_for_a_budget_that_others_hold() {
        let now = start();
        let budget = CreditBudget::new(100);
        let mut other = Reservations::new(budget.clone());
        assert!(other.reserve(now, TWO, 80));
        let mut lane = Reservations::new(budget.clone());
        assert!(!lane.reserve(now, ONE, 30));
        assert_eq!(lane.retry_at(), Some(now + BUDGET_RETRY));
        drop(other);
        lane.begin_round();
        assert!(lane.reserve(now, ONE, 30));
        assert_eq!((lane.retry_at(), lane.holders()), (None, &[ONE][..]));
        lane.release(10);
        assert_eq!(budget.used(), 20);
        lane.forget(ONE, 20);
        assert_eq!((budget.used(), lane.holders().len()), (0, 0));
    }

    #[test]
    fn one_lane_holds_a_bounded_part_of_the_budget() {
        let now = start();
        let mut lane = Reservations::new(CreditBudget::new(4 * LANE_BUDGET));
        assert!(lane.reserve(now, ONE, LANE_BUDGET));
        assert!(!lane.reserve(now, TWO, 1));
        assert_eq!(lane.retry_at(), None, "its own sessions free the room");
        lane.wait(TWO);
        lane.forget(ONE, LANE_BUDGET);
        assert_eq!(lane.first_waiting(), Some(TWO));
        assert!(lane.reserve(now, TWO, 2 * LANE_BUDGET), "it is alone");
    }
}
