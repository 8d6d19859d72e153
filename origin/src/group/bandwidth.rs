//! How fast a client takes what it is sent: `checkBandwidth`, which a client calls, or its
//! application for it.
//!
//! The client is called a few times by `onBWCheck` and answers each call once it has all of it:
//! first with nothing, which shows how long the way is; then with 10 KiB; and with 100 KiB if
//! those came quickly. Then `onBWDone` tells it the kbit/s, the kbit they were measured with, the
//! seconds those took, and the latency in ms.

use std::time::{Duration, Instant};

use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::{self, Command},
};

use super::{answer, client::Client, core::Core};
use crate::session::SessionKey;

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

impl Core {
    /// Begins to measure; `false` if the client is not accepted, or was measured a moment ago.
    pub(super) fn measure_bandwidth(&mut self, key: SessionKey) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        let last = client.measurement().as_ref().map(|last| last.began);
        if !client.is_accepted() || last.is_some_and(|last| now < last + APART) {
            return false;
        }
        let mut measurement = Measurement::new(now);
        measurement.send(client, now);
        *client.measurement() = Some(Box::new(measurement));
        true
    }

    /// Takes the answer to a call of a measurement; `false` if it is to another call.
    pub(super) fn measured(&mut self, key: SessionKey, transaction: TransactionId) -> bool {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&key) else {
            return false;
        };
        let Some(mut measurement) = client.take_measurement(transaction) else {
            return false;
        };
        measurement.take(client, now);
        *client.measurement() = Some(measurement);
        true
    }
}

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

    /// The client has what was sent last: an error says so as well.
    fn take(&mut self, client: &mut Client, now: Instant) {
        let took = now.saturating_duration_since(self.round_began);
        if self.round == 0 {
            self.latency = took;
        } else {
            self.taken += took.saturating_sub(self.latency);
        }
        self.round += 1;
        if self.round < ROUNDS.len() && took < QUICK {
            self.send(client, now);
        } else if self.bytes == 0 {
            // A long way: one payload is sent in any case.
            self.send(client, now);
        } else {
            self.open = None;
            client.command(&command::on_bw_done(&self.figures()));
        }
    }

    fn send(&mut self, client: &mut Client, now: Instant) {
        let payload = match ROUNDS[self.round] {
            0 => Value::from(""),
            count => Value::StrictArray((0..count).map(|it| Value::Number(it as f64)).collect()),
        };
        let transaction = client.next_transaction();
        let call = Command::new("onBWCheck", transaction).with(payload);
        let message = answer::on_connection(&call, client.encoding());
        if self.round > 0 {
            self.bytes += message.payload.len();
        }
        client.send(message);
        self.open = Some(transaction);
        self.round_began = now;
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
