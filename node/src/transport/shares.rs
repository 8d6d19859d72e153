//! Fair shares of a link: lanes together do not hold feeds below half of it.
//!
//! QUIC sends what it has been handed, stream by stream in turn, so a hundred busy lanes beside one
//! busy feed would leave it a hundredth. While a feed waits for room, lanes may be handed only as
//! much as feeds were since the wait began, and a little more.

use std::sync::Mutex;

use tokio::sync::Notify;

/// What lanes may be ahead of feeds while a feed waits, in bytes.
const SLACK: u64 = 64 * 1024;

#[derive(Debug, Default)]
pub(super) struct Shares {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiting_feeds: usize,
    lanes: u64,
    feeds: u64,
}

/// A feed's wait; ends when dropped.
pub(super) struct FeedWait<'a>(&'a Shares);

impl Shares {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // Whole at every point: nothing in here panics.
        change(
            &mut self
                .state
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }

    /// Waits until a lane may be handed `bytes`.
    pub(super) async fn lane(&self, bytes: usize) {
        loop {
            let changed = self.changed.notified();
            let may = self.with(|state| {
                let may = state.waiting_feeds == 0 || state.lanes < state.feeds + SLACK;
                if may && state.waiting_feeds > 0 {
                    state.lanes += bytes as u64;
                }
                may
            });
            if may {
                return;
            }
            changed.await;
        }
    }

    /// A feed has more than the stream takes.
    pub(super) fn feed_waits(&self) -> FeedWait<'_> {
        self.with(|state| {
            if state.waiting_feeds == 0 {
                state.lanes = 0;
                state.feeds = 0;
            }
            state.waiting_feeds += 1;
        });
        FeedWait(self)
    }

    /// A feed's stream took bytes.
    pub(super) fn feed(&self, bytes: usize) {
        let waiting = self.with(|state| {
            state.feeds += bytes as u64;
            state.waiting_feeds > 0
        });
        if waiting {
            self.changed.notify_waiters();
        }
    }
}

impl Drop for FeedWait<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.waiting_feeds -= 1);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn lanes_wait_for_a_waiting_feed_and_not_otherwise() {
        let shares = Shares::default();
        let soon = Duration::from_millis(20);
        for _ in 0..100 {
            timeout(soon, shares.lane(1 << 20))
                .await
                .expect("no feed waits");
        }
        let wait = shares.feed_waits();
        shares.lane(SLACK as usize).await;
        assert!(
            timeout(soon, shares.lane(1)).await.is_err(),
            "ahead of the feed"
        );
        shares.feed(1000);
        timeout(soon, shares.lane(1))
            .await
            .expect("the feed caught up");
        assert!(
            timeout(soon, async {
                loop {
                    shares.lane(500).await
                }
            })
            .await
            .is_err()
        );
        drop(wait);
        timeout(soon, shares.lane(1 << 20))
            .await
            .expect("the wait is over");
    }
}
