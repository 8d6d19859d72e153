//! setInterval and setTimeout.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use super::kept::Kept;

/// The timers of one script.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    last: u32,
    known: HashMap<u32, Timer>,
    due: BTreeSet<(Instant, u32)>,
}

/// One timer.
#[derive(Debug)]
pub(crate) struct Timer {
    at: Instant,
    every: Option<Duration>,
    /// An array of the object, the function, and its arguments.
    pub(crate) call: Kept,
}

/// The shortest time of a timer. Reason: a shorter one would occupy the worker.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest time, some 24 days, as in browsers.
const LONGEST: f64 = 2_147_483_647.0;

impl Timers {
    /// Adds a timer; returns its number.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        milliseconds: f64,
        repeats: bool,
        call: Kept,
    ) -> u32 {
        let time = duration(milliseconds);
        self.last = self.last.wrapping_add(1).max(1);
        let at = now + time;
        let every = repeats.then_some(time);
        self.due.insert((at, self.last));
        self.known.insert(self.last, Timer { at, every, call });
        self.last
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Kept> {
        let timer = self.known.remove(&number)?;
        self.due.remove(&(timer.at, number));
        Some(timer.call)
    }

    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// The time at which the next timer is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// The next due timer; a repeating one is set to its next time.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<u32> {
        let (at, number) = self.due.first().copied().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, number));
        if let Some(timer) = self.known.get_mut(&number)
            && let Some(every) = timer.every
        {
            // Missed times are not made up for.
            timer.at = (at + every).max(now + SHORTEST);
            self.due.insert((timer.at, number));
        }
        Some(number)
    }

    /// The call of a timer, and whether it is the last one.
    pub(crate) fn call(&self, number: u32) -> Option<(&Kept, bool)> {
        let timer = self.known.get(&number)?;
        Some((&timer.call, timer.every.is_none()))
    }
}

fn duration(milliseconds: f64) -> Duration {
    let milliseconds = if milliseconds.is_nan() {
        0.0
    } else {
        milliseconds
    };
    Duration::from_millis(milliseconds.clamp(0.0, LONGEST) as u64).max(SHORTEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_timer_does_not_make_up_for_what_it_missed() {
        let mut timers = Timers::default();
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let every = timers.add(start, 10.0, true, Kept::for_test(1));
        let once = timers.add(start, f64::NAN, false, Kept::for_test(2));
        assert_eq!(timers.next(), Some(at(1)));
        assert_eq!(timers.take_due(at(1)), Some(once));
        assert_eq!(timers.take_due(at(100)), Some(every));
        assert_eq!(timers.take_due(at(100)), None);
        assert_eq!(timers.next(), Some(at(101)));
        assert!(timers.remove(every).is_some());
        assert_eq!(timers.next(), None);
    }
}
