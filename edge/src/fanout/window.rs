//! The time for which a live stream's messages wait for others, so that one write sends several.
//!
//! A write to a viewer costs the same for one message as for five. Where a pass over the viewers is
//! cheap there is nothing to save, and a message leaves at once. Where a pass is expensive, the wait
//! grows with its cost and with the share of its time for which the worker is busy.

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

/// The window of an idle worker, as a multiple of the cost beyond [`CHEAP`].
const GROWTH: f64 = 3.5;

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
        let width = dear.mul_f64(GROWTH / idle);
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
        after(100, 2 * MS, &window);
        let idle = window.width(0.0);
        assert!((4 * MS..5 * MS).contains(&idle), "{idle:?}");
        let busy = window.width(0.5);
        assert!(busy > 2 * idle && busy < 3 * idle, "{busy:?}");
        after(100, 40 * MS, &window);
        assert_eq!(window.width(0.0), 20 * MS, "the cap holds");
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
