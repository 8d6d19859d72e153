//! A session on its way between two processes of its edge.

use std::time::{Duration, Instant};

use super::{Phase, Session};
use crate::{
    admission::Permit,
    client::{end::End, outcome::Freeze},
    hooks::MovedQuestion,
};

impl Session {
    /// Whether a freeze waits for the session.
    pub(in crate::client) fn is_linked(&self) -> bool {
        self.linked.is_some()
    }

    /// Whether a session without a lane has come so far that another process can go on with it.
    pub(in crate::client) fn is_ready_to_follow(&self) -> bool {
        let awaits_connect = matches!(self.phase, Phase::AwaitConnect);
        awaits_connect || self.opening.is_some()
    }

    /// Notes that the session has become a parcel, or cannot.
    pub(in crate::client) fn report_parcel(&mut self) {
        if let Some(linked) = &mut self.linked {
            linked.report();
        }
    }

    /// Whether the client uses shared objects.
    pub(in crate::client) fn has_seat(&self) -> bool {
        self.seat.is_some()
    }

    /// Goes on after a stand-still, here or in another process: opens what another process was about
    /// to open, and handles the messages that wait.
    pub(in crate::client) fn go_on(&mut self, now: Instant) -> Result<(), End> {
        if let Some(linked) = &mut self.linked {
            linked.go_on();
        }
        if let Some(opening) = self.opening.take() {
            let (route, connect) = *opening;
            self.open(route, &connect);
        }
        self.handle_events(now)?;
        self.playing.go_on();
        Ok(())
    }

    /// Leaves the session to another process. The origin and the services hear nothing of it, and the
    /// answer that the session waits for is for that process.
    pub(in crate::client) fn leave(&mut self) -> Option<MovedQuestion> {
        let hooked = self.gate.as_mut().and_then(|gate| gate.hooked.take());
        hooked.and_then(|hooked| hooked.move_away())
    }

    /// The place of the connection; the rest is dropped.
    pub(in crate::client) fn into_permit(self) -> Permit {
        self.permit
    }

    /// Notes that nothing comes behind this item of the inbox.
    pub(in crate::client) fn mark(&mut self) {
        self.freeze = Freeze::Marked;
    }

    /// Goes on after it has stood still.
    pub(in crate::client) fn thaw(&mut self, by: Duration) -> Result<(), End> {
        let now = Instant::now();
        self.freeze = Freeze::None;
        self.wire.seal(false);
        self.postpone(by);
        self.go_on(now)?;
        self.settle(now)
    }
}
