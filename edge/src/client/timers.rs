//! The deadlines of a session, besides those of the protocol's connection.

use std::time::{Duration, Instant};

mod parcel;

/// The times from which a session measures.
#[derive(Debug)]
pub(super) struct Timers {
    /// The deadline of the connect command; none once it has arrived.
    connect_by: Option<Instant>,
    /// The time of the last bytes, or the last time at which the client was not read.
    heard: Instant,
    silence: Silence,
    stall: Duration,
    /// The link is lost: timers that concern the origin stand still.
    pub(super) lost: bool,
}

/// The edge's reaction to a publisher that sends nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    None,
    /// The edge has sent a ping.
    Pinged(Instant),
    /// The edge has notified the origin.
    Told,
}

/// The next act for a silent publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Send a ping to the client.
    Ping,
    /// Notify the origin.
    Tell,
}

/// Time from the TCP connection to the connect command.
const CONNECT: Duration = Duration::from_secs(10);

/// Silence of a publisher after which it is pinged; after as long again its origin is notified. An
/// application may set another time.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// Time without progress after which a client with waiting output is closed.
pub(super) const NO_PROGRESS: Duration = Duration::from_secs(10);

/// Time after which an undecided publish with full `MAX_HELD` ends
/// the session. It is longer than an outage of a link may last.
pub(super) const UNDECIDED: Duration = Duration::from_secs(30);

impl Timers {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            connect_by: Some(now + CONNECT),
            heard: now,
            silence: Silence::None,
            stall: STALL,
            lost: false,
        }
    }

    /// Notes the connect command; publishers of its application may be silent for `stall`.
    pub(super) fn connected(&mut self, stall: Duration) {
        self.connect_by = None;
        self.stall = stall;
    }

    /// Publishers may be silent for `stall`.
    pub(super) fn set_stall(&mut self, stall: Duration) {
        self.stall = stall;
    }

    /// Whether the connect command is too late.
    pub(super) fn is_connect_late(&self, now: Instant) -> bool {
        self.connect_by.is_some_and(|by| now >= by)
    }

    /// Notes bytes from the client. Returns whether the origin was notified of its silence.
    pub(super) fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        std::mem::replace(&mut self.silence, Silence::None) == Silence::Told
    }

    /// Restarts the silence: the client is not read, or its origin cannot be notified.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard = now;
        if let Silence::Pinged(_) = self.silence {
            self.silence = Silence::Pinged(now);
        }
    }

    /// The act that a publisher's silence calls for now.
    pub(super) fn stall(&mut self, now: Instant) -> Option<Stall> {
        if self.lost || self.stall_at().is_none_or(|at| now < at) {
            return None;
        }
        let (next, stall) = match self.silence {
            Silence::None => (Silence::Pinged(now), Stall::Ping),
            Silence::Pinged(_) | Silence::Told => (Silence::Told, Stall::Tell),
        };
        self.silence = next;
        Some(stall)
    }

    /// The next time for [`Self::stall`].
    pub(super) fn stall_at(&self) -> Option<Instant> {
        match self.silence {
            _ if self.lost => None,
            Silence::None => Some(self.heard + self.stall),
            Silence::Pinged(at) => Some(at + self.stall),
            Silence::Told => None,
        }
    }

    pub(super) fn connect_by(&self) -> Option<Instant> {
        self.connect_by
    }

    /// Shifts all times by that for which the process was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.heard += by;
        if let Some(connect_by) = &mut self.connect_by {
            *connect_by += by;
        }
        if let Silence::Pinged(at) = &mut self.silence {
            *at += by;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_silent_publisher_is_pinged_then_reported_once() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        assert_eq!(timers.stall(start + seconds(4)), None);
        assert_eq!(timers.stall_at(), Some(start + seconds(5)));
        assert_eq!(timers.stall(start + seconds(5)), Some(Stall::Ping));
        assert_eq!(timers.stall(start + seconds(9)), None);
        assert_eq!(timers.stall(start + seconds(10)), Some(Stall::Tell));
        assert_eq!(timers.stall(start + seconds(60)), None);
        assert!(
            timers.heard(start + seconds(61)),
            "the origin has to be notified"
        );
        assert!(!timers.heard(start + seconds(62)));
        assert_eq!(timers.stall(start + seconds(67)), Some(Stall::Ping));
    }

    #[test]
    fn a_publisher_that_answers_keeps_its_name() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        assert_eq!(timers.stall(start + seconds(5)), Some(Stall::Ping));
        assert!(!timers.heard(start + seconds(9)));
        assert_eq!(timers.stall(start + seconds(10)), None);
    }

    #[test]
    fn silence_stands_still_while_nobody_listens() {
        let start = Instant::now();
        let mut timers = Timers::new(start);
        timers.lost = true;
        assert_eq!(
            (timers.stall(start + seconds(60)), timers.stall_at()),
            (None, None)
        );
        timers.lost = false;
        timers.excuse(start + seconds(60));
        assert_eq!(timers.stall(start + seconds(64)), None);
        assert_eq!(timers.stall(start + seconds(65)), Some(Stall::Ping));
        timers.excuse(start + seconds(69));
        assert_eq!(timers.stall(start + seconds(73)), None);
        assert_eq!(timers.stall(start + seconds(74)), Some(Stall::Tell));
    }
}
