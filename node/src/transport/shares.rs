//! Fair shares of a link: lanes together do not hold feeds below half of it, nor feeds lanes.
//!
//! QUIC sends by strict priority, and what it was handed cannot give way. A lane usually goes
//! first: its commands are few. One that has more to send than its window takes is *in bulk* and
//! goes behind the feeds, in turn with the others in bulk. While there are such lanes, feeds may
//! be handed only as much as they were, and a little more.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

/// What feeds may be ahead of lanes in bulk, and the other way round, in bytes.
const SLACK: u64 = 512 * 1024;

/// A feed waits for lanes no longer than this for each piece. Reason: a peer that acknowledges
/// nothing stops its lanes; it must not stop feeds.
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
    /// Feeds with something to send.
    wanting: usize,
    /// What lanes and feeds were handed since there are any.
    lanes: u64,
    feeds: u64,
}

/// A feed with something to send; until it is dropped.
pub(super) struct Wanting<'a>(&'a Shares);

/// A lane in bulk; until it is dropped.
#[derive(Debug)]
pub(super) struct Bulk(Arc<Shares>);

impl Shares {
    fn with<R>(&self, change: impl FnOnce(&mut State) -> R) -> R {
        // Whole at every point: nothing in here panics.
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A lane has more than its window takes.
    pub(super) fn bulk(self: &Arc<Self>) -> Bulk {
        self.with(|state| {
            if state.bulk == 0 {
                (state.lanes, state.feeds) = (0, 0);
            }
            state.bulk += 1;
        });
        Bulk(Arc::clone(self))
    }

    /// A lane was handed over in part.
    pub(super) fn lane(&self, bytes: usize) {
        let waited_for = self.with(|state| {
            state.lanes += bytes as u64;
            if state.wanting == 0 {
                // Feeds that have nothing to send save nothing up.
                state.feeds = state.feeds.max(state.lanes.saturating_sub(SLACK));
            }
            state.bulk > 0
        });
        if waited_for {
            self.changed.notify_waiters();
        }
    }

    /// A feed has something to send.
    pub(super) fn wanting(&self) -> Wanting<'_> {
        self.with(|state| state.wanting += 1);
        Wanting(self)
    }

    /// Waits until a feed may be handed `bytes`.
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

    /// How many pieces of 1000 bytes feeds are handed in a while, a thousand at most.
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
        // What they did not use they have not saved up.
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
