//! What is due when, besides what the protocol's own timers do.

use std::time::{Duration, Instant};

/// The moments a session measures from.
#[derive(Debug)]
pub(super) struct Timers {
    /// When the connect command has to be there.
    connect_by: Option<Instant>,
    /// When the client was last heard, or could not have been.
    heard: Instant,
    silence: Silence,
    stall: Duration,
    /// The link is lost: what concerns the other end of it stands still.
    pub(super) lost: bool,
}

/// How a publisher that sends nothing is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Silence {
    None,
    /// It was pinged.
    Pinged(Instant),
    /// The origin knows.
    Told,
}

/// What a publisher's silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stall {
    /// Ping it.
    Ping,
    /// Tell the origin.
    Tell,
}

/// The connect command has to be there this long after the connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A publisher that is silent for this long is pinged, and after as long again its origin is told;
/// an application may set another time.
pub(super) const STALL: Duration = Duration::from_secs(5);

/// A client that takes nothing for this long while something waits for it is closed.
pub(super) const NO_PROGRESS: Duration = Duration::from_secs(10);

/// A publish that is not decided in this long, while its media fills what may be held, ends the
/// session. Longer than a link may be lost.
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

    /// The connect command is there, for an application whose publishers may be silent for `stall`.
    pub(super) fn connected(&mut self, stall: Duration) {
        self.connect_by = None;
        self.stall = stall;
    }

    /// Whether the connect command is too late.
    pub(super) fn is_connect_late(&self, now: Instant) -> bool {
        self.connect_by.is_some_and(|by| now >= by)
    }

    /// The client sent something. Whether the origin was told that it does not.
    pub(super) fn heard(&mut self, now: Instant) -> bool {
        self.heard = now;
        std::mem::replace(&mut self.silence, Silence::None) == Silence::Told
    }

    /// The client is not being read, or its origin cannot be told: its silence counts from now.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.heard = now;
        if let Silence::Pinged(_) = self.silence {
            self.silence = Silence::Pinged(now);
        }
    }

    /// What a publisher's silence asks for now.
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

    /// When [`Self::stall`] has something to say of a publisher.
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

    /// The process was stopped for this long.
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
            "the origin has to be told"
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
