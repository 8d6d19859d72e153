//! How fast a client takes what it is sent: `checkBandwidth`, which a client calls, or its
//! application for it.
//!
//! The client is called a few times by `onBWCheck` and answers each call once it has all of it:
//! first with nothing, which shows how long the way is; then with 10 KiB; and with 100 KiB if
//! those came quickly. Then `onBWDone` tells it the kbit/s, the kbit they were measured with, the
//! seconds those took, and the latency in ms.

use std::time::{Duration, Instant};

use tributary_protocol::TransactionId;

mod acts;

/// A measurement that runs, or the last one.
#[derive(Debug)]
pub(super) struct Measurement {
    began: Instant,
    /// The call that the client has not answered; none once it is over.
    open: Option<TransactionId>,
    /// Which of [`ROUNDS`] it is at, and since when.
    round: usize,
    round_began: Instant,
    latency: Duration,
    /// What rounds with a payload have sent, and how long that took without the latency.
    bytes: usize,
    taken: Duration,
}

/// How many numbers each round sends, nine bytes each.
const ROUNDS: [usize; 3] = [0, 1_200, 12_000];

/// A round as quick as this is followed by the next. Reason: 12,000 numbers then take about 2.5 s
/// at most.
const QUICK: Duration = Duration::from_millis(250);

/// From one measurement of a client to the next. Reason: each sends it up to 120 KB, and the
/// client may ask for it.
const APART: Duration = Duration::from_secs(10);

/// What is taken for no time at all.
const NO_TIME: Duration = Duration::from_millis(1);

impl Measurement {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            open: None,
            round: 0,
            round_began: now,
            latency: Duration::ZERO,
            bytes: 0,
            taken: Duration::ZERO,
        }
    }

    pub(super) fn waits_for(&self, transaction: TransactionId) -> bool {
        self.open == Some(transaction)
    }

    /// kbit/s, kbit, seconds, ms.
    fn figures(&self) -> [f64; 4] {
        let kilobits = self.bytes as f64 * 8.0 / 1_000.0;
        let seconds = self.taken.max(NO_TIME).as_secs_f64();
        let latency = self.latency.as_secs_f64() * 1_000.0;
        [
            (kilobits / seconds).round(),
            kilobits,
            seconds,
            latency.round(),
        ]
    }
}
