//! Fair shares of a link: lanes together do not hold feeds below half of it, and feeds do not hold
//! lanes.
//!
//! QUIC sends by strict priority, and bytes in its buffers cannot give way. A lane usually goes
//! first: its commands are few. A lane whose window holds frames back is *in bulk*: it goes behind
//! the feeds, in turn with the others in bulk. While there are such lanes, feeds may send only as
//! many bytes as these lanes have sent, and a little more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// The bytes that feeds may be ahead of lanes in bulk, and lanes of feeds.
const SLACK: u64 = 512 * 1024;

/// The longest wait of a feed for lanes, for each piece. Reason: a peer without acknowledgements
/// stops its lanes; it must not stop feeds.
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Debug, Default)]
pub(super) struct Shares {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Lanes in bulk.
    bulk: usize,
    /// Feeds with bytes to send.
    wanting: usize,
    /// The bytes that lanes and feeds have passed to QUIC since there are lanes in bulk.
    lanes: u64,
    feeds: u64,
}

/// A feed with bytes to send, until it is dropped.
pub(super) struct Wanting<'a>(&'a Shares);

/// A lane in bulk, until it is dropped.
#[derive(Debug)]
pub(super) struct Bulk(Arc<Shares>);

impl Shares {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // No code panics with the lock held, so the state is complete at every point.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts a lane in bulk.
    pub(super) fn bulk(self: &Arc<Self>) -> Bulk {
        self.with(|state| {
            if state.bulk == 0 {
                (state.lanes, state.feeds) = (0, 0);
            }
            state.bulk += 1;
        });
        Bulk(Arc::clone(self))
    }

    /// Counts bytes that a lane has passed to QUIC.
    pub(super) fn lane(&self, bytes: usize) {
        let waited_for = self.with(|state| {
            state.lanes += bytes as u64;
            if state.wanting == 0 {
                // Feeds without bytes to send save up no share.
                state.feeds = state.feeds.max(state.lanes.saturating_sub(SLACK));
            }
            state.bulk > 0
        });
        if waited_for {
            self.changed.notify_waiters();
        }
    }

    /// Counts a feed with bytes to send.
    pub(super) fn wanting(&self) -> Wanting<'_> {
        self.with(|state| state.wanting += 1);
        Wanting(self)
    }

    /// Waits until a feed may send `bytes`.
    pub(super) async fn feed(&self, bytes: usize) {
        let turn = async {
            loop {
                let changed = self.changed.notified();
                if self.with(|state| state.bulk == 0 || state.feeds < state.lanes + SLACK) {
                    return;
                }
                changed.await;
            }
        };
        let _ = timeout(PATIENCE, turn).await;
        self.with(|state| state.feeds += bytes as u64);
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.with(|state| state.wanting -= 1);
    }
}

impl Drop for Bulk {
    fn drop(&mut self) {
        self.0.with(|state| state.bulk -= 1);
        self.0.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The count of pieces of 1000 bytes that feeds may send in a while, a thousand at most.
    async fn handed(shares: &Shares) -> u64 {
        let mut pieces = 0;
        let _ = timeout(Duration::from_millis(50), async {
            while pieces < 1000 {
                shares.feed(1000).await;
                pieces += 1;
            }
        })
        .await;
        pieces
    }

    #[tokio::test]
    async fn feeds_wait_for_lanes_in_bulk_and_not_otherwise() {
        let shares = Arc::new(Shares::default());
        shares.lane(1);
        assert_eq!(handed(&shares).await, 1000);
        let bulk = shares.bulk();
        let slack = SLACK.div_ceil(1000);
        assert_eq!(handed(&shares).await, slack);
        shares.lane(10_000);
        assert_eq!(handed(&shares).await, 10);
        // The feeds have not saved up the unused share.
        shares.lane(100_000_000);
        assert!((slack..=2 * slack + 1).contains(&handed(&shares).await));
        drop(bulk);
        assert_eq!(handed(&shares).await, 1000);
    }

    #[tokio::test(start_paused = true)]
    async fn lanes_that_never_move_do_not_stop_feeds() {
        let shares = Arc::new(Shares::default());
        let _bulk = shares.bulk();
        for _ in 0..1000 {
            shares.feed(1000).await;
        }
    }
}
