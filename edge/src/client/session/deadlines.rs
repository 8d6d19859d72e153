//! The deadlines of a session.

use std::time::{Duration, Instant};

use tributary_protocol::link::CloseReason;

use super::Session;
use crate::client::{
    end::End,
    timers::{NO_PROGRESS, Stall, UNDECIDED},
};

impl Session {
    /// The next time for [`Self::on_timeout`].
    pub(in crate::client) fn deadline(&self) -> Option<Instant> {
        let publishes = self.forwarding.is_feeding();
        let full_since = self.forwarding.publishing.full_since();
        let stuck = self.wire.stuck_since().filter(|_| !self.timers.lost);
        [
            self.wire.session().poll_timeout(),
            self.timers.connect_by(),
            self.timers.stall_at().filter(|_| publishes),
            self.playing.deadline(),
            stuck.map(|since| since + NO_PROGRESS),
            self.wire.paced_until(),
            self.wire.next_look(),
            self.figures.report_at(),
            full_since.map(|since| since + UNDECIDED),
            self.gate.as_ref().and_then(|gate| gate.deadline()),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Handles the deadlines that have come.
    pub(in crate::client) fn on_timeout(&mut self, now: Instant) -> Result<(), End> {
        self.report(now);
        self.wire.look_for_rest(now);
        if !self.may_read() || self.throttled_until(now).is_some() {
            // A client that is not read does not count as silent.
            self.wire.session().note_unread(now);
            self.timers.excuse(now);
        }
        self.wire.session().handle_timeout(now)?;
        if self.timers.is_connect_late(now) {
            return Err(End::fault(CloseReason::Timeout, "connect_timeout"));
        }
        self.pass_time(now)?;
        let stuck = self.wire.stuck_since().filter(|_| !self.timers.lost);
        if stuck.is_some_and(|since| now >= since + NO_PROGRESS) {
            return Err(End::fault(CloseReason::SlowReader, "no_progress"));
        }
        let undecided = self.forwarding.publishing.full_since();
        if undecided.is_some_and(|since| now >= since + UNDECIDED) {
            return Err(End::fault(CloseReason::Timeout, "publish_undecided"));
        }
        if self.forwarding.is_feeding() {
            match self.timers.stall(now) {
                Some(Stall::Ping) => self.wire.session().send_ping(now),
                Some(Stall::Tell) => self.forwarding.notify_stalled(true),
                None => {}
            }
        }
        Ok(())
    }

    /// Shifts all deadlines by the time for which the process was stopped.
    pub(in crate::client) fn postpone(&mut self, by: Duration) {
        self.wire.session().postpone(by);
        self.wire.postpone(by);
        self.timers.postpone(by);
        self.forwarding.postpone(by);
        if let Some(gate) = &mut self.gate {
            gate.postpone(by);
        }
    }
}
