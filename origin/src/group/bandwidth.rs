//! Measurements of a client's downstream bandwidth: `checkBandwidth`, which a client calls, or its
//! application for it.
//!
//! The group calls `onBWCheck` of the client a few times, and the client answers each call once it
//! has all of it. The first call is empty and measures the latency; the second has 10 KiB; a third
//! with 100 KiB follows if the second was quick. Then `onBWDone` carries the kbit/s, the kbit they
//! were measured with, the seconds those took, and the latency in ms.

use std::time::{Duration, Instant};

use tributary_protocol::TransactionId;

mod acts;

/// A measurement that runs, or the last one.
#[derive(Debug)]
pub(super) struct Measurement {
    began: Instant,
    /// The call that the client has not answered; none once it is over.
    open: Option<TransactionId>,
    /// The present one of [`ROUNDS`], and since when.
    round: usize,
    round_began: Instant,
    latency: Duration,
    /// The bytes of the rounds with a payload, and their time without the latency.
    bytes: usize,
    taken: Duration,
}

/// How many numbers each round sends, nine bytes each.
const ROUNDS: [usize; 3] = [0, 1_200, 12_000];

/// A round as quick as this is followed by the next. Reason: 12,000 numbers then take about 2.5 s
/// at most.
const QUICK: Duration = Duration::from_millis(250);

/// The time between two measurements of a client. Reason: each sends it up to 120 KB, and the
/// client may ask for it.
const APART: Duration = Duration::from_secs(10);

/// A shorter time counts as this, so that a rate stays finite.
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
