//! The times at which the client of an unread publish is read.

use std::time::{Duration, Instant};

use super::ticks;

/// The time for which a client's socket can be left alone, from the rate of its bytes.
///
/// An encoder sends some seventy messages a second, and each wakes the worker. While no reader waits
/// for them, the socket is not watched: it is read when the time is over, and the bytes that came
/// meanwhile are in the kernel.
///
/// ```text
///                 MEASURE is over                  the time is over: read, then
///   Measuring ───────────────────────► Timed ◄──────────────┐
///       ▲                                │ ├────────────────┘ bytes came
///       └────────────────────────────────┘
///            no bytes came, or too many
/// ```
#[derive(Debug)]
pub(super) struct ReadTimes {
    since: Instant,
    bytes: usize,
    /// The time of the next read; none while the socket is watched.
    due: Option<Instant>,
}

/// The time for which the rate is measured before the first read by time.
const MEASURE: Duration = Duration::from_millis(250);

/// The longest time between two reads. With [`STEP`] it is shorter than the time for which the link
/// holds messages of an unread publish, so that both wait at once.
const MOST: Duration = Duration::from_millis(230);

/// The shortest time between two reads that is worth the timer.
const LEAST: Duration = Duration::from_millis(50);

/// The bytes that may wait in the kernel. Reason: half of what a receive buffer takes at first.
const WAITING: u32 = 32 * 1024;

/// The step of the times. Reason: the sessions of a worker share wake-ups.
const STEP: Duration = Duration::from_millis(10);

impl ReadTimes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            due: None,
        }
    }

    /// Counts bytes from the client.
    pub(super) fn count(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Whether the client has to be read now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Returns the time of the next read, if the socket needs not be watched until then. Call it
    /// after a read that was due. `origin` is the time from which the worker counts its ticks.
    pub(super) fn plan(&mut self, now: Instant, origin: Instant) -> Option<Instant> {
        let elapsed = now.saturating_duration_since(self.since);
        let is_over = self.due.map_or(elapsed >= MEASURE, |due| now >= due);
        if is_over {
            let time = self.time(elapsed);
            // From the time at which the read was due: sessions that are read late, all at once,
            // part again.
            let from = self.due.unwrap_or(now);
            *self = Self::new(now);
            self.due = time.map(|time| ticks::next(origin, now.max(from + time), STEP));
        }
        self.due
    }

    /// The time in which [`WAITING`] bytes come.
    fn time(&self, elapsed: Duration) -> Option<Duration> {
        let bytes = u32::try_from(self.bytes).unwrap_or(u32::MAX);
        let time = (elapsed * WAITING).checked_div(bytes)?;
        (time >= LEAST).then(|| time.min(MOST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The times of the reads of a client that sends so many bytes in each millisecond.
    fn reads(bytes_per_ms: usize, until: u32) -> Vec<u32> {
        let origin = Instant::now();
        let mut times = ReadTimes::new(origin);
        let mut reads = Vec::new();
        let mut waiting = 0;
        for ms in 0..until {
            let now = origin + MS * ms;
            waiting += bytes_per_ms;
            if times.due.is_none() || times.is_due(now) {
                if times.is_due(now) {
                    reads.push(ms);
                }
                times.count(std::mem::take(&mut waiting));
            }
            times.plan(now, origin);
        }
        reads
    }

    #[test]
    fn an_encoder_is_read_four_times_a_second() {
        assert_eq!(reads(125, 1000), [480, 710, 940]);
    }

    #[test]
    fn more_bytes_come_in_a_shorter_time_and_very_many_are_watched() {
        let reads_of = |bytes| reads(bytes, 2000).len();
        assert!(reads_of(250) > reads_of(125), "{}", reads_of(250));
        assert_eq!(reads_of(1000), 0);
    }

    #[test]
    fn a_client_that_sends_nothing_is_watched() {
        let origin = Instant::now();
        let mut times = ReadTimes::new(origin);
        assert_eq!(times.plan(origin + MEASURE, origin), None);
        times.count(1000);
        let due = times.plan(origin + 2 * MEASURE, origin).expect("a time");
        assert!(due <= origin + 2 * MEASURE + MOST + STEP);
        assert!(!times.is_due(due - MS));
        assert!(times.is_due(due));
        assert_eq!(times.plan(due, origin), None, "nothing has come");
    }

    #[test]
    fn no_number_of_bytes_overflows() {
        let origin = Instant::now();
        let mut times = ReadTimes::new(origin);
        times.count(usize::MAX);
        assert_eq!(times.plan(origin + MEASURE, origin), None);
    }
}
