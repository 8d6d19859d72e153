//! The time for which a live stream's messages wait for others, so that one write sends several.
//!
//! A write to a viewer costs the same for one message as for five. Where a pass over the viewers is
//! cheap there is nothing to save, and a message leaves at once. Where a pass is expensive, the wait
//! grows with its cost up to 5 ms, and beyond that where the worker has little time left.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use tributary_node::config::{Delivery, DeliveryPolicy};

/// The window of one live stream on one worker.
#[derive(Debug)]
pub(super) struct Window {
    policy: DeliveryPolicy,
    /// The mean time that a pass takes.
    cost: Cell<Duration>,
}

/// The cost of a pass below which nothing is worth saving on an idle worker: some 50 viewers. A busy
/// worker saves on cheaper ones too.
const CHEAP: Duration = Duration::from_micros(700);

/// The shortest window. Reason: the timer of a runtime has milliseconds, and rounds a shorter wait
/// up to two of them.
const LEAST: Duration = Duration::from_micros(1500);

/// The window as a multiple of the cost beyond [`CHEAP`], up to [`CALM`].
const GROWTH: f64 = 8.0;

/// The longest window while the worker has time left. Reason: with 500 and with 1,000 viewers it saves
/// a fifth of the writes, and more would come to them later than from other servers.
const CALM: Duration = Duration::from_millis(5);

/// The idle share of a worker below which the window grows on, so that a full worker saves more.
const SPARE: f64 = 0.5;

/// The busy share beyond which the window grows no further.
const MOST_BUSY: f64 = 0.9;

/// The part of a new measurement in the mean.
const SMOOTHING: u32 = 8;

impl Window {
    pub(super) fn new(policy: DeliveryPolicy) -> Self {
        Self {
            policy,
            cost: Cell::new(Duration::ZERO),
        }
    }

    /// Notes the time that a pass has taken.
    pub(super) fn passed(&self, took: Duration) {
        let cost = self.cost.get();
        self.cost.set(cost - cost / SMOOTHING + took / SMOOTHING);
    }

    /// The wait of a message, on a worker that is busy for this share of its time.
    pub(super) fn width(&self, busy: f64) -> Duration {
        if self.policy.delivery == Delivery::Broadcast {
            return self.policy.cap;
        }
        let idle = 1.0 - busy.clamp(0.0, MOST_BUSY);
        let dear = self.cost.get().saturating_sub(CHEAP.mul_f64(idle));
        let calm = dear.mul_f64(GROWTH).min(CALM);
        let width = calm.mul_f64((SPARE / idle).max(1.0));
        if width < LEAST {
            return Duration::ZERO;
        }
        width.min(self.policy.cap)
    }

    /// Whether a pass at a picture, at `now`, is the best one before `due`: the next picture would
    /// come too late for this window.
    pub(super) fn ends_with_picture(now: Instant, due: Instant, interval: Duration) -> bool {
        !interval.is_zero() && now + interval > due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn window(delivery: Delivery, cap: u32) -> Window {
        Window::new(DeliveryPolicy {
            delivery,
            cap: cap * MS,
        })
    }

    fn after(passes: u32, took: Duration, window: &Window) {
        for _ in 0..passes {
            window.passed(took);
        }
    }

    #[test]
    fn a_cheap_pass_does_not_wait() {
        let window = window(Delivery::Standard, 20);
        assert_eq!(window.width(0.0), Duration::ZERO);
        after(1000, MS / 3, &window);
        assert_eq!(window.width(0.0), Duration::ZERO);
    }

    #[test]
    fn a_full_worker_saves_on_cheap_passes_too() {
        let window = window(Delivery::Standard, 20);
        after(100, MS / 5, &window);
        assert_eq!(window.width(0.3), Duration::ZERO);
        assert!(window.width(1.0) > 2 * MS, "{:?}", window.width(1.0));
    }

    #[test]
    fn the_window_follows_the_cost_and_comes_back() {
        let window = window(Delivery::Standard, 20);
        after(100, MS, &window);
        let some = window.width(0.0);
        assert!((2 * MS..3 * MS).contains(&some), "{some:?}");
        after(100, 2 * MS, &window);
        assert_eq!(window.width(0.0), CALM);
        assert_eq!(window.width(0.5), CALM);
        let busy = window.width(0.8);
        assert!((2 * CALM..3 * CALM).contains(&busy), "{busy:?}");
        assert_eq!(window.width(1.0), 20 * MS, "the cap holds");
        after(100, MS / 10, &window);
        assert_eq!(window.width(0.2), Duration::ZERO);
    }

    #[test]
    fn interactive_streams_wait_for_their_cap_at_most() {
        let window = window(Delivery::Interactive, 5);
        after(100, 100 * MS, &window);
        assert_eq!(window.width(1.0), 5 * MS);
    }

    #[test]
    fn broadcasts_wait_always_and_end_with_a_picture() {
        let window = window(Delivery::Broadcast, 60);
        assert_eq!(window.width(0.0), 60 * MS);
        let begun = Instant::now();
        let due = begun + 60 * MS;
        assert!(!Window::ends_with_picture(begun, due, 33 * MS));
        assert!(Window::ends_with_picture(begun + 33 * MS, due, 33 * MS));
        assert!(!Window::ends_with_picture(begun, due, Duration::ZERO));
    }
}
