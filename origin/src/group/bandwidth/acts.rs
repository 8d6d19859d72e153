//! Measurements: begun, answered, and reported to the client.

use std::time::Instant;

use tributary_protocol::{
    TransactionId,
    amf::Value,
    command::{self, Command},
};

use super::{APART, Measurement, QUICK, ROUNDS};
use crate::group::{answer, client::Client};

impl Measurement {
    /// Begins to measure a client; `false` if it is not accepted, or was measured a moment ago.
    pub(in crate::group) fn begin(client: &mut Client, now: Instant) -> bool {
        let last = client.calls.measurement().as_ref().map(|last| last.began);
        if !client.is_accepted() || last.is_some_and(|last| now < last + APART) {
            return false;
        }
        let mut measurement = Self::new(now);
        measurement.send(client, now);
        *client.calls.measurement() = Some(Box::new(measurement));
        true
    }

    /// Takes a client's answer to a call of its measurement; `false` if it is to another call.
    pub(in crate::group) fn answered(
        client: &mut Client,
        transaction: TransactionId,
        now: Instant,
    ) -> bool {
        let Some(mut measurement) = client.calls.take_measurement(transaction) else {
            return false;
        };
        measurement.take(client, now);
        *client.calls.measurement() = Some(measurement);
        true
    }

    /// The client has received the last payload; an `_error` shows that as well.
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
            // The latency alone exceeds the limit: one payload is sent in any case.
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
        let transaction = client.calls.next_transaction();
        let call = Command::new("onBWCheck", transaction).with(payload);
        let message = answer::on_connection(&call, client.encoding());
        if self.round > 0 {
            self.bytes += message.payload.len();
        }
        client.send(message);
        self.open = Some(transaction);
        self.round_began = now;
    }
}
